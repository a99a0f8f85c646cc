"""The l2-norm strategy: `l1norm` with the l2-norm over the channels.

C_i(x, y)  = sqrt(sum_m phi_i^m(x, y)^2)               activity
C^_i       = mean of C_i over a (2r+1)^2 window        averaged activity
w_i        = C^_i / sum_n C^_n,   f = sum_i w_i phi_i  weights, features
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionlab import ActivityStrategy

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class L2Norm(ActivityStrategy):
    """Weight each source by its activity, the l2-norm over the channels.

    A few strong channels count for more than in `l1norm`, many weak ones for less; with one
    channel the two are the same. The norm is taken at every pixel, then averaged.

    Differs from the reference (`l2_norm` in its `whitening_norm.m`), which takes the norm of
    whitened features of another network, so its results cannot be reproduced here. Where no
    source is active, each weighs 1/k. `border` as in `l1norm`.

    Raises:
        FusionlabError: `border=reflect` with a window too wide for the image.

    Reference: ResNet50 and ZCA, doi:10.1016/j.infrared.2019.103039.
    """

    def activity(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the l2-norm over the channels, `(k, N, 1, h, w)`."""
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        norm: Tensor = torch.linalg.vector_norm(features, 2, dim=2, keepdim=True, dtype=precise)
        return norm
