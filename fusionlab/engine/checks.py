"""Check that the parts of a method belong together, before anything is computed."""

from __future__ import annotations

from typing import get_args

from torch import nn

from fusionlab.backbone import Backbone
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


def check_method(
    backbone: Backbone, strategy: Strategy, support: int | None, tile: int | None
) -> None:
    """Check that a strategy can run on a backbone, in tiles of some edge.

    Raises:
        FusionlabError: a strategy for pixels and a backbone of learned features (code
            `pixel-strategy`), a declaration that is missing or not valid, or a tile that is too
            small.
    """
    _check_domains(backbone, strategy)
    _check_shared_weights(strategy)
    _check_saves(backbone, strategy)
    if not hasattr(backbone, "receptive_field"):
        raise FusionlabError(
            f"the backbone {type(backbone).__name__} must define its `receptive_field`: how many "
            "pixels away its encoder and its decoder see, or None for the whole image",
            code="no-receptive-field",
        )
    _check_declarations(backbone)
    if support is not None and support < 0:
        raise FusionlabError(f"the support of a strategy must be at least 0, got {support}")
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


def _check_declarations(backbone: Backbone) -> None:
    """Refuse declarations that tiles cannot be planned with."""
    name, field, divisor = type(backbone).__name__, backbone.receptive_field, backbone.size_divisor
    if field is not None and not (
        isinstance(field, tuple)
        and len(field) == 2
        and all(isinstance(radius, int) and radius >= 0 for radius in field)
    ):
        raise FusionlabError(
            f"the `receptive_field` of the backbone {name} must be two numbers of pixels, at least "
            f"0, for encoder and decoder, or None; got {field!r}",
            code="receptive-field",
        )
    strides = [level.stride for level in backbone.levels]
    if divisor < 1 or any(divisor % stride for stride in strides):
        raise FusionlabError(
            f"the `size_divisor` of the backbone {name} must be a multiple of the strides of its "
            f"levels, {', '.join(map(str, strides))}; got {divisor}",
            code="size-divisor",
        )


def _check_domains(backbone: Backbone, strategy: Strategy) -> None:
    name = type(strategy).__name__
    if strategy.domain not in ("any", "pixels"):
        raise FusionlabError(
            f"the domain of the strategy {name} must be 'any' or 'pixels', got {strategy.domain!r}"
        )
    if strategy.domain == "pixels" and backbone.domain != "pixels":
        raise FusionlabError(
            f"the strategy {name} merges pixels and cannot merge the features of "
            f"{type(backbone).__name__}; leave out the backbone",
            code="pixel-strategy",
            option="backbone",
        )


def _check_saves(backbone: Backbone, strategy: Strategy) -> None:
    """Refuse an unknown range policy as what the program of the authors saves with."""
    for role, part, accepted in (
        ("backbone", backbone, (None, *get_args(RangePolicy))),
        ("strategy", strategy, get_args(RangePolicy)),
    ):
        if part.saves not in accepted:
            raise FusionlabError(
                f"`saves` of the {role} {type(part).__name__} must be one of "
                f"{', '.join(map(repr, accepted))}, got {part.saves!r}",
                code="saves",
            )


def _check_shared_weights(strategy: Strategy) -> None:
    """Refuse a strategy that declares shared weights and overrides the sum they are used in."""
    if not (isinstance(strategy, WeightedStrategy) and strategy.shares_weights):
        return
    if type(strategy).fuse is not WeightedStrategy.fuse:
        raise FusionlabError(
            f"the strategy {type(strategy).__name__} shares its weights between the color channels "
            "and must not override `fuse`; override `weighted_sum` or `weights`",
            code="shared-weights",
        )
