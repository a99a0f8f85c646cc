"""Apply a strategy to the features of a tile, and check what it returns."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fusionlab.errors import FusionlabError
from fusionlab.plugins.failures import failures_of
from fusionlab.strategy import Law, Scene, Statistics, Strategy, WeightedStrategy


class LevelInput(NamedTuple):
    """What a strategy is given for one tile at one level."""

    features: Tensor
    """The features to merge, `(k, n, C, h, w)` of n planes."""
    guide: Tensor
    """The features that the strategy looks at. They are `features` itself, except where the color
    channels share weights: then those of the luminance, `(k, m, C, h, w)` of m images."""
    scene: Scene
    """The scene that goes with `guide`."""
    images: Tensor | None
    """Which of the m images each of the n planes belongs to; None where `guide` is `features`."""
    valid: Tensor | None = None
    """Which pixels of `features` are data, `(k, n, 1, h, w)`; None: all."""


class Merger:
    """Applies a strategy.

    Where a source is no data, its weight is zero, and the weights of the others sum to one. A
    strategy without weights merges filled features there; where only one source is data, its
    features are the result, unless the strategy gives something else for sources that are
    alike, as a sum does. Where no source is data, the strategy merges filled features, too.

    Args:
        strategy: merges the features.
        weight_maps: also return the weights as maps.
    """

    def __init__(self, strategy: Strategy, *, weight_maps: bool) -> None:
        self.strategy = strategy
        self.weight_maps = weight_maps and isinstance(strategy, WeightedStrategy)

    def gather(self, level: LevelInput, earlier: Statistics | None) -> Statistics:
        """Return the statistics gathered so far together with those of one more tile."""
        with failures_of("strategy", self.strategy):
            statistics = self.strategy.statistics(level.guide, level.scene)
            if earlier is None:
                return statistics
            return self.strategy.merge(earlier, statistics)

    def merge(self, level: LevelInput) -> tuple[Tensor, Tensor]:
        """Merge the features of one level.

        Returns:
            The merged features `(n, C, h, w)`, and at level 0 the weight maps `(k, n, 1, H, W)` at
            image resolution, or `(0, n, 1, H, W)` where they were not asked for.

        Raises:
            FusionlabError: the strategy failed, or returned another shape, dtype or device.
        """
        weights = self._weights(level)
        with failures_of("strategy", self.strategy):
            if self._sums and weights is not None:
                merged = self._weighted_sum(level.features, weights)
            else:
                merged = self.strategy.fuse(level.features, level.scene)
        self._check(merged, level.features)
        if level.valid is not None:
            merged, weights = self._of_data(level.valid, merged, weights, level.features)
        return merged, self._maps(weights, level)

    @property
    def _sums(self) -> bool:
        """Whether the weights alone say how the features are merged."""
        return type(self.strategy).fuse is WeightedStrategy.fuse

    def _weighted_sum(self, features: Tensor, weights: Tensor) -> Tensor:
        assert isinstance(self.strategy, WeightedStrategy)
        return self.strategy.weighted_sum(features, weights)

    def _of_data(
        self, valid: Tensor, merged: Tensor, weights: Tensor | None, features: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Leave out the sources where they are no data; see the class."""
        count = valid.sum(0)
        some = (count > 0) & (count < len(valid))
        if weights is not None:
            kept = torch.where(valid, weights, 0)
            total = kept.sum(0)
            own = torch.where(total > 0, kept / torch.where(total > 0, total, 1), valid / count)
            weights = torch.where(some, own, weights)
        if self._sums and weights is not None:
            # where all sources are data, what the strategy has returned remains, bit for bit
            merged = torch.where(some, self._weighted_sum(features, weights), merged)
        elif self._keeps_alike:
            only = torch.where(valid, features, 0).sum(0, dtype=features.dtype)
            merged = torch.where(count == 1, only, merged)
        return merged, weights

    @property
    def _keeps_alike(self) -> bool:
        """Whether the strategy gives back, at least roughly, what all sources show."""
        if self.strategy.domain == "pixels":
            return self.strategy.saves == "clip"
        with failures_of("strategy", self.strategy):
            return Law.IDEMPOTENCE in self.strategy.laws

    def _weights(self, level: LevelInput) -> Tensor | None:
        """Return the weights of the planes where they are needed besides the merged features."""
        needs_weights = level.images is not None or (level.valid is not None and self._sums)
        needs_weights = needs_weights or (self.weight_maps and level.scene.level == 0)
        if not (needs_weights and isinstance(self.strategy, WeightedStrategy)):
            return None
        with failures_of("strategy", self.strategy):
            weights = self.strategy.weights(level.guide, level.scene).expand_as(level.guide)
        return weights if level.images is None else weights[:, level.images]

    def _maps(self, weights: Tensor | None, level: LevelInput) -> Tensor:
        """Average weights over the channels, and enlarge them to image resolution."""
        scene = level.scene
        if weights is None or not self.weight_maps:
            height, width = scene.sources.shape[-2:]
            return scene.sources.new_empty(0, level.features.shape[1], 1, height, width)
        maps: Tensor = weights.mean(dim=2, keepdim=True, dtype=torch.float32)
        for axis in (-2, -1):
            maps = maps.repeat_interleave(scene.stride, dim=axis)
        if scene.valid is not None:
            somewhere = scene.valid.any(0)
            maps = maps * (somewhere if level.images is None else somewhere[level.images])
        return maps.to(scene.sources)

    def _check(self, merged: object, features: Tensor) -> None:
        expected = features.shape[1:], features.dtype, features.device
        if isinstance(merged, Tensor) and (merged.shape, merged.dtype, merged.device) == expected:
            return
        raise FusionlabError(
            f"the strategy {type(self.strategy).__name__} must merge {_description(features)} into "
            f"{_description(features[0])}, got {_description(merged)}",
            code="strategy-result",
        )


def _description(features: object) -> str:
    if not isinstance(features, Tensor):
        return type(features).__name__
    return f"{tuple(features.shape)} {features.dtype} on {features.device}"
