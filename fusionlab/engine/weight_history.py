"""Smooth the weights of a sequence over time, but not where something moves.

Weights that are computed from one frame follow its noise, and the fused sequence flickers. With
w_t the weights of the strategy for frame t at a place x,

    v_t(x) = w_t(x) + a_t(x) (v_(t-1)(x) - w_t(x)),    v_0 = w_0
    a_t(x) = smoothing * max(0, 1 - d_t(x) / motion)
    d_t(x) = max over y near x, and over the sources, of |B(s_t)(y) - B(s_(t-1))(y)|

replaces them: a recursive filter in time (an exponential moving average), which is switched off by
motion. B averages the gray levels of a source over 5x5 pixels, so that noise of one pixel is not
taken for motion. Near x is all that the weight at x depends on: what the encoder and the strategy
see. Where any of that changes by `motion` or more, the weights are those of the frame alone, so
that nothing that has left is seen where it was, nor its surroundings: no ghosts. (Of a strategy
that needs the whole image, only what the encoder sees counts.) v is a convex combination of
weights, not negative and summing to one; frames that are equal have equal weights, bit for bit.

Weights that are the same at all places of an image, `(k, N, C, 1, 1)`, are smoothed with
a_t = smoothing.

What is kept of a frame is what its tiles had: the same sequence in other tiles gives the same
result, up to the rounding of the tiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

from fusionlab.backbone import Backbone
from fusionlab.imaging.range_policy import GRAY_LEVELS
from fusionlab.ops import box_average

RADIUS = 2
"""Half-width of the window whose average tells motion from noise, in pixels of the image."""


class Place(NamedTuple):
    """Where weights belong: a level of a tile of some planes."""

    first_plane: int
    level: int
    top: int
    left: int
    height: int
    width: int


class _Kept(NamedTuple):
    """What is kept of a place."""

    weights: Tensor
    """Smoothed, `(k, N, C, h, w)` or broadcastable to it, in float32 or float64."""
    surroundings: Tensor
    """The averages of the sources, `(k, N, 1, H, W)` in 0..1."""


class WeightHistory:
    """The weights of the frame before, and what its sources looked like.

    Args:
        smoothing: a where nothing moves, from 0 to below 1.
        motion: gray levels of 255 by which the surroundings of a place change where all is new.
    """

    def __init__(self, smoothing: float, motion: float) -> None:
        self.smoothing = smoothing
        self.motion = motion / GRAY_LEVELS
        self._before: dict[Place, _Kept] = {}

    def next_frame(self) -> FrameWeights:
        """Return what smooths the weights of the next frame."""
        return FrameWeights(self)

    def before(self, place: Place) -> _Kept | None:
        """Return what the frame before had at a place."""
        return self._before.get(place)

    def advance(self, frame: FrameWeights) -> None:
        """Keep a frame that has been fused, in the place of the one before."""
        self._before = frame.kept

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what is kept, by name."""
        return {
            f"{name} at {' '.join(map(str, place))}": tensor.cpu().numpy()
            for place, kept in self._before.items()
            for name, tensor in kept._asdict().items()
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Keep what `state` has returned.

        Raises:
            KeyError, ValueError, TypeError: something is missing or has another form.
        """
        start = "weights at "
        places = [name.removeprefix(start) for name in state if name.startswith(start)]
        self._before = {
            Place(*map(int, place.split())): _Kept(
                *(
                    torch.from_numpy(np.asarray(state[f"{name} at {place}"]))
                    for name in _Kept._fields
                )
            )
            for place in places
        }


class FrameWeights:
    """Smooths the weights of one frame. Several threads smooth those of several tiles."""

    def __init__(self, history: WeightHistory) -> None:
        self._history = history
        self.kept: dict[Place, _Kept] = {}
        """What the next frame needs."""

    def smoothed(
        self, weights: Tensor, place: Place, sources: Tensor, stride: int, receptive_field: int
    ) -> Tensor:
        """Return the weights of a place, smoothed.

        Args:
            weights: of the strategy, broadcastable to `(k, N, C, h, w)`.
            place: where they belong.
            sources: what the strategy looks at there, `(k, N, 1, H, W)` in 0..1.
            stride: pixels of the sources per pixel of the features.
            receptive_field: of a weight, as a radius in pixels of the sources.
        """
        surroundings = box_average(sources, RADIUS)
        current = _compact(weights.to(torch.promote_types(weights.dtype, torch.float32)))
        before = self._history.before(place)
        if before is not None and before.surroundings.shape == surroundings.shape:
            past = before.weights.to(current)
            share: Tensor | float = self._history.smoothing
            size = [edge // stride for edge in sources.shape[-2:]]
            if [*current.shape[-2:]] == size:
                change = (surroundings - before.surroundings.to(surroundings)).abs().amax(0)
                change = _largest_near(change, receptive_field, stride)
                share = share * (1 - change / self._history.motion).clamp(min=0)
            # in this form, equal weights give just these weights
            current = current + share * (past - current)
        self.kept[place] = _Kept(current, surroundings)
        return current.to(weights.dtype)


def support_with_smoothing(support: int, backbone: Backbone) -> int:
    """Return how many pixels of features away smoothed weights of a strategy look.

    Args:
        support: of the strategy, in pixels of features.
        backbone: whose features they are.
    """
    encoder, _ = backbone.receptive_field or (0, 0)
    coarsest = max(level.stride for level in backbone.levels)
    return 2 * support + ceil((RADIUS + encoder) / coarsest)


def _largest_near(maps: Tensor, receptive_field: int, stride: int) -> Tensor:
    """Return the largest value of maps `(N, 1, H, W)` near each pixel of features."""
    window = 2 * receptive_field + 1
    for size, padding in (((window, 1), (receptive_field, 0)), ((1, window), (0, receptive_field))):
        maps = max_pool2d(maps, size, 1, padding)
    return max_pool2d(maps, stride) if stride > 1 else maps


def _compact(weights: Tensor) -> Tensor:
    """Return weights without the copies along axes that were expanded."""
    for axis, stride in enumerate(weights.stride()):
        if stride == 0:
            weights = weights.narrow(axis, 0, 1)
    return weights
