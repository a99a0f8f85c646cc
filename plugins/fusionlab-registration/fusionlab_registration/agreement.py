"""Whether small blocks, each on its own, say that two images lie on each other.

A matrix was chosen among many, so that a high correlation proves little. Each block of the
fixed image is searched for in the moving one around the place where the matrix puts it. By chance
its best place is within the tolerance as often as the tolerance's part of the searched area; the
probability that so many blocks are there by chance decides (the a-contrario test of Moisan and
Stival 2004, doi:10.1023/B:VISI.0000013094.38752.b0).
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from fusionlab_registration.fields import Image, field
from fusionlab_registration.fit import Images, brought, levels, shared
from fusionlab_registration.geometry import Matrix

SIDE = 224.0
"""Square root of the number of pixels that are compared."""
_BLOCKS = 10  # in a row: more and smaller ones each tell too little
_SMALLEST = 16  # pixels of the side of a block
_RADIUS = 9  # pixels that are searched on all sides
_TOLERANCE = 2.3  # pixels within which a block agrees
_SMOOTH = 1.2


class Agreement(NamedTuple):
    """How many blocks agree, and how surprising it would be by chance."""

    blocks: int
    agreeing: int
    surprise: float  # -log10 of the probability by chance
    spread: float  # 0..1: how well the agreeing blocks cover both directions


def agreement(images: Images, matrix: Matrix) -> Agreement:
    """Return how well blocks agree that the matrix puts the images on each other."""
    moving, fixed = levels(images, matrix, SIDE)
    size = height, width = fixed.image.shape
    current = moving.to_level @ matrix @ np.linalg.inv(fixed.to_level)
    valid, inside = shared(moving, fixed, current)
    if not inside.any():
        return Agreement(0, 0, 0.0, 0.0)
    image = brought(moving.image, current, size)
    one, other = (
        np.ascontiguousarray(field(a, v, _SMOOTH, doubled=images.doubled).transpose(1, 2, 0))
        for a, v in ((fixed.image, fixed.valid), (image, valid))
    )
    usual = float((one**2).sum(axis=2)[inside > 0].mean())
    side = max(_SMALLEST, int(np.sqrt(height * width) / _BLOCKS))
    chances, hits = [], []
    for y in range(0, height - side + 1, side):
        for x in range(0, width - side + 1, side):
            block = one[y : y + side, x : x + side]
            if inside[y : y + side, x : x + side].mean() < 0.6:
                continue
            if float((block**2).sum(axis=2).mean()) < 0.15 * usual + 1e-6:
                continue
            top, left = max(0, y - _RADIUS), max(0, x - _RADIUS)
            window = other[top : y + side + _RADIUS, left : x + side + _RADIUS]
            scores = _scores(window, block)
            place = np.unravel_index(int(scores.argmax()), scores.shape)
            off = np.hypot(place[0] - (y - top), place[1] - (x - left))
            hits.append(off <= _TOLERANCE)
            chances.append(min(1.0, np.pi * _TOLERANCE**2 / scores.size))
    if not hits:
        return Agreement(0, 0, 0.0, 0.0)
    chance = max(float(np.mean(chances)), 0.05)
    surprise = -float(binom.logsf(sum(hits) - 1, len(hits), chance)) / np.log(10)
    return Agreement(len(hits), int(sum(hits)), max(0.0, surprise), _spread(one[inside > 0]))


def _scores(window: Image, block: Image) -> NDArray[np.float32]:
    both = cv2.matchTemplate(window, block, cv2.TM_CCORR)
    energy = cv2.matchTemplate((window**2).sum(axis=2), (block**2).sum(axis=2), cv2.TM_CCORR)
    return np.asarray(both / np.sqrt(energy + 0.05 * float(energy.max()) + 1e-9))


def _spread(vectors: Image) -> float:
    """Return 1 where edges run in all directions, 0 where all run in one."""
    length = float(np.sqrt((vectors**2).sum(axis=1)).sum())
    return 1 - float(np.hypot(*vectors.sum(axis=0))) / max(length, 1e-9)
