"""Range policies: how the output of the decoder becomes displayable.

A decoder may overshoot 0..1, and a sum of k sources spans 0..k. How that is handled changes every
number in a table as much as the strategy does, so it is always an explicit choice:

* `clip` clamps values to 0..1;
* `minmax` applies min-max normalization to each image, all its channels together: what the
  authors' program did, and with it Table II of the paper;
* `auto`, resolved by `Fusion`: what a pixel strategy declares that its authors' program does
  (`Strategy.saves`); for all other strategies `clip` if they declare idempotence, so that the
  result is as bright as the sources, else `minmax`;
* `own`, resolved by `Fusion`: what the program of the authors does, as the backbone declares it
  (`Backbone.saves`), or else the strategy.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError
from fusionlab.imaging.limits import LimitsOverTime, Pair
from fusionlab.namespaces import (
    Array,
    ArrayT,
    as_array,
    as_dtype,
    detached,
    like,
    namespace_of,
)

RangePolicy = Literal["clip", "minmax"]
GRAY_LEVELS = 255.0


class RunningMinMax:
    """The minimum and the maximum of each image, over all its bands and channels."""

    needs_values = True
    """Whether all bands must be added before the limits are known."""

    def __init__(self) -> None:
        self._minimum: Array | None = None
        self._maximum: Array | None = None

    def add(self, images: Array, valid: Array | None = None) -> None:
        """Include a band of images `(N, C, h, W)`; of these only what is data, `(N, 1, h, W)`."""
        xp = namespace_of(images)
        least = most = images * GRAY_LEVELS
        if valid is not None:
            least, most = xp.where(valid, least, math.inf), xp.where(valid, most, -math.inf)
        low = xp.amin(least, axis=(1, 2, 3), keepdims=True)
        high = xp.amax(most, axis=(1, 2, 3), keepdims=True)
        self._minimum = low if self._minimum is None else xp.minimum(self._minimum, low)
        self._maximum = high if self._maximum is None else xp.maximum(self._maximum, high)

    def limits(self) -> tuple[Array, Array]:
        """Return the values that become black and white, `(N, 1, 1, 1)` each, in gray levels.

        An image with a single value has no range to normalize: it is clipped.
        """
        low, high = self._measured()
        xp, flat = namespace_of(low), low == high
        return xp.where(flat, 0, low), xp.where(flat, GRAY_LEVELS, high)

    def _measured(self) -> tuple[Array, Array]:
        low, high = self._minimum, self._maximum
        assert low is not None  # an image has at least one band
        assert high is not None
        return low, high


class RangeOverTime(RunningMinMax):
    """The minimum and the maximum of one frame of a sequence, as earlier frames have them.

    Args:
        over_time: what is known from earlier frames; in gray levels.
    """

    def __init__(self, over_time: LimitsOverTime) -> None:
        super().__init__()
        self._over_time = over_time
        self.needs_values = over_time.known is None
        self.used: Pair | None = over_time.known
        """The limits of this frame, once they are known."""

    def _measured(self) -> tuple[Array, Array]:
        if self.used is None:
            low, high = super()._measured()
            if low.size != 1 if isinstance(low, np.ndarray) else low.numel() != 1:
                raise one_frame_error(len(low))
            self.used = self._over_time.after((low.item(), high.item()))
        return tuple(np.full((1, 1, 1, 1), value) for value in self.used)  # type: ignore[return-value]


class OutsideCount:
    """The share of the pixels of each image that lie outside 0..255, over all bands and channels.

    Values that are rounded to black or white do not count: those from -0.5 to 255.5 gray levels.
    """

    def __init__(self) -> None:
        self._outside: Array | None = None
        self._pixels: Array | int = 0

    def add(self, images: Array, valid: Array | None = None) -> None:
        """Include a band of decoded images `(N, C, h, W)`, nominally in 0..1.

        Of these only what is data, `(N, 1, h, W)`; None: all.
        """
        images = detached(images)
        beyond = (images < -0.5 / GRAY_LEVELS) | (images >= 1 + 0.5 / GRAY_LEVELS)
        pixels: Array | int = math.prod(images.shape[1:])
        if valid is not None:
            beyond = beyond & valid
            pixels = images.shape[1] * valid.reshape(len(valid), -1).sum(axis=1)
        outside = beyond.sum(axis=(1, 2, 3))
        self._outside = outside if self._outside is None else self._outside + outside
        self._pixels = self._pixels + pixels

    def share(self) -> NDArray[np.float64]:
        """Return the share of each image, `(N,)` in 0..1, float64."""
        assert self._outside is not None  # an image has at least one band
        share: NDArray[Any] = as_array(as_dtype(self._outside, "float64") / self._pixels)
        return share


def one_frame_error(count: int) -> FusionlabError:
    """Return the error that several frames were given where one depends on the one before."""
    return FusionlabError(
        f"a sequence is fused frame by frame, in order; got a batch of {count} images",
        code="one-frame",
    )


def map_to_range(images: Array, white: float, minmax: RunningMinMax | None = None) -> Array:
    """Map decoded images to the displayable range 0..white.

    Computes `white (x - min) / (max - min)` with x in gray levels (0..255), per image and never
    per batch.

    Args:
        images: `(N, C, h, W)`, nominally in 0..1, or a band of them.
        white: the value of white in the result: 1 for floats, 255 for 8-bit images.
        minmax: minimum and maximum of the complete images, for `minmax`; None clips.

    Returns:
        `(N, C, h, W)` in 0..white, float64, not rounded.
    """
    # gray levels first, in the dtype of the images: there the pixels of 8-bit sources, and their
    # sums, are integers again; float64 afterwards keeps every tie between two gray levels
    gray = as_dtype(images * GRAY_LEVELS, "float64")
    low, high = 0.0, GRAY_LEVELS
    if minmax is not None:
        low, high = (like(as_dtype(limit, "float64"), gray) for limit in minmax.limits())
    return (namespace_of(gray).clip(gray, low, high) - low) * white / (high - low)


def round_half_up(images: ArrayT) -> ArrayT:
    """Round to integers, with ties rounded up: `floor(x + 0.5)`.

    With the backbone `identity` and the strategy `addition`, `round_half_up(map_to_range(...))`
    equals the formula on the sums of 8-bit pixels, bit for bit, for up to four sources (1023 is the
    first sum that float32 does not restore from 0..1; beyond it, ties may be rounded down).
    """
    given: Array = images
    rounded: ArrayT = namespace_of(given).floor(given + 0.5)
    return rounded
