"""Matrices that map the fixed grid to the moving grid, and what is plausible among them.

A matrix is (3, 3) in float64 and maps `(x, y, 1)`; the centers of the pixels are at integers.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Model = Literal["translation", "similarity", "affine", "homography"]
Size = tuple[int, int]

MODELS: tuple[Model, ...] = ("translation", "similarity", "affine", "homography")
FREEDOM = {"translation": 2, "similarity": 4, "affine": 6, "homography": 8}
"""Number of parameters of each model."""


def corners(size: Size) -> NDArray[np.float64]:
    """Return the outer corners of an image of `size` (height, width) as (4, 2) points (x, y)."""
    height, width = size
    left, top, right, bottom = -0.5, -0.5, width - 0.5, height - 0.5
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def apply(matrix: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, 2) points mapped by the matrix; not finite beyond its horizon."""
    x, y = points[..., 0], points[..., 1]
    mapped = [row[0] * x + row[1] * y + row[2] for row in matrix]
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.where(mapped[2] > 1e-9, mapped[2], np.nan)
        return np.stack([mapped[0] / depth, mapped[1] / depth], axis=-1)


def resized(old: Size, new: Size) -> Matrix:
    """Return the matrix from an image of size `old` to the same image, resized to `new`."""
    y, x = new[0] / old[0], new[1] / old[1]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def turned(
    angle: float, scale: float, center: tuple[float, float], onto: tuple[float, float]
) -> Matrix:
    """Return the similarity that turns by `angle` (radians), scales, `center` to `onto`."""
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    x, y = center
    return np.array([[c, -s, onto[0] - c * x + s * y], [s, c, onto[1] - s * x - c * y], [0, 0, 1]])


def inverse(matrix: Matrix) -> Matrix:
    """Return the inverse, its last element one; not finite where there is none."""
    try:
        return unit(np.asarray(np.linalg.inv(matrix), np.float64))
    except np.linalg.LinAlgError:
        return np.full((3, 3), np.nan)


def unit(matrix: Matrix) -> Matrix:
    """Return the matrix scaled so that its last element is one."""
    return np.asarray(matrix / matrix[2, 2])


def overlap_polygon(matrix: Matrix, fixed: Size, moving: Size) -> NDArray[np.float64]:
    """Return the corners (N, 2), in the fixed image, of what both images show; empty: nothing."""
    polygon = corners(fixed)
    other = apply(inverse(matrix), corners(moving))
    if not np.isfinite(other).all():
        return np.empty((0, 2))
    rolled = np.roll(other, -1, axis=0)
    if np.sum(other[:, 0] * rolled[:, 1] - rolled[:, 0] * other[:, 1]) < 0:
        return np.empty((0, 2))  # mirrored
    for start, end in zip(other, rolled, strict=True):  # Sutherland and Hodgman
        if not len(polygon):
            return polygon
        edge = end - start
        inside = edge[0] * (polygon[:, 1] - start[1]) - edge[1] * (polygon[:, 0] - start[0])
        kept = []
        for i in range(len(polygon)):
            a, b, ia, ib = polygon[i - 1], polygon[i], inside[i - 1], inside[i]
            if (ia >= 0) != (ib >= 0):
                kept.append(a + (b - a) * (ia / (ia - ib)))
            if ib >= 0:
                kept.append(b)
        polygon = np.array(kept).reshape(-1, 2)
    return polygon


def area(polygon: NDArray[np.float64]) -> float:
    """Return the area of a polygon (N, 2)."""
    if len(polygon) < 3:
        return 0.0
    x, y = polygon[:, 0], polygon[:, 1]
    return float(abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2)


def distance(one: Matrix, other: Matrix, points: NDArray[np.float64]) -> float:
    """Return by how much two matrices differ at most at the points, in pixels of their target."""
    gap = apply(one, points) - apply(other, points)
    far = np.hypot(gap[:, 0], gap[:, 1])
    return float(far.max()) if len(far) and np.isfinite(far).all() else float("inf")


def restricted(matrix: Matrix, model: Model, size: Size) -> Matrix:
    """Return the matrix of the model nearest to `matrix` over an image: least squares."""
    grid_y, grid_x = np.meshgrid(
        np.linspace(0, size[0] - 1, 5), np.linspace(0, size[1] - 1, 5), indexing="ij"
    )
    points = np.stack([grid_x.ravel(), grid_y.ravel()], axis=1)
    target = apply(matrix, points)
    x, y = points.T
    if model == "homography":
        return unit(matrix)
    if model == "translation":
        shift = (target - points).mean(axis=0)
        return np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1.0]])
    one, zero = np.ones_like(x), np.zeros_like(x)
    if model == "similarity":
        rows = np.concatenate(
            [np.stack([x, -y, one, zero], axis=1), np.stack([y, x, zero, one], axis=1)]
        )
        a, b, tx, ty = np.linalg.lstsq(rows, target.T.ravel(), rcond=None)[0]
        return np.array([[a, -b, tx], [b, a, ty], [0, 0, 1.0]])
    columns = np.linalg.lstsq(np.stack([x, y, one], axis=1), target, rcond=None)[0]
    return np.vstack([columns.T, [0, 0, 1.0]])


def shape(matrix: Matrix, size: Size) -> dict[str, float]:
    """Return rotation (degrees), scale, anisotropy, and perspective over an image of `size`.

    Anisotropy is the ratio of the singular values at the center, perspective the ratio of the
    largest to the smallest local scale among the corners.
    """
    points = np.vstack([corners(size), [[(size[1] - 1) / 2, (size[0] - 1) / 2]]])
    scales = []
    linear = np.eye(2)
    for point in points:
        depth = matrix[2] @ [*point, 1]
        if depth <= 0:
            return {"rotation": 0.0, "scale": 0.0, "anisotropy": np.inf, "perspective": np.inf}
        bend = np.outer(matrix[:2] @ [*point, 1] / depth, matrix[2, :2])
        linear = (matrix[:2, :2] - bend) / depth
        scales.append(np.linalg.det(linear))
    values = np.linalg.svd(linear, compute_uv=False)
    mirrored = scales[-1] <= 0
    return {
        "rotation": float(np.degrees(np.arctan2(linear[1, 0] - linear[0, 1], linear.trace()))),
        "scale": 0.0 if mirrored else float(np.sqrt(scales[-1])),
        "anisotropy": float(values[0] / max(values[1], 1e-12)),
        "perspective": float(np.sqrt(max(scales) / min(scales))) if min(scales) > 0 else np.inf,
    }
