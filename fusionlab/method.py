"""The names of methods: text -> backbone and strategy, and back.

One grammar everywhere (tables, records, command line):

    BACKBONE[@TAG]/[PLUGIN:]STRATEGY[,name=value,...]        densefuse@1e2/l1norm,r=0

TAG may also be the path of a safetensors file with its card beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fusionlab import params
from fusionlab.errors import FusionlabError

if TYPE_CHECKING:
    from fusionlab.backbone import Backbone
    from fusionlab.hookspecs import BackboneRef, StrategyRef
    from fusionlab.plugins import Offer, Plugins
    from fusionlab.strategy import Strategy


def build_strategy(text: str, plugins: Plugins) -> Strategy:
    """Build the strategy that `[PLUGIN:]STRATEGY[,name=value,...]` names.

    Raises:
        FusionlabError: there is no such strategy or parameter, or a value does not fit.
    """
    name, *parts = text.split(",")
    cls = strategy_class(plugins.strategies.find(name))
    texts: dict[str, str] = {}
    for part in parts:
        if "=" in part:
            key, _, value = part.partition("=")
            texts[key] = value
        elif texts:  # the next element of a tuple: `theta=0.2,0.8`
            texts[key] += f",{part}"
        else:
            raise FusionlabError(f"expected name=value after {name!r}, got {part!r}")
    known = {param.name: param for param in params.params_of(cls)}
    if unknown := texts.keys() - known.keys():
        raise FusionlabError(
            f"the strategy {name!r} has no parameter {min(unknown)!r}; "
            f"it has: {', '.join(known) or 'none'}"
        )
    missing = [p.name for p in known.values() if p.required and p.name not in texts]
    if missing:
        raise FusionlabError(f"the strategy {name!r} needs a value for {', '.join(missing)}")
    return cls(**{key: known[key].parse(value) for key, value in texts.items()})


def build_backbone(text: str, plugins: Plugins) -> Backbone:
    """Build the frozen backbone that `[PLUGIN:]BACKBONE[@TAG]` names.

    Raises:
        FusionlabError: there is no such backbone or tag, or its weights are damaged.
    """
    name, _, tag = text.partition("@")
    offer = plugins.backbones.find(name)
    backbone: Backbone = _load(offer)()
    checkpoints = offer.ref.checkpoints
    if not checkpoints and not tag:
        return backbone.freeze()
    if not tag:
        tag = next(iter(checkpoints))
    if tag in checkpoints:
        return backbone.load_checkpoint(checkpoints[tag])
    if tag.endswith(".safetensors"):
        return backbone.load_checkpoint(Path(tag))
    known = ", ".join(checkpoints) or "none"
    raise FusionlabError(
        f"the backbone {name!r} has no weights {tag!r}; known: {known}, or the path of a "
        ".safetensors file"
    )


def strategy_class(offer: Offer[StrategyRef]) -> type[Strategy]:
    """Import the class of a strategy.

    Raises:
        FusionlabError: its plugin promised a class that is not there or not usable.
    """
    cls = _load(offer)
    try:
        params.params_of(cls)
    except Exception as error:
        raise _unusable(offer, error) from error
    return cls


def method_id(backbone: Backbone, strategy: Strategy, plugins: Plugins) -> str:
    """Return the full name of a method: `densefuse@1e2/l1norm,r=1,border=inside`."""
    left = plugins.backbones.name_of(type(backbone))
    if backbone.card is not None:
        left += f"@{backbone.card.tag}"
    right = plugins.strategies.name_of(type(strategy))
    return f"{left}/{','.join(filter(None, [right, params.describe(strategy)]))}"


def _load(offer: Offer[StrategyRef] | Offer[BackboneRef]) -> type:
    try:
        return offer.ref.load()
    except (Exception, SystemExit) as error:  # a stranger's module may raise anything
        raise _unusable(offer, error) from error


def _unusable(
    offer: Offer[StrategyRef] | Offer[BackboneRef], error: BaseException
) -> FusionlabError:
    return FusionlabError(
        f"{offer.qualified} cannot be used: {type(error).__name__}: {error}; "
        f"report this to the authors of {offer.plugin}"
    )
