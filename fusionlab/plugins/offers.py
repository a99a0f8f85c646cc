"""The descriptions that hooks return: what a plugin offers, without importing it.

A description says where a class or a function lives, and what a list or a table needs to know
about it. The class or function is imported only when it is chosen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args

from fusionlab.parameters import check_name

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab.backbone import Backbone
    from fusionlab.strategy import Strategy

T = TypeVar("T")

Better = Literal["higher", "lower", "neither"]
SourcesRule = Literal["none", "mean", "sum", "joint", "pair"]


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
