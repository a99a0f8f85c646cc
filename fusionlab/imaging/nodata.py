"""Values that mean that a pixel is no data, such as -9999, or 0 in the frame of a warped image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError
from fusionlab.imaging.each_source import one_for_each
from fusionlab.imaging.rows import BaseRows, Rows

Nodata = tuple[float | None, ...]
"""One value for all sources, or one for each; None: no value means that."""


def parse_nodata(nodata: float | str | Sequence[float | str | None] | None) -> Nodata:
    """Read a number or its text, or several: one per source; `none`, or None, is no value.

    Raises:
        FusionlabError: a text is not a number (code `nodata-syntax`).
    """
    one = nodata is None or isinstance(nodata, float | int | str)
    values: Sequence[float | str | None] = [nodata] if one else nodata  # type: ignore[assignment, list-item]
    return tuple(map(_parse, values)) or (None,)


def nodata_for(values: Nodata, k: int) -> list[float | None]:
    """Return one value for each of k sources; a single one applies to all.

    Raises:
        FusionlabError: their number is neither 1 nor k (code `number-of-nodata`).
    """
    return one_for_each(values, k, "value of no data", "nodata", "number-of-nodata")


def nodata_text(value: float | None) -> str:
    """Return the text that `parse_nodata` reads."""
    return "none" if value is None else repr(float(value)).removesuffix(".0")


def has_value(pixels: NDArray[Any], value: float) -> NDArray[np.bool_]:
    """Return where all channels of an image `(H, W)` or `(H, W, C)` have a value, `(H, W)`.

    The value is that of the dtype of the image which is nearest; none, if an integer type lacks it.
    NaN is not looked for: it is no data everywhere.
    """
    exact = pixels.dtype.type(value) if pixels.dtype.kind == "f" else value
    same: NDArray[np.bool_] = pixels == exact
    if same.ndim == 3:
        same = np.logical_and.reduce(same, axis=2)
    return same


class PresentRows(BaseRows):
    """Where an image that is read by rows has another value than that of no data: 0 and 1."""

    def __init__(self, pixels: Rows, value: float) -> None:
        super().__init__(pixels.shape[:2], np.uint8)
        self._pixels, self._value = pixels, value

    def _read(self, top: int, bottom: int) -> NDArray[Any]:
        return (~has_value(self._pixels[top:bottom], self._value)).astype(np.uint8)


def _parse(value: float | str | None) -> float | None:
    if value is None or value == "none":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise FusionlabError(
            f"the value of no data must be a number or none, got {value!r}",
            code="nodata-syntax",
            option="nodata",
        ) from None


def data_mask(pixels: NDArray[Any], valid: Any = None) -> NDArray[np.bool_] | None:
    """Return which pixels of an image are data, `(H, W)`; None: all.

    Args:
        pixels: `(H, W)` or `(H, W, C)`; NaN is no data.
        valid: what its mask says, `(H, W)`, truth values or 0 and 1; None: all are data.
    """
    mask = None if valid is None else np.asarray(valid) != 0
    if pixels.dtype.kind == "f":
        numbers = ~np.isnan(pixels) if pixels.ndim == 2 else ~np.isnan(pixels).any(axis=2)
        mask = numbers if mask is None else mask & numbers
    return None if mask is None or mask.all() else mask
