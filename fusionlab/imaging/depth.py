"""Bit depth of sources, of results, and of file formats."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch

Depth = Literal[8, 16, 32]
"""Bits per sample of an image: 8 and 16 are unsigned integers, 32 is float32 in 0..1."""

DTYPES: dict[Depth, torch.dtype] = {8: torch.uint8, 16: torch.uint16, 32: torch.float32}


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


def depth_of(dtype: torch.dtype) -> Depth:
    """Return the smallest depth that preserves all values of `dtype`, or the largest depth."""
    if dtype.is_floating_point or dtype.itemsize > 2:
        return 32
    return 8 if dtype.itemsize == 1 else 16


def depth_of_array(dtype: np.dtype[Any]) -> Depth:
    """Return `depth_of` for the dtype of an array."""
    return 32 if dtype.kind == "f" or dtype.itemsize > 2 else 8 if dtype.itemsize == 1 else 16
