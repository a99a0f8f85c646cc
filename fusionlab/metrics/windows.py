"""Sliding windows: the kernels and borders that the definitions of metrics are made of."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

Border = Literal["valid", "zeros", "replicate", "reflect"]
"""What a window sees beyond the image: it stays inside, black, the last pixel, a mirror."""


def gaussian(size: int, sigma: float, like: Tensor) -> Tensor:
    """Return the weights `(size,)` of a Gaussian window, summing to one: MATLAB's `fspecial`."""
    x = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    weights = torch.exp(-x.square() / (2 * sigma**2))
    return weights / weights.sum()


def box(size: int, like: Tensor) -> Tensor:
    """Return the weights `(size,)` of a window that averages."""
    return torch.full((size,), 1 / size, dtype=like.dtype, device=like.device)


def separable(images: Tensor, weights: Tensor, border: Border) -> Tensor:
    """Weigh the neighborhood of each pixel: first down the columns, then along the rows.

    Args:
        images: `(..., H, W)`.
        weights: `(size,)`, the same in both directions; correlation, not convolution.
        border: `valid` makes the result smaller by size - 1, all others keep the size.
    """
    *batch, height, width = images.shape
    planes = images.reshape(-1, 1, height, width)
    if border != "valid":
        before, after = (len(weights) - 1) // 2, len(weights) // 2
        mode = "constant" if border == "zeros" else border
        planes = pad(planes, (before, after, before, after), mode=mode)
    for axis in (-2, -1):
        # a sum of shifted images: a convolution in float64 is several times slower on CPU, and lays
        # out every neighborhood in memory
        length = planes.shape[axis] - len(weights) + 1
        total = planes.narrow(axis, 0, length) * weights[0]
        for tap in range(1, len(weights)):
            total.addcmul_(planes.narrow(axis, tap, length), weights[tap])
        planes = total
    return planes.view(*batch, *planes.shape[-2:])
