"""Align one image with another: gray images for the estimator of a plugin, and what is expected of
its answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError
from fusionlab.imaging.color import luminance
from fusionlab.imaging.nodata import data_mask
from fusionlab.imaging.reading import LoadedImage
from fusionlab.plugins.failures import attribute_errors_to
from fusionlab.registration.contract import Estimate, Reason
from fusionlab.registration.transform import MODELS, Model, Size, Transform

if TYPE_CHECKING:
    from fusionlab.plugins.offers import RegistrationRef
    from fusionlab.plugins.registry import Plugins, Registration

AUTO = "auto"
"""Stands for the method that plugins offer as the default; no method may have this name."""

MIN_CONFIDENCE = 0.5
"""Estimates of less confidence are refused."""

MIN_OVERLAP = 0.1
"""The smallest share of the fixed image that the moving image must cover, or of the moving image
that must lie on the fixed one: between a wide and a narrow field of view the first is small."""

BLACK, WHITE = 0.5, 99.5
"""Percentiles of the data that estimators get as black and white."""

SAMPLES = 2**20
"""About how many pixels the percentiles are taken from."""


class RegistrationError(FusionlabError):
    """A source could not be registered.

    Args:
        message: a sentence.
        reason: see `fusionlab.registration.contract.Reason`.
    """

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message, code="not-registered", option="register")
        self.reason = reason


@dataclass(frozen=True)
class Alignment:
    """How a source lies on the reference.

    Args:
        transform: from the grid of the reference to that of the source.
        method: the name of the registration method; empty: the transform was given.
        confidence: 0..1; 1 of a transform that was given.
        evidence: figures of the method.
    """

    transform: Transform
    method: str = ""
    confidence: float = 1.0
    evidence: Mapping[str, float] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Return the alignment for a record, as a JSON value."""
        return {
            **self.transform.to_json(),
            "method": self.method or None,
            "confidence": round(self.confidence, 4),
            "evidence": {name: float(value) for name, value in self.evidence.items()},
        }


def find_method(name: str, plugins: Plugins) -> Registration[RegistrationRef]:
    """Return the registration method of a name; `auto` is the default.

    Raises:
        FusionlabError: no plugin offers it, see `Registry.find`.
    """
    methods = plugins.image_registrations
    if not methods.registrations:
        raise FusionlabError(
            "no installed plugin registers images; install one: pip install fusionlab-registration",
            code="no-registration",
            option="register",
        )
    return methods.find(plugins.default("registration") if name == AUTO else name)


def align(
    moving: LoadedImage,
    fixed: LoadedImage,
    method: Registration[RegistrationRef],
    model: Model = "similarity",
) -> Alignment:
    """Estimate how one image lies on another.

    Args:
        moving: the image that is to be resampled.
        fixed: the reference.
        method: see `find_method`.
        model: the family of the transform.

    Raises:
        RegistrationError: the estimate was refused.
        FusionlabError: there is no such model, the method has not got it, or its estimator fails.
    """
    if model not in MODELS:
        raise FusionlabError(
            f"the model must be one of {', '.join(MODELS)}, got {model!r}", code="unknown-model"
        )
    if model not in method.ref.models:
        raise FusionlabError(
            f"{method.ref.name} estimates {' or '.join(method.ref.models)}, not {model}",
            code="unknown-model",
            option="model",
        )
    estimate = _estimate(moving, fixed, method, model)
    if estimate.reason is not None or estimate.matrix is None:
        raise _refusal(moving, fixed, estimate.reason or "low_confidence", estimate.detail)
    if estimate.confidence < MIN_CONFIDENCE:
        detail = f"the confidence is {estimate.confidence:.2f}, at least {MIN_CONFIDENCE} is needed"
        raise _refusal(moving, fixed, "low_confidence", detail)
    try:
        transform = Transform(estimate.matrix, size_of(fixed), size_of(moving), model)
    except FusionlabError as error:
        raise _refusal(moving, fixed, "degenerate", str(error)) from error
    share = max(overlap(transform), overlap(transform.inverse()))
    if share < MIN_OVERLAP:
        detail = f"they would overlap by {share:.0%}, at least {MIN_OVERLAP:.0%} is needed"
        raise _refusal(moving, fixed, "out_of_range", detail)
    return Alignment(transform, method.ref.name, estimate.confidence, estimate.evidence)


def overlap(transform: Transform) -> float:
    """Return the share of the fixed image that the moving image covers, from a grid of points."""
    width, height = transform.fixed
    xs, ys = (
        (np.arange(64) + 0.5) * length / 64 - 0.5 for length in (width, height)
    )  # centers of 64 x 64 cells
    points = transform(np.stack(np.meshgrid(xs, ys), -1))
    end = np.array(transform.moving) - 0.5  # areas end half a pixel beyond the outermost centers
    return float(((points >= -0.5) & (points <= end)).all(-1).mean())


def _estimate(
    moving: LoadedImage,
    fixed: LoadedImage,
    method: Registration[RegistrationRef],
    model: Model,
) -> Estimate:
    """Call the estimator, and check what it returns."""
    (moving_gray, moving_valid), (fixed_gray, fixed_valid) = gray_image(moving), gray_image(fixed)
    for image, gray in ((moving, moving_gray), (fixed, fixed_gray)):
        if gray.min() == gray.max():
            raise _refusal(moving, fixed, "insufficient_structure", f"{image.name} is uniform")
    with attribute_errors_to(method):
        estimate = method.ref.load()(
            moving_gray,
            fixed_gray,
            model=model,
            moving_valid=moving_valid,
            fixed_valid=fixed_valid,
        )
        if not isinstance(estimate, Estimate):
            raise TypeError(f"it must return an Estimate, got {type(estimate).__name__}")
        if estimate.reason is not None and estimate.reason not in get_args(Reason):
            reasons = ", ".join(get_args(Reason))
            raise ValueError(f"the reason must be one of {reasons}, got {estimate.reason!r}")
        if not 0 <= estimate.confidence <= 1:
            raise ValueError(f"the confidence must be in 0..1, got {estimate.confidence!r}")
        if not all(math.isfinite(value) for value in estimate.evidence.values()):
            raise ValueError(f"the evidence must be finite, got {estimate.evidence!r}")
    return estimate


def gray_image(image: LoadedImage) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Return an image as estimators get it, and which of its pixels are data."""
    values, valid = (
        np.asarray(image.pixels).astype(np.float32),
        data_mask(np.asarray(image.pixels), image.valid),
    )
    if values.ndim == 3:
        planes = torch.from_numpy(values).movedim(-1, 0)[None]
        values = luminance(planes)[0, 0].numpy()
    data = values if valid is None else values[valid]
    if not data.size:
        raise FusionlabError(f"{image.name} has no pixel that is data", code="no-data")
    black, white = np.percentile(data.ravel()[:: max(1, data.size // SAMPLES)], (BLACK, WHITE))
    if black == white:  # nearly uniform: what little there is may lie beyond the percentiles
        black, white = data.min(), data.max()
    gray = ((values - black) / (white - black if white > black else 1)).clip(0, 1)
    if valid is None:
        return np.ascontiguousarray(gray, np.float32), None
    gray = np.where(valid, gray, gray[valid].mean())
    return np.ascontiguousarray(gray, np.float32), valid


def _refusal(
    moving: LoadedImage, fixed: LoadedImage, reason: Reason, detail: str
) -> RegistrationError:
    what = {
        "insufficient_structure": "there is too little structure",
        "low_confidence": "no position stands out",
        "out_of_range": "the best position is not plausible",
        "degenerate": "the best transform is degenerate",
    }[reason]
    return RegistrationError(
        f"{moving.name} cannot be registered to {fixed.name}: {what}"
        + (f": {detail}" if detail else ""),
        reason,
    )


def size_of(image: LoadedImage) -> Size:
    """Return the width and height of an image."""
    height, width = image.pixels.shape[:2]
    return int(width), int(height)
