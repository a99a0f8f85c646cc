"""Bit depth of sources, of results, and of file formats. Dtypes go by their names."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from fusionlab.namespaces import is_floating, item_size

Depth = Literal[8, 16, 32]
"""Bits per sample of an image: 8 and 16 are unsigned integers, 32 is float32 in 0..1."""

DTYPES: dict[Depth, str] = {8: "uint8", 16: "uint16", 32: "float32"}
"""Depth -> the dtype of an image, of numpy or torch."""


_PIXELS = {f"{kind}{size}" for kind in "ui" for size in (1, 2, 4, 8)} | {"f2", "f4", "f8"}


def pixel_dtype(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """Return the dtype in which pixels of a dtype are held; None if it is not one of pixels.

    Integers and floats stay as they are, in the byte order of this machine: numpy has two types of
    64-bit integers, of which torch knows one. Truth values become 8 bits. Floats of more than 64
    bits become float64, which torch has.
    """
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f" and dtype.itemsize > 8:
        return np.dtype(np.float64)
    name = f"{dtype.kind}{dtype.itemsize}"
    return np.dtype(name) if name in _PIXELS else None


def depth_of(dtype: str) -> Depth:
    """Return the smallest depth that preserves all values of a dtype, or the largest depth."""
    if is_floating(dtype) or item_size(dtype) > 2:
        return 32
    return 8 if item_size(dtype) == 1 else 16


def depth_of_array(dtype: np.dtype[Any]) -> Depth:
    """Return `depth_of` for the dtype of an array."""
    return depth_of(dtype.name)
