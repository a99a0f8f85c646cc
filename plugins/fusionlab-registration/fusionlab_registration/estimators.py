"""The steps that the estimators share: search, refine, check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fusionlab.registration.contract import Estimate, Reason
from fusionlab_registration import gate, geometry
from fusionlab_registration.agreement import agreement
from fusionlab_registration.fit import Fit, Images, Stage, fit
from fusionlab_registration.geometry import Matrix, Model
from fusionlab_registration.search import ANGLES, SCALES, Peak, scale_of_shift, search

_APART = 0.06  # of the size: fits nearer than this are one
_FIRST = (Stage(112, 2.0, 15),)
_SECOND = (Stage(224, 1.2, 15),)
_AS_IS = (Stage(224, 2.0, 15), Stage(224, 1.2, 10))
_LAST = (Stage(112, 2.0, 10), Stage(224, 1.2, 15), Stage(448, 1.0, 20))
_FINE = Stage(1000, 1.0, 6)
"""For images that are both larger than that: what a pixel is there, the last stage finds."""
_AGAIN = (Stage(112, 1.6, 15), Stage(224, 1.2, 15))


class Candidate(NamedTuple):
    """The best place that was found, and how the others compare."""

    fit: Fit
    second: float  # evidence of the best place elsewhere
    peak_ratio: float


def floats(valid: NDArray[np.bool_] | None) -> NDArray[np.float32] | None:
    """Return a mask as 0..1; None where all of it is valid."""
    return None if valid is None or valid.all() else valid.astype(np.float32)


def size_of(matrix: Matrix, images: Images) -> float:
    """Return the square root of the area of the fixed image, in pixels of the moving one."""
    scale = geometry.shape(matrix, images.fixed.shape)["scale"]
    return float(np.sqrt(images.fixed.size)) * max(scale, 1e-6)


def candidate(images: Images, peaks: Sequence[Peak], model: Model) -> Candidate:
    """Return the best of the peaks, and of no warp at all, refined without shape or perspective."""
    rough: Model = "translation" if model == "translation" else "similarity"
    fits = [fit(images, peak.matrix, rough, _FIRST) for peak in peaks]
    fits.sort(key=lambda f: -f.evidence)
    fits = [fit(images, f.matrix, rough, _SECOND) for f in fits[:3]]
    # most images nearly lie on each other, and grain can hide from a coarse search that they do
    sizes = images.fixed.shape, images.moving.shape
    as_is = np.eye(3) if rough == "translation" else geometry.resized(*sizes)
    as_is = geometry.restricted(as_is, rough, images.fixed.shape)
    fits.append(fit(images, as_is, rough, _AS_IS))
    fits.sort(key=lambda f: -f.evidence)
    best, points = fits[0], geometry.corners(images.fixed.shape)
    near = _APART * size_of(best.matrix, images)
    others = [f.evidence for f in fits if geometry.distance(f.matrix, best.matrix, points) > near]
    ratio = peaks[0].score / peaks[1].score if len(peaks) > 1 else 10.0
    # were all peaks one place, the second is at most what the rest of the peaks came to
    return Candidate(best, max(others, default=best.evidence / 4), ratio)


def both_ways(images: Images, start: Matrix, model: Model) -> tuple[Matrix, Fit, float]:
    """Return the mean of the estimates in both directions, one of them, and how they differ.

    The difference is the largest at the corners of the overlap, in percent of the size.
    """
    stages: tuple[Stage, ...] = _LAST
    if min(images.fixed.size, images.moving.size) > _FINE.side**2:
        stages = (*_LAST, _FINE)
    there = fit(images, start, model, stages)
    back = fit(images.swapped(), geometry.inverse(there.matrix), model, stages[1:])
    inverse = geometry.inverse(back.matrix)
    points = geometry.overlap_polygon(there.matrix, images.fixed.shape, images.moving.shape)
    if not len(points):
        return there.matrix, there, np.inf
    gap = geometry.distance(there.matrix, inverse, points)
    corners = geometry.corners(images.fixed.shape)
    mean = (geometry.apply(there.matrix, corners) + geometry.apply(inverse, corners)) / 2
    matrix = there.matrix
    if np.isfinite(mean).all():
        matrix = cv2.getPerspectiveTransform(
            corners.astype(np.float32), mean.astype(np.float32)
        ).astype(np.float64)
        matrix = geometry.restricted(matrix, model, images.fixed.shape)
    return matrix, there, 100 * gap / size_of(there.matrix, images)


def again(images: Images, matrix: Matrix, model: Model) -> float:
    """Return by how much the estimate differs from a nearby start, in percent of the size."""
    height, width = images.fixed.shape
    if model == "translation":
        kick = np.array([[1, 0, 0.015 * width], [0, 1, -0.015 * height], [0, 0, 1.0]])
    else:
        onto = (0.51 * width, 0.49 * height)
        kick = geometry.turned(0.02, 1.02, ((width - 1) / 2, (height - 1) / 2), onto)
    other = fit(images, matrix @ kick, model, _AGAIN)
    points = geometry.overlap_polygon(matrix, images.fixed.shape, images.moving.shape)
    if not len(points):
        return np.inf
    return 100 * geometry.distance(matrix, other.matrix, points) / size_of(matrix, images)


def estimate(images: Images, model: Model, peaks: Sequence[Peak]) -> Estimate:
    """Return the estimate from the peaks of a search, or why there is none."""
    best = candidate(images, peaks, model)
    matrix, last, inverse = both_ways(images, best.fit.matrix, model)
    drift = again(images, matrix, model)
    found = agreement(images, matrix)
    evidence = {
        "score": gate.score(found, best.fit.evidence, best.second),
        "blocks": found.blocks,
        "blocks agreeing": found.agreeing,
        "surprise": found.surprise,
        "stands out": best.fit.evidence / max(best.second, 1e-9),
        "nats": best.fit.evidence,
        "peak ratio": best.peak_ratio,
        "correlation": last.correlation,
        "information": last.information,
        "inverse": min(inverse, 100.0),
        "drift": min(drift, 100.0),
        "overlap": gate.overlap(matrix, images.fixed.shape, images.moving.shape),
        "spread": found.spread,
        **geometry.shape(matrix, images.fixed.shape),
    }
    evidence = {name: float(value) for name, value in evidence.items() if np.isfinite(value)}
    trust = gate.confidence(evidence["score"])
    objection = _objection(images, matrix, model, evidence)
    if objection is None:
        return Estimate(matrix, trust, None, "", evidence)
    return Estimate(None, min(trust, 0.4), *objection, evidence)


def _objection(
    images: Images, matrix: Matrix, model: Model, evidence: Mapping[str, float]
) -> tuple[Reason, str] | None:
    """Return why an estimate must not be used, and the figures; None: it may."""
    if evidence["blocks"] and evidence["spread"] < gate.ONE_DIRECTION:
        return "degenerate", "the edges run in one direction, along which nothing is determined"
    if doubt := _doubt(evidence):
        return "low_confidence", doubt
    if evidence["overlap"] < gate.LEAST_OVERLAP:
        return "degenerate", (
            f"{evidence['overlap']:.0%} of the images overlap where {gate.LEAST_OVERLAP:.0%} is"
            " needed"
        )
    if beyond := gate.implausible(matrix, images.fixed.shape, images.moving.shape):
        return "out_of_range", beyond
    difference = max(evidence["inverse"], evidence["drift"])
    if difference > gate.DRIFT[model]:
        return "degenerate", (
            f"estimates of the {model} differ by {difference:.1f} % of the size where"
            f" {gate.DRIFT[model]:g} % is allowed"
        )
    return None


def _doubt(evidence: Mapping[str, float]) -> str:
    """Return what is too little to trust an estimate, as a clause; empty: nothing."""
    if evidence["nats"] < gate.EVIDENCE:
        return (
            f"the best place is worth {evidence['nats']:.0f} nats where {gate.EVIDENCE:g} are"
            " needed: the images are small, or share little"
        )
    if evidence["score"] < gate.NEEDED:
        return (
            f"{evidence['blocks agreeing']:.0f} of {evidence['blocks']:.0f} parts of the images"
            f" agree with the best place, and it stands out by {evidence['stands out']:.2f} from"
            f" the second (score {evidence['score']:.1f} where {gate.NEEDED:g} is needed)"
        )
    return ""


def checked(
    images: Images,
    model: Model,
    peaks: Callable[[Images, Model], list[Peak]] | None = None,
) -> Estimate:
    """Return the estimate; where there is none, also whether the image is turned or mirrored."""
    for name, image, valid in (
        ("moving", images.moving, images.moving_valid),
        ("fixed", images.fixed, images.fixed_valid),
    ):
        if lack := gate.structureless(image, valid):
            return Estimate(None, 0.0, "insufficient_structure", f"the {name} image: {lack}")
    result = estimate(images, model, (peaks or peaks_of)(images, model))
    if result.reason == "low_confidence" and (beyond := beyond_range(images, model)):
        return Estimate(None, result.confidence, "out_of_range", beyond, result.evidence)
    return result


def peaks_of(images: Images, model: Model, *, few: bool = False) -> list[Peak]:
    """Return the peaks of the search that a model asks for; few: of a part of its range."""
    masks = images.moving_valid, images.fixed_valid
    if model != "translation":
        part = slice(3, -3) if few else slice(None)
        return search(
            images.moving,
            images.fixed,
            *masks,
            angles=ANGLES[part],
            scales=SCALES[part],
            doubled=images.doubled,
            keep=2 if few else 6,
        )
    scale = scale_of_shift(images.moving.shape, images.fixed.shape)
    return search(
        images.moving,
        images.fixed,
        *masks,
        angles=np.zeros(1),
        scales=np.array([scale]),
        doubled=images.doubled,
    )


_TURNS: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "rotated by 180 degrees": lambda a: a[::-1, ::-1],
    "mirrored": lambda a: a[:, ::-1],
    "rotated by 90 degrees clockwise": lambda a: a.T[:, ::-1],
    "rotated by 90 degrees counterclockwise": lambda a: a.T[::-1],
}


def beyond_range(images: Images, model: Model) -> str:
    """Return how images that do not fit would fit, as a clause: turned or mirrored; empty: not."""
    for name, turn in _TURNS.items():
        moving = np.ascontiguousarray(turn(images.moving))
        valid = images.moving_valid
        other = Images(
            moving,
            images.fixed,
            None if valid is None else np.ascontiguousarray(turn(valid)),
            images.fixed_valid,
            images.doubled,
            images.share,
        )
        best = candidate(other, peaks_of(other, model, few=True), model)
        found = agreement(other, best.fit.matrix)
        points = gate.score(found, best.fit.evidence, best.second)
        if points >= gate.NEEDED and best.fit.evidence >= gate.EVIDENCE:
            return f"the moving image fits when it is {name}"
    return ""
