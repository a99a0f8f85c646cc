"""The matrix near a start at which two images agree best, from coarse to fine.

What is maximized is an information in nats per pixel: `-log(1 - rho^2)`, that of the two fields of
gradients (were they Gaussian, with the correlation rho), plus a share of the mutual information of
the gray values. Gray values vary slowly, so that fewer of them are independent.

Both are log-likelihoods, whose steps are taken as in scoring: the fields by Gauss and Newton with
a gain, as in the enhanced correlation coefficient (Evangelidis and Psarakis 2008,
doi:10.1109/TPAMI.2008.113); the gray values by the outer product of their scores. A matrix
that departs from a similarity has to earn it: its affine shape and its perspective have a prior.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fusionlab_registration import geometry
from fusionlab_registration.fields import Image, Level, blurred, derivatives, field, level
from fusionlab_registration.geometry import FREEDOM, Matrix, Model, Size
from fusionlab_registration.information import BINS, information, joint, ranked, slopes

INDEPENDENT = 30.0
"""Pixels for one independent sample of a field: it is blurred by about one and a half pixels."""
_SHAPE, _PERSPECTIVE = 0.05, 0.03  # standard deviations of the prior, over half the larger side
_TALLEST = 6.0  # the longest step, in pixels of a level
_KERNEL = np.ones((5, 5), np.uint8)


@dataclass(frozen=True)
class Images:
    """Two images, and how they are compared.

    Attributes:
        moving: (H, W).
        fixed: (H', W').
        moving_valid: (H, W), 0..1; None: all of it.
        fixed_valid: (H', W'), 0..1; None: all of it.
        doubled: compare doubled angles.
        share: weight of the mutual information of the gray values.
    """

    moving: Image
    fixed: Image
    moving_valid: Image | None = None
    fixed_valid: Image | None = None
    doubled: bool = True
    share: float = 0.1

    def swapped(self) -> Images:
        """Return the images in the other order."""
        return Images(
            self.fixed, self.moving, self.fixed_valid, self.moving_valid, self.doubled, self.share
        )


class Stage(NamedTuple):
    """One size of the pyramid: square root of its pixels, blur of the fields, most steps."""

    side: float
    smooth: float
    steps: int = 20


class Fit(NamedTuple):
    """A matrix and how well the images agree under it."""

    matrix: Matrix
    value: float  # what is maximized, in nats per pixel
    correlation: float  # of the fields, -1..1
    information: float  # mutual information of the gray values, in nats
    evidence: float  # the value times the independent samples of the overlap


def levels(images: Images, matrix: Matrix, side: float) -> tuple[Level, Level]:
    """Return the moving and the fixed image at the sizes at which they lie on each other."""
    factor = min(1.0, side / float(np.sqrt(images.fixed.size)))
    scale = geometry.shape(matrix, images.fixed.shape)["scale"] or 1.0
    factor = min(factor, scale)  # the coarser image is not enlarged
    fixed = level(images.fixed, images.fixed_valid, factor)
    return level(images.moving, images.moving_valid, factor / scale), fixed


def brought(image: Image, matrix: Matrix, size: Size, *, border: bool = True) -> Image:
    """Return the image on a grid of `size`, which the matrix maps to the image."""
    mode = cv2.BORDER_REPLICATE if border else cv2.BORDER_CONSTANT
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(image, matrix, size[::-1], flags=flags, borderMode=mode))


def shared(moving: Level, fixed: Level, matrix: Matrix) -> tuple[Image, Image]:
    """Return how valid the moving image is on the fixed grid, and where both count (0 or 1)."""
    valid = brought(moving.valid, matrix, fixed.image.shape, border=False)
    inside = (valid * fixed.valid > 0.95).astype(np.float32)
    return valid, np.asarray(
        cv2.erode(inside, _KERNEL, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    )


def fit(images: Images, start: Matrix, model: Model, stages: tuple[Stage, ...]) -> Fit:
    """Return the matrix of `model` near `start` at which the images agree best."""
    result = Fit(start, -1.0, 0.0, 0.0, 0.0)
    for stage in stages:
        result = _at_one_size(images, result.matrix, model, stage)
    return result


def _at_one_size(images: Images, start: Matrix, model: Model, stage: Stage) -> Fit:
    moving, fixed = levels(images, start, stage.side)
    size = fixed.image.shape
    scorer = _Scorer(images, moving, fixed, model, stage.smooth)
    best = current = moving.to_level @ start @ geometry.inverse(fixed.to_level)
    score = _Score(-1.0, 0.0, 0.0, 0.0)
    direction, trust = np.zeros(FREEDOM[model]), 2.0
    for _ in range(stage.steps):
        now, state = scorer.score(current)
        if state is not None and now.value > score.value:
            best, score = current, now
            trust = min(_TALLEST, 1.5 * trust)
            direction = scorer.step(best, state)
            longest = float((scorer.farthest * np.abs(direction)[:, None]).sum(axis=0).max())
            direction = direction / max(longest, 1e-12)
            length = min(longest, trust)
        elif not direction.any():
            break
        else:
            trust = length = length / 3
        if length < 0.02:
            break
        current = geometry.unit(best @ _increment(direction * length, model, size))
    matrix = geometry.unit(geometry.inverse(moving.to_level) @ best @ fixed.to_level)
    evidence = max(0.0, score.value) * score.pixels / INDEPENDENT
    return Fit(matrix, score.value, score.correlation, score.information, evidence)


class _Score(NamedTuple):
    value: float
    correlation: float
    information: float
    pixels: float


class _State(NamedTuple):
    """What was computed for a score and is needed for the step."""

    field: Image
    ranks: Image
    inside: Image
    table: NDArray[np.float64]
    gain: float
    noise: float


class _Scorer:
    """Two levels; scores matrices between them and says where to go."""

    def __init__(
        self, images: Images, moving: Level, fixed: Level, model: Model, smooth: float
    ) -> None:
        self.moving, self.fixed, self.model = moving, fixed, model
        self.smooth, self.doubled, self.share = smooth, images.doubled, images.share
        self.size = fixed.image.shape
        self.field = field(fixed.image, fixed.valid, smooth, doubled=self.doubled)
        self.ranks = ranked(blurred(fixed.image, 1.0), fixed.valid)
        self.moving_ranks = ranked(blurred(moving.image, 1.0), moving.valid)
        # the fields are blurred: every second pixel of a large level tells the same
        self.thin = (slice(None, None, 2),) * 2 if fixed.image.size > 1e5 else (slice(None),) * 2
        moves = _moves(model, self.size)[..., *self.thin].reshape(FREEDOM[model], 2, -1)
        self.farthest = np.abs(moves).max(axis=2)
        self.right, self.down = moves[:, 0], moves[:, 1]

    def score(self, matrix: Matrix) -> tuple[_Score, _State | None]:
        valid, inside = shared(self.moving, self.fixed, matrix)
        pixels = float(inside.sum())
        if pixels < 0.05 * inside.size:
            return _Score(-1.0, 0.0, 0.0, pixels), None
        image = brought(self.moving.image, matrix, self.size)
        phi = field(image, valid, self.smooth, doubled=self.doubled)
        cross, own, other = (
            float(np.sum(inside * a * b))
            for a, b in ((self.field, phi), (phi, phi), (self.field, self.field))
        )
        rho = cross / (np.sqrt(own * other) + 1e-9)
        ranks = brought(self.moving_ranks, matrix, self.size)
        chosen = inside > 0
        table = joint(self.ranks[chosen], ranks[chosen])
        mutual = information(table)
        value = self.share * mutual + min(rho, 0.0) - np.log(1 - min(max(rho, 0.0), 0.9999) ** 2)
        gain = max(cross / (own + 1e-9), 0.1)
        noise = 0.5 * (other - 2 * gain * cross + gain * gain * own) / pixels + 1e-6
        score = _Score(float(value), float(rho), mutual, pixels)
        return score, _State(phi, ranks, inside, table, gain, float(noise))

    def step(self, matrix: Matrix, state: _State) -> NDArray[np.float64]:
        """Return the step of the parameters, in pixels, that scoring takes."""
        scaled = state.gain * state.field
        (ax, ay), (bx, by) = derivatives(scaled[0]), derivatives(scaled[1])
        left = self.field - scaled
        weight = state.inside / state.noise
        xx, xy, yy, x, y = (
            (weight * part)[self.thin].ravel()
            for part in (
                ax * ax + bx * bx,
                ax * ay + bx * by,
                ay * ay + by * by,
                ax * left[0] + bx * left[1],
                ay * left[0] + by * left[1],
            )
        )
        right, down = self.right, self.down
        normal = (right * xx + down * xy) @ right.T + (right * xy + down * yy) @ down.T
        slope = right @ x + down @ y
        if self.share:
            rows = np.rint(self.ranks).astype(np.intp)
            columns = np.rint(np.clip(state.ranks, 0, BINS - 1)).astype(np.intp)
            gain = slopes(state.table)[rows, columns] * state.inside
            gx, gy = ((gain * part)[self.thin].ravel() for part in derivatives(state.ranks))
            scores = right * gx + down * gy
            normal = normal + self.share * (scores @ scores.T)
            slope = slope + self.share * scores.sum(axis=1)
        a, b = normal.astype(np.float64), slope.astype(np.float64)
        if FREEDOM[self.model] > 4:
            self._add_prior(matrix, a, b)
        a += np.eye(len(a)) * (1e-3 * np.trace(a) / len(a) + 1e-12)
        return np.asarray(np.linalg.solve(a, b))

    def _add_prior(self, matrix: Matrix, a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
        half = max(self.size) / 2
        local = _centered(self.moving.image.shape, half) @ matrix
        local = geometry.unit(local @ np.linalg.inv(_centered(self.size, half)))
        linear = local[:2, :2] - np.outer(local[:2, 2], local[2, :2])
        x, y = linear[0, 0] + linear[1, 1], linear[1, 0] - linear[0, 1]
        rest = np.linalg.inv(np.array([[x, -y], [y, x]]) / 2) @ linear
        departures: list[tuple[tuple[int, ...], tuple[int, ...], float, float]] = [
            ((2, 5), (1, -1), rest[0, 0] - rest[1, 1], _SHAPE),
            ((3, 4), (1, 1), rest[0, 1] + rest[1, 0], _SHAPE),
        ]
        if self.model == "homography":
            departures += [((n,), (1,), local[2, n - 6], _PERSPECTIVE) for n in (6, 7)]
        for places, signs, value, deviation in departures:
            row = np.zeros(len(a))
            row[list(places)] = np.array(signs) / half
            a += INDEPENDENT * np.outer(row, row) / deviation**2
            b -= INDEPENDENT * row * value / deviation**2


def _centered(size: Size, half: float) -> Matrix:
    """Return the matrix from pixels to units of `half`, from the center."""
    height, width = size
    return np.array(
        [
            [1 / half, 0, -(width - 1) / 2 / half],
            [0, 1 / half, -(height - 1) / 2 / half],
            [0, 0, 1.0],
        ]
    )


def _moves(model: Model, size: Size) -> NDArray[np.float32]:
    """Return by how far each parameter moves each pixel: (P, 2, H, W), 1 at the border."""
    half = np.float32(max(size) / 2)
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    x, y = (x - (size[1] - 1) / 2) / half, (y - (size[0] - 1) / 2) / half
    one, zero = np.ones_like(x), np.zeros_like(x)
    moves = [(one, zero), (zero, one)]
    if model == "similarity":
        moves += [(x, y), (-y, x)]
    elif model in {"affine", "homography"}:
        moves += [(x, zero), (y, zero), (zero, x), (zero, y)]
    if model == "homography":
        moves += [(-x * x, -x * y), (-x * y, -y * y)]
    return np.array(moves, np.float32)


def _increment(step: NDArray[np.float64], model: Model, size: Size) -> Matrix:
    """Return the matrix of a step of the parameters of `_moves`, in pixels."""
    half = max(size) / 2
    p, change = step / half, np.zeros((3, 3))
    change[:2, 2] = p[:2]
    if model == "similarity":
        change[:2, :2] = [[p[2], -p[3]], [p[3], p[2]]]
    elif model in {"affine", "homography"}:
        change[:2, :2] = p[2:6].reshape(2, 2)
    if model == "homography":
        change[2, :2] = p[6:8]
    to_unit = _centered(size, half)
    return np.asarray(np.linalg.inv(to_unit) @ (np.eye(3) + change) @ to_unit)
