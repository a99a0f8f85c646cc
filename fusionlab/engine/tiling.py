"""Exact tiles: fuse an image of any size piece by piece, with the result of the whole.

A tile begins with a margin, as wide as a result pixel can see; encoder, strategy and decoder cut
off what they have spoiled of it, each its own part. Which tiles there are depends on shapes and
settings alone, never on free memory, so the same input always takes the same path.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import isqrt
from typing import NamedTuple

from fusionlab.backbone import WHOLE, Borders

SMALLEST_EDGE = 64
"""Tiles by default are at least this large: the margins of smaller ones are most of the work."""

STEP = 16
"""Edges of tiles by default are multiples of this, as long as a vector of the processor."""


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

    def within(self, outer: Box) -> Box:
        """Return this box in the coordinates of another around it."""
        top, left, *_ = outer
        return Box(self.top - top, self.left - left, self.bottom - top, self.right - left)

    def divided(self, stride: int) -> Box:
        """Return this box in pixels that are `stride` times as large."""
        return Box(*(edge // stride for edge in self))

    def trimmed(self, margin: int, borders: Borders) -> Box:
        """Return what remains without a margin on the sides that are no borders."""
        signs = (1, 1, -1, -1)
        return Box(
            *(
                edge if border else edge + sign * margin
                for edge, sign, border in zip(self, signs, borders, strict=True)
            )
        )


@dataclass(frozen=True)
class Tile:
    """One tile on its way through the pipeline, in image coordinates."""

    inner: Box
    """What of the result it answers for."""
    outer: Box
    """What of the sources it sees."""
    encoded: Box
    """What its features cover."""
    merged: Box
    """What remains of them behind the strategy."""
    decoded: Box
    """What is decoded of that: `inner`, or a little more at the borders of the image."""
    borders: Borders
    """Which sides of `outer`, and of all that is cut from it, are borders of the image."""

    @classmethod
    def whole(cls, height: int, width: int) -> Tile:
        """Return the tile that is the whole image."""
        box = Box(0, 0, height, width)
        return cls(box, box, box, box, box, WHOLE)


def tile_edge(k: int, pixels: int, support: int) -> int:
    """Return the edge of tiles: as many pixels as suit the engine, but mostly not margin.

    Args:
        k: sources per image.
        pixels: how many suit the engine, over all sources.
        support: of the strategy, in image pixels.
    """
    edge = isqrt(pixels // k) // STEP * STEP
    return max(SMALLEST_EDGE, edge, 4 * support)


def images_at_once(k: int, height: int, width: int, pixels: int) -> int:
    """Return how many images of a batch are fused together: as many as `pixels` allows.

    Args:
        k: sources per image.
        height: rows of a tile.
        width: columns of a tile.
        pixels: how many there may be, over all sources of all images.
    """
    return max(1, pixels // (k * height * width))


def plan(
    height: int,
    width: int,
    edge: int | None,
    margins: tuple[int, int, int] = (0, 0, 0),
    multiple: int = 1,
) -> list[list[Tile]]:
    """Cut an image into tiles of about the same size.

    Args:
        height: rows of the image, a multiple of `size_divisor`.
        width: columns of the image, likewise.
        edge: largest edge of a tile without its margins; None keeps the image whole.
        margins: what encoder, strategy and decoder cut off; multiples of `size_divisor`.
        multiple: all tiles begin and end at multiples of this.

    Returns:
        Rows of tiles in reading order whose `inner` boxes cover the image once.
    """
    if edge is None:
        return [[Tile.whole(height, width)]]
    rows, columns = _cuts(height, edge, multiple), _cuts(width, edge, multiple)
    return [
        [
            _tile(Box(top, left, bottom, right), height, width, margins)
            for left, right in pairwise(columns)
        ]
        for top, bottom in pairwise(rows)
    ]


def _tile(inner: Box, height: int, width: int, margins: tuple[int, int, int]) -> Tile:
    margin = sum(margins)
    outer = Box(
        max(0, inner.top - margin),
        max(0, inner.left - margin),
        min(height, inner.bottom + margin),
        min(width, inner.right + margin),
    )
    borders = Borders(outer.top == 0, outer.left == 0, outer.bottom == height, outer.right == width)
    encoder, strategy, decoder = margins
    encoded = outer.trimmed(encoder, borders)
    merged = encoded.trimmed(strategy, borders)
    return Tile(inner, outer, encoded, merged, merged.trimmed(decoder, borders), borders)


def _cuts(length: int, edge: int, multiple: int) -> list[int]:
    """Divide 0..length evenly into as few stretches of at most `edge` as possible."""
    units, most = length // multiple, max(1, edge // multiple)
    count = -(-units // most)
    return [round(units * i / count) * multiple for i in range(count + 1)]
