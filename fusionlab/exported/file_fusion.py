"""Fuse files with an exported model: what `fusionlab.runs.file_fusion` does, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from fusionlab.exported.metadata import Weights
from fusionlab.exported.model import ExportedModel
from fusionlab.imaging.nodata import nodata_text
from fusionlab.imaging.reading import LoadedImage
from fusionlab.runs.code_hash import core_sha256
from fusionlab.runs.file_fusion import FileFusion
from fusionlab.runs.record import LIBRARIES, Record
from fusionlab.storage.hashing import sha256_of_file
from fusionlab.storage.versions import library_versions

ENGINE = "onnxruntime"
"""What computes; the name of its distribution."""


class ModelFileFusion(FileFusion):
    """A fusion of files with an exported model.

    Args:
        model: the model and its settings.
        options: of `FileFusion`.
    """

    def __init__(self, model: ExportedModel, **options: Any) -> None:
        # it has the settings of a fusion, and its method `fuse`; no plugin is asked for anything
        super().__init__(cast("Any", model), cast("Any", None), **options)
        self.model = model

    def _describe_method(self) -> Record:
        """Return the part of a record that describes the method."""
        model, metadata = self.model, self.model.metadata
        any_nodata = any(value is not None for value in model.nodata)
        networks = metadata.networks
        others = [name for name in LIBRARIES if name != "torch"]
        return {
            "method": metadata.method,
            "backbone": metadata.backbone,
            "weights": _hash(metadata.weights),
            "strategy": metadata.strategy,
            "parameters": metadata.parameters,
            **({"networks": _hash(networks)} if networks else {}),
            "range": model.range_policy,
            "color": model.color,
            "shared_weights": model.shared_weights,
            "scale": [str(scale) for scale in model.scale],
            **({"nodata": [*map(nodata_text, model.nodata)]} if any_nodata else {}),
            "device": "cpu",
            "gpu": None,
            "tile": model.tile,
            "engine": ENGINE,
            "precision": "fp32",
            "model": {"name": model.path.name, "sha256": model.sha256},
            "plugins": metadata.plugins,
            "libraries": library_versions([*others, ENGINE]),
        }

    def code(self) -> list[str]:
        """Return the hashes of all code that decides what the model computes, beside its file."""
        here = sorted(Path(__file__).parent.glob("*.py"))
        return [core_sha256(), *map(sha256_of_file, here)]

    def batch_size(self, sources: Sequence[LoadedImage]) -> int:  # noqa: ARG002  # of FileFusion
        """Return 1: the tiles of an image are computed at the same time."""
        return 1

    def together(self, sources: Sequence[LoadedImage]) -> int:  # noqa: ARG002  # of FileFusion
        """Return 1, likewise."""
        return 1


def _hash(weights: Weights | None) -> Mapping[str, str] | None:
    return weights and {"tag": weights["tag"], "sha256": weights["sha256"]}
