"""Transforms between the pixel grids of two images: translation to homography.

A transform maps points of the fixed grid, on which the result lies, to points of the moving grid,
which is resampled: for each pixel of the result it says where to look. Points are (x, y) with
integers at the centers of pixels, x to the right and y downwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusionlab.errors import FusionlabError

Model = Literal["translation", "similarity", "affine", "homography"]
"""The family of a transform, from few parameters to many: 2, 4, 6 and 8."""

MODELS: tuple[Model, ...] = get_args(Model)

Size = tuple[int, int]
"""Width and height of an image in pixels."""


MAX_EDGE = 2**31
"""Images with longer edges are in no format."""


@dataclass(frozen=True, eq=False)
class Transform:
    """Where each pixel of the fixed image lies in the moving image.

    Args:
        matrix: `(3, 3)`, maps homogeneous points (x, y, 1) of the fixed grid to the moving grid. It
            is kept with 1 in its last entry.
        fixed: width and height of the fixed image.
        moving: width and height of the moving image.
        model: the family; the matrix must belong to it.

    Raises:
        FusionlabError: the matrix is not of this model, is not finite or cannot be inverted, or
            sends a part of the fixed image to infinity (code `bad-transform`).
    """

    matrix: NDArray[np.float64]
    fixed: Size
    moving: Size
    model: Model = "homography"

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise bad_transform(f"the model must be one of {', '.join(MODELS)}, got {self.model!r}")
        for name, size in (("fixed", self.fixed), ("moving", self.moving)):
            if not (len(size) == 2 and all(isinstance(n, int) and 0 < n < MAX_EDGE for n in size)):
                raise bad_transform(f"the size of the {name} image must be two counts, got {size}")
        try:
            matrix = np.array(self.matrix, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise bad_transform(f"the matrix must be 3x3 numbers, got {self.matrix!r}") from None
        if matrix.shape != (3, 3):
            raise bad_transform(f"the matrix must be 3x3 numbers, got the shape {matrix.shape}")
        if not np.isfinite(matrix).all() or matrix[2, 2] == 0:
            raise bad_transform("the matrix must be finite, with its last entry not 0")
        matrix = matrix / matrix[2, 2]
        with np.errstate(over="ignore"):  # beyond any image
            depth = (corners_of(self.fixed) @ matrix[2, :2]) + 1
        if (depth <= 0).any() or not np.linalg.det(matrix) > 0:
            raise bad_transform(
                "the matrix must keep the whole image in front of the camera, and not mirror it"
            )
        if not _belongs(matrix, self.model):
            raise bad_transform(f"the matrix is not a {self.model}")
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def identity(cls, size: Size) -> Transform:
        """Return the transform of two images of one size that lie on each other."""
        return cls(np.eye(3), size, size, "translation")

    def __call__(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return where points of the fixed grid, `(..., 2)`, lie on the moving grid."""
        given = np.asarray(points, np.float64)
        mapped = given @ self.matrix[:, :2].T + self.matrix[:, 2]
        result: NDArray[np.float64] = mapped[..., :2] / mapped[..., 2:]
        return result

    def inverse(self) -> Transform:
        """Return the transform from the moving image to the fixed one."""
        matrix = np.asarray(np.linalg.inv(self.matrix), np.float64)
        return Transform(matrix, self.moving, self.fixed, self.model)

    def after(self, first: Transform) -> Transform:
        """Return the transform that applies another one first: `self(first(points))`.

        Raises:
            FusionlabError: the moving image of `first` is not as large as the fixed image of this
                transform (code `bad-transform`).
        """
        if first.moving != self.fixed:
            raise bad_transform(
                f"transforms can be chained where the sizes agree, got {first.moving} and "
                f"{self.fixed}"
            )
        model = max(self.model, first.model, key=MODELS.index)
        return Transform(self.matrix @ first.matrix, first.fixed, self.moving, model)

    @cached_property
    def steps(self) -> tuple[float, float]:
        """How many columns and rows of the moving image one pixel of the result spans.

        At the center of the fixed image; above 1 where the moving image is finer.
        """
        center = (np.array(self.fixed) - 1) / 2
        there = self(center)
        along_x, along_y = (self(center + step) - there for step in np.eye(2))
        columns, rows = np.hypot(along_x, along_y)
        return float(columns), float(rows)

    def displacement(self, other: Transform) -> float:
        """Return how far two transforms of the same images send a corner apart at most, in pixels
        of the moving image.
        """
        corners = corners_of(self.fixed)
        return float(np.linalg.norm(self(corners) - other(corners), axis=-1).max())

    def to_json(self) -> dict[str, Any]:
        """Return the transform as `from_json` reads it."""
        return {
            "model": self.model,
            "matrix": [[float(value) for value in row] for row in self.matrix],
            "fixed": list(self.fixed),
            "moving": list(self.moving),
        }

    @classmethod
    def from_json(cls, value: Any) -> Transform:
        """Return a transform from its JSON value.

        Raises:
            FusionlabError: it is none (code `bad-transform`).
        """
        match value:
            case {
                "model": str(model),
                "matrix": [[_, _, _], [_, _, _], [_, _, _]] as matrix,
                "fixed": [int(), int()] as fixed,
                "moving": [int(), int()] as moving,
            } if all(type(number) in (int, float) for row in matrix for number in row):
                return cls(matrix, tuple(fixed), tuple(moving), model)  # type: ignore[arg-type]
        raise bad_transform(
            'a transform is {"model": ..., "matrix": 3x3 numbers, "fixed": [width, height], '
            '"moving": [width, height]}'
        )


def corners_of(size: Size) -> NDArray[np.float64]:
    """Return the centers of the four corner pixels of an image, `(4, 2)`, clockwise."""
    right, bottom = size[0] - 1, size[1] - 1
    return np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float64)


def _belongs(matrix: NDArray[np.float64], model: Model) -> bool:
    """Return whether a matrix belongs to a model, but for rounding."""
    scale = 1e-9 * max(1.0, float(np.abs(matrix).max()))

    def near(*values: float) -> bool:
        return all(abs(value) <= scale for value in values)

    if model == "homography":
        return True
    (a, b, _), (c, d, _), (g, h, _) = matrix.tolist()
    if not near(g, h):
        return False
    if model == "similarity":
        return near(a - d, b + c)
    return model == "affine" or near(a - 1, d - 1, b, c)


def bad_transform(reason: str) -> FusionlabError:
    """Return the error of a transform that is none."""
    return FusionlabError(f"bad transform: {reason}", code="bad-transform")
