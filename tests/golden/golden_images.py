"""Image sets of the golden values: integer recipes, and crops of the example images.

No random generator and no floating point: every machine gets the same pixels, and `SHA256` in
`metrics.json` proves it.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import imageio.v3 as iio
import numpy as np
import torch

from fusionlab import MetricRef

STREET = Path(__file__).parents[2] / "examples/images/street"


class ImageSet(NamedTuple):
    """A fused image and its two sources, `(H, W)` in uint8, infrared first."""

    fused: np.ndarray
    infrared: np.ndarray
    visible: np.ndarray

    @property
    def sha256(self) -> str:
        """Return the hash of all pixels, fused image first."""
        return hashlib.sha256(b"".join(image.tobytes() for image in self)).hexdigest()


def congruential(count: int, seed: int) -> np.ndarray:
    """Return `count` numbers in 0..32767 of a linear congruential generator."""
    state, numbers = seed, np.empty(count, np.int64)
    for index in range(count):
        state = (1103515245 * state + 12345) % 2**31
        numbers[index] = state >> 16
    return numbers


def synthetic(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an infrared and a visible image: the pairs `s64` (64x64) and `s61` (53x61)."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.int64)
    # visible: a slanted ramp, a checkered quarter, vertical stripes of growing period, mild noise
    visible = 60 + (80 * x) // columns + (40 * y) // rows
    checkered = (y < rows // 2) & (x >= columns // 2)
    visible += np.where(checkered, 30 * ((x // 4 + y // 4) % 2), 0)
    visible += np.where(y >= (3 * rows) // 4, 25 * (((x * x) // 64) % 2), 0)
    visible += congruential(rows * columns, 1).reshape(rows, columns) % 9 - 4
    # infrared: smooth dark ground, a hot disk, a cold bar, a thin bright line, little noise
    infrared = 40 + (30 * y) // rows
    disk = (y - rows // 3) ** 2 + (x - columns // 3) ** 2 <= (rows // 6) ** 2
    infrared += np.where(disk, 170, 0)
    bar = (y >= (5 * rows) // 8) & (y < (6 * rows) // 8) & (x >= columns // 4)
    infrared += np.where(bar, -25, 0)
    infrared += np.where(x == (3 * columns) // 4, 90, 0)
    infrared += congruential(rows * columns, 7).reshape(rows, columns) % 5 - 2
    return _uint8(infrared), _uint8(visible)


def street(rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return a crop of the thermal and of the visible image of examples/images/street."""
    return tuple(
        np.ascontiguousarray(iio.imread(STREET / name)[rows, columns])
        for name in ("c.png", "a.png")
    )


def mean(infrared: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Return the mean, halves rounded upwards."""
    return _uint8((infrared.astype(np.int64) + visible + 1) // 2)


def maximum(infrared: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Return the brighter of both pixels."""
    return np.maximum(infrared, visible)


def noisy(infrared: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Return a weighted mean, 1 to 3, with noise of up to 6 gray levels."""
    noise = congruential(infrared.size, 3).reshape(infrared.shape) % 13 - 6
    return _uint8((infrared.astype(np.int64) + 3 * visible) // 4 + noise)


RECIPES = {
    "s64": (lambda: synthetic(64, 64), mean),
    "s61": (lambda: synthetic(53, 61), maximum),
    # edges are multiples of 16: no scale of a pyramid has an odd edge
    "street": (lambda: street(slice(64, 256), slice(120, 360)), noisy),
    "corner": (lambda: street(slice(131, 308), slice(0, 181)), mean),
}
"""Name -> its sources, and how they are fused."""


@cache
def image_set(name: str) -> ImageSet:
    """Return an image set of RECIPES."""
    sources, fuse = RECIPES[name]
    infrared, visible = sources()
    return ImageSet(fuse(infrared, visible), infrared, visible)


@cache
def color_set(name: str) -> ImageSet:
    """Return an image set of RECIPES in color, `(H, W, 3)`; its infrared image stays gray.

    Green and blue are the image upside down and mirrored, so that every hue occurs.
    """
    images = image_set(name)
    gray = np.stack([images.infrared] * 3, axis=-1)
    fused, visible = (
        np.stack([image, image[::-1], image[:, ::-1]], axis=-1)
        for image in (images.fused, images.visible)
    )
    return ImageSet(fused, gray, visible)


def tensors_of(ref: MetricRef, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the fused image and the sources of an image set as a metric takes them."""
    images = color_set(name) if ref.color else image_set(name)
    fused, *sources = (torch.from_numpy(np.atleast_3d(image)).movedim(-1, 0) for image in images)
    stack = torch.stack(sources)
    return (fused[None], stack[:, None]) if ref.color else (fused, stack)


def _uint8(pixels: np.ndarray) -> np.ndarray:
    return np.clip(pixels, 0, 255).astype(np.uint8)
