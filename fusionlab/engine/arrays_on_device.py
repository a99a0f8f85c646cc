"""Arrays for a GPU: moved there as they are, so that scale, color and range are computed there.

The host then only copies bytes, a quarter of what floats take. Large images, other types and pixels
that are no data are converted on the host, band by band.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionlab.engine.transfers import to_device

MAX_PIXELS = 2**24
"""Pixels of the largest images that are moved; scale and range need some 50 bytes for each."""


def may_move(sources: Sequence[Any], device: torch.device) -> bool:
    """Return whether sources are moved to a device: 8-bit arrays, to CUDA."""
    return device.type == "cuda" and all(
        isinstance(source, np.ndarray)
        and source.dtype == np.uint8
        and source.shape[0] * source.shape[1] <= MAX_PIXELS
        for source in sources
    )


def moved(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array `(H, W)` or `(H, W, C)` as a tensor `(H, W)` or `(C, H, W)` on a device."""
    axes = array if array.ndim == 2 else np.moveaxis(array, -1, 0)
    return to_device(torch.from_numpy(np.array(axes, order="C")), device)  # writable, not flipped


def moved_back(image: Tensor) -> NDArray[Any]:
    """Return a tensor `(H, W)` or `(C, H, W)` as an array `(H, W)` or `(H, W, 3)`."""
    array: NDArray[Any] = image.cpu().numpy()
    if array.ndim == 3:
        array = array[0] if len(array) == 1 else np.moveaxis(array, 0, -1)
    return np.ascontiguousarray(array)
