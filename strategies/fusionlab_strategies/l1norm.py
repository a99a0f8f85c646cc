"""The l1-norm strategy (Eq. 5-7): weight each source by the l1-norm of its channels.

C_i(x, y)  = sum_m |phi_i^m(x, y)|                     activity            (Eq. 5)
C^_i       = mean of C_i over a (2r+1)^2 window        averaged activity   (Eq. 6)
w_i        = C^_i / sum_n C^_n,   f = sum_i w_i phi_i  weights, features   (Eq. 7)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionlab import ActivityStrategy

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class L1Norm(ActivityStrategy):
    """Weight each source by its activity.

    To reproduce the l1-norm rows of Table II use `r=0`: the authors' program skips the average of
    Eq. 6. The default is the r = 1 that the paper prints.

    Differs from the authors' programs where no source is active: they divide 0 by 0, here each
    source weighs 1/k. Activities are summed in at least float32.

    At the border the window averages the pixels that lie inside the image. The weights are the
    same as with zero padding and (2r+1)^2 in the denominator, because that divides the activity
    of every source by the same number. `border=reflect` mirrors the activity instead, and needs r
    to be smaller than both edges of the image.

    Raises:
        FusionlabError: `border=reflect` with a window too wide for the image.

    Reference: Eq. 5-7 of DenseFuse, doi:10.1109/TIP.2018.2887342.
    """

    saves = "minmax"

    def activity(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the l1-norm over the channels, `(k, N, 1, h, w)`."""
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        return features.abs().sum(dim=2, keepdim=True, dtype=precise)
