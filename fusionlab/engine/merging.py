"""Apply a strategy to the features of a tile, and check what it returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from fusionlab.engine.untouched import untouched
from fusionlab.engine.value_checks import ValueChecks
from fusionlab.engine.weight_history import FrameWeights, Place
from fusionlab.errors import PluginError
from fusionlab.plugins.failures import failures_of, name_of
from fusionlab.strategy import Law, Scene, Statistics, Strategy, WeightedStrategy

WEIGHTS_ULPS = 16
"""Tolerance of each weight, in units in the last place of its dtype: k rounded weights sum to one
up to k/2 units, and the rest is room for a window that averages weights."""

CHECKED_CHANNELS = 4
"""Of weights for each pixel of each channel, about so many channels are checked."""


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
    first_plane: int = 0
    """The number of the first of the n planes among all."""

    @property
    def place(self) -> Place:
        """Where in the sequence's frames this is."""
        scene, (height, width) = self.scene, self.scene.sources.shape[-2:]
        return Place(self.first_plane, scene.level, scene.top, scene.left, height, width)


class Merger:
    """Applies a strategy.

    Where a source is no data, its weight is zero, and the weights of the others sum to one. A
    strategy without weights merges filled features there; where only one source is data, its
    features are the result, unless the strategy gives something else for sources that are
    alike, as a sum does. Where no source is data, the strategy merges filled features, too.

    Args:
        strategy: merges the features.
        weight_maps: also return the weights as maps.
        checks: where it is checked that weights are weights.
        smoothing: smooths the weights over time; None: they are those of this image alone.
        encoder_radius: how far from a feature the encoder sees, in image pixels.
    """

    def __init__(
        self,
        strategy: Strategy,
        *,
        weight_maps: bool,
        checks: ValueChecks,
        smoothing: FrameWeights | None = None,
        encoder_radius: int = 0,
    ) -> None:
        self.strategy = strategy
        self._smoothing = smoothing
        self._encoder_radius = encoder_radius
        self._checks = checks
        self.weight_maps = weight_maps and isinstance(strategy, WeightedStrategy)

    def statistics(self, level: LevelInput) -> Statistics:
        """Return the statistics of one tile."""
        with self._calls(level):
            return _checked(self.strategy.statistics(level.guide, level.scene))

    def gather(self, earlier: Statistics | None, statistics: Statistics) -> Statistics:
        """Return the statistics gathered so far together with those of one more tile."""
        if earlier is None:
            return statistics
        with failures_of("strategy", self.strategy):
            return _checked(self.strategy.merge(earlier, statistics))

    def merge(self, level: LevelInput) -> tuple[Tensor, Tensor]:
        """Merge the features of one level.

        Returns:
            The merged features `(n, C, h, w)`, and at level 0 the weight maps `(k, n, 1, H, W)` at
            image resolution, or `(0, n, 1, H, W)` where they were not asked for.

        Raises:
            FusionlabError: the strategy failed, or returned another shape, dtype or device.
        """
        weights = self._weights(level)
        with self._calls(level):
            if self._sums and weights is not None:
                merged = self._weighted_sum(level.features, weights)
            else:
                merged = self.strategy.fuse(level.features, level.scene)
        self._check(merged, level.features)
        if level.valid is not None:
            merged, weights = self._of_data(level.valid, merged, weights, level.features)
        return merged, self._maps(weights, level)

    @contextmanager
    def _calls(self, level: LevelInput) -> Iterator[None]:
        """Name the strategy in whatever it raises, and refuse that it changes what it is given."""
        with (
            failures_of("strategy", self.strategy),
            untouched(self._name, "features", level.features, level.guide),
            untouched(self._name, "sources", level.scene.sources, level.scene.valid),
        ):
            yield

    def _name(self) -> str:
        return f"the strategy {name_of(self.strategy)}"

    @property
    def _sums(self) -> bool:
        return weights_decide(self.strategy)

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
        """Return the weights of the planes, checked; None where the strategy merges without."""
        needs_weights = self._sums or (self.weight_maps and level.scene.level == 0)
        if not (needs_weights and isinstance(self.strategy, WeightedStrategy)):
            return None
        with self._calls(level):
            weights = self.strategy.weights(level.guide, level.scene)
            expanded = weights.expand_as(level.guide)
        check_weights(self._checks, self.strategy, expanded, level.guide.dtype)
        if self._smoothing is not None:
            expanded = self._smoothed(self._smoothing, weights, level).expand_as(level.guide)
        return expanded if level.images is None else expanded[:, level.images]

    def _smoothed(self, smoothing: FrameWeights, weights: Tensor, level: LevelInput) -> Tensor:
        """Smooth weights over time; see `FrameWeights`."""
        with failures_of("strategy", self.strategy):
            support = self.strategy.support or 0
        scene = level.scene
        receptive_field = self._encoder_radius + support * scene.stride
        return smoothing.smoothed(
            weights, level.place, scene.sources, scene.stride, receptive_field
        )

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
        raise PluginError(
            f"the strategy {name_of(self.strategy)} must merge {_description(features)} into "
            f"{_description(features[0])}, got {_description(merged)}",
            code="strategy-result",
        )


def weights_decide(strategy: Strategy) -> bool:
    """Return whether the weights of a strategy alone say how the features are merged."""
    return isinstance(strategy, WeightedStrategy) and type(strategy).fuse is WeightedStrategy.fuse


def _checked(statistics: object) -> Statistics:
    if not isinstance(statistics, Mapping):
        raise TypeError(f"statistics must be a mapping of tensors, got {statistics!r}")
    return statistics


def _ulp(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps if dtype.is_floating_point else 0


def check_weights(
    checks: ValueChecks, strategy: Strategy, weights: Tensor, dtype: torch.dtype
) -> None:
    """Refuse weights that are negative, not finite, or do not sum to one over the sources.

    Weights for each pixel of each channel are as large as the features; only some of the channels
    are looked at then, so that this costs next to nothing.

    Args:
        checks: makes the check; on a GPU at the end of the call.
        strategy: whose weights they are.
        weights: in the shape `(k, N, C, h, w)` of the features.
        dtype: of the features; networks that weight them may compute in it.

    Raises:
        PluginError: they are no weights (code `weights`).
    """
    some = weights.detach()
    for dim in range(1, some.ndim):
        if some.stride(dim) == 0:  # expanded: all the same
            some = some.narrow(dim, 0, 1)
    some = some[:, :, :: max(1, some.shape[2] // CHECKED_CHANNELS)]
    precise = torch.promote_types(some.dtype, torch.float32)
    total, *others = some.to(precise)
    for other in others:  # faster than a sum over k
        total = total + other
    ulp = max(_ulp(weights.dtype), _ulp(dtype))
    slack = len(weights) * WEIGHTS_ULPS * ulp

    def check(lowest: float, smallest: float, largest: float) -> None:
        if lowest >= -slack and smallest >= 1 - slack and largest <= 1 + slack:  # False for NaN
            return
        raise PluginError(
            f"the weights of the strategy {name_of(strategy)} must be at least 0 and sum to 1 over "
            f"the sources, got weights from {lowest:g} and sums from {smallest:g} to {largest:g}",
            code="weights",
        )

    checks.add([some.amin().to(precise), *total.aminmax()], check)


def _description(features: object) -> str:
    if not isinstance(features, Tensor):
        return type(features).__name__
    return f"{tuple(features.shape)} {features.dtype} on {features.device}"
