"""The estimator `phase`: a shift alone, sub-pixel, also between modalities.

Phase correlation, Kuglin and Hines 1975 (Proc. Int. Conf. Cybernetics and Society, 163-165), of
fields of doubled gradient angles, which are complex already; below the pixel by the refinement
of `fit.py`, not by the shape of the peak (Foroosh, Zerubia and Berthod 2002,
doi:10.1109/83.988953), which supposes that both images differ by nothing but the shift.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from fusionlab.registration.contract import Estimate
from fusionlab_registration import geometry
from fusionlab_registration.estimators import checked, floats
from fusionlab_registration.fields import field, level
from fusionlab_registration.fit import Images
from fusionlab_registration.geometry import Model
from fusionlab_registration.search import Peak

_SIDE = 256.0
_LEAST = 0.25  # of the smaller image, on each axis, that both share


def phase(
    moving: NDArray[np.float32],
    fixed: NDArray[np.float32],
    *,
    model: Model = "translation",
    moving_valid: NDArray[np.bool_] | None = None,
    fixed_valid: NDArray[np.bool_] | None = None,
) -> Estimate:
    """Estimate by how much one image is shifted against the other.

    Args:
        moving: (H, W), gray in 0..1.
        fixed: (H', W'), likewise, with pixels of the same size.
        model: "translation".
        moving_valid: which pixels are data; None: all.
        fixed_valid: likewise.

    Returns:
        The matrix from the fixed to the moving grid and a confidence, or the reason of a refusal.

    Raises:
        ValueError: another model.
    """
    if model != "translation":
        raise ValueError(f"phase correlation estimates a translation, got {model!r}")
    images = Images(moving, fixed, floats(moving_valid), floats(fixed_valid))
    return checked(images, "translation", peaks)


def peaks(images: Images, model: Model = "translation") -> list[Peak]:
    """Return the highest peaks of the phase correlation, highest first."""
    factor = _SIDE / float(np.sqrt(max(images.fixed.size, images.moving.size)))
    f = level(images.fixed, images.fixed_valid, factor)
    m = level(images.moving, images.moving_valid, factor)
    sizes = f.image.shape, m.image.shape
    shape = tuple(scipy.fft.next_fast_len(a + b) for a, b in zip(*sizes, strict=True))
    a, b = (
        scipy.fft.fft2(phi[0] + 1j * phi[1], shape, workers=1)
        for phi in (field(one.image, one.valid, 1.0) for one in (m, f))
    )
    cross = a * b.conj()
    strength = np.abs(cross)
    correlation = scipy.fft.ifft2(
        cross / (strength + 0.1 * float(strength.mean()) + 1e-12), workers=1
    ).real
    for axis, (length, one, other) in enumerate(zip(shape, *sizes, strict=True)):
        shift = np.arange(length)
        shift = np.where(shift < other, shift, shift - length)  # moving - fixed
        shared = np.minimum(one, other - shift) - np.maximum(0, -shift)
        far = shared < _LEAST * min(one, other)
        correlation[(far, slice(None)) if axis == 0 else (slice(None), far)] = -1
    found = []
    for _ in range(4):
        y, x = (int(n) for n in np.unravel_index(int(correlation.argmax()), shape))
        if correlation[y, x] <= 0:
            break
        right = x if x < sizes[1][1] else x - shape[1]
        down = y if y < sizes[1][0] else y - shape[0]
        matrix = np.array([[1, 0, right], [0, 1, down], [0, 0, 1.0]])
        matrix = geometry.inverse(m.to_level) @ matrix @ f.to_level
        matrix = geometry.restricted(matrix, model, images.fixed.shape)
        found.append(Peak(matrix, float(correlation[y, x])))
        correlation[max(0, y - 6) : y + 7, max(0, x - 6) : x + 7] = -1
    return found
