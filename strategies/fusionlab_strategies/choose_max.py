"""Choose, in every pixel, the source with the largest activity.

C_i(x, y)  = ||phi_i(x, y)||_p over the channels        activity, p = 1, 2 or infinity
C^_i       = mean of C_i over a (2r+1)^2 window         averaged activity
w_i        = 1/t if C^_i is one of t largest, else 0    weights
f          = sum_i w_i phi_i                            features
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from fusionlab import Law, WeightedStrategy, box_average
from fusionlab_strategies.winners import shared_winners

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class ChooseMax(WeightedStrategy):
    """Keep the most active source in every pixel.

    All channels of a pixel come from the same source, unlike in `max`. With r = 0 neighbors
    are chosen independently; a window makes the regions of one source coherent.

    Differs from a plain argmax, where the first source wins a tie: here tied sources share the
    weight equally, so the order of the sources does not matter. Activities are tied when they
    differ by less than 64 units in the last place (8e-6 in float32); otherwise the order of
    summation, for example in a mirrored image, would break ties between equal sums. Sources
    without any activity are tied. A duplicate changes the result at ties only.

    The weights are steps, so gradients reach the features but not the choice. The paper uses
    `activity=l1`; its windows are applied to sparse coefficient maps, not to the features of
    an autoencoder. `border` as in `l1norm`.

    Raises:
        FusionlabError: `border=reflect` with a window too wide for the image.

    Reference: convolutional sparse representation, doi:10.1109/LSP.2016.2618776.
    """

    activity: Annotated[
        Literal["l1", "l2", "linf"], "Norm over the channels: sum, Euclidean, or strongest."
    ] = "l1"
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

        from fusionlab_strategies.norms import norm

        precise = torch.promote_types(features.dtype, torch.float32)
        order = {"l1": 1, "l2": 2, "linf": float("inf")}[self.activity]
        activity = norm(features.detach(), order, (2,), precise).unsqueeze(2)
        return shared_winners(box_average(activity, self.r, self.border))
