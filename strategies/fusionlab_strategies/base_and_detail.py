"""Merge a base and details with the weights of strategies that parameters name.

`multi_scale` and `two_scale` share this: `BaseAndDetail` finds the strategies that `base` and
`detail` name and gathers their statistics, and `detail_weights` combines weights with the activity
of the details.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import replace
from functools import cached_property, reduce
from typing import TYPE_CHECKING

from fusionlab import (
    FusionlabError,
    Law,
    Strategy,
    WeightedStrategy,
    box_average,
    load_strategy,
    normalize,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics

FLOOR = 1e-3
"""What is added to the weights of the details: a source without weight still shows what no other
source has."""

RULES = ("mean", "l1norm", "saliency;side:bright", "well_exposed")
"""Weights that tests draw."""


class BaseAndDetail(Strategy, ABC):
    """Base class of strategies whose fields `base` and `detail` name weighting strategies.

    A name is that of a strategy, also of another package, as in the name of a method, but with `;`
    for `,` and `:` for `=`: `saliency;side:bright`.

    Raises:
        FusionlabError: `base` or `detail` is unknown, or does not weight the sources (code
            `not-weights`).
    """

    base: str
    detail: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.rules  # refuses wrong names

    @cached_property
    def rules(self) -> Mapping[str, WeightedStrategy]:
        """The strategies that `base` and `detail` name."""
        return {
            parameter: weighting_strategy(parameter, name)
            for parameter, name in (("base", self.base), ("detail", self.detail))
        }

    def supports(self) -> tuple[int, int] | None:
        """Return how far the weights `base` and `detail` look; None if one sees the whole image."""
        base, detail = (self.rules[parameter].support for parameter in ("base", "detail"))
        return None if base is None or detail is None else (base, detail)

    def shared_laws(self) -> frozenset[Law]:
        """Return the laws that both strategies of the weights declare."""
        return reduce(frozenset.__and__, (rule.laws for rule in self.rules.values()))

    @property
    def two_pass(self) -> bool:
        return any(rule.two_pass for rule in self.rules.values())

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:
        """Return the statistics of both weights, each with the name of its parameter in front."""
        return {
            f"{parameter}.{name}": value
            for parameter, rule in self.rules.items()
            for name, value in rule.statistics(features, scene).items()
        }

    def merge(self, one: Statistics, other: Statistics) -> Statistics:
        """Merge as the strategies of the weights do."""
        return {
            f"{parameter}.{name}": value
            for parameter, rule in self.rules.items()
            for name, value in rule.merge(_part(one, parameter), _part(other, parameter)).items()
        }

    def named_weights(self, parameter: str, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights that a parameter names, `(k, N, 1 or C, h, w)`."""
        if scene.statistics is not None:
            scene = replace(scene, statistics=_part(scene.statistics, parameter))
        weights = self.rules[parameter].weights(features, scene)
        return weights.expand(*weights.shape[:3], *features.shape[-2:])


def weighting_strategy(parameter: str, name: str) -> WeightedStrategy:
    """Return the strategy that a parameter names, see `BaseAndDetail`.

    Raises:
        FusionlabError: it is unknown, or does not weight the sources (code `not-weights`).
    """
    strategy = load_strategy(name.translate(_GRAMMAR))
    if not isinstance(strategy, WeightedStrategy) or strategy.domain == "pixels":
        raise FusionlabError(
            f"{parameter} must name a strategy that weights the features of the sources, such as "
            f"l1norm, got {name!r}",
            code="not-weights",
            option=parameter,
        )
    return strategy


def detail_weights(detail: Tensor, favor: Tensor, *, r: int, power: float, channels: int) -> Tensor:
    """Return the weights of details: u_i ~ (v_i + 0.001) A_i^power, with a sum of one over i.

    A_i is the mean over (2r+1)^2 pixels of the sum of |d_i| over the channels. All channels of a
    pixel share it.

    Args:
        detail: details d of k sources, `(k, N, C, h, w)` or `(k, N, h, w, C)`.
        favor: weights v of the sources, broadcastable to the details.
        r: half-width of the window.
        power: exponent of the activity; with 0, only `favor` decides.
        channels: the axis of the channels.
    """
    import torch

    if power == 0:
        return normalize(favor + FLOOR)
    norms = torch.linalg.vector_norm(detail, 1, dim=channels)
    activity = box_average(norms, r).unsqueeze(channels)
    # relative to the largest, which does not change the weights and cannot overflow
    largest = activity.detach().amax(dim=0)
    active = largest > 0
    share = (activity / largest.where(active, 1)).where(active, 1)
    return normalize(share**power * (favor + FLOOR))


def _part(statistics: Statistics, parameter: str) -> Statistics:
    """Return the statistics of the weights that a parameter names."""
    start = f"{parameter}."
    return {
        name.removeprefix(start): value
        for name, value in statistics.items()
        if name.startswith(start)
    }


_GRAMMAR = str.maketrans({";": ",", ":": "="})
