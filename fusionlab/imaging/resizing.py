"""Resample images to another size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from fusionlab.imaging.reading import LoadedImage

Resize = Literal["first", "smallest"]
"""Whose size all sources get: that of the first, or of the one with the fewest pixels."""


def resized(pixels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resample an image `(H, W)` or `(H, W, C)` of any real dtype: bicubic, antialiased.

    The result has the dtype of the image and stays within its range of values: overshoot of the
    kernel at edges is clipped, and integers are rounded.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    exact = np.float32 if pixels.dtype.itemsize <= 2 else np.float64  # holds every value exactly
    planes = torch.from_numpy(np.atleast_3d(pixels).astype(exact)).movedim(-1, 0)[None]
    resampled = interpolate(planes, (height, width), mode="bicubic", antialias=True)[0]
    result = resampled.movedim(0, -1).numpy().clip(pixels.min(), pixels.max())
    if pixels.dtype.kind in "ui":
        result = np.floor(result + 0.5)
    result = result.astype(pixels.dtype)
    return result[..., 0] if pixels.ndim == 2 else result


def resize_to_one_size(images: Sequence[LoadedImage], resize: Resize) -> list[LoadedImage]:
    """Resample all images to the size of one of them; those that change get a note."""
    model = images[0]
    if resize == "smallest":
        model = min(images, key=lambda image: prod(image.pixels.shape[:2]))
    height, width = model.pixels.shape[:2]
    return [_resized_with_note(image, height, width) for image in images]


def _resized_with_note(image: LoadedImage, height: int, width: int) -> LoadedImage:
    rows, columns = image.pixels.shape[:2]
    if (rows, columns) != (height, width):
        change = abs(rows * width / (columns * height) - 1)
        distortion = f"; its aspect ratio changes by {change:.1%}" if change > 0.01 else ""
        image = image.with_note(
            f"{image.name} is resized from {columns}x{rows} to {width}x{height}{distortion}"
        )
    return replace(image, pixels=resized(np.asarray(image.pixels), height, width))
