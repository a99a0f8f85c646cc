"""Filters that several methods share, in the conventions of the programs they were published with.

All take maps `(..., h, w)`, in float64 where the result must agree with a published program to the
last gray level, and return maps of the same size. Filters are correlations: the kernel is not
turned over.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import ceil
from typing import TYPE_CHECKING, Literal

from fusionlab import box_average

if TYPE_CHECKING:
    from torch import Tensor

Border = Literal["mirror", "symmetric", "replicate", "zero", "wrap"]
"""What lies beyond the border: the image mirrored without or with its outermost pixel repeated, the
outermost pixel, zeros, or the opposite side."""


def extend(maps: Tensor, rows: int, columns: int, border: Border) -> Tensor:
    """Extend maps `(..., h, w)` by some rows above and below and some columns left and right.

    Mirrored borders reflect repeatedly where the maps are smaller than the extension.
    """
    for axis, width in ((-2, rows), (-1, columns)):
        maps = _extend_axis(maps, width, axis, border)
    return maps


def _extend_axis(maps: Tensor, width: int, axis: int, border: Border) -> Tensor:
    import torch

    if width == 0:
        return maps
    size = maps.shape[axis]
    places = torch.arange(-width, size + width, device=maps.device)
    if border == "mirror":
        period = max(2 * size - 2, 1)
        places = places.remainder(period)
        places = torch.minimum(places, period - places) if size > 1 else places
    elif border == "symmetric":
        places = places.remainder(2 * size)
        places = torch.minimum(places, 2 * size - 1 - places)
    elif border == "wrap":
        places = places.remainder(size)
    else:
        inside = (places >= 0) & (places < size)
        places = places.clamp(0, size - 1)
        if border == "zero":
            mask = inside.to(maps).reshape((-1,) + (1,) * (-1 - axis))
            return maps.index_select(axis, places) * mask
    return maps.index_select(axis, places)


def correlate(maps: Tensor, kernel: Tensor | Sequence[Sequence[float]], border: Border) -> Tensor:
    """Correlate maps with a two-dimensional kernel of odd edges."""
    import torch

    weights: list[list[float]] = torch.as_tensor(kernel).tolist()
    rows, columns = len(weights), len(weights[0])
    extended = extend(maps, rows // 2, columns // 2, border)
    # tap by tap: torch's float64 convolution copies the image once per tap
    result = torch.zeros_like(maps)
    for top, row in enumerate(weights):
        for left, weight in enumerate(row):
            if weight:
                shifted = extended.narrow(-2, top, maps.shape[-2]).narrow(-1, left, maps.shape[-1])
                result.add_(shifted, alpha=weight)
    return result


def correlate_separable(maps: Tensor, kernel: Tensor | Sequence[float], border: Border) -> Tensor:
    """Correlate maps with the outer product of a one-dimensional kernel of odd length."""
    import torch

    weights = torch.as_tensor(kernel, dtype=torch.float64).tolist()
    half = len(weights) // 2
    for axis, (rows, columns) in ((-1, (0, half)), (-2, (half, 0))):
        extended = extend(maps, rows, columns, border)
        maps = torch.zeros_like(maps)
        for index, weight in enumerate(weights):  # tap by tap, as in `correlate`
            maps.add_(extended.narrow(axis, index, maps.shape[axis]), alpha=weight)
    return maps


def gaussian(half: int, sigma: float) -> list[float]:
    """Return a one-dimensional Gaussian of 2 half + 1 entries, whose sum is 1."""
    from math import exp

    values = [exp(-((n - half) ** 2) / (2 * sigma**2)) for n in range(2 * half + 1)]
    return [value / sum(values) for value in values]


def gaussian_filter(maps: Tensor, half: int, sigma: float, border: Border) -> Tensor:
    """Smooth maps by a Gaussian that is cut off `half` pixels from its center."""
    return correlate_separable(maps, gaussian(half, sigma), border)


def mean_filter(maps: Tensor, half: int, border: Border) -> Tensor:
    """Average maps over windows of (2 half + 1)^2 pixels."""
    extended = extend(maps, half, half, border)
    height, width = maps.shape[-2:]
    averages = box_average(extended, half)
    return averages[..., half : half + height, half : half + width]


def resize_bicubic(maps: Tensor, size: tuple[int, int], *, eight_bits: bool = False) -> Tensor:
    """Resize maps to `size` (h, w) as MATLAB's `imresize` does.

    Keys' kernel with a = -1/2, pixel centers at half-integer places, widened by the scale where
    the image shrinks, symmetric border. The dimension with the smaller scale comes first.

    Args:
        maps: `(..., h, w)`.
        size: rows and columns of the result.
        eight_bits: whether to round to 0..255 after each dimension, as for 8-bit images.
    """
    scales = [new / old for new, old in zip(size, maps.shape[-2:], strict=True)]
    for axis in sorted((0, 1), key=lambda axis: scales[axis]):
        maps = _resize_axis(maps, size[axis], axis - 2, in_order=eight_bits)
        if eight_bits:
            maps = round_to_8_bits(maps)
    return maps


def _resize_axis(maps: Tensor, length: int, axis: int, *, in_order: bool) -> Tensor:
    """Resize along one axis.

    Sums that are rounded to 8 bits have many ties: with `in_order`, they have the order of MATLAB.
    A product of matrices is faster, most of all where the image shrinks a lot.
    """
    import torch

    size = maps.shape[axis]
    if size == length:
        return maps
    scale = length / size
    shrinking = min(scale, 1.0)
    places = torch.arange(1, length + 1, dtype=torch.float64, device=maps.device)
    centers = places / scale + 0.5 * (1 - 1 / scale)  # counted from 1
    half = 2 / shrinking
    first = (centers - half).floor()
    taps = first[:, None] + torch.arange(ceil(2 * half) + 2, device=maps.device)
    weights = shrinking * _keys(shrinking * (centers[:, None] - taps))
    weights = weights / reduce(torch.add, weights.unbind(dim=1))[:, None]
    taps = (taps.long() - 1).remainder(2 * size)
    taps = torch.minimum(taps, 2 * size - 1 - taps)
    if not in_order:
        matrix = torch.zeros(length, size, dtype=torch.float64, device=maps.device)
        matrix = matrix.scatter_add(1, taps, weights).to(maps.dtype)
        return matrix @ maps if axis == -2 else maps @ matrix.mT
    weights = weights.to(maps.dtype)
    shape = (-1,) + (1,) * (-1 - axis)
    products = (
        weights[:, tap].reshape(shape) * maps.index_select(axis, taps[:, tap])
        for tap in range(taps.shape[1])
    )
    return reduce(torch.add, products)


def _keys(distance: Tensor) -> Tensor:
    """Return Keys' cubic kernel, a = -1/2."""
    import torch

    x = distance.abs()
    square = x * x
    cube = square * x
    near = 1.5 * cube - 2.5 * square + 1
    far = -0.5 * cube + 2.5 * square - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, torch.zeros_like(x)))


def round_to_8_bits(gray_levels: Tensor) -> Tensor:
    """Round to 0..255, halves away from zero, NaN to 0, as MATLAB's `uint8` does."""
    rounded = gray_levels.sign() * (gray_levels.abs() + 0.5).floor()
    return rounded.nan_to_num(0).clamp(0, 255)
