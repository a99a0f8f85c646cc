"""The l2-norm strategy: `l1norm` with another norm over the channels.

C_i(x, y)  = sqrt(sum_m phi_i^m(x, y)^2)               activity
C^_i       = mean of C_i over a (2r+1)^2 window        averaged activity
w_i        = C^_i / sum_n C^_n,   f = sum_i w_i phi_i  weights, features
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from fusionlab import Law, WeightedStrategy, box_average, normalize

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class L2Norm(WeightedStrategy):
    """Weight each source by its activity, the l2-norm over the channels.

    A few strong channels count for more than in `l1norm`, many weak ones for less; with one
    channel the two are the same. The norm is taken in every pixel, then averaged.

    Differs from the reference (`l2_norm` in its `whitening_norm.m`), which takes the norm of
    whitened features of another network, so that its results cannot be reproduced here. Where
    all sources are without activity each weighs 1/k. `border` as in `l1norm`.

    Raises:
        FusionlabError: `border=reflect` with a window too wide for the image.

    Reference: ResNet50 and ZCA, doi:10.1016/j.infrared.2019.103039.
    """

    r: Annotated[
        int, Interval(ge=0, le=64), "Half-width of the averaging window, in pixels (0: none)."
    ] = 1
    border: Annotated[
        Literal["inside", "reflect"],
        "What the window sees beyond the border: nothing, or the image mirrored.",
    ] = "inside"

    @property
    def support(self) -> int:
        return self.r

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {
            Law.PERMUTATION,
            Law.SCALE,
            Law.TRANSLATION,
            Law.FLIPS,
            Law.DOMINANCE,
        }

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, h, w)` of features `(k, N, C, h, w)`."""
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        activity = torch.linalg.vector_norm(features, 2, dim=2, keepdim=True, dtype=precise)
        return normalize(box_average(activity, self.r, self.border))
