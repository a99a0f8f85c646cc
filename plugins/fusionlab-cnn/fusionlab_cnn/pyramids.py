"""Fusing the Laplacian pyramids of two images where a weight map says which one is the clearer.

All functions take maps `(..., h, w)` and compute in their dtype; a comparison with the images of
the authors needs float64.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Variant = Literal["corrected", "authors"]

EPS = 2.0**-52
"""What the authors add to the energies, so that 0 / 0 becomes 0."""
STRIP_PIXELS = 2**18
"""About how many values of a level are fused at once."""


def fuse_pyramids(
    first: Tensor, second: Tensor, weight: Tensor, threshold: float, variant: Variant
) -> Tensor:
    """Fuse two images `(..., h, w)`.

    Args:
        first: the image that weights 1 select.
        second: the image that weights 0 select, of the same shape.
        weight: the weight map of the first image.
        threshold: how well the details at a place must match to be averaged.
        variant: `authors` has zeros in the corners of the mirrored border.
    """
    count = level_count(*first.shape[-2:])
    firsts, seconds = (laplacian_pyramid(image, count) for image in (first, second))
    weights = gaussian_pyramid(weight, count)
    fused = None
    while firsts:  # each level is freed when it has been fused
        levels = firsts.pop(), seconds.pop(), weights.pop()
        level = fuse_level(*levels, threshold, variant)
        fused = level if fused is None else level + expand(fused, level.shape[-2:])
    assert fused is not None
    return fused


def fuse_level(
    first: Tensor, second: Tensor, weight: Tensor, threshold: float, variant: Variant
) -> Tensor:
    """Average the details of one level where they match, and choose the stronger elsewhere.

    With S the energy of 3x3 details, two images match by 2 sum(L_1 L_2) / (S_1 + S_2), which is at
    most 1. Computed in strips of rows, to save memory.
    """
    import torch

    a, b = (with_border(image.detach(), variant) for image in (first, second))
    height, width = first.shape[-2:]
    step = max(1, STRIP_PIXELS // width)
    strips = []
    for top in range(0, height, step):
        rows = slice(top, top + step)
        one, other = a[..., top : top + step + 2, :], b[..., top : top + step + 2, :]
        energy_a, energy_b = window_sums(one * one), window_sums(other * other)
        match = 2 * window_sums(one * other) / (energy_a + energy_b + EPS)
        part_a, part_b, part_weight = (x[..., rows, :] for x in (first, second, weight))
        averaged = part_weight * part_a + (1 - part_weight) * part_b
        stronger = torch.where(energy_a > energy_b, part_a, part_b)
        strips.append(torch.where(match > threshold, averaged, stronger))
    return torch.cat(strips, dim=-2)


def with_border(maps: Tensor, variant: Variant) -> Tensor:
    """Extend maps by one value on all sides, mirrored without repeating the last value."""
    extended = _extend(_extend(maps, 1, -2, "mirror"), 1, -1, "mirror")
    if variant == "authors":
        height, width = extended.shape[-2:]
        extended[..., :: height - 1, :: width - 1] = 0
    return extended


def window_sums(maps: Tensor) -> Tensor:
    """Return the sums of all windows of 3x3 values, `(..., h - 2, w - 2)`."""
    rows = maps[..., :-2, :] + maps[..., 1:-1, :] + maps[..., 2:, :]
    return rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]


def level_count(height: int, width: int) -> int:
    """Return the number of levels of an image, the coarsest included: floor(log2(min(h, w)))."""
    return max(1, min(height, width).bit_length() - 1)


def gaussian_pyramid(maps: Tensor, count: int) -> list[Tensor]:
    """Return `count` levels, the finest first."""
    levels = [maps]
    while len(levels) < count:
        levels.append(reduce(levels[-1]))
    return levels


def laplacian_pyramid(maps: Tensor, count: int) -> list[Tensor]:
    """Return `count` levels, the finest first; the last one is the coarsest approximation."""
    gaussian = gaussian_pyramid(maps, count)
    details = [fine - expand(coarse, fine.shape[-2:]) for fine, coarse in pairwise(gaussian)]
    return [*details, gaussian[-1]]


def reduce(maps: Tensor) -> Tensor:
    """Smooth by (1, 4, 6, 4, 1)/16 in both directions and keep the even rows and columns."""
    for axis in (-2, -1):
        size = maps.shape[axis]
        extended = _extend(maps, 2, axis, "symmetric").movedim(axis, 0)
        far1, near1, middle, near2, far2 = (extended[n : n + size : 2] for n in range(5))
        smoothed = (6 * middle + 4 * (near1 + near2) + (far1 + far2)) / 16
        maps = smoothed.movedim(0, axis)
    return maps


def expand(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Double maps to `size` (h, w): zeros between the values, smoothed by twice that kernel.

    The last value is repeated beyond the border.
    """
    import torch

    for axis, length in zip((-2, -1), size, strict=True):
        extended = _extend(maps, 1, axis, "replicate").movedim(axis, 0)
        before, middle, after = extended[:-2], extended[1:-1], extended[2:]
        even, odd = (6 * middle + (before + after)) / 8, (middle + after) / 2
        doubled = torch.stack([even, odd], dim=1).flatten(0, 1)
        maps = doubled[:length].movedim(0, axis)
    return maps


def _extend(
    maps: Tensor, width: int, axis: int, border: Literal["mirror", "symmetric", "replicate"]
) -> Tensor:
    """Extend an axis on both sides, also where it is shorter than `width`."""
    import torch

    size = maps.shape[axis]
    places = torch.arange(-width, size + width, device=maps.device)
    if border == "replicate":
        places = places.clamp(0, size - 1)
    else:
        last = 2 * size - (2 if border == "mirror" else 1)  # where the mirror images repeat
        places = places.remainder(max(last + (border == "symmetric"), 1))
        places = torch.minimum(places, last - places) if size > 1 else torch.zeros_like(places)
    return maps.index_select(axis, places)
