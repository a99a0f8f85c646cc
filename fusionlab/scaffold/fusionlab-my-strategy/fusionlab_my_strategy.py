"""A strategy to start from: weight each source by the energy of its features.

    e_i(x, y) = mean of sum_m phi_i^m(x, y)^2 over a (2r+1)^2 window     activity
    w_i       = e_i / sum_n e_n                                          weights
    f         = sum_i w_i phi_i                                          features

Reference: authors, title and DOI of the paper that proposes the strategy.
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
    """Register the strategy: its name, its class, and one line about it."""
    return [
        StrategyRef(
            "my_strategy",
            f"{__name__}:MyStrategy",
            "Weight each source by the energy of its features.",
        )
    ]


@dataclass(frozen=True)
class MyStrategy(WeightedStrategy):
    """Weight each source by the energy of its features."""

    # Each field is a parameter, with a type, bounds, a help text and a default.
    r: Annotated[int, Interval(ge=0, le=16), "Half-width of the window, in pixels."] = 1

    @property
    def support(self) -> int:
        """How many pixels away `weights` looks; 0 if each pixel depends on itself only."""
        return self.r

    @property
    def laws(self) -> frozenset[Law]:
        """The properties of the formula, besides those that all weighted strategies have."""
        return super().laws | {
            Law.PERMUTATION,
            Law.SCALE,
            Law.TRANSLATION,
            Law.FLIPS,
            Law.DOMINANCE,
        }

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, h, w)` of features `(k, N, C, h, w)`, for any k."""
        import torch  # imported here to keep listings and help texts fast

        precise = torch.promote_types(features.dtype, torch.float32)
        energy = features.to(precise).square().sum(dim=2, keepdim=True)
        return normalize(box_average(energy, self.r))
