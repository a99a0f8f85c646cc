"""What the estimator of a plugin is given, and what it returns.

An estimator is a function. Its plugin lists it with the hook `fusionlab_registrations`, as a
`RegistrationRef`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fusionlab.registration.transform import Model

Reason = Literal["insufficient_structure", "low_confidence", "out_of_range", "degenerate"]
"""Why an estimate was refused: an image has too little structure; no transform stands out from the
others; the best one is beyond what is plausible for the model; or it cannot be inverted, folds the
image over or leaves hardly any overlap."""


@dataclass(frozen=True)
class Estimate:
    """What an estimator has found.

    Args:
        matrix: `(3, 3)`, maps homogeneous points (x, y, 1) of the fixed grid to the moving grid;
            integers are the centers of pixels. None: refused.
        confidence: 0..1. 0.5 is the point from which on an estimate is used.
        reason: why it was refused; None: it was not.
        detail: of a refusal, what was measured and what was expected: the end of a sentence, such
            as "a second place fits as well (0.97 of the best, at most 0.8 is expected)".
        evidence: figures for the record.
    """

    matrix: NDArray[np.float64] | None
    confidence: float
    reason: Reason | None = None
    detail: str = ""
    evidence: Mapping[str, float] = field(default_factory=dict)


class EstimatorFunction(Protocol):
    """A function that estimates how one image lies on another."""

    def __call__(
        self,
        moving: NDArray[np.float32],
        fixed: NDArray[np.float32],
        *,
        model: Model,
        moving_valid: NDArray[np.bool_] | None = None,
        fixed_valid: NDArray[np.bool_] | None = None,
    ) -> Estimate:
        """Estimate the transform from the fixed grid to the moving one.

        The same images must give the same estimate, whatever else runs on the machine.

        Args:
            moving: `(H, W)`, gray in 0..1, contiguous. The 0.5th percentile of its data is black,
                the 99.5th white.
            fixed: `(H', W')`, likewise; sizes may differ a lot.
            model: the family of the transform.
            moving_valid: which pixels are data, `(H, W)`; None: all. The others hold the mean.
            fixed_valid: likewise, `(H', W')`.
        """
