"""The names of methods: from text to a backbone or a strategy, and back.

One grammar everywhere (tables, records, command line):

    [PLUGIN:]BACKBONE[@TAG]/[PLUGIN:]STRATEGY[,name=value,...]       densefuse@1e2/l1norm,r=0

To choose weights that no plugin offers, TAG is the path of their safetensors file; in the name of
the method they are then TAG-HASH, with the beginning of their SHA-256.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fusionlab import parameters
from fusionlab.checkpoint import Card, load_weights
from fusionlab.errors import FusionlabError
from fusionlab.plugins.host import in_one_line

if TYPE_CHECKING:
    from torch.nn import ModuleList

    from fusionlab.backbone import Backbone
    from fusionlab.plugins.offers import BackboneRef, EngineRef, MetricRef, StrategyRef
    from fusionlab.plugins.registry import Plugins, Registration
    from fusionlab.strategy import LearnedStrategy, Strategy


PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".model"}
"""How files of weights are called that torch has pickled."""


def default_backbone(strategy: Strategy, plugins: Plugins) -> str:
    """Return the name of the backbone that a strategy takes where none is given.

    Pixel strategies take the baseline backbone, all others the default backbone.
    """
    return plugins.default("baseline" if strategy.domain == "pixels" else "backbone")


def split_method(text: str, plugins: Plugins | None = None) -> tuple[str, str]:
    """Return the backbone and the strategy, with their parameters, that a method's name holds.

    Args:
        text: the name of the method.
        plugins: where the backbone of a pixel strategy is looked up if the name has none.

    Raises:
        FusionlabError: it is no name of a method.
    """
    head, comma, values = text.partition(",")  # whose values may be paths
    left, slash, right = head.rpartition("/")
    if not slash and plugins is not None:
        strategy = strategy_class(plugins.strategies.find(head))
        if strategy.domain == "pixels":
            return plugins.default("baseline"), text
    if not slash:
        raise FusionlabError(
            f"a method is written BACKBONE[@TAG]/STRATEGY[,name=value], got {text!r}"
        )
    return left, right + comma + values


def build_strategy(
    text: str, plugins: Plugins, defaults: Mapping[str, object] | None = None
) -> Strategy:
    """Build the strategy that `[PLUGIN:]STRATEGY[,name=value,...]` names.

    Args:
        text: the name, with parameters.
        plugins: who offers it.
        defaults: parameter -> value, in place of the strategy's own defaults.

    Raises:
        FusionlabError: there is no such strategy or parameter, or a value does not fit.
    """
    name, *parts = text.split(",")
    registration = plugins.strategies.find(name)
    cls = strategy_class(registration)
    texts: dict[str, str] = {}
    for part in parts:
        if "=" in part:
            key, _, value = part.partition("=")
            if key in texts:
                raise FusionlabError(f"{key!r} is given twice in {text!r}; once is enough")
            texts[key] = value
        elif texts:  # the next element of a tuple: `theta=0.2,0.8`
            texts[key] += f",{part}"
        else:
            raise FusionlabError(f"expected name=value after {name!r}, got {part!r}")
    known = {param.name: param for param in parameters.params_of(cls)}
    if unknown := texts.keys() - known.keys():
        raise FusionlabError(
            f"the strategy {name!r} has no parameter {min(unknown)!r}; "
            f"it has: {', '.join(known) or 'none'}"
        )
    values = dict(defaults or {})
    values |= {key: known[key].parse(value) for key, value in texts.items()}
    missing = [p.name for p in known.values() if p.required and p.name not in values]
    if missing:
        raise FusionlabError(f"the strategy {name!r} needs a value for {', '.join(missing)}")
    with attribute_errors_to(registration):
        return cls(**values)


def build_backbone(text: str, plugins: Plugins) -> Backbone:
    """Build the frozen backbone that `[PLUGIN:]BACKBONE[@TAG]` names.

    Raises:
        FusionlabError: there is no such backbone or tag, or its weights are damaged.
    """
    name, _, tag = text.partition("@")
    registration = plugins.backbones.find(name)
    from torch.random import fork_rng

    with (
        attribute_errors_to(registration),
        fork_rng(devices=[]),
    ):  # random weights first; the caller's seed is his
        backbone = backbone_class(registration)()
    checkpoints = registration.ref.checkpoints
    if not checkpoints and not tag:
        return backbone.freeze()
    if not tag:
        tag = next(iter(checkpoints))
    return backbone.load_checkpoint(_weights(f"the backbone {name!r}", tag, checkpoints))


def build_networks(
    strategy: LearnedStrategy, backbone: Backbone, plugins: Plugins
) -> tuple[ModuleList, LearnedStrategy, Card]:
    """Build the frozen networks of a learned strategy, one for each level of the backbone.

    Returns:
        The networks; the strategy with the tag of their weights as its `checkpoint`, and with
        the beginning of their SHA-256 where its package does not offer them; and their card.

    Raises:
        FusionlabError: there are no such weights, they are damaged, or they were trained on the
            features of another backbone.
    """
    from torch.nn import ModuleList
    from torch.random import fork_rng

    name = plugins.strategies.name_of(type(strategy))
    registration = plugins.strategies.registration_of(type(strategy))
    checkpoints = registration.ref.checkpoints if registration else {}
    tag = strategy.checkpoint or next(iter(checkpoints), None)
    if tag is None:
        raise FusionlabError(
            f"the strategy {name!r} has no trained weights; train some with 'fusionlab "
            f"train-strategy {name}', or give a .safetensors file as its checkpoint"
        )
    with fork_rng(devices=[]):  # random weights first; the caller's seed is his
        networks = ModuleList(strategy.network(level) for level in backbone.levels)
    weights = _weights(f"the strategy {name!r}", tag, checkpoints)
    card = Card.read(weights)  # first: networks for another backbone may have other shapes
    facts = card.strategy or {}
    if registration and str(facts.get("name")).rpartition(":")[2] != registration.ref.name:
        raise FusionlabError(
            f"the weights {tag!r} are those of {facts.get('name', card.backbone)!r}, not of the "
            f"strategy {name!r}; choose others, or train some with 'fusionlab train-strategy'"
        )
    trained = facts.get("backbone_sha256")
    if trained != (backbone.card and backbone.card.sha256):
        here = method_id(backbone, strategy, plugins).partition("/")[0]
        raise FusionlabError(
            f"the weights {tag!r} of {name!r} were trained on the features of {card.backbone}, "
            f"not of {here}; choose that backbone, or train others with 'fusionlab train-strategy'"
        )
    load_weights(networks, weights)
    if tag not in checkpoints:
        tag = f"{card.tag}-{card.sha256[:8]}"
    return networks.eval().requires_grad_(False), replace(strategy, checkpoint=tag), card


def strategy_class(registration: Registration[StrategyRef]) -> type[Strategy]:
    """Import the class of a strategy.

    Raises:
        FusionlabError: its plugin promised a class that is not there or not usable.
    """
    with attribute_errors_to(registration):
        cls = registration.ref.load()
        parameters.params_of(cls)
        return cls


def backbone_class(registration: Registration[BackboneRef]) -> type[Backbone]:
    """Import the class of a backbone.

    Raises:
        FusionlabError: its plugin promised a class that is not there.
    """
    with attribute_errors_to(registration):
        return registration.ref.load()


def method_id(backbone: Backbone, strategy: Strategy, plugins: Plugins) -> str:
    """Return the full name of a method: `densefuse@1e2/l1norm,r=1,border=inside`."""
    left = plugins.backbones.name_of(type(backbone))
    if backbone.card is not None:
        left += f"@{_tag_of(backbone.card, left, plugins)}"
    right = plugins.strategies.name_of(type(strategy))
    return f"{left}/{','.join(filter(None, [right, parameters.describe(strategy)]))}"


@contextmanager
def attribute_errors_to(
    registration: Registration[StrategyRef]
    | Registration[BackboneRef]
    | Registration[EngineRef]
    | Registration[MetricRef],
) -> Iterator[None]:
    """Turn whatever a stranger's code raises into one sentence that names its plugin."""
    try:
        yield
    except (FusionlabError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise FusionlabError(
            f"{registration.qualified} cannot be used: {in_one_line(error)}; report this to the "
            f"authors of {registration.plugin}"
        ) from error


def _weights(owner: str, tag: str, checkpoints: Mapping[str, Path]) -> Path:
    """Return the file of the weights that a tag, or a path, means."""
    if tag in checkpoints:
        return checkpoints[tag]
    if tag.endswith(".safetensors"):
        return Path(tag)
    if Path(tag).suffix in PICKLES:
        raise FusionlabError(
            f"{tag} is refused unread: weights in a pickle can run programs when they are loaded; "
            "give a .safetensors file with its card, as 'fusionlab train' writes them"
        )
    known = ", ".join(checkpoints) or "none"
    raise FusionlabError(
        f"{owner} has no weights {tag!r}; known: {known}, or the path of a .safetensors file"
    )


def _tag_of(card: Card, backbone: str, plugins: Plugins) -> str:
    """Return the tag of weights; of those that are not the plugin's own, with their hash."""
    for registration in plugins.backbones.registrations:
        own = registration.ref.checkpoints.get(card.tag)
        named = backbone in (registration.ref.name, registration.qualified)
        if named and own is not None and Card.read(own).sha256 == card.sha256:
            return card.tag
    return f"{card.tag}-{card.sha256[:8]}"
