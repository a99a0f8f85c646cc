"""The l1-norm strategy (Eq. 5-7): weight each source by how much is going on in it.

C_i(x, y)  = sum_m |phi_i^m(x, y)|                     activity            (Eq. 5)
C^_i       = mean of C_i over a (2r+1)^2 window        averaged activity   (Eq. 6)
w_i        = C^_i / sum_n C^_n,   f = sum_i w_i phi_i  weights, features   (Eq. 7)
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
class L1Norm(WeightedStrategy):
    """Weight each source by its activity.

    To reproduce the l1-norm rows of Table II take `r=0`: the authors' program skipped the
    average of Eq. 6. The default is the r = 1 that the paper prints.

    Differs from the authors' programs where all sources are without activity: they divide 0 by
    0, here each source weighs 1/k. Activities are summed in at least float32.

    At the border the window averages the pixels that lie inside the image. The weights are the
    same as with zero padding and (2r+1)^2 in the denominator, since every source is divided by
    the same number; `border=reflect` mirrors the activity instead, and needs r to be smaller
    than both edges of the image.

    Raises:
        FusionlabError: `border=reflect` with a window too wide for the image.

    Reference: Eq. 5-7 of DenseFuse, doi:10.1109/TIP.2018.2887342.
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
        activity = features.abs().sum(dim=2, keepdim=True, dtype=precise)
        return normalize(box_average(activity, self.r, self.border))
