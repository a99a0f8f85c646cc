"""The fast bilateral filter on a grid of place and gray level.

S. Paris, F. Durand, A fast approximation of the bilateral filter using a signal processing
approach, ECCV 2006, doi:10.1007/11744085_44.
"""

from __future__ import annotations

from functools import reduce
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BLURS = 2
"""How often the grid is blurred by (1, 2, 1) / 4: about a Gaussian with a sigma of one cell."""

MARGIN = BLURS
"""Empty cells around those that pixels lie in, as far as the blur reaches."""


def fast_bilateral(
    images: Tensor,
    sigma: int,
    range_sigma: float,
    *,
    start: tuple[int, int] = (0, 0),
    authors: bool = False,
) -> Tensor:
    """Smooth images where gray levels are alike.

    Each pixel adds its gray level, and a count of 1, to the nearest cell. Both are blurred, read at
    the place and gray level of each pixel by linear interpolation, and divided.

    Args:
        images: `(..., h, w)`, filtered one by one, since a grid takes more memory than its image.
        sigma: edge of a cell, in pixels.
        range_sigma: height of a cell, in gray levels.
        start: row and column of the first pixel in the whole image, whose first pixel is the
            center of a cell.
        authors: count cells from the darkest gray level instead of 0, and leave out the last cells
            along each axis, which makes the blur lose a part of what is next to them.
    """
    import torch

    planes = images.reshape(-1, *images.shape[-2:])
    filtered = [_filtered(plane, sigma, range_sigma, start, authors=authors) for plane in planes]
    return torch.stack(filtered).view_as(images)


def _filtered(
    image: Tensor, sigma: int, range_sigma: float, start: tuple[int, int], *, authors: bool
) -> Tensor:
    import torch

    height, width = image.shape
    places = [
        torch.arange(first, first + size, dtype=image.dtype, device=image.device) / sigma
        for first, size in zip(start, image.shape, strict=True)
    ]
    levels = (image - image.min() if authors else image) / range_sigma
    axes = (places[0][:, None], places[1][None, :], levels)
    # the grid begins two cells before the first that is needed
    origins = [int(axis.detach().min().floor()) - MARGIN for axis in axes]
    axes = tuple(axis - origin for axis, origin in zip(axes, origins, strict=True))
    # a pixel between two cells may be nearer to the second
    after = MARGIN if authors else MARGIN + 1
    shape = tuple(int(axis.detach().max().floor()) + 1 + after for axis in axes)
    cells = _flat_index([(axis.detach() + 0.5).floor().long() for axis in axes], shape)
    cells = cells.expand(height, width).flatten()

    def read(values: Tensor) -> Tensor:
        """Add values to the cells, blur these, and read them at the pixels."""
        grid = torch.zeros(shape, dtype=image.dtype, device=image.device).flatten()
        grid = grid.scatter_add_(0, cells, values.flatten()).view(shape)
        for axis in range(3):
            grid = _blurred(grid, axis)
        return _interpolated(grid, axes)

    return read(image) / read(torch.ones_like(image))  # one after the other: they are large


def _blurred(grid: Tensor, axis: int) -> Tensor:
    """Blur a grid along one axis; its first and last cells stay empty."""
    import torch

    for _ in range(BLURS):
        size = grid.shape[axis] - 2
        blurred = torch.zeros_like(grid)
        inner = blurred.narrow(axis, 1, size)
        for first, weight in enumerate((0.25, 0.5, 0.25)):
            inner.add_(grid.narrow(axis, first, size), alpha=weight)
        grid = blurred
    return grid


def _interpolated(grid: Tensor, axes: tuple[Tensor, ...]) -> Tensor:
    """Read a grid `(y, x, z)` between its cells, as `(h, w)`."""
    import torch

    lower = [axis.detach().floor() for axis in axes]
    fractions = [axis - low for axis, low in zip(axes, lower, strict=True)]
    flat = grid.flatten()
    result = torch.zeros_like(axes[-1])
    for corner in product((0, 1), repeat=3):
        index = _flat_index(
            [(low + step).long() for low, step in zip(lower, corner, strict=True)], grid.shape
        )
        weight = reduce(
            torch.mul,
            (part if step else 1 - part for part, step in zip(fractions, corner, strict=True)),
        )
        result = result + weight * flat[index]
    return result


def _flat_index(cells: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    """Return the index of cells (y, x, z) in a flattened grid."""
    row, column, level = cells
    return (row * shape[1] + column) * shape[2] + level
