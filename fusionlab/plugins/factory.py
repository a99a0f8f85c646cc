"""Build strategies and backbones, and load their weights, from the names of methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fusionlab import parameters
from fusionlab.checkpoint import Card, load_weights
from fusionlab.errors import FusionlabError
from fusionlab.plugins.declarations import check_backbone, check_strategy
from fusionlab.plugins.failures import attribute_errors_to, failures_of
from fusionlab.plugins.loading import backbone_class, strategy_class
from fusionlab.plugins.method_names import PICKLES, WEIGHTS, NameWithValues, backbone_id

if TYPE_CHECKING:
    from torch.nn import ModuleList

    from fusionlab.backbone import Backbone
    from fusionlab.plugins.offers import BackboneRef, StrategyRef
    from fusionlab.plugins.registry import Plugins, Registration
    from fusionlab.strategy import LearnedStrategy, Strategy


def default_backbone(strategy: Strategy, plugins: Plugins) -> str:
    """Return the name of the backbone that a strategy runs on where none is given.

    Pixel strategies take the baseline backbone, all others the default backbone.
    """
    return plugins.default("baseline" if strategy.domain == "pixels" else "backbone")


def build_strategy(
    text: str, plugins: Plugins, defaults: Mapping[str, object] | None = None
) -> Strategy:
    """Build the strategy `[PLUGIN:]STRATEGY[,name=value,...]`.

    Args:
        text: the name, with parameters.
        plugins: the plugins that offer it.
        defaults: parameter -> value, in place of the strategy's own defaults.

    Raises:
        FusionlabError: there is no such strategy or parameter, or a value is not valid.
    """
    parts = NameWithValues.parse(text)
    registration = plugins.strategies.find(f"{parts.name}@{parts.tag}" if parts.tag else parts.name)
    cls = strategy_class(registration)
    values = _values(f"the strategy {parts.name!r}", cls, parts.values, defaults or {})
    return strategy_of(registration, cls, values)


def strategy_of(
    registration: Registration[StrategyRef], cls: type[Strategy], values: Mapping[str, Any]
) -> Strategy:
    """Build a strategy of a class with these parameters, and check what it declares.

    Raises:
        FusionlabError: a value is not valid, or the class fails.
    """
    with attribute_errors_to(registration):
        strategy = cls(**values)
    check_strategy(strategy)
    return strategy


class BackboneParts(NamedTuple):
    """The name of a backbone, and what it stands for."""

    name: NameWithValues
    registration: Registration[BackboneRef]
    cls: type[Backbone]
    values: dict[str, object]
    """The arguments that the class is built with."""


def parse_backbone(text: str, plugins: Plugins) -> BackboneParts:
    """Look up the backbone `[PLUGIN:]BACKBONE[@TAG][,name=value,...]`, without building it.

    Raises:
        FusionlabError: there is no such backbone or parameter, or a value is not valid.
    """
    name = NameWithValues.parse(text)
    registration = plugins.backbones.find(name.name)
    cls = backbone_class(registration)
    values = _values(f"the backbone {name.name!r}", cls, name.values, {})
    return BackboneParts(name, registration, cls, values)


def build_backbone(text: str, plugins: Plugins) -> Backbone:
    """Build the frozen backbone `[PLUGIN:]BACKBONE[@TAG][,name=value,...]`.

    Raises:
        FusionlabError: there is no such backbone, tag or parameter, a value is not valid, or the
            weights are damaged.
    """
    name, registration, cls, values = parse_backbone(text, plugins)
    from torch.random import fork_rng

    from fusionlab.torch_defaults import torch_defaults

    with torch_defaults():
        # random weights come first; leave the caller's RNG state alone
        with attribute_errors_to(registration), fork_rng(devices=[]):
            backbone = cls(**values)
        check_backbone(backbone)
        checkpoints = registration.ref.checkpoints
        with attribute_errors_to(registration):
            if not checkpoints and not name.tag:
                return backbone.freeze()
            tag = name.tag or next(iter(checkpoints))
            owner = f"the backbone {name.name!r}"
            return backbone.load_checkpoint(_weights_file(owner, tag, checkpoints))


def build_networks(
    strategy: LearnedStrategy, backbone: Backbone, plugins: Plugins
) -> tuple[ModuleList, LearnedStrategy, Card]:
    """Build the frozen networks of a learned strategy, one for each level of the backbone.

    Returns:
        The networks; the strategy with the tag of their weights as its `checkpoint`, extended by
        the first digits of their SHA-256 if its package does not offer them; and their card.

    Raises:
        FusionlabError: the strategy has no such weights, they are damaged, or they were trained
            for another strategy or on the features of another backbone (code `other-backbone`).
    """
    from torch.nn import ModuleList
    from torch.random import fork_rng

    from fusionlab.torch_defaults import torch_defaults

    name = plugins.strategies.name_of(type(strategy))
    registration = plugins.strategies.registration_of(type(strategy))
    checkpoints = registration.ref.checkpoints if registration else {}
    tag = strategy.checkpoint or next(iter(checkpoints), None)
    if tag is None:
        raise FusionlabError(
            f"the strategy {name!r} has no trained weights; train it, or set its checkpoint to a "
            f"{WEIGHTS} file",
            code="no-weights",
            option="checkpoint",
        )
    # random weights come first; leave the caller's RNG state alone
    with torch_defaults(), fork_rng(devices=[]), failures_of("strategy", strategy):
        networks = ModuleList(strategy.network(level) for level in backbone.levels)
    weights = _weights_file(f"the strategy {name!r}", tag, checkpoints)
    card = Card.read(weights)  # before loading: networks for another backbone may differ in shape
    facts = card.strategy or {}
    if registration and str(facts.get("name")).rpartition(":")[2] != registration.ref.name:
        raise FusionlabError(
            f"the weights {tag!r} belong to {facts.get('name', card.backbone)!r}, not to the "
            f"strategy {name!r}; choose others, or train the strategy",
            code="other-strategy",
            option="checkpoint",
        )
    if facts.get("backbone_sha256") != (backbone.card and backbone.card.sha256):
        raise FusionlabError(
            f"the weights {tag!r} of {name!r} were trained on the features of {card.backbone}, not "
            f"of {backbone_id(backbone, plugins)}; choose that backbone, or train the strategy on "
            "this one",
            code="other-backbone",
            option="backbone",
        )
    with torch_defaults():
        load_weights(networks, weights)
    if tag not in checkpoints:
        tag = f"{card.tag}-{card.sha256[:8]}"
    return networks.eval().requires_grad_(False), replace(strategy, checkpoint=tag), card


def _values(
    owner: str, cls: type, texts: Mapping[str, str], defaults: Mapping[str, object]
) -> dict[str, object]:
    """Return the arguments that build a class: `defaults`, replaced by the parsed texts."""
    params = {param.name: param for param in parameters.params_of(cls)}
    if unknown := texts.keys() - params.keys():
        raise FusionlabError(
            f"{owner} has no parameter {min(unknown)!r}; it has: {', '.join(params) or 'none'}",
            code="unknown-parameter",
        )
    values = dict(defaults) | {name: params[name].parse(text) for name, text in texts.items()}
    missing = [p.name for p in params.values() if p.required and p.name not in values]
    if missing:
        raise FusionlabError(
            f"{owner} needs a value for {', '.join(missing)}", code="missing-parameter"
        )
    return values


def _weights_file(owner: str, tag: str, checkpoints: Mapping[str, Path]) -> Path:
    """Return the file with the weights of a tag, or of a path given in its place."""
    if tag in checkpoints:
        return checkpoints[tag]
    if tag.endswith(WEIGHTS):
        return Path(tag)
    if Path(tag).suffix in PICKLES:
        raise FusionlabError(
            f"{tag} was not read: loading a pickle can run programs; use a {WEIGHTS} file with its "
            "card",
            code="pickle",
        )
    raise FusionlabError(
        f"{owner} has no weights {tag!r}; known: {', '.join(checkpoints) or 'none'}, or the path "
        f"of a {WEIGHTS} file",
        code="unknown-weights",
    )
