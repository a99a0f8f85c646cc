"""Resample an image onto the grid of another one, once and at full depth, with a mask.

Cubic convolution with a = -0.5 (Keys 1981, doi:10.1109/TASSP.1981.1163711): the kernel of four
pixels that reproduces planes and parabolas. (`torch.nn.functional.grid_sample` and OpenCV have a =
-0.75, which moves a plane by up to a hundredth of its step.) Where the image gets smaller, it is
first reduced with antialiasing, so that a fine image leaves no moire on a coarse grid. Bands of
rows are computed one after the other: memory beyond the images does not grow with their size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusionlab.imaging.nodata import data_mask
from fusionlab.imaging.resizing import resized, resized_mask
from fusionlab.registration.transform import Model, Transform, bad_transform

BAND_VALUES = 2**18
"""About how many pixels of the result are computed at once: 2 MiB per channel and coordinate."""

REACH = 2
"""How many pixels away the bicubic kernel looks, at most."""


class Warped(NamedTuple):
    """An image on another grid."""

    pixels: NDArray[Any]
    """`(H, W)` or `(H, W, C)` in the dtype of the image, and within its range of values."""
    valid: NDArray[np.bool_]
    """`(H, W)`: True where a pixel is made of data of the image only."""


def warp(
    pixels: NDArray[Any], transform: Transform, valid: NDArray[np.bool_] | None = None
) -> Warped:
    """Resample an image by a transform.

    A pixel of the result is data where it lies within the area of the image, which ends half a
    pixel beyond the centers of its outermost pixels, and where all pixels that the kernel takes are
    data. Elsewhere it is 0, and NaN in an image of floats.

    Args:
        pixels: the moving image, `(H, W)` or `(H, W, C)`, any real dtype.
        transform: from the grid of the result to that of the image.
        valid: which pixels of the image are data, `(H, W)`; None: all but NaN.

    Raises:
        FusionlabError: the image has not the size that the transform names (code
            `bad-transform`).
    """
    height, width = pixels.shape[:2]
    if transform.moving != (width, height):
        raise bad_transform(
            f"it is for an image of {transform.moving[0]}x{transform.moving[1]}, got "
            f"{width}x{height}"
        )
    valid = data_mask(pixels, valid)
    low, high = _range(pixels, valid)
    if valid is not None:  # what is no data must not reach the rest
        pixels = np.where(valid if pixels.ndim == 2 else valid[..., None], pixels, low)
    pixels, valid, transform = _reduced(pixels, valid, transform)
    result = np.zeros((*transform.fixed[::-1], *pixels.shape[2:]), pixels.dtype)
    mask = np.zeros(result.shape[:2], bool)
    rows = max(1, BAND_VALUES // transform.fixed[0])
    for top in range(0, transform.fixed[1], rows):
        band = slice(top, min(top + rows, transform.fixed[1]))
        _warp_band(pixels, valid, transform, band, (low, high), result[band], mask[band])
    if result.dtype.kind == "f":
        result[~mask] = np.nan
    return Warped(result, mask)


def _range(pixels: NDArray[Any], valid: NDArray[np.bool_] | None) -> tuple[Any, Any]:
    """Return the smallest and the largest value that is data."""
    data = pixels if valid is None else pixels[valid]
    return (data.min(), data.max()) if data.size else (pixels.dtype.type(0),) * 2


def _reduced(
    pixels: NDArray[Any], valid: NDArray[np.bool_] | None, transform: Transform
) -> tuple[NDArray[Any], NDArray[np.bool_] | None, Transform]:
    """Reduce an image that is finer than the result, so that one pixel spans about one pixel."""
    size = transform.moving
    new = tuple(
        max(1, round(length / step)) if step > 1 else length
        for length, step in zip(size, transform.steps, strict=True)
    )
    if new == size:
        return pixels, valid, transform
    width, height = new
    factors = np.array([width / size[0], height / size[1]])
    # the edges of the area, half a pixel beyond the centers, stay where they are
    to_reduced = np.diag([*factors, 1.0])
    to_reduced[:2, 2] = (factors - 1) / 2
    model: Model = "homography" if transform.model == "homography" else "affine"
    moved = Transform(to_reduced @ transform.matrix, transform.fixed, (width, height), model)
    mask = None if valid is None else resized_mask(valid, height, width)
    return resized(pixels, height, width), mask, moved


def _warp_band(
    pixels: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    transform: Transform,
    rows: slice,
    limits: tuple[Any, Any],
    result: NDArray[Any],
    mask: NDArray[np.bool_],
) -> None:
    """Write some rows of the result and of its mask."""
    height, width = pixels.shape[:2]
    ys, xs = np.mgrid[rows, : transform.fixed[0]]
    x, y = np.moveaxis(transform(np.stack([xs, ys], -1)), -1, 0)
    # a pixel at the very edge stays data when rounding moves it out
    inside = (np.abs(x - (width - 1) / 2) <= width / 2 + 1e-6) & (
        np.abs(y - (height - 1) / 2) <= height / 2 + 1e-6
    )
    if not inside.any():
        return
    # the part of the image that these rows need
    left, right = _needed(x[inside], width)
    upper, lower = _needed(y[inside], height)
    part = pixels[upper:lower, left:right]
    sampled = _interpolated(part, x[inside] - left, y[inside] - upper)
    sampled = sampled.clip(float(limits[0]), float(limits[1]))
    if pixels.dtype.kind in "ui":
        sampled = np.floor(sampled + 0.5)
    result[inside] = sampled.astype(result.dtype)
    if valid is not None:
        inside &= _made_of_data(valid[upper:lower, left:right], x - left, y - upper)
        result[~inside] = 0
    mask[:] = inside


def _interpolated(
    part: NDArray[Any], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return an image at points `(n,)`: `(n,)` or `(n, C)`; its edge pixels repeat beyond it."""
    (columns, across), (rows, down) = (
        _taps(position, length) for position, length in ((x, part.shape[1]), (y, part.shape[0]))
    )
    planes = np.moveaxis(np.atleast_3d(part), -1, 0)
    # float64 gives back integers and floats exactly where nothing moves
    values = np.ascontiguousarray(planes, np.float64).reshape(len(planes), -1)
    total = np.zeros((len(planes), len(x)))
    for row, weight_of_row in zip(rows, down, strict=True):
        for column, weight_of_column in zip(columns, across, strict=True):
            place, weight = row * part.shape[1] + column, weight_of_row * weight_of_column
            for number, plane in enumerate(values):
                total[number] += plane.take(place) * weight
    return total.T.reshape(len(x), *part.shape[2:])


def _taps(
    positions: NDArray[np.float64], length: int
) -> tuple[list[NDArray[np.intp]], list[NDArray[np.float64]]]:
    """Return the four pixels that the kernel takes along an axis, and their weights."""
    first = np.floor(positions)
    t = positions - first
    weights = [_far(1 + t), _near(t), _near(1 - t), _far(2 - t)]
    pixels = [np.clip(first + step, 0, length - 1).astype(np.intp) for step in (-1, 0, 1, 2)]
    return pixels, weights


def _needed(positions: NDArray[np.float64], length: int) -> tuple[int, int]:
    """Return the first and the end of the pixels along an axis that the kernel takes."""
    first = int(np.floor(positions.min())) - REACH
    last = int(np.ceil(positions.max())) + REACH
    return min(max(first, 0), length - 1), max(min(last + 1, length), 1)


def _near(s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the kernel at distances 0..1."""
    return (1.5 * s - 2.5) * s**2 + 1


def _far(s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the kernel at distances 1..2."""
    return ((2.5 - s / 2) * s - 4) * s + 2


def _made_of_data(
    valid: NDArray[np.bool_], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return whether all pixels that the kernel takes at points are data."""
    lacking = np.pad((~valid).astype(np.int32), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    height, width = valid.shape

    def span(at: NDArray[np.float64], length: int) -> tuple[Any, Any]:
        whole = np.abs(at - np.round(at)) < 1e-9  # a pixel itself: its neighbors weigh nothing
        first = np.where(whole, np.round(at), np.floor(at) - 1).astype(int)
        last = np.where(whole, np.round(at), np.floor(at) + 2).astype(int)
        return np.clip(first, 0, length - 1), np.clip(last, 0, length - 1) + 1

    (left, right), (top, bottom) = span(x, width), span(y, height)
    count = lacking[bottom, right] - lacking[top, right] - lacking[bottom, left]
    data: NDArray[np.bool_] = count + lacking[top, left] == 0
    return data
