"""Sliding windows: the kernels and border rules that metrics share."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

Border = Literal["valid", "zeros", "replicate", "reflect"]
"""Pixels beyond the border: none (the window stays inside), black, the edge pixel, a mirror."""


def gaussian(size: int, sigma: float, like: Tensor) -> Tensor:
    """Return a 1-D Gaussian window `(size,)` that sums to one, as MATLAB's `fspecial` makes it."""
    x = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    weights = torch.exp(-x.square() / (2 * sigma**2))
    return weights / weights.sum()


def box(size: int, like: Tensor) -> Tensor:
    """Return a 1-D box window `(size,)` that sums to one."""
    return torch.full((size,), 1 / size, dtype=like.dtype, device=like.device)


def separable(images: Tensor, weights: Tensor, border: Border) -> Tensor:
    """Correlate images with a separable window: first along the columns, then along the rows.

    Args:
        images: `(..., H, W)`.
        weights: `(size,)`, the same in both directions; not flipped.
        border: `valid` shrinks both edges by size - 1, all others keep the size.
    """
    *batch, height, width = images.shape
    planes = images.reshape(-1, 1, height, width)
    if border != "valid":
        before, after = (len(weights) - 1) // 2, len(weights) // 2
        mode = "constant" if border == "zeros" else border
        planes = pad(planes, (before, after, before, after), mode=mode)
    for axis in (-2, -1):
        # A sum of shifted images: on CPU a float64 convolution is several times slower, and copies
        # every neighborhood into memory.
        length = planes.shape[axis] - len(weights) + 1
        total = planes.narrow(axis, 0, length) * weights[0]
        for tap in range(1, len(weights)):
            total.addcmul_(planes.narrow(axis, tap, length), weights[tap])
        planes = total
    return planes.view(*batch, *planes.shape[-2:])
