"""The levels of the pyramid of Burt and Adelson for graphs that are traced.

`pyramids` adds rows and columns in place and treats odd sizes otherwise than even ones: the fastest
way, but none for a graph that holds for all sizes. Here each pixel is looked up, mirrored at the
border, and what a pixel is follows from its number. The values are the same, to rounding.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def halved(maps: Tensor, axis: int, center: float) -> Tensor:
    """Halve one axis of at least 3 pixels: x_i = sum_o w_o y_(2i+o), o = -2..2."""
    last = maps.shape[axis] - 1
    first = 2 * torch.arange((last + 2) // 2, device=maps.device)
    weights = {0: center, -1: 0.25, 1: 0.25, -2: 0.25 - center / 2, 2: 0.25 - center / 2}

    def term(offset: int, weight: float) -> Tensor:
        places = (first + offset).abs()
        places = torch.where(places > last, 2 * last - places, places)
        return weight * maps.index_select(axis, places)

    return reduce(torch.add, (term(*pair) for pair in weights.items()))


def doubled(maps: Tensor, size: int, axis: int, center: float) -> Tensor:
    """Double one axis to `size`, at least 3: the weights of `halved`, twice, on every second pixel.

    An even pixel 2i has weight 2a on i, and 1/2 - a on i - 1 and i + 1; an odd one has 1/2 on i and
    i + 1. The center a is 0.4 in the pyramid of Burt and Adelson.
    """
    last = maps.shape[axis] - 1
    fine = torch.arange(size, device=maps.device)
    coarse, odd = fine // 2, fine % 2

    def pixels(offset: int) -> Tensor:
        places = (coarse + offset).abs()
        # mirrored at the last pixel of the fine grid, which may lie between two coarse ones
        return maps.index_select(axis, torch.where(places > last, size - 1 - places, places))

    def weighted(offset: int, if_even: float, if_odd: float) -> Tensor:
        shape = [1] * maps.ndim
        shape[axis] = size
        weight = if_even + (if_odd - if_even) * odd.to(maps.dtype)
        return weight.view(shape) * pixels(offset)

    return (
        weighted(0, 2 * center, 0.5)
        + weighted(-1, 0.5 - center, 0)
        + weighted(1, 0.5 - center, 0.5)
    )
