"""Choose, in every pixel, the source that wins most of the pixels around it.

b_i = 1/t if v_i is one of t largest weights, else 0      v: weights of the strategy `of`
B_i = mean of b_i over a (2r+1)^2 window                  votes
w_i = 1/t if B_i is one of t largest, else 0              weights
f   = sum_i w_i phi_i                                     features
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from fusionlab import Law, WeightedStrategy, box_average
from fusionlab_strategies.base_and_detail import weighting_strategy
from fusionlab_strategies.winners import shared_winners

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics

RULES = ("sml;r:4", "spatial_frequency", "l1norm")
"""Weights that tests draw."""


@dataclass(frozen=True)
class Majority(WeightedStrategy):
    """Keep the source that has the largest weight in most of the pixels around.

    For focus stacks of any number of images: `of` measures focus, and the vote removes small
    islands of other sources. The weights are a decision map; `fusionlab fuse --save-index` writes
    it. `of` names a strategy that weights the sources, as in `multi_scale`: `of=sml;r:4`. Weights
    by channel are averaged over the channels first.

    Tied sources share a vote, or the weight, equally, so their order does not matter. What differs
    by less than 64 units in the last place of float32 is tied, as in `choose_max`. A source given
    twice shares its votes, and may lose by that. At the border the window has the pixels inside.

    The weights are steps, so gradients reach the features but not the choice.

    Raises:
        FusionlabError: `of` is unknown, or does not weight the sources (code `not-weights`).

    Reference: consistency verification by a majority filter, Li, Manjunath and Mitra, Multisensor
    image fusion using the wavelet transform, doi:10.1006/gmip.1995.1022, who have two sources and
    filter coefficients of wavelets. The votes of k sources with ties are this project's.
    """

    r: Annotated[
        int, Interval(ge=0, le=64), "Half-width of the window that votes, in pixels (0: none)."
    ] = 5
    of: Annotated[str, RULES, "Strategy whose largest weight is a vote."] = "sml;r:4"

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.rule  # refuses wrong names

    @cached_property
    def rule(self) -> WeightedStrategy:
        """The strategy that `of` names."""
        return weighting_strategy("of", self.of)

    @property
    def support(self) -> int | None:
        support = self.rule.support
        return None if support is None else support + self.r

    @property
    def laws(self) -> frozenset[Law]:
        """Those of the weights; a duplicate divides the votes."""
        return super().laws | (self.rule.laws - {Law.DUPLICATES})

    @property
    def two_pass(self) -> bool:
        return self.rule.two_pass

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:
        """Return the statistics of the strategy `of`."""
        return self.rule.statistics(features, scene)

    def merge(self, one: Statistics, other: Statistics) -> Statistics:
        """Merge as the strategy `of` does."""
        return self.rule.merge(one, other)

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, h, w)` of features `(k, N, C, h, w)`."""
        weights = self.rule.weights(features, scene).detach().mean(dim=2, keepdim=True)
        return shared_winners(box_average(shared_winners(weights), self.r))
