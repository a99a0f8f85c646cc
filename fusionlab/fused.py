"""The result of a fusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fusionlab.imaging.arrays import Image
from fusionlab.imaging.pillow_formats import encode_png

PREVIEW_EDGE = 2048
"""Larger images are subsampled for notebooks, to at most this many rows and columns."""


@dataclass(frozen=True)
class Fused(Generic[Image]):
    """A fused image, and the weights of the sources. Notebooks display the image."""

    image: Image
    weights: list[Image]
    """One map per source, floats in 0..1; empty unless requested. Where color was fused channel
    by channel, the maps are in color."""
    limits: Tensor
    """The values of each source that became black and white: `(k, N, 2)`, float64, in its units."""
    extremes: Tensor
    """The smallest and largest value of each source, likewise; NaN for 8-bit sources whose scale
    is `full`."""
    tile: int | None = None
    """Edge of the tiles, if memory did not suffice for those that were planned."""

    def _repr_png_(self) -> bytes | None:
        """Return the image as an 8-bit PNG, clipped to 0..1; None for a batch of several."""
        pixels = _pixels(self.image)
        if pixels is None:
            return None
        step = max(1, -(-max(pixels.shape[:2]) // PREVIEW_EDGE))
        return encode_png(_as_8_bits(pixels[::step, ::step]))


def _pixels(image: Any) -> NDArray[Any] | None:
    """Return a single image as an array `(H, W)` or `(H, W, 3)`."""
    if not isinstance(image, Tensor):
        array = np.asarray(image)
        return array[..., 0] if array.shape[2:] == (1,) else array
    tensor = image.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.double()  # numpy has no bfloat16
    if tensor.ndim == 4:
        if len(tensor) != 1:
            return None
        tensor = tensor[0]
    if tensor.ndim == 3:
        tensor = tensor[0] if len(tensor) == 1 else tensor.movedim(0, -1)
    pixels: NDArray[Any] = tensor.numpy()
    return pixels


def _as_8_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    white = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    levels = np.clip(pixels.astype(np.float64) / white, 0, 1) * 255
    return np.floor(levels + 0.5).astype(np.uint8)
