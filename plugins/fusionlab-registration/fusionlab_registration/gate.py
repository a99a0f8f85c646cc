"""Whether an estimate may be used.

Blocks that agree decide, with how far the best place stands out from the second; the rest
can only refuse. `agreement.py` says why a correlation alone proves little.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from fusionlab_registration import geometry
from fusionlab_registration.agreement import Agreement
from fusionlab_registration.fields import Image, field, level
from fusionlab_registration.geometry import Matrix, Size

NEEDED = 5.0
"""Score from which on an estimate is used. At most one and a half points come from standing out, so
that at least three and a half are those of blocks: one in three thousand by chance alone. The most
that pairs of the benchmark reached that do not belong together is 4.3."""
EVIDENCE = 60.0
"""Nats that the best place must be worth. In small images the best of a million places, worth 40 at
most where the images are unrelated, can make their few blocks agree."""
LIMITS: Mapping[str, tuple[float, float]] = {
    "rotation": (-32.0, 32.0),
    "scale": (0.5, 2.0),  # relative to images of the same area
    "anisotropy": (1.0, 1.35),
    "perspective": (1.0, 1.8),
}
"""What is plausible: degrees, and ratios."""
LEAST_OVERLAP = 0.2
"""The part of the smaller image that both must share."""
DRIFT = {"translation": 1.0, "similarity": 1.0, "affine": 1.5, "homography": 1.5}
"""Percent of the size by which two estimates of the same may differ at the corners."""
ONE_DIRECTION = 0.02
"""Spread of the directions of edges below which they run in one."""
_CONTRAST = 0.004
"""Standard deviation of an image that shows nothing."""
_COHERENCE = 0.3
"""Part of the field that a blur leaves: white noise keeps 0.25, images of scenes 0.4 and more."""


def score(found: Agreement, evidence: float, second: float) -> float:
    """Return what the gate compares with `NEEDED`.

    Args:
        found: of the blocks.
        evidence: of the best place.
        second: of the best place elsewhere.
    """
    apart = np.log2(max(evidence, 1e-9) / max(second, 1e-9))
    return found.surprise + 1.5 * float(np.clip(apart, 0, 1))


def confidence(points: float) -> float:
    """Return a score as 0..1, 0.5 at `NEEDED`."""
    return float(1 / (1 + np.exp(-(points - NEEDED))))


def implausible(matrix: Matrix, fixed: Size, moving: Size) -> str:
    """Return what is beyond the limits, as a clause; empty: nothing."""
    shape = geometry.shape(matrix, fixed)
    shape["scale"] *= float(np.sqrt(fixed[0] * fixed[1] / (moving[0] * moving[1])))
    units = {"rotation": " degrees"}
    for name, (low, high) in LIMITS.items():
        if not low <= shape[name] <= high:
            unit = units.get(name, "")
            return f"a {name} of {shape[name]:.3g}{unit} was found, {low:g} to {high:g} is expected"
    return ""


def overlap(matrix: Matrix, fixed: Size, moving: Size) -> float:
    """Return the part of the smaller image, on the fixed grid, that both show."""
    polygon = geometry.overlap_polygon(matrix, fixed, moving)
    other = geometry.apply(geometry.inverse(matrix), geometry.corners(moving))
    whole = min(float(fixed[0] * fixed[1]), geometry.area(other))
    return geometry.area(polygon) / whole if np.isfinite(whole) and whole > 0 else 0.0


def structureless(image: Image, valid: Image | None) -> str:
    """Return what an image lacks to be registered, as a clause; empty: nothing."""
    small = level(image, valid, 224 / float(np.sqrt(image.size)))
    inside = cv2.erode((small.valid > 0.95).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if inside.sum() < 400:
        return f"{int(inside.sum())} pixels are valid where 400 are needed"
    contrast = float(small.image[inside].std())
    if contrast < _CONTRAST:
        return f"its contrast is {contrast:.2g} where {_CONTRAST:g} is needed"
    plain = field(small.image, small.valid, 0.0)
    blurred = field(small.image, small.valid, 2.0)
    kept = float((blurred[:, inside] ** 2).mean() / max((plain[:, inside] ** 2).mean(), 1e-9))
    kept = float(np.sqrt(kept))
    if kept < _COHERENCE:
        return f"its edges are those of noise (coherence {kept:.2f} where {_COHERENCE:g} is needed)"
    return ""
