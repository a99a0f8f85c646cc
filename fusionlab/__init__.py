"""fusionlab: image fusion with a frozen neural backbone, and the fusion rule as a plugin.

    import fusionlab

    fusion = fusionlab.Fusion("densefuse@1e2", "l1norm,r=1")
    fused = fusion([visible, infrared, thermal])  # arrays or tensors in, the same kind out

Importing this package is cheap: the names below are looked up on first use (PEP 562), so that
`fusionlab --help` never waits for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusionlab.backbone import WHOLE, Backbone, Borders, Features, Level
    from fusionlab.checkpoint import Card
    from fusionlab.detection import detect_task
    from fusionlab.engine.base import Engine
    from fusionlab.errors import FusionlabError, FusionlabWarning
    from fusionlab.evaluation.comparisons import Comparison
    from fusionlab.evaluation.evaluate import evaluate
    from fusionlab.evaluation.reporting.contact_sheet import contact_sheet
    from fusionlab.evaluation.reporting.report import Report
    from fusionlab.evaluation.reporting.sequence_sheet import sequence_sheet
    from fusionlab.evaluation.score import score
    from fusionlab.evaluation.sequence_score import score_sequence
    from fusionlab.evaluation.sequence_scores import SequenceScores
    from fusionlab.exported.export import export
    from fusionlab.fused import Fused
    from fusionlab.fusion import Fusion
    from fusionlab.hookspecs import hookimpl
    from fusionlab.imaging.contents import Contents, Page
    from fusionlab.imaging.decoding import Decoded
    from fusionlab.imaging.metadata import Metadata
    from fusionlab.imaging.reading import LoadedImage, read_image, read_sources
    from fusionlab.imaging.writing import write_image
    from fusionlab.metrics.sources_part import keep_parts, once_per_sources
    from fusionlab.ops import box_average, guided_filter, histograms, normalize
    from fusionlab.plugins.host import load_plugins
    from fusionlab.plugins.listing import (
        list_backbones,
        list_engines,
        list_methods,
        list_metrics,
        list_readers,
        list_strategies,
        list_tasks,
        list_temporal_metrics,
        load_backbone,
        load_strategy,
    )
    from fusionlab.plugins.offers import (
        BackboneRef,
        EngineRef,
        MetricRef,
        ReaderRef,
        RegistrationRef,
        SequenceReaderRef,
        StrategyRef,
        TemporalMetricRef,
    )
    from fusionlab.plugins.presets import Preset
    from fusionlab.plugins.registry import Plugins
    from fusionlab.plugins.tasks import Task
    from fusionlab.registration.align import RegistrationError
    from fusionlab.registration.contract import Estimate
    from fusionlab.registration.images import register
    from fusionlab.registration.transform import Transform
    from fusionlab.runs.image_sets import ImageSetItem, find_image_set
    from fusionlab.sequences.contract import Frame, FrameSequence
    from fusionlab.sequences.iterate import FusedFrame, fuse_sequence
    from fusionlab.sequences.opening import open_sequence
    from fusionlab.strategy import (
        ActivityStrategy,
        Law,
        LearnedStrategy,
        Scene,
        Statistics,
        Strategy,
        WeightedStrategy,
    )
    from fusionlab.temporal import TemporalConsistency

_HOMES = {
    "ActivityStrategy": "strategy",
    "Backbone": "backbone",
    "BackboneRef": "plugins.offers",
    "Borders": "backbone",
    "Card": "checkpoint",
    "Comparison": "evaluation.comparisons",
    "Contents": "imaging.contents",
    "Decoded": "imaging.decoding",
    "Engine": "engine.base",
    "EngineRef": "plugins.offers",
    "Estimate": "registration.contract",
    "Features": "backbone",
    "Frame": "sequences.contract",
    "FrameSequence": "sequences.contract",
    "Fused": "fused",
    "FusedFrame": "sequences.iterate",
    "Fusion": "fusion",
    "FusionlabError": "errors",
    "FusionlabWarning": "errors",
    "ImageSetItem": "runs.image_sets",
    "Law": "strategy",
    "LearnedStrategy": "strategy",
    "Level": "backbone",
    "LoadedImage": "imaging.reading",
    "Metadata": "imaging.metadata",
    "MetricRef": "plugins.offers",
    "Page": "imaging.contents",
    "Plugins": "plugins.registry",
    "Preset": "plugins.presets",
    "ReaderRef": "plugins.offers",
    "RegistrationError": "registration.align",
    "RegistrationRef": "plugins.offers",
    "Report": "evaluation.reporting.report",
    "Scene": "strategy",
    "SequenceScores": "evaluation.sequence_scores",
    "SequenceReaderRef": "plugins.offers",
    "Statistics": "strategy",
    "Strategy": "strategy",
    "StrategyRef": "plugins.offers",
    "Task": "plugins.tasks",
    "TemporalConsistency": "temporal",
    "TemporalMetricRef": "plugins.offers",
    "Transform": "registration.transform",
    "WHOLE": "backbone",
    "WeightedStrategy": "strategy",
    "box_average": "ops",
    "contact_sheet": "evaluation.reporting.contact_sheet",
    "detect_task": "detection",
    "evaluate": "evaluation.evaluate",
    "export": "exported.export",
    "find_image_set": "runs.image_sets",
    "fuse_sequence": "sequences.iterate",
    "guided_filter": "ops",
    "histograms": "ops",
    "hookimpl": "hookspecs",
    "keep_parts": "metrics.sources_part",
    "list_backbones": "plugins.listing",
    "list_engines": "plugins.listing",
    "list_methods": "plugins.listing",
    "list_metrics": "plugins.listing",
    "list_readers": "plugins.listing",
    "list_strategies": "plugins.listing",
    "list_tasks": "plugins.listing",
    "list_temporal_metrics": "plugins.listing",
    "load_backbone": "plugins.listing",
    "load_plugins": "plugins.host",
    "load_strategy": "plugins.listing",
    "normalize": "ops",
    "open_sequence": "sequences.opening",
    "once_per_sources": "metrics.sources_part",
    "read_image": "imaging.reading",
    "read_sources": "imaging.reading",
    "register": "registration.images",
    "score": "evaluation.score",
    "score_sequence": "evaluation.sequence_score",
    "sequence_sheet": "evaluation.reporting.sequence_sheet",
    "write_image": "imaging.writing",
}

__version__ = "0.1.0"
__all__ = [
    "WHOLE",
    "ActivityStrategy",
    "Backbone",
    "BackboneRef",
    "Borders",
    "Card",
    "Comparison",
    "Contents",
    "Decoded",
    "Engine",
    "EngineRef",
    "Estimate",
    "Features",
    "Frame",
    "FrameSequence",
    "Fused",
    "FusedFrame",
    "Fusion",
    "FusionlabError",
    "FusionlabWarning",
    "ImageSetItem",
    "Law",
    "LearnedStrategy",
    "Level",
    "LoadedImage",
    "Metadata",
    "MetricRef",
    "Page",
    "Plugins",
    "Preset",
    "ReaderRef",
    "RegistrationError",
    "RegistrationRef",
    "Report",
    "Scene",
    "SequenceReaderRef",
    "SequenceScores",
    "Statistics",
    "Strategy",
    "StrategyRef",
    "Task",
    "TemporalConsistency",
    "TemporalMetricRef",
    "Transform",
    "WeightedStrategy",
    "box_average",
    "contact_sheet",
    "detect_task",
    "evaluate",
    "export",
    "find_image_set",
    "fuse_sequence",
    "guided_filter",
    "histograms",
    "hookimpl",
    "keep_parts",
    "list_backbones",
    "list_engines",
    "list_methods",
    "list_metrics",
    "list_readers",
    "list_strategies",
    "list_tasks",
    "list_temporal_metrics",
    "load_backbone",
    "load_plugins",
    "load_strategy",
    "normalize",
    "once_per_sources",
    "open_sequence",
    "read_image",
    "read_sources",
    "register",
    "score",
    "score_sequence",
    "sequence_sheet",
    "write_image",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
