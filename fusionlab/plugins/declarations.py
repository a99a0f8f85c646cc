"""Check what strategies and backbones declare, before anything relies on it.

Declarations are code of others, too: properties may raise anything, and have any value.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from fusionlab.errors import PluginError
from fusionlab.plugins.failures import failures_of, name_of

if TYPE_CHECKING:
    from fusionlab.backbone import Backbone
    from fusionlab.strategy import Strategy

SAVES = ("clip", "minmax")


def check_strategy(strategy: Strategy) -> None:
    """Refuse a strategy with a declaration that is not valid, or cannot be read.

    Raises:
        PluginError: there is one; the code is `declaration`, that of a former check (`saves`,
            `shared-weights`), or `strategy-failed`.
    """
    with failures_of("strategy", strategy):
        _check_strategy(strategy)


def check_backbone(backbone: Backbone) -> None:
    """Refuse a backbone with a declaration that is not valid, or cannot be read.

    Raises:
        PluginError: there is one; the code is `declaration`, `no-receptive-field`,
            `receptive-field`, `size-divisor`, `saves` or `backbone-failed`.
    """
    with failures_of("backbone", backbone):
        _check_backbone(backbone)


def _check_strategy(strategy: Strategy) -> None:
    from fusionlab.strategy import Law, WeightedStrategy

    name, support = name_of(strategy), strategy.support
    if not (support is None or _is_count(support)):
        raise PluginError(
            f"the support of a strategy must be at least 0, or None for the whole image, got "
            f"{support!r} from {name}",
            code="declaration",
        )
    laws = strategy.laws
    if not (isinstance(laws, AbstractSet) and all(isinstance(law, Law) for law in laws)):
        raise _wrong("laws", "strategy", name, "a set of fusionlab.Law", laws)
    _one_of("domain", "strategy", name, ("any", "pixels"), strategy.domain)
    _one_of("saves", "strategy", name, SAVES, strategy.saves, "saves")
    low, high, roles = strategy.min_k, strategy.max_k, strategy.roles
    if not (_is_count(low) and (high is None or (_is_count(high) and high >= low))):
        raise _wrong("min_k and max_k", "strategy", name, "numbers of sources", (low, high))
    if not (isinstance(roles, tuple) and all(isinstance(role, str) for role in roles)):
        raise _wrong("roles", "strategy", name, "a tuple of texts", roles)
    if not isinstance(strategy, WeightedStrategy):
        return
    _one_of("shares_weights", "strategy", name, (None, True, False), strategy.shares_weights)
    if strategy.shares_weights and type(strategy).fuse is not WeightedStrategy.fuse:
        raise PluginError(
            f"the strategy {name} shares its weights between the color channels and must not "
            "override `fuse`; override `weighted_sum` or `weights`",
            code="shared-weights",
        )


def _check_backbone(backbone: Backbone) -> None:
    from fusionlab.backbone import Level

    name = name_of(backbone)
    if not hasattr(backbone, "receptive_field"):
        raise PluginError(
            f"the backbone {name} must define its `receptive_field`: how many pixels away its "
            "encoder and its decoder see, or None for the whole image",
            code="no-receptive-field",
        )
    field, divisor = backbone.receptive_field, backbone.size_divisor
    if field is not None and not (
        isinstance(field, tuple) and len(field) == 2 and all(map(_is_count, field))
    ):
        raise PluginError(
            f"the `receptive_field` of the backbone {name} must be two numbers of pixels, at least "
            f"0, for encoder and decoder, or None; got {field!r}",
            code="receptive-field",
        )
    levels = getattr(backbone, "levels", None)
    if not (
        isinstance(levels, tuple)
        and levels
        and all(isinstance(level, Level) for level in levels)
        and all(_is_count(n) and n for level in levels for n in (level.channels, level.stride))
    ):
        expected = "a tuple of fusionlab.Level(channels, stride), finest first, each at least 1"
        raise _wrong("levels", "backbone", name, expected, levels)
    strides = [level.stride for level in levels]
    if not _is_count(divisor) or divisor < 1 or any(divisor % stride for stride in strides):
        raise PluginError(
            f"the `size_divisor` of the backbone {name} must be a multiple of the strides of its "
            f"levels, {', '.join(map(str, strides))}; got {divisor!r}",
            code="size-divisor",
        )
    _one_of("domain", "backbone", name, ("features", "pixels"), backbone.domain)
    _one_of("saves", "backbone", name, (None, *SAVES), backbone.saves, "saves")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _one_of(
    declaration: str,
    role: str,
    name: str,
    accepted: tuple[object, ...],
    value: object,
    code: str = "declaration",
) -> None:
    if value not in accepted:
        choices = " or ".join(map(repr, accepted))
        raise _wrong(declaration, role, name, choices, value, code)


def _wrong(
    declaration: str, role: str, name: str, expected: str, value: Any, code: str = "declaration"
) -> PluginError:
    return PluginError(
        f"`{declaration}` of the {role} {name} must be {expected}, got {value!r}", code=code
    )
