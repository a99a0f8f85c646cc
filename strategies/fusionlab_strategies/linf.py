"""The l-infinity strategy: `l1norm` with the strongest channel as the activity.

C_i(x, y)  = max_m |phi_i^m(x, y)|                     activity
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
class LInf(WeightedStrategy):
    """Weight each source by its activity, the strongest channel.

    One channel decides in every pixel, so that a source does not gain from many weak channels;
    with one channel the rule is `l1norm`. Channels that tie share the gradient.

    Differs from `spatial_pooling('linf')` in chenzpstar's collection of fusion programs, which
    takes the largest value with its sign: there a feature of -200 is less active than one of 0.
    Behind a ReLU the two are the same. `border` as in `l1norm`.

    Raises:
        FusionlabError: `border=reflect` with a window too wide for the image.

    Reference: `spatial_pooling('linf')` in chenzpstar's collection of fusion programs.
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
        activity = features.abs().amax(dim=2, keepdim=True).to(precise)
        return normalize(box_average(activity, self.r, self.border))
