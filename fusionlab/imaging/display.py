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
GREY_LEVELS = 255.0


def stretch(images: Tensor, policy: RangePolicy, top: float) -> Tensor:
    """Map decoded images to the displayable range 0..top.

    Computed as `top (x - min) / (max - min)` with x in grey levels (0..255), per image and
    never per batch. An image of a single value has no range to stretch and is clipped.

    Args:
        images: `(N, C, H, W)`, 0..1 and beyond.
        policy: `clip` or `minmax`.
        top: the value that white becomes: 1 for floats, 255 for 8-bit images.

    Returns:
        `(N, C, H, W)` in 0..top, float64, not rounded.
    """
    # grey levels first, in the dtype of the images: there the pixels of 8-bit sources, and their
    # sums, are integers again; float64 afterwards keeps every tie between two grey levels
    grey = images * GREY_LEVELS
    low, high = (limit.double() for limit in _limits(grey, policy))
    return (grey.double().clamp(low, high) - low) * top / (high - low)


def whole(images: Tensor) -> Tensor:
    """Round to whole numbers, halves upwards: `floor(x + 0.5)`.

    With the backbone `identity` and the strategy `addition`, `whole(stretch(...))` equals the
    formula on the sums of 8-bit pixels, bit for bit, for up to four sources (1023 is the first
    sum that float32 does not bring back from 0..1; beyond, ties may fall the other way).
    """
    return torch.floor(images + 0.5)


def _limits(grey: Tensor, policy: RangePolicy) -> tuple[Tensor, Tensor]:
    """Return what becomes black and what becomes white, `(N, 1, 1, 1)` each, in grey levels."""
    low = grey.amin(dim=(1, 2, 3), keepdim=True)
    high = grey.amax(dim=(1, 2, 3), keepdim=True)
    black, white = torch.zeros_like(low), torch.full_like(low, GREY_LEVELS)
    if policy == "clip":
        return black, white
    flat = low == high
    return torch.where(flat, black, low), torch.where(flat, white, high)
