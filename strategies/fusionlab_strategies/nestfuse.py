"""Spatial and channel attention together (NestFuse).

s_i   = mean_m phi_i^m                                          spatial activity
u_i   = exp(s_i / tau) / sum_n exp(s_n / tau)                   spatial weights
v_i^m = pool_{x,y} |phi_i^m| / sum_n pool_{x,y} |phi_n^m|       channel weights
f^m   = (sum_i u_i phi_i^m + sum_i v_i^m phi_i^m) / 2           features
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from fusionlab import Law, WeightedStrategy
from fusionlab_strategies.channel_attention import ChannelAttention

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics


@dataclass(frozen=True)
class NestFuse(WeightedStrategy):
    """Weight each source by the mean of spatial and channel attention.

    Spatial attention is a softmax over the sources of the mean feature of a pixel; channel
    attention is `channel_attention`, which lists its differences from the authors' program.

    `tau=1` is the program's softmax. It does not subtract the largest mean before the
    exponential, which overflows in float32 for means beyond 88, and adds 1e-5 to the denominator;
    here the mean is subtracted, and the weights sum to one. On features of 0..255 size `tau=1` is
    close to choosing a source in every pixel; a larger tau is softer.

    Reference: NestFuse, doi:10.1109/TIM.2020.3005230.
    """

    tau: Annotated[
        float,
        Interval(ge=0.01, le=1e6),
        "Temperature of the spatial part, in units of the features (larger: softer).",
    ] = 1.0
    pool: Annotated[
        Literal["avg", "max", "nuclear"], "How the activity of a channel is pooled over the image."
    ] = "avg"

    @property
    def support(self) -> int | None:
        return ChannelAttention(self.pool).support

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {Law.PERMUTATION, Law.TRANSLATION, Law.FLIPS}

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:
        return ChannelAttention(self.pool).statistics(features, scene)

    def merge(self, one: Statistics, other: Statistics) -> Statistics:
        return ChannelAttention(self.pool).merge(one, other)

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, C, h, w)` of features `(k, N, C, h, w)`."""
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        # in float64, since a small tau magnifies the rounding of the mean
        activity = features.mean(dim=2, keepdim=True, dtype=torch.float64)
        spatial = activity.div(self.tau).softmax(dim=0).to(precise)
        channel = ChannelAttention(self.pool).weights(features, scene)
        # with the channels last, as features lie in memory on a CPU: twice as fast to apply there
        both = spatial.movedim(2, -1) + channel.movedim(2, -1)
        return (both / 2).movedim(-1, 2)
