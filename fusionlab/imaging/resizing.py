"""Bringing images to another size."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate


def resized(pixels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resample an image `(H, W)` or `(H, W, C)` of any real dtype: bicubic, antialiased.

    The result has the dtype of the image and stays within its range of values: what the kernel
    overshoots at edges is cut off, and integers are rounded.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    wide = np.float32 if pixels.dtype.itemsize <= 2 else np.float64  # holds every value exactly
    planes = torch.from_numpy(np.atleast_3d(pixels).astype(wide)).movedim(-1, 0)[None]
    found = interpolate(planes, (height, width), mode="bicubic", antialias=True)[0]
    result = found.movedim(0, -1).numpy().clip(pixels.min(), pixels.max())
    if pixels.dtype.kind in "ui":
        result = np.floor(result + 0.5)
    result = result.astype(pixels.dtype)
    return result[..., 0] if pixels.ndim == 2 else result
