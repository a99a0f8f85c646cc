"""What is compared: fields of gradients, normalized by what is around them.

Between modalities the angle of a gradient is doubled, `(gx + i gy)^2 / |gx + i gy|`, so that an
edge counts alike whichever of its sides is brighter. Within a modality the angle stays.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fusionlab_registration import geometry
from fusionlab_registration.geometry import Matrix, Size

Image = NDArray[np.float32]

_WINDOW = 10.0  # pixels around a gradient to whose mean magnitude it is compared
_FLOOR = 0.3  # share of the mean magnitude of the image below which a gradient is noise
_DARK = 2e-4  # the same for an image without gradients: a twentieth of an 8-bit level
_KNEE = 2.0  # a stronger edge than this counts little more


class Level(NamedTuple):
    """An image at one size of a pyramid."""

    image: Image
    valid: Image
    to_level: Matrix  # from the image as it was given


def reduced(image: Image, size: Size) -> Image:
    """Return the image at `size` (height, width), antialiased where it shrinks."""
    if image.shape == size:
        return image
    shrinks = size[0] * size[1] < image.size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size[::-1], interpolation=method))


def level(image: Image, valid: Image | None, factor: float) -> Level:
    """Return the image scaled by `factor`; never larger than it is."""
    factor = min(1.0, factor)
    size = (max(8, round(image.shape[0] * factor)), max(8, round(image.shape[1] * factor)))
    mask = np.ones(size, np.float32) if valid is None else reduced(valid, size)
    return Level(reduced(image, size), mask, geometry.resized(image.shape, size))


def blurred(image: Image, sigma: float) -> Image:
    """Return the image after a Gaussian blur."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma)) if sigma else image


def derivatives(image: Image) -> tuple[Image, Image]:
    """Return the derivatives to the right and downwards, per pixel."""
    return (
        np.asarray(cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)),
        np.asarray(cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)),
    )


def field(image: Image, valid: Image, smooth: float, *, doubled: bool = True) -> Image:
    """Return the field of an image (2, H, W): real and imaginary part, about 0..1 long.

    Args:
        image: (H, W).
        valid: (H, W), 0..1: how much of a pixel counts.
        smooth: blur of the field, in pixels; 0: none.
        doubled: double the angles.
    """
    gx, gy = derivatives(blurred(image, 0.8))
    # that of OpenCV differs in the last bit with the place of the arrays in memory
    strength = np.sqrt(gx * gx + gy * gy)
    magnitude = strength * valid
    mean = float(magnitude.sum()) / max(float(valid.sum()), 1.0)
    around = blurred(magnitude, _WINDOW) / np.maximum(blurred(valid, _WINDOW), 0.1)
    relative = magnitude / (around + np.float32(_FLOOR * mean + _DARK))
    length = relative / (1 + relative / _KNEE) * valid
    norm = np.maximum(strength, np.float32(1e-12))
    x, y = gx / norm, gy / norm
    parts = (x * x - y * y, 2 * x * y) if doubled else (x, y)
    return np.stack([blurred(np.asarray(part * length, np.float32), smooth) for part in parts])
