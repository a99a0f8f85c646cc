"""The largest rectangle of pixels that are all data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELLS = 512
"""Larger masks are searched in cells, at most this many along an axis."""


def largest_rectangle(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Return the columns and rows of the largest rectangle in which a mask is True.

    Masks of more than `CELLS` rows or columns are searched in cells, and the rectangle is then
    extended as far as the mask allows: it may be smaller than the largest by less than a cell at
    each edge.

    Args:
        mask: `(H, W)`.

    Returns:
        Slices of x and of y; None: the mask is False everywhere, or too fragmented for its size.
    """
    step = max(1, -(-max(mask.shape) // CELLS))
    height, width = (length // step * step for length in mask.shape)
    blocks = mask[:height, :width].reshape(height // step, step, width // step, step)
    cells = np.asarray(blocks.all((1, 3)))
    best, area = None, 0
    depth = np.zeros(cells.shape[1], int)  # how many rows above and with this one are True
    for bottom, row in enumerate(cells, start=1):
        depth = np.where(row, depth + 1, 0)
        for left, right, rows in _under(depth):
            if (right - left) * rows > area:
                area = (right - left) * rows
                best = left * step, right * step, (bottom - rows) * step, bottom * step
    return None if best is None else _extended(mask, *best)


def _under(depth: NDArray[np.int_]) -> list[tuple[int, int, int]]:
    """Return the maximal rectangles under a histogram: left, right and height of each."""
    found: list[tuple[int, int, int]] = []
    open_bars: list[tuple[int, int]] = []
    for position, bar in enumerate([*depth.tolist(), 0]):
        left = position
        while open_bars and open_bars[-1][1] >= bar:
            left, height = open_bars.pop()
            if height:
                found.append((left, position, height))
        open_bars.append((left, bar))
    return found


def _extended(
    mask: NDArray[np.bool_], left: int, right: int, top: int, bottom: int
) -> tuple[slice, slice]:
    """Move the edges of a rectangle outwards as long as it holds only what is True."""
    while left > 0 and mask[top:bottom, left - 1].all():
        left -= 1
    while right < mask.shape[1] and mask[top:bottom, right].all():
        right += 1
    while top > 0 and mask[top - 1, left:right].all():
        top -= 1
    while bottom < mask.shape[0] and mask[bottom, left:right].all():
        bottom += 1
    return slice(left, right), slice(top, bottom)
