"""The coarse search: fields of gradients, correlated over all shifts by FFT, for a grid of
rotations and scales.

The score of a shift is the correlation of both fields, divided by its standard deviation if the
angles were random: `z = sum Re(F conj(M)) / sqrt(sum |F|^2 |M|^2 / 2)`. It needs no window, grows
with what both images share, and areas without structure neither help nor harm.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from fusionlab_registration import geometry
from fusionlab_registration.fields import Image, field, reduced
from fusionlab_registration.geometry import Matrix, Size

SIDE = 112.0
"""Square root of the number of pixels that are searched."""
ANGLES = np.radians(np.arange(-24, 25, 4.0))
SCALES = np.exp(np.arange(-5, 6) * 0.08)
"""Of the moving image relative to a fixed one of the same area: 0.67 to 1.49."""

_SMOOTH = 1.5  # blur of the fields: half a step of the grid at the border of the image
_LEAST = 0.3  # part of the smaller image that both must share
_APART = 0.12  # peaks nearer than this, in sides, are one


class Peak(NamedTuple):
    """A similarity between the images as they were given, and how much it stands out."""

    matrix: Matrix
    score: float


def search(
    moving: Image,
    fixed: Image,
    moving_valid: Image | None = None,
    fixed_valid: Image | None = None,
    *,
    angles: NDArray[np.float64] = ANGLES,
    scales: NDArray[np.float64] = SCALES,
    side: float = SIDE,
    keep: int = 6,
    doubled: bool = True,
) -> list[Peak]:
    """Return the highest peaks, highest first, apart from one another.

    Args:
        moving: (H, W).
        fixed: (H', W').
        moving_valid: (H, W), 0..1; None: all of it.
        fixed_valid: (H', W'), 0..1; None: all of it.
        angles: radians by which the moving image may be turned.
        scales: of the moving image relative to a fixed image of the same area.
        side: square root of the number of pixels to search.
        keep: the number of peaks.
        doubled: compare doubled angles.
    """
    size_f, size_m = _working(fixed.shape, side), _working(moving.shape, side)
    phi_f = _field(fixed, fixed_valid, size_f, doubled=doubled)
    phi_m = _field(moving, moving_valid, size_m, doubled=doubled)
    canvases = {(a, s): _canvas(size_m, a, s) for a in angles for s in scales}
    shape = (
        scipy.fft.next_fast_len(size_f[0] + max(c[0] for c in canvases.values()), real=True),
        scipy.fft.next_fast_len(size_f[1] + max(c[1] for c in canvases.values()), real=True),
    )
    spectrum = scipy.fft.rfft2(phi_f, shape, workers=1)
    energy = scipy.fft.rfft2((phi_f**2).sum(axis=0), shape, workers=1)
    found: list[Peak] = []
    for (angle, scale), canvas in canvases.items():
        to_moving = geometry.turned(angle, scale, _center(canvas), _center(size_m))
        turned = _turned(phi_m, to_moving, canvas, angle * (2 if doubled else 1))
        other = scipy.fft.rfft2(turned, shape, workers=1)
        both = scipy.fft.irfft2((spectrum * other.conj()).sum(axis=0), shape, workers=1)
        other = scipy.fft.rfft2((turned**2).sum(axis=0), shape, workers=1)
        spread = scipy.fft.irfft2(energy * other.conj(), shape, workers=1)
        score = both / np.sqrt(0.5 * np.maximum(spread, 0.02 * float(spread.max()) + 1e-6))
        score[_shared(shape, size_f, canvas) < _LEAST] = -1
        for _ in range(2):
            y, x = np.unravel_index(int(score.argmax()), shape)
            if score[y, x] <= 0:
                break
            right = int(x) if x < size_f[1] else int(x) - shape[1]
            down = int(y) if y < size_f[0] else int(y) - shape[0]
            shift = np.array([[1, 0, -right], [0, 1, -down], [0, 0, 1.0]])
            found.append(Peak(to_moving @ shift, float(score[y, x])))
            score[max(0, y - 6) : y + 7, max(0, x - 6) : x + 7] = -1
    found.sort(key=lambda peak: -peak.score)
    apart: list[Peak] = []
    points = geometry.corners(size_f)
    for peak in found:
        if len(apart) == keep:
            break
        if all(geometry.distance(peak.matrix, p.matrix, points) > _APART * side for p in apart):
            apart.append(peak)
    to_small = geometry.resized(fixed.shape, size_f)
    to_full = geometry.resized(size_m, moving.shape)
    return [Peak(to_full @ peak.matrix @ to_small, peak.score) for peak in apart]


def scale_of_shift(moving: Size, fixed: Size, side: float = SIDE) -> float:
    """Return the scale, as `search` counts it, at which pixels are of one size."""
    scales = [np.divide(_working(size, side), size).prod() for size in (moving, fixed)]
    return float(np.sqrt(scales[0] / scales[1]))


def _working(size: Size, side: float) -> Size:
    factor = min(1.0, side / float(np.sqrt(size[0] * size[1])))
    return max(8, round(size[0] * factor)), max(8, round(size[1] * factor))


def _field(image: Image, valid: Image | None, size: Size, *, doubled: bool) -> Image:
    mask = np.ones(size, np.float32) if valid is None else reduced(valid, size)
    return field(reduced(image, size), mask, _SMOOTH, doubled=doubled)


def _center(size: Size) -> tuple[float, float]:
    return (size[1] - 1) / 2, (size[0] - 1) / 2


def _canvas(size: Size, angle: float, scale: float) -> Size:
    c, s = abs(np.cos(angle)) / scale, abs(np.sin(angle)) / scale
    return int(np.ceil(size[0] * c + size[1] * s)), int(np.ceil(size[1] * c + size[0] * s))


def _turned(phi: Image, to_image: Matrix, size: Size, angle: float) -> Image:
    """Return the field on a turned canvas; its directions turn with it."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    real, imaginary = (cv2.warpAffine(part, to_image[:2], size[::-1], flags=flags) for part in phi)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return np.asarray(np.stack([c * real + s * imaginary, c * imaginary - s * real]))


def _shared(shape: Size, fixed: Size, canvas: Size) -> NDArray[np.float64]:
    """Return for each shift how much of the smaller image both share."""
    lengths = []
    for length, one, other in zip(shape, fixed, canvas, strict=True):
        shift = np.arange(length)
        shift = np.where(shift < one, shift, shift - length)
        lengths.append(np.clip(np.minimum(one, shift + other) - np.maximum(0, shift), 0, None))
    smaller = min(fixed[0] * fixed[1], canvas[0] * canvas[1])
    return np.asarray(np.outer(lengths[0], lengths[1]) / smaller)
