"""The weight maps of the rows that are fused here, computed again from what made each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.errors import FusionlabError
from fusionlab.evaluation.recipes import Backbones, shared_backbone
from fusionlab.evaluation.studies.results import StudyResults
from fusionlab.fusion import Fusion
from fusionlab.imaging.reading import LoadedImage
from fusionlab.plugins.host import installed
from fusionlab.plugins.method_names import split_method
from fusionlab.plugins.registry import Plugins
from fusionlab.strategy import WeightedStrategy


class ComputedWeightMaps:
    """Fuse samples again for their weight maps: the argument `weight_maps` of `write_page`.

    Rows without a map: folders of results, strategies that are no weighted sum, and methods that
    cannot be built by their names because a script made their weights.

    Args:
        results: the study.
        device: where to compute.
        plugins: the plugins that offer the methods; None: all installed ones.
    """

    def __init__(
        self,
        results: StudyResults,
        device: str | torch.device = "cpu",
        plugins: Plugins | None = None,
    ) -> None:
        self._results = results
        self._device = device
        self._plugins = plugins or installed()
        self._backbones: Backbones = {}
        self._fusions: dict[tuple[str, str], Fusion | None] = {}
        self._sample: tuple[str, str] | None = None
        self._sources: list[LoadedImage] = []
        self._features = FeatureCache()

    def __call__(self, image_set: str, label: str, sample: str) -> Sequence[NDArray[Any]]:
        """Return the map `(H, W)` of each source, floats in 0..1; none where there are none."""
        if (image_set, label) not in self._fusions:
            self._fusions[image_set, label] = self._build(image_set, label)
        fusion = self._fusions[image_set, label]
        if fusion is None:
            return []
        if self._sample != (image_set, sample):  # the rows of a sample come one after another
            self._read(image_set, sample)
        try:
            with torch.no_grad():
                fused = fusion.fuse(
                    [replace(image, pixels=np.asarray(image.pixels)) for image in self._sources],
                    weights=True,
                    names=[image.name for image in self._sources],
                    feature_cache=self._features,
                )
        except FusionlabError:
            return []
        maps = map(np.asarray, fused.weights)
        return [weights if weights.ndim == 2 else weights.mean(axis=2) for weights in maps]

    def _read(self, image_set: str, sample: str) -> None:
        """Read the sources of a sample."""
        self._sources = self._results.sources(image_set, sample)
        self._sample = (image_set, sample)

    def _build(self, image_set: str, label: str) -> Fusion | None:
        """Build the method of a row by its name and settings; None if it has no maps."""
        described = self._results.reports[image_set].descriptions[label]
        if "strategy" not in described or "states" in described:
            return None
        backbone, strategy = split_method(described["method"], self._plugins)
        try:
            fusion = Fusion(
                shared_backbone(backbone, self._plugins, self._backbones),
                strategy,
                range_policy=described["range"],
                scale=described["scale"],
                color=described["color"],
                shared_weights=described["shared_weights"],
                device=self._device,
            )
        except FusionlabError:
            return None
        return fusion if isinstance(fusion.strategy, WeightedStrategy) else None
