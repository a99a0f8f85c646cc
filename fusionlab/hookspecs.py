"""The contract between fusionlab and its plugins, in the order of a run.

A plugin is any installed distribution with an entry point in the group `fusionlab.v1` that
names a module; the module implements some of the hooks below:

    [project.entry-points."fusionlab.v1"]
    mine = "my_package"

What ships with fusionlab registers in exactly this way. A hook returns light descriptions
(`StrategyRef`, `BackboneRef`, `MetricRef`, ...): they say where a class or a function lives, and
it is imported only when somebody chooses it.

What keeps old plugins working:

* the major version of the contract is in the name of the group; plugins of another group are
  reported by name and never imported;
* adding a hook, or an argument to a hook, is a minor change: an implementation may take fewer
  arguments than the specification offers;
* a hook or an argument is retired with a warning for one release (`warn_on_impl`,
  `warn_on_impl_args`) before it goes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args

from pluggy import HookimplMarker, HookspecMarker

from fusionlab.names import check_name

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab.backbone import Backbone
    from fusionlab.strategy import Strategy

API = 1
GROUP = f"fusionlab.v{API}"

hookspec = HookspecMarker("fusionlab")
hookimpl = HookimplMarker("fusionlab")
"""Marks a function as the implementation of the hook of its name: `@hookimpl`."""

T = TypeVar("T")

Better = Literal["higher", "lower", "neither"]
SourcesRule = Literal["none", "mean", "sum", "joint", "pair"]


# ------------------------------------------------------------------ what hooks return


@dataclass(frozen=True)
class StrategyRef:
    """A strategy that can be listed without being imported.

    Args:
        name: what `--strategy` takes.
        target: where the class lives, `"package.module:Class"`.
        summary: one line, the same as the first line of the class's docstring.
        checkpoints: of a learned strategy: tag -> safetensors file (its card lies beside it).
            The first is the default.
    """

    name: str
    target: str
    summary: str
    checkpoints: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_ref(self.name, self.target, self.summary)
        _check_checkpoints(self.checkpoints)

    def load(self) -> type[Strategy]:
        """Import and return the class."""
        from fusionlab.strategy import Strategy

        return _load(self.target, Strategy)


@dataclass(frozen=True)
class BackboneRef:
    """A backbone that can be listed without being imported.

    Args:
        name: what `--backbone` takes.
        target: where the class lives, `"package.module:Class"`.
        summary: one line, the same as the first line of the class's docstring.
        checkpoints: tag -> safetensors file (its card lies beside it). The first is the
            default; none at all means that the backbone needs no weights.
    """

    name: str
    target: str
    summary: str
    checkpoints: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_ref(self.name, self.target, self.summary)
        _check_checkpoints(self.checkpoints)

    def load(self) -> type[Backbone]:
        """Import and return the class."""
        from fusionlab.backbone import Backbone

        return _load(self.target, Backbone)


class MetricFunction(Protocol):
    """What a metric computes: N images in, N numbers out."""

    def __call__(self, fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
        """Return `(N,)`, float64, of fused `(N, H, W)` and sources `(k, N, H, W)` in 0..255."""


@dataclass(frozen=True)
class MetricRef:
    """A metric, with everything a table or a reader needs to know; computed only when asked.

    Args:
        name: what `--metrics` takes, without or with `@CONVENTION`.
        target: where the function lives, `"package.module:function"`; see `MetricFunction`.
        summary: the long name and unit, one line.
        better: which direction is better; `neither` for a description that is no merit.
        bounds: between which values it lies; infinite where there is no bound.
        least: the smallest edge of an image it can judge, in pixels.
        sources: what more than two sources mean: the metric looks at the fused image alone
            (`none`), is the `mean` or the `sum` over the sources, or judges them together
            (`joint`); or it is defined for exactly two (`pair`).
        constant: what a fused image of a single value gets: a number, nan where it is undefined;
            None where it depends on the sources.
        symmetric: whether the order of the sources does not matter.
        reference: DOI or another pointer to who defined it.
        conventions: name of a program whose values it can reproduce -> how that differs from the
            default and what is wrong with it; empty where it does not differ.
    """

    name: str
    target: str
    summary: str
    better: Better = "higher"
    bounds: tuple[float, float] = (-math.inf, math.inf)
    least: int = 1
    sources: SourcesRule = "mean"
    constant: float | None = None
    symmetric: bool = True
    reference: str = ""
    conventions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_ref(self.name, self.target, self.summary)
        for convention in self.conventions:
            check_name(convention)
        for given, known in (
            (self.better, get_args(Better)),
            (self.sources, get_args(SourcesRule)),
        ):
            if given not in known:
                raise ValueError(f"{self.name} must say one of {', '.join(known)}, got {given!r}")
        if not (self.least >= 1 and self.bounds[0] <= self.bounds[1]):
            raise ValueError(f"{self.name} needs least >= 1 and bounds (low, high)")

    def load(self) -> MetricFunction:
        """Import and return the function."""
        found: MetricFunction = _attribute(self.target)
        if not callable(found):
            raise TypeError(f"{self.target} is not a function")
        return found


@dataclass(frozen=True)
class Preset:
    """What one plugin means by a preset such as `paper`; several plugins may share a name.

    Presets only replace defaults: what a user says explicitly always wins.

    Args:
        name: what `--preset` takes.
        summary: one line: what this part of it reproduces.
        settings: options of the pipeline, for example `{"range_policy": "minmax"}`.
        strategies: name of one of this plugin's strategies -> its parameters, for example
            `{"l1norm": {"r": 0}}`. `fusionlab evaluate` compares those that are named.
        backbones: which of this plugin's backbones `fusionlab evaluate` compares, with tags.
        metrics: which metrics it computes, for example `("EN", "Qabf@paper")`.
        published: rows of a published table to print beside its own: the name of a method, or of
            somebody else's, -> metric -> value.
        published_images: how many images these are means over; other sets do not compare.
        trainings: name of one of this plugin's backbones -> options of `fusionlab train`, for
            example `{"densefuse": {"batch": 2, "epochs": (4,)}}`.
    """

    name: str
    summary: str
    settings: Mapping[str, object] = field(default_factory=dict)
    strategies: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    trainings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    backbones: Sequence[str] = ()
    metrics: Sequence[str] = ()
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    published_images: int = 0

    def __post_init__(self) -> None:
        check_name(self.name)


# ------------------------------------------------------------------ the hooks


@hookspec
def fusionlab_defaults() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Say what is used when the user does not choose.

    Keys: `backbone` (a name, with or without `@TAG`) and `strategy` (a name); `baseline`, the
    backbone without weights that evaluations print beside every other; and `metrics`, which
    they compute, separated by spaces. If two plugins offer a default for the same key, the user
    is asked to choose.
    """


@hookspec
def fusionlab_presets() -> Iterable[Preset]:  # type: ignore[empty-body]
    """List the presets this plugin takes part in."""


@hookspec
def fusionlab_backbones() -> Iterable[BackboneRef]:  # type: ignore[empty-body]
    """List the backbones (frozen encoder and decoder) this plugin offers.

    Called whenever backbones are listed: name where a backbone lives, do not import it.
    """


@hookspec
def fusionlab_strategies() -> Iterable[StrategyRef]:  # type: ignore[empty-body]
    """List the fusion strategies this plugin offers.

    Called whenever strategies are listed: name where a strategy lives, do not import it.
    """


@hookspec
def fusionlab_metrics() -> Iterable[MetricRef]:  # type: ignore[empty-body]
    """List the metrics of fusion quality this plugin offers.

    Called whenever metrics are listed: name where a metric lives, do not import it.
    """


def _check_ref(name: object, target: object, summary: object) -> None:
    check_name(name)
    if not (isinstance(target, str) and re.fullmatch(r"[\w.]+:\w+", target)):
        raise ValueError(f"a target is written 'package.module:Class', got {target!r}")
    if not isinstance(summary, str):
        raise TypeError(f"the summary of {name!r} must be a line of text, got {summary!r}")


def _check_checkpoints(checkpoints: Mapping[str, object]) -> None:
    for tag, path in checkpoints.items():
        check_name(tag)
        if not isinstance(path, Path):
            raise TypeError(f"the weights {tag!r} must be a Path, got {path!r}")


def _load(target: str, base: type[T]) -> type[T]:
    found = _attribute(target)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise TypeError(f"{target} is not a fusionlab.{base.__name__}")
    return found


def _attribute(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
