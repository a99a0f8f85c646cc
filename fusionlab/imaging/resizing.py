"""Resample images to another size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fusionlab.imaging.nodata import data_mask
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
    import torch  # here only: most sources have one size
    from torch.nn.functional import interpolate

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
        image = replace(image, metadata=image.metadata.reshaped())
    pixels = np.asarray(image.pixels)
    valid = data_mask(pixels, image.valid)
    if valid is not None and valid.shape != (height, width) and valid.any():
        # what is no data must not change the rest, nor its range
        pixels = np.where(valid if pixels.ndim == 2 else valid[..., None], pixels, pixels[valid][0])
        valid = resized_mask(valid, height, width)
    return replace(image, pixels=resized(pixels, height, width), valid=valid)


def resized_mask(valid: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """Return which pixels of a resized image are data: those that are made of data only.

    Bicubic resampling makes a pixel of those up to two away, or two pixels of the result if that is
    smaller.
    """
    for axis, size in enumerate((height, width)):
        if (length := valid.shape[axis]) == size:
            continue
        step = length / size
        center, radius = (np.arange(size) + 0.5) * step, 2 * max(step, 1)
        first = np.clip(np.floor(center - radius), 0, length).astype(int)
        last = np.clip(np.ceil(center + radius), 0, length).astype(int)
        before = np.insert(np.cumsum(~valid, axis=axis), 0, 0, axis=axis)
        valid = before.take(last, axis) == before.take(first, axis)
    return valid
