"""One transform for all pairs of a camera rig, from the estimates of many pairs.

Cameras that do not move against each other have one transform, as far as the scene is far away.
Each estimate is seen as the places of the four corners of the fixed image. The median over the
pairs, coordinate by coordinate, does not follow a minority of wrong estimates; the pairs near it
agree, and the transform is the one whose corners lie closest to their mean (least squares).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError
from fusionlab.registration.transform import Model, Transform, corners_of

MIN_PAIRS = 3
"""So many pairs must agree: of two that differ, either may be right."""

MIN_AGREEMENT = 0.5
"""The smallest share of the estimates that must agree."""

NEAR = 3.0
"""Estimates within so many robust standard deviations of the median agree with it."""

ALWAYS_NEAR = 2.0
"""So many pixels of the moving image from the median is near in any case: estimates of pairs are
no better than that."""

NEVER_NEAR = 0.02
"""Nothing agrees that is farther away than this share of the diagonal of the moving image: where
the estimates scatter more, the cameras moved, or the scene is too near."""

TO_DEVIATION = 1.4826
"""A standard deviation is so many median absolute deviations, for a normal distribution."""


@dataclass(frozen=True)
class Rig:
    """The transform of a rig, and how well the pairs agree.

    Args:
        transform: from the grid of the reference to that of the source.
        distances: how far each estimate sends a corner from it at most, in pixels of the source;
            in the order of the estimates.
        agreeing: which estimates it was made from.
    """

    transform: Transform
    distances: tuple[float, ...]
    agreeing: tuple[bool, ...]

    @property
    def spread(self) -> float:
        """The median distance of the estimates that agree, in pixels of the source."""
        near = [d for d, used in zip(self.distances, self.agreeing, strict=True) if used]
        return float(np.median(near))


def estimate_rig(estimates: Sequence[Transform], pairs: int) -> Rig:
    """Estimate the transform of a rig.

    Args:
        estimates: of pairs whose images have the same sizes, of one model.
        pairs: how many were tried, with those that were refused.

    Raises:
        FusionlabError: fewer than `MIN_PAIRS` pairs agree, or fewer than half of the estimates
            (code `no-rig`), or the sizes or models differ (code `mixed-sizes`).
    """
    if len(estimates) < MIN_PAIRS:
        raise _no_rig(f"only {len(estimates)} of {pairs} pairs could be registered")
    first = estimates[0]
    kinds = {(each.fixed, each.moving, each.model) for each in estimates}
    if len(kinds) > 1:
        raise FusionlabError(
            "the pairs of a rig must have the same sizes; split the set by size",
            code="mixed-sizes",
        )
    corners = np.stack([each(corners_of(first.fixed)) for each in estimates])
    away = _farthest(corners, np.median(corners, axis=0))
    scatter = NEAR * TO_DEVIATION * float(np.median(away))
    limit = min(max(ALWAYS_NEAR, scatter), NEVER_NEAR * float(np.hypot(*first.moving)))
    near = away <= limit
    if near.sum() < max(MIN_PAIRS, MIN_AGREEMENT * len(estimates)):
        raise _no_rig(
            f"only {near.sum()} of {len(estimates)} estimates lie within {limit:.1f} pixels of "
            "their median"
        )
    matrix = fit(corners_of(first.fixed), corners[near].mean(axis=0), first.model)
    transform = Transform(matrix, first.fixed, first.moving, first.model)
    distances = _farthest(corners, transform(corners_of(first.fixed)))
    return Rig(transform, tuple(distances.tolist()), tuple(near.tolist()))


def fit(
    fixed: NDArray[np.float64], moving: NDArray[np.float64], model: Model
) -> NDArray[np.float64]:
    """Return the matrix of a model that sends points closest to others, by least squares.

    Args:
        fixed: points `(n, 2)`; n >= 4, in general position.
        moving: where they should go.
        model: the family.
    """
    x, y = fixed.T
    zero, one = np.zeros_like(x), np.ones_like(x)
    u, v = moving.T
    if model == "translation":
        shift = (moving - fixed).mean(axis=0)
        return np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]])
    if model == "similarity":  # u = a x - b y + c, v = b x + a y + d
        rows = [np.stack([x, -y, one, zero], -1), np.stack([y, x, zero, one], -1)]
        a, b, c, d = _solved(rows, u, v)
        return np.array([[a, -b, c], [b, a, d], [0, 0, 1]])
    if model == "affine":
        rows = [
            np.stack([x, y, one, zero, zero, zero], -1),
            np.stack([zero, zero, zero, x, y, one], -1),
        ]
        return np.array([*_solved(rows, u, v).reshape(2, 3), [0, 0, 1]])
    # u (g x + h y + 1) = a x + b y + c: exact for four points, nearly least squares for more
    rows = [
        np.stack([x, y, one, zero, zero, zero, -u * x, -u * y], -1),
        np.stack([zero, zero, zero, x, y, one, -v * x, -v * y], -1),
    ]
    return np.array([*_solved(rows, u, v), 1.0]).reshape(3, 3)


def _solved(
    rows: Sequence[NDArray[np.float64]], u: NDArray[np.float64], v: NDArray[np.float64]
) -> NDArray[np.float64]:
    solution, *_ = np.linalg.lstsq(np.concatenate(rows), np.concatenate([u, v]), rcond=None)
    return np.asarray(solution, np.float64)


def _farthest(corners: NDArray[np.float64], center: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far a corner of each estimate lies from its place in another one at most."""
    distances: NDArray[np.float64] = np.linalg.norm(corners - center, axis=-1).max(axis=-1)
    return distances


def _no_rig(reason: str) -> FusionlabError:
    return FusionlabError(
        f"no transform of the rig could be estimated: {reason}; at least {MIN_PAIRS} pairs and "
        "half of the estimates must agree",
        code="no-rig",
        option="rig",
    )
