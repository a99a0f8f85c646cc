"""Range policies: how the decoder's output becomes a picture that can be shown.

A decoder may overshoot 0..1, and a sum of k sources spans 0..k. What is done about it changes
every figure in a table as much as the strategy does, so it is always an explicit choice:

* `clip` cuts off what lies outside 0..1;
* `minmax` stretches each image to 0..1, all its channels together: what the authors' program
  did, and with it Table II of the paper;
* `auto`, resolved by the pipeline: `clip` for a strategy that claims convexity, else `minmax`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

RangePolicy = Literal["clip", "minmax"]
GRAY_LEVELS = 255.0


class Extremes:
    """The smallest and the largest value of each image, over all its bands and channels."""

    def __init__(self) -> None:
        self._low: Tensor | None = None
        self._high: Tensor | None = None

    def add(self, images: Tensor) -> None:
        """Take in a band of images `(N, C, h, W)`."""
        gray = images * GRAY_LEVELS
        low = gray.amin(dim=(1, 2, 3), keepdim=True)
        high = gray.amax(dim=(1, 2, 3), keepdim=True)
        self._low = low if self._low is None else torch.minimum(self._low, low)
        self._high = high if self._high is None else torch.maximum(self._high, high)

    def limits(self) -> tuple[Tensor, Tensor]:
        """Return what becomes black and what becomes white, `(N, 1, 1, 1)` each, in gray levels.

        An image of a single value has no range to stretch: it is clipped.
        """
        assert self._low is not None  # an image has a band
        assert self._high is not None
        flat = self._low == self._high
        black, white = torch.zeros_like(self._low), torch.full_like(self._high, GRAY_LEVELS)
        return torch.where(flat, black, self._low), torch.where(flat, white, self._high)


def stretch(images: Tensor, top: float, extremes: Extremes | None = None) -> Tensor:
    """Map decoded images to the displayable range 0..top.

    Computed as `top (x - min) / (max - min)` with x in gray levels (0..255), per image and
    never per batch.

    Args:
        images: `(N, C, h, W)`, 0..1 and beyond, or a band of them.
        top: the value that white becomes: 1 for floats, 255 for 8-bit images.
        extremes: of the whole images, for `minmax`; None clips.

    Returns:
        `(N, C, h, W)` in 0..top, float64, not rounded.
    """
    # gray levels first, in the dtype of the images: there the pixels of 8-bit sources, and their
    # sums, are integers again; float64 afterwards keeps every tie between two gray levels
    gray = images * GRAY_LEVELS
    if extremes is None:
        low, high = gray.new_zeros((), dtype=torch.float64), gray.new_full((), GRAY_LEVELS).double()
    else:
        low, high = (limit.double() for limit in extremes.limits())
    return (gray.double().clamp(low, high) - low) * top / (high - low)


def whole(images: Tensor) -> Tensor:
    """Round to whole numbers, halves upwards: `floor(x + 0.5)`.

    With the backbone `identity` and the strategy `addition`, `whole(stretch(...))` equals the
    formula on the sums of 8-bit pixels, bit for bit, for up to four sources (1023 is the first
    sum that float32 does not bring back from 0..1; beyond, ties may fall the other way).
    """
    return torch.floor(images + 0.5)
