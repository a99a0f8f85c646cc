"""Bit depth of sources, of results, and of file formats."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch

Depth = Literal[8, 16, 32]
"""Bits per sample of an image: 8 and 16 are unsigned integers, 32 is float32 in 0..1."""

DTYPES: dict[Depth, torch.dtype] = {8: torch.uint8, 16: torch.uint16, 32: torch.float32}


def depth_of(dtype: torch.dtype) -> Depth:
    """Return the smallest depth that preserves all values of `dtype`, or the largest depth."""
    if dtype.is_floating_point or dtype.itemsize > 2:
        return 32
    return 8 if dtype.itemsize == 1 else 16


def depth_of_array(dtype: np.dtype[Any]) -> Depth:
    """Return `depth_of` for the dtype of an array."""
    return depth_of(torch.from_numpy(np.empty(0, dtype)).dtype)
