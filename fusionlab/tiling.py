"""Exact tiles: fuse an image of any size piece by piece, with the result of the whole.

A tile is encoded, fused and decoded with a margin (the halo) as wide as a result pixel can
see; the margin is then cut off. Which tiles there are depends on shapes and settings alone,
never on free memory, so the same input always takes the same path.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import NamedTuple

EDGE = 256
"""Edge of a tile in pixels, unless the sources are so many that this would be too much."""

PIXELS_AT_ONCE = 2**20
"""How many pixels, over all sources of all images, are encoded in one go.

64 features in float32 take 256 bytes a pixel: 256 MiB of features, about 0.8 GiB at the peak.
"""


WHOLE_BYTES = 2**33
"""How large the features of an image that cannot be cut may become, unless the user insists."""


class Box(NamedTuple):
    """A rectangle of pixels: rows top..bottom, columns left..right, the ends excluded."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rows and columns, to index the last two axes of a tensor."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True)
class Tile:
    """What is computed (`outer`) and what of it is kept (`inner`), in image coordinates."""

    inner: Box
    outer: Box

    @property
    def kept(self) -> Box:
        """`inner` in the coordinates of `outer`."""
        return Box(
            self.inner.top - self.outer.top,
            self.inner.left - self.outer.left,
            self.inner.bottom - self.outer.top,
            self.inner.right - self.outer.left,
        )


def images_at_once(k: int, height: int, width: int, edge: int | None = None) -> int:
    """Return how many images of a batch are fused together: as many as `PIXELS_AT_ONCE` allows.

    Args:
        k: sources per image.
        height: rows of an image.
        width: columns of an image.
        edge: edge of the tiles with their halo; None for images that are not cut.
    """
    rows, columns = (height, width) if edge is None else (min(edge, height), min(edge, width))
    return max(1, PIXELS_AT_ONCE // (k * rows * columns))


def default_edge(k: int) -> int:
    """Return the edge of a tile for k sources: 256, halved until k tiles fit in one go."""
    edge = EDGE
    while k * edge**2 > PIXELS_AT_ONCE and edge > 64:
        edge //= 2
    return edge


def plan(height: int, width: int, edge: int | None, halo: int, multiple: int = 1) -> list[Tile]:
    """Cut an image into tiles of about the same size.

    Args:
        height: rows of the image, a multiple of `multiple`.
        width: columns of the image, likewise.
        edge: largest edge of a tile without its halo; None keeps the image whole.
        halo: pixels computed beyond the kept ones, where the image has them.
        multiple: all tiles begin and end at multiples of this.

    Returns:
        Tiles in reading order whose `inner` boxes cover the image once.
    """
    if edge is None:
        whole = Box(0, 0, height, width)
        return [Tile(whole, whole)]
    rows, columns = _cuts(height, edge, multiple), _cuts(width, edge, multiple)
    margin = ceil(halo / multiple) * multiple
    return [
        Tile(
            Box(top, left, bottom, right),
            Box(
                max(0, top - margin),
                max(0, left - margin),
                min(height, bottom + margin),
                min(width, right + margin),
            ),
        )
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]


def _cuts(length: int, edge: int, multiple: int) -> list[int]:
    """Divide 0..length evenly into as few stretches of at most `edge` as possible."""
    units, most = length // multiple, max(1, edge // multiple)
    count = ceil(units / most)
    return [round(units * i / count) * multiple for i in range(count + 1)]
