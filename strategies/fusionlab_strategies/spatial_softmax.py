"""Spatial attention by a softmax over the sources.

C_i(x, y)  = (1/C) sum_m phi_i^m(x, y)                           activity
w_i        = exp(C_i / tau) / sum_n exp(C_n / tau)               weights
f          = sum_i w_i phi_i                                     features
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from fusionlab import Law, WeightedStrategy

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class SpatialSoftmax(WeightedStrategy):
    """Weight each source by a softmax of its mean feature.

    The mean keeps the sign of the features. Only the difference of two activities counts, not
    their ratio, so a brighter input sharpens the decision: the strategy is not scale-equivariant.
    A small `tau` chooses the source with the largest mean, a large one averages.

    `tau=1` is the released program (`spatial_fusion` of NestFuse and RFN-Nest with 'mean'),
    whose exponentials overflow in float32 for means beyond 88.
    Here the largest activity is subtracted first, which changes no weight. The paper prints a
    ratio of l1-norms instead; after a ReLU that is `l1norm,r=0`.

    Reference: NestFuse, doi:10.1109/TIM.2020.3005230.
    """

    tau: Annotated[
        float,
        Interval(ge=0.01, le=1e6),
        "Difference of two activities that gives one source e times the other's weight.",
    ] = 1.0

    @property
    def support(self) -> int:
        return 0

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {Law.PERMUTATION, Law.TRANSLATION, Law.FLIPS}

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, h, w)` of features `(k, N, C, h, w)`."""
        import torch

        # in float64: a small tau magnifies the rounding of a sum, which depends on its order
        activity = features.mean(dim=2, keepdim=True, dtype=torch.float64)
        weights = torch.softmax(activity / self.tau, dim=0)
        return weights.to(torch.promote_types(features.dtype, torch.float32))
