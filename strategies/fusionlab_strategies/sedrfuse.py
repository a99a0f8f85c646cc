"""SEDRFuse: weight each source by the attention-weighted sum of its channels.

q_i^m      = |phi_i^m(x, y)|
C_i        = sum_m s_i^m q_i^m,   s_i^m = exp(q_i^m) / sum_l exp(q_i^l)    activity
w_i        = C_i / sum_n C_n,   f = sum_i w_i phi_i                        weights, features
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionlab import Law, WeightedStrategy, normalize

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class SEDRFuse(WeightedStrategy):
    """Weight each source by its channels, the strong ones first.

    The softmax over the channels makes the activity a soft maximum: between the mean and the
    largest of |phi|, close to the largest where channels differ by several gray levels. It
    depends on the size of the features, so the strategy is not scale-equivariant.

    The formula is that of `SEDRFuse.fusion` in chenzpstar's collection of fusion programs; no
    program of the authors was available for comparison. Only the fusion of the intermediate
    features is implemented, not the compensation features that the paper passes around the decoder.
    Where no source is active, each weighs 1/k.

    Reference: SEDRFuse, doi:10.1109/TIM.2020.3022438.
    """

    @property
    def support(self) -> int:
        return 0

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {Law.PERMUTATION, Law.TRANSLATION, Law.FLIPS, Law.DOMINANCE}

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, h, w)` of features `(k, N, C, h, w)`."""
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        strength = features.abs().to(precise).movedim(2, -1)  # softmax is fast over the last axis
        attention = torch.softmax(strength, dim=-1)
        return normalize((attention * strength).sum(dim=-1).unsqueeze(2))
