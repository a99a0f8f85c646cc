"""Spatial and channel attention, each weighted by its own size (UNFusion).

a_i   = |phi_i(x, y)|_p / C         norm over the C channels     spatial activity
u_i   = exp(a_i / tau) / sum_n exp(a_n / tau)                    spatial weights
v_i^m = |phi_i^m|_p / sum_n |phi_n^m|_p   norms over the image   channel weights
s     = sum_i u_i phi_i,   c = sum_i v_i phi_i
f     = (|s| s + |c| c) / (|s| + |c|)                            features
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import inf
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from fusionlab import Law, WeightedStrategy, normalize

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics

P = {"l1_mean": 1, "l2_mean": 2, "linf": inf}


@dataclass(frozen=True)
class UNFusion(WeightedStrategy):
    """Weight each source by spatial and channel attention, the larger result first.

    As in `nestfuse` there are two fused features, s by a softmax at every pixel and c by the
    channels over the whole image. Their average is weighted by their own magnitudes, feature
    by feature.

    `norm` is used for both; the three, and the division of each by C in the spatial part, are those
    of the authors' program. At `tau=1`, and with features that are not negative, the result is
    its (s^2 + c^2) / (s + c), up to the 1e-5 that it adds to three denominators: that makes the
    weights of weak features sum to less than one, and here they sum to one. Where s = c = 0 the
    two count the same.

    The program expects the features of a ReLU. With others its quotient has a pole at s = -c, and
    its `linf` takes the largest value with its sign; here magnitudes are absolute values, which is
    the same after a ReLU, and the result never leaves the range of the sources. Its exponentials
    overflow in float32 for activities beyond 88; here the largest is subtracted first, which
    changes no weight.

    Reference: UNFusion, doi:10.1109/TCSVT.2021.3109895.
    """

    norm: Annotated[
        Literal["l1_mean", "l2_mean", "linf"],
        "Norm of the channels of a pixel, and of the pixels of a channel.",
    ] = "l1_mean"
    tau: Annotated[
        float,
        Interval(ge=0.01, le=1e6),
        "Temperature of the spatial part, in units of the features (larger: softer).",
    ] = 1.0

    @property
    def support(self) -> int:
        return 0

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {Law.PERMUTATION, Law.TRANSLATION, Law.FLIPS, Law.DOMINANCE}

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:
        """Return the norm `(k, N, C)` of each channel."""
        import torch

        from fusionlab_strategies.norms import norm

        region = scene.valid_region(features)
        # not divided by the number of pixels, which is the same for all sources
        return {"norm": norm(region, P[self.norm], (-2, -1), torch.float64)}

    def merge(self, one: Statistics, other: Statistics) -> Statistics:
        """Return the norm of the norms of both parts, which is the norm of the whole."""
        import torch

        both = torch.stack((one["norm"], other["norm"]))
        return {"norm": torch.linalg.vector_norm(both, P[self.norm], dim=0)}

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, C, h, w)` of features `(k, N, C, h, w)`."""
        import torch

        from fusionlab_strategies.norms import norm

        precise = torch.promote_types(features.dtype, torch.float32)
        # in float64, since a small tau magnifies the rounding of the norm
        size = norm(features, P[self.norm], (2,), torch.float64).unsqueeze(2)
        spatial = size.div(features.shape[2] * self.tau).softmax(dim=0).to(precise)
        channel = normalize(self.image_statistics(features, scene)["norm"][..., None, None]).to(
            precise
        )
        # in float64, where |s| + |c| does not overflow, nor its inverse for the tiniest features
        s, c = (
            reduce(torch.add, map(torch.mul, features, weights)).abs().double()
            for weights in (spatial, channel)
        )
        total = s + c
        some = total > 0
        share = torch.where(some, s / torch.where(some, total, 1), 0.5)
        return channel.lerp(spatial, share.to(precise))
