"""A rule to start from: weight each source by the energy of its features.

    e_i(x, y) = mean of sum_m phi_i^m(x, y)^2 over a (2r+1)^2 window     activity
    w_i       = e_i / sum_n e_n                                          weights
    f         = sum_i w_i phi_i                                          features

Reference: who proposed the rule, where, and its DOI.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval
from fusionlab import (
    Law,
    StrategyRef,
    WeightedStrategy,
    box_average,
    hookimpl,
    normalize,
)

if TYPE_CHECKING:
    from fusionlab import Scene
    from torch import Tensor


@hookimpl
def fusionlab_strategies() -> list[StrategyRef]:
    """Tell fusionlab the name of the rule and where it lives."""
    return [
        StrategyRef(
            "my_rule",
            f"{__name__}:MyRule",
            "Weight each source by the energy of its features.",
        )
    ]


@dataclass(frozen=True)
class MyRule(WeightedStrategy):
    """Weight each source by the energy of its features."""

    # A field is a parameter: its type, its bounds, its help text, its default.
    r: Annotated[int, Interval(ge=0, le=16), "Half-width of the window, in pixels."] = 1

    @property
    def support(self) -> int:
        """How many pixels away `weights` looks: 0 if every pixel is on its own."""
        return self.r

    @property
    def laws(self) -> frozenset[Law]:
        """What the formula promises, besides what follows from the weights."""
        return super().laws | {
            Law.PERMUTATION,
            Law.SCALE,
            Law.TRANSLATION,
            Law.FLIPS,
            Law.DOMINANCE,
        }

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, h, w)` of features `(k, N, C, h, w)`, any k."""
        import torch  # here, so that lists and help texts need not wait for it

        precise = torch.promote_types(features.dtype, torch.float32)
        energy = features.to(precise).square().sum(dim=2, keepdim=True)
        return normalize(box_average(energy, self.r))
