"""The l1-norm strategy (Eq. 5-7): weight each source by how much is going on in it.

C_i(x, y)  = sum_m |phi_i^m(x, y)|                     activity            (Eq. 5)
C^_i       = mean of C_i over a (2r+1)^2 window        averaged activity   (Eq. 6)
w_i        = C^_i / sum_n C^_n,   f = sum_i w_i phi_i  weights, features   (Eq. 7)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from fusionlab import FusionlabError, Law, WeightedStrategy, normalise

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
        return super().laws | {Law.PERMUTATION, Law.SCALE, Law.FLIPS, Law.DOMINANCE}

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, h, w)` of features `(k, N, C, h, w)`."""
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        activity = features.abs().sum(dim=2, keepdim=True, dtype=precise)
        return normalise(self._averaged(activity))

    def _averaged(self, activity: Tensor) -> Tensor:
        """Average `(k, N, 1, h, w)` over the window: first down the columns, then the rows."""
        if self.r == 0:
            return activity
        from torch.nn.functional import avg_pool2d, pad

        r, maps = self.r, activity.flatten(0, 1)
        inside = r
        if self.border == "reflect":
            height, width = maps.shape[-2:]
            if r >= min(height, width):
                raise FusionlabError(
                    f"a mirrored window of r = {r} needs an image larger than {r} pixels, got "
                    f"{width}x{height}; choose a smaller r or border=inside"
                )
            maps, inside = pad(maps, (r, r, r, r), mode="reflect"), 0
        for kernel, padding in (((2 * r + 1, 1), (inside, 0)), ((1, 2 * r + 1), (0, inside))):
            maps = avg_pool2d(maps, kernel, 1, padding, count_include_pad=False)
        return maps.view_as(activity)
