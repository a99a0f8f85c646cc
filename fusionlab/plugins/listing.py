"""List what the installed plugins offer, by name, and load it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar

from fusionlab import parameters
from fusionlab.checkpoint import Card
from fusionlab.errors import FusionlabError
from fusionlab.plugins.factory import build_backbone, build_strategy
from fusionlab.plugins.host import installed
from fusionlab.plugins.loading import backbone_class, strategy_class

if TYPE_CHECKING:
    from pathlib import Path

    from fusionlab.backbone import Backbone
    from fusionlab.plugins.offers import BackboneRef, StrategyRef
    from fusionlab.plugins.registry import Registration, Registry
    from fusionlab.strategy import Strategy

T = TypeVar("T")


def list_strategies(pattern: str = "*") -> list[str]:
    """Return the names of the installed strategies that match a pattern, sorted.

        >>> fusionlab.list_strategies("l?norm")
        ['l1norm', 'l2norm']

    Args:
        pattern: shell-style, with `*`, `?` and `[...]`; case matters.
    """
    return _matching(sorted(_names(installed().strategies)), pattern)


def list_backbones(pattern: str = "*") -> list[str]:
    """Return the names of the installed backbones that match a pattern, one for each tag.

        >>> fusionlab.list_backbones("densefuse@1e[012]")
        ['densefuse@1e0', 'densefuse@1e1', 'densefuse@1e2']

    The tag that is used by default comes first.

    Args:
        pattern: shell-style, with `*`, `?` and `[...]`; case matters.
    """
    registry = installed().backbones
    names = [name for r in registry.registrations for name in _tagged(registry.shortest_name(r), r)]
    return _matching(names, pattern)


def list_metrics(pattern: str = "*") -> list[str]:
    """Return the names of the installed metrics that match a pattern, without conventions, sorted.

        >>> fusionlab.list_metrics("SSIM*")
        ['SSIM', 'SSIM_a']

    Those over time are listed by `list_temporal_metrics`.

    Args:
        pattern: shell-style, with `*`, `?` and `[...]`; case matters.
    """
    return _matching(sorted(_names(installed().metrics)), pattern)


def list_temporal_metrics(pattern: str = "*") -> list[str]:
    """Return the names of the installed metrics over time that match a pattern, sorted.

        >>> fusionlab.list_temporal_metrics()
        ['BiSWE', 'MS2R', 'flicker']

    Args:
        pattern: shell-style, with `*`, `?` and `[...]`; case matters.
    """
    return _matching(sorted(_names(installed().temporal_metrics)), pattern)


def list_engines(pattern: str = "*") -> list[str]:
    """Return the names of the installed engines that match a pattern, sorted.

        >>> fusionlab.list_engines()
        ['compile', 'eager', 'ncnn', 'openvino']

    An engine may need a package or a device that is missing here.

    Args:
        pattern: shell-style, with `*`, `?` and `[...]`; case matters.
    """
    return _matching(sorted(_names(installed().engines)), pattern)


def list_readers(pattern: str = "*") -> list[str]:
    """Return the names of the image formats that are read and match a pattern, sorted.

        >>> fusionlab.list_readers("P*")
        ['PNG', 'PNM']

    A reader may need a package that is missing here.

    Args:
        pattern: shell-style, with `*`, `?` and `[...]`; case matters.
    """
    return _matching(sorted(_names(installed().readers)), pattern)


def list_tasks(pattern: str = "*") -> list[str]:
    """Return the names of the installed tasks that match a pattern, sorted.

        >>> fusionlab.list_tasks()
        ['exposure', 'focus', 'infrared', 'medical']

    `Fusion(task=...)` takes these names.

    Args:
        pattern: shell-style, with `*`, `?` and `[...]`; case matters.
    """
    return _matching(sorted(_names(installed().tasks)), pattern)


def list_methods(pattern: str = "*") -> list[str]:
    """Return the names of the installed methods that match a pattern.

        >>> fusionlab.list_methods("densefuse@1e2/ma*")
        ['densefuse@1e2/majority', 'densefuse@1e2/max']

    A method is a strategy on a backbone with a tag, as `evaluate` and `Fusion.method` name it. Left
    out are pixel strategies on backbones with learned features, learned strategies on backbones
    other than that of their training, and strategies with a parameter that has no default. A
    plugin that cannot be imported costs a warning.

    Args:
        pattern: shell-style, with `*`, `?` and `[...]`; case matters.
    """
    return _matching(list(_methods()), pattern)


def load_strategy(name: str) -> Strategy:
    """Return the strategy of a name, with parameters.

        >>> fusionlab.load_strategy("l1norm,r=2")
        L1Norm(r=2, border='inside')

    Args:
        name: `[PLUGIN:]STRATEGY[,name=value,...]`.

    Raises:
        FusionlabError: there is no such strategy or parameter, or a value is not valid.
    """
    return build_strategy(name, installed())


def load_backbone(name: str) -> Backbone:
    """Return the frozen backbone of a name, on the CPU, with its weights.

        >>> fusionlab.load_backbone("densefuse@1e2").levels
        (Level(channels=64, stride=1),)

    Args:
        name: `[PLUGIN:]BACKBONE[@TAG][,name=value,...]`; without TAG the default weights are
            loaded. TAG may be the path of a .safetensors file.

    Raises:
        FusionlabError: there is no such backbone, tag or parameter, a value is not valid, or the
            weights are damaged.
    """
    return build_backbone(name, installed())


def _matching(names: list[str], pattern: str) -> list[str]:
    return [name for name in names if fnmatchcase(name, pattern)]


def _names(registry: Registry[Any]) -> list[str]:
    return [registry.shortest_name(registration) for registration in registry.registrations]


def _tagged(name: str, registration: Registration[BackboneRef]) -> list[str]:
    """Return a name with each of the tags of a backbone."""
    return [f"{name}@{tag}" for tag in registration.ref.checkpoints] or [name]


def _methods() -> Iterator[str]:
    plugins = installed()
    strategies = {
        plugins.strategies.shortest_name(registration): (registration.ref, cls)
        for registration in plugins.strategies.registrations
        if (cls := _class_or_warning(strategy_class, registration)) is not None
    }
    for registration in plugins.backbones.registrations:
        backbone = _class_or_warning(backbone_class, registration)
        if backbone is None or _required(backbone):
            continue
        name = plugins.backbones.shortest_name(registration)
        for backbone_name, weights in zip(
            _tagged(name, registration),
            registration.ref.checkpoints.values() or [None],
            strict=True,
        ):
            for strategy_name, (ref, strategy) in sorted(strategies.items()):
                if strategy.domain == "pixels" and backbone.domain != "pixels":
                    continue
                for text in _trained_for(weights, strategy_name, ref, strategy):
                    yield f"{backbone_name}/{text}"


def _trained_for(
    weights: Path | None, name: str, ref: StrategyRef, strategy: type[Strategy]
) -> list[str]:
    """Return the texts of a strategy that run on a backbone with these weights."""
    from fusionlab.strategy import LearnedStrategy

    if _required(strategy):
        return []
    if not issubclass(strategy, LearnedStrategy):
        return [name]
    backbone_sha256 = Card.read(weights).sha256 if weights else None
    texts = [name, *(f"{name},checkpoint={tag}" for tag in list(ref.checkpoints)[1:])]
    return [
        text
        for text, file in zip(texts, ref.checkpoints.values(), strict=False)
        if (Card.read(file).strategy or {}).get("backbone_sha256") == backbone_sha256
    ]


def _required(cls: type) -> bool:
    """Return whether a class has a parameter without a default."""
    return any(param.required for param in parameters.params_of(cls))


def _class_or_warning(
    load: Callable[[Registration[Any]], type[T]], registration: Registration[Any]
) -> type[T] | None:
    """Return the class of a registration; warn if it cannot be imported."""
    try:
        return load(registration)
    except FusionlabError as error:
        warnings.warn(str(error), RuntimeWarning, stacklevel=2)
        return None
