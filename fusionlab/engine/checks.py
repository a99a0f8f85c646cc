"""Check that the parts of a method belong together, before anything is computed."""

from __future__ import annotations

from typing import get_args

from torch import nn

from fusionlab.backbone import Backbone
from fusionlab.engine.merging import weights_decide
from fusionlab.errors import FusionlabError
from fusionlab.imaging.color import Color
from fusionlab.imaging.range_policy import RangePolicy
from fusionlab.strategy import Strategy, WeightedStrategy


def check_settings(backbone: object, strategy: object, range_policy: object, color: object) -> None:
    """Raise `FusionlabError` for arguments of the wrong kind, before anything is loaded."""
    for role, argument, kind in (
        ("backbone", backbone, Backbone),
        ("strategy", strategy, Strategy),
    ):
        if not (argument is None or isinstance(argument, str | kind)):
            raise FusionlabError(f"the {role} must be a name or an instance, got {argument!r}")
    if range_policy not in (None, "auto", "own", *get_args(RangePolicy)):
        raise FusionlabError(
            f"the range policy must be auto, clip, minmax, own or None, got {range_policy!r}"
        )
    if color not in ("auto", *get_args(Color)):
        raise FusionlabError(
            f"the color mode must be one of auto, {', '.join(get_args(Color))}, got {color!r}"
        )


def check_method(backbone: Backbone, strategy: Strategy, tile: int | None) -> None:
    """Check that a strategy can run on a backbone, in tiles of some edge.

    Raises:
        FusionlabError: a strategy for pixels and a backbone of learned features (code
            `pixel-strategy`), or a tile that is too small.
    """
    if strategy.domain == "pixels" and backbone.domain != "pixels":
        raise FusionlabError(
            f"the strategy {type(strategy).__name__} merges pixels and cannot merge the features "
            f"of {type(backbone).__name__}; leave out the backbone",
            code="pixel-strategy",
            option="backbone",
        )
    if tile is not None and tile < backbone.size_divisor:
        raise FusionlabError(
            f"a tile needs at least {backbone.size_divisor} pixels, got {tile}", option="tile"
        )


def check_networks(networks: nn.ModuleList | None, backbone: Backbone) -> None:
    """Raise `FusionlabError` unless a learned strategy has a network for each level."""
    if networks and len(networks) != len(backbone.levels):
        raise FusionlabError(
            f"expected a network for each of {len(backbone.levels)} levels of the backbone, "
            f"got {len(networks)}"
        )


def check_sources(strategy: Strategy, k: int, *, weights: bool) -> None:
    """Check what a call asks of a strategy.

    Raises:
        FusionlabError: it does not take k sources (code `number-of-sources`), or weight maps are
            requested and it has none (code `no-weights`).
    """
    name = type(strategy).__name__
    if not takes(strategy, k):
        roles = f" ({', '.join(strategy.roles)})" if strategy.roles else ""
        raise FusionlabError(
            f"the strategy {name} takes {accepted_sources(strategy)} sources{roles}, got {k}",
            code="number-of-sources",
        )
    if weights and not isinstance(strategy, WeightedStrategy):
        raise FusionlabError(
            f"the strategy {name} does not weight the sources, so there are no weight maps; "
            "choose a weighted strategy",
            code="no-weights",
        )


def check_smoothing(strategy: Strategy) -> None:
    """Raise `FusionlabError` unless the weights of a strategy can be smoothed over time."""
    if not weights_decide(strategy):
        raise FusionlabError(
            f"the strategy {type(strategy).__name__} does not merge by weights alone, so there are "
            "none to smooth over time; choose a weighted strategy, or smooth nothing",
            code="no-weights",
            option="temporal",
        )


def takes(strategy: Strategy, k: int) -> bool:
    """Return whether a strategy takes k sources."""
    return strategy.min_k <= k and (strategy.max_k is None or k <= strategy.max_k)


def accepted_sources(strategy: Strategy) -> str:
    """Return how many sources a strategy takes: `at least 2`, `exactly 2`, `2 to 4`."""
    if strategy.max_k is None:
        return f"at least {strategy.min_k}"
    if strategy.max_k == strategy.min_k:
        return f"exactly {strategy.min_k}"
    return f"{strategy.min_k} to {strategy.max_k}"
