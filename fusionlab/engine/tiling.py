"""Exact tiles: fuse an image of any size piece by piece, with the result of the whole image.

A tile is cut with a halo as wide as the receptive field of a result pixel. Encoder, strategy and
decoder each crop the part of the halo that is no longer valid after them. The tile plan
depends on shapes and settings alone, never on free memory, so the same input always takes the same
path.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import isqrt
from typing import NamedTuple

from fusionlab.borders import WHOLE, Borders

SMALLEST_EDGE = 64
"""Smallest default edge of a tile, in pixels: the halos of smaller tiles are most of the work."""

EDGE_STEP = 16
"""Default edges of tiles are multiples of this, the length of a vector of the processor."""

SMALL_HALO = 8
"""Backbone halo, encoder and decoder together, that the smallest tiles bear: they then encode at
most (64 + 16)^2 / 64^2 = 1.6 pixels per image pixel."""


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

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def within(self, outer: Box) -> Box:
        """Return this box in the coordinates of another one around it."""
        top, left, *_ = outer
        return Box(self.top - top, self.left - left, self.bottom - top, self.right - left)

    def divided(self, stride: int) -> Box:
        """Return this box in pixels that are `stride` times as large."""
        return Box(*(edge // stride for edge in self))

    def trimmed(self, halo: int, borders: Borders) -> Box:
        """Return this box without a halo on the sides that are not borders of the image."""
        signs = (1, 1, -1, -1)
        return Box(
            *(
                edge if border else edge + sign * halo
                for edge, sign, border in zip(self, signs, borders, strict=True)
            )
        )


@dataclass(frozen=True)
class Tile:
    """The boxes of one tile at each stage of the pipeline, in image coordinates."""

    inner: Box
    """The part of the result that this tile yields."""
    outer: Box
    """The part of the sources that it reads."""
    encoded: Box
    """The part that its features cover."""
    merged: Box
    """The part that remains valid after the strategy."""
    decoded: Box
    """The part that is decoded: `inner`, or a little more at the borders of the image."""
    borders: Borders
    """Which sides of `outer`, and of all boxes cut from it, are borders of the image."""

    @classmethod
    def whole(cls, height: int, width: int) -> Tile:
        """Return the tile that is the whole image."""
        box = Box(0, 0, height, width)
        return cls(box, box, box, box, box, WHOLE)


def tile_edge(k: int, pixels: int, strategy_halo: int, backbone_halo: int = 0) -> int:
    """Return the default edge of tiles, without their halos.

    A tile has as many pixels as suit the engine, and is large enough that its halos are the smaller
    part of the work. An edge of 4 strategy halos encodes at most (4 + 2)^2 / 4^2 = 2.25 pixels per
    image pixel, an edge of 6 backbone halos at most (6 + 2)^2 / 6^2 = 1.8.

    Args:
        k: sources per image.
        pixels: how many suit the engine, over all sources.
        strategy_halo: of the strategy, in image pixels.
        backbone_halo: of encoder and decoder together, in image pixels.
    """
    edge = isqrt(pixels // k) // EDGE_STEP * EDGE_STEP
    extra = 6 * backbone_halo if backbone_halo > SMALL_HALO else 0
    return max(SMALLEST_EDGE, edge, 4 * strategy_halo + extra)


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
    halos: tuple[int, int, int] = (0, 0, 0),
    size_divisor: int = 1,
) -> list[list[Tile]]:
    """Cut an image into tiles of about the same size.

    Args:
        height: rows of the image, a multiple of `size_divisor`.
        width: columns of the image, likewise.
        edge: largest edge of a tile without its halos; None keeps the image whole.
        halos: what encoder, strategy and decoder crop; multiples of `size_divisor`.
        size_divisor: all tiles begin and end at multiples of this.

    Returns:
        Rows of tiles in reading order whose `inner` boxes cover the image once.
    """
    if edge is None:
        return [[Tile.whole(height, width)]]
    rows, columns = _cuts(height, edge, size_divisor), _cuts(width, edge, size_divisor)
    return [
        [
            _tile(Box(top, left, bottom, right), height, width, halos)
            for left, right in pairwise(columns)
        ]
        for top, bottom in pairwise(rows)
    ]


def _tile(inner: Box, height: int, width: int, halos: tuple[int, int, int]) -> Tile:
    halo = sum(halos)
    outer = Box(
        max(0, inner.top - halo),
        max(0, inner.left - halo),
        min(height, inner.bottom + halo),
        min(width, inner.right + halo),
    )
    borders = Borders(outer.top == 0, outer.left == 0, outer.bottom == height, outer.right == width)
    encoder, strategy, decoder = halos
    encoded = outer.trimmed(encoder, borders)
    merged = encoded.trimmed(strategy, borders)
    return Tile(inner, outer, encoded, merged, merged.trimmed(decoder, borders), borders)


def _cuts(length: int, edge: int, size_divisor: int) -> list[int]:
    """Divide 0..length evenly into as few intervals of at most `edge` as possible."""
    units, units_per_tile = length // size_divisor, max(1, edge // size_divisor)
    count = -(-units // units_per_tile)
    return [round(units * i / count) * size_divisor for i in range(count + 1)]
