"""How much of the range of its type an image takes up: the bulk of its values, not the extremes.

Counts of a 12-bit camera in a file of 16 bits span 0..4095 of 0..65535: taken for what they seem,
they become an image of 16 gray levels of 256, and scores of it are nonsense. A hot pixel or a dead
one at the end of the range changes nothing about that, so 0.1 % at either end are left out.

8-bit images are not looked at: they have no range to spare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionlab.imaging.nodata import has_value
from fusionlab.imaging.rows import Rows
from fusionlab.imaging.scale import percentiles
from fusionlab.imaging.sources import MaskedImage, unmasked

BULK = (0.1, 99.9)
"""Percent of the values that are below, and up to, the bulk."""

BITS = (8, 10, 12, 14)
"""Bits of the samples of cameras and scanners whose files have 16."""

DARK = 0.25
"""A bulk that ends below this part of the range is not scaled to it: the range of 14 of 16 bits."""

DARK_FLOATS = 0.07
"""The same for floats, which may hold linear light: the range of 12 of 16 bits."""

FLAT = 0.125
"""A bulk that spans less than this part of the range is not scaled to it, wherever it lies: thermal
counts of 12510 to 19962 would be 29 gray levels of 256."""

FLAT_FLOATS = 0.05
"""The same for floats, which may be an 8-bit photo of fog."""

USED = 0.25
"""A bulk that spans less than this part of its bits is not explained by them: counts of 3400 to
5189 fit 14 bits, but the scale of 14 bits would show nearly nothing of them."""

MAX_VALUES = 2**20
"""How many values are looked at; of a larger image, rows at equal distances."""

PLACES = 16
"""At how many places the rows of a file are read, which are decoded once more for this: at most one
of 16 rows."""


@dataclass(frozen=True)
class RangeUse:
    """Where the bulk of the values of an image lies within the range of its type."""

    low: float
    high: float
    black: float
    white: float
    bits: int | None
    """Of the type, if it is an integer type."""

    @property
    def too_little(self) -> bool:
        """Whether the image is surely darker or flatter than it is meant to be."""
        span = self.white - self.black
        if self.low == self.high:  # there is nothing that a scale could show
            return False
        dark, flat = (DARK, FLAT) if self.bits else (DARK_FLOATS, FLAT_FLOATS)
        return self.high - self.black < dark * span or self.high - self.low < flat * span

    @property
    def scale(self) -> str:
        """The scale that shows the bulk; fixed limits where a number of bits explains it."""
        bits = self._bits
        return f"0,{2**bits - 1}" if bits else "percentile"

    @property
    def sentence(self) -> str:
        """What the bulk is, as the end of a sentence that begins with the name of the image."""
        if bits := self._bits:
            return f"has values that fit {bits} bits, in {self.bits} bits"
        of = f"its {self.bits} bits" if self.bits else "0..1"
        share = (self.high - self.low) / (self.white - self.black)
        return f"uses {share:.1%} of {of}, {self.low:.5g} to {self.high:.5g}"

    @property
    def advice(self) -> str:
        """The sentence, and what to do about it."""
        remedy = f"give it the scale {self.scale} to see more of it, or full if that is meant"
        return f"{self.sentence}; {remedy}"

    @property
    def _bits(self) -> int:
        """How many bits the values fit and use; 0 where bits do not explain them."""
        fitting = [bits for bits in BITS if self.high < 2**bits]
        if self.bits is None or not fitting or self.high - self.low < USED * 2 ** fitting[0]:
            return 0
        return fitting[0]


def range_use(image: Rows | MaskedImage) -> RangeUse | None:
    """Return how much of its range an image takes up; None if its type has no range to spare.

    Args:
        image: `(H, W)` or `(H, W, C)`; unsigned 16 bits, or floats that all lie in 0..1. Pixels
            that are no data are not looked at.
    """
    pixels = unmasked(image)
    kind, size = pixels.dtype.kind, pixels.dtype.itemsize
    if (kind, size) != ("u", 2) and kind != "f":
        return None
    values = _rows(pixels)
    if isinstance(image, MaskedImage):
        masks = [None] * len(values) if image.valid is None else _rows_like(image.valid, pixels)
        values = [
            _of_data(part, mask, image.nodata) for part, mask in zip(values, masks, strict=True)
        ]
    if kind == "f":
        values = [part if part.min(initial=0) >= 0 else part[~np.isnan(part)] for part in values]
    values = [part for part in values if part.size]
    if not values:
        return None
    if kind == "f" and not all(part.min() >= 0 and part.max() <= 1 for part in values):
        return None
    low, high = percentiles(values, BULK)
    return RangeUse(low, high, 0, 1, None) if kind == "f" else RangeUse(low, high, 0, 65535, 16)


def _rows(pixels: Rows) -> list[NDArray[Any]]:
    return _rows_like(pixels, pixels)


def _rows_like(image: Rows, pixels: Rows) -> list[NDArray[Any]]:
    """Return those rows of an image that are looked at of `pixels`, which may be its mask."""
    height, row = pixels.shape[0], prod(pixels.shape[1:])
    if isinstance(pixels, np.ndarray):
        return [np.asarray(image)[:: -(-height * row // MAX_VALUES)]]
    step = -(-height // PLACES)
    rows = max(1, min(step // PLACES, MAX_VALUES // (PLACES * row)))
    return [image[top : top + rows] for top in range(0, height, step)]


def _of_data(
    part: NDArray[Any], valid: NDArray[Any] | None, nodata: Sequence[float]
) -> NDArray[Any]:
    """Return the values of the pixels that are data."""
    kept = np.ones(part.shape[:2], bool) if valid is None else valid != 0
    for value in nodata:
        kept &= ~has_value(part, value)
    values: NDArray[Any] = part[kept]
    return values
