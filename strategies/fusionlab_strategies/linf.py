"""The l-infinity strategy: `l1norm` with the strongest channel as the activity.

C_i(x, y)  = max_m |phi_i^m(x, y)|                     activity
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
class LInf(ActivityStrategy):
    """Weight each source by its activity, the strongest channel.

    Only the strongest channel at a pixel counts, so a source does not gain from many weak
    channels; with one channel this is `l1norm`. Channels that tie share the gradient.

    Differs from `spatial_pooling('linf')` in chenzpstar's collection of fusion programs, which
    takes the largest value with its sign: there a feature of -200 is less active than one of 0.
    After a ReLU the two are the same. `border` as in `l1norm`.

    Raises:
        FusionlabError: `border=reflect` with a window too wide for the image.

    Reference: `spatial_pooling('linf')` in chenzpstar's collection of fusion programs.
    """

    def activity(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the largest magnitude over the channels, `(k, N, 1, h, w)`."""
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        return features.abs().amax(dim=2, keepdim=True).to(precise)
