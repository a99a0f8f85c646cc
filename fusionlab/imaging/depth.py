"""Bit depth: of sources, of results, and of what a file format can hold."""

from __future__ import annotations

from typing import Literal

import torch

Depth = Literal[8, 16, 32]
"""Bits per sample of a picture: 8 and 16 are whole numbers, 32 is float32 in 0..1."""

DTYPES: dict[Depth, torch.dtype] = {8: torch.uint8, 16: torch.uint16, 32: torch.float32}


def depth_of(dtype: torch.dtype) -> Depth:
    """Return the depth at which nothing of `dtype` is lost, or the largest there is."""
    if dtype.is_floating_point or dtype.itemsize > 2:
        return 32
    return 8 if dtype.itemsize == 1 else 16
