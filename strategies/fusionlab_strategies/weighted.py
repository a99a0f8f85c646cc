"""f = sum_i w_i phi_i with constant weights w_i = theta_i / sum_n theta_n."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from fusionlab import FusionlabError, Law, WeightedStrategy

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class Weighted(WeightedStrategy):
    """Weight each source by a number of your own.

    `theta=1,3` gives the second source three quarters, and so does `theta=0.25,0.75`. The numbers
    are divided by their sum, not passed through a softmax, so the ratios are as written and a
    weight can be 0. Without numbers, or with zeros only, all sources weigh the same, as in `mean`.

    Raises:
        FusionlabError: the number of weights is not the number of sources.

    Reference: none; the weighted average is as old as fusion.
    """

    theta: Annotated[
        tuple[float, ...],
        Interval(ge=0, le=1e6),
        "One weight per source, in their order, divided by their sum (none: all the same).",
    ] = ()

    @property
    def support(self) -> int:
        return 0

    @property
    def laws(self) -> frozenset[Law]:
        """The order of the sources matters, unless all weights are the same."""
        symmetric = {Law.PERMUTATION} if len(set(self.theta)) <= 1 else set()
        return super().laws | {Law.SCALE, Law.TRANSLATION, Law.FLIPS} | symmetric

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, 1, 1)`, the same for all N."""
        import torch

        k, count = features.shape[:2]
        if self.theta and len(self.theta) != k:
            raise FusionlabError(
                f"theta has {len(self.theta)} weights for {k} sources; give one weight per source, "
                "or none to weigh all the same"
            )
        total = math.fsum(self.theta)
        shares = [t / total for t in self.theta] if total > 0 else [1 / k] * k
        # float32 has few digits below 1e-38, and such weights change no image
        shares = [share if share > 1e-30 else 0.0 for share in shares]
        precise = torch.promote_types(features.dtype, torch.float32)
        # filled on the device, one by one: a copy from the host would wait for the device
        weights = torch.stack([features.new_full((), share, dtype=precise) for share in shares])
        return weights.view(k, 1, 1, 1, 1).expand(k, count, 1, 1, 1)
