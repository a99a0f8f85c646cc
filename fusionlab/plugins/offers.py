"""The descriptions that hooks return.

A description says where a class or a function is defined, and holds what lists and tables print
about it. The class or function is imported only when it is used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
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

SourcesRule = Literal["none", "mean", "sum", "joint", "pair"]


@dataclass(frozen=True)
class _Ref:
    """The fields that all descriptions share."""

    name: str
    target: str
    summary: str

    def __post_init__(self) -> None:
        check_name(self.name)
        check_target(self.target)
        if not isinstance(self.summary, str):
            raise TypeError(
                f"the summary of {self.name!r} must be a line of text, got {self.summary!r}"
            )


@dataclass(frozen=True)
class _CheckpointedRef(_Ref):
    """The fields of descriptions of classes that may have trained weights."""

    checkpoints: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for tag, path in self.checkpoints.items():
            check_name(tag)
            if not isinstance(path, Path):
                raise TypeError(f"the weights {tag!r} must be a Path, got {path!r}")


@dataclass(frozen=True)
class StrategyRef(_CheckpointedRef):
    """A strategy that can be listed without importing it.

    Args:
        name: the name that `--strategy` takes.
        target: where the class is defined, `"package.module:Class"`.
        summary: one line, the same as the first line of the class's docstring.
        checkpoints: for a learned strategy: tag -> safetensors file (with its card next to it).
            The first is the default.
        roles: what each source must be, the same as the `roles` of the class; empty if the order
            of the sources does not matter.
    """

    roles: tuple[str, ...] = ()

    def load(self) -> type[Strategy]:
        """Import and return the class."""
        from fusionlab.strategy import Strategy

        return _load_class(self.target, Strategy)


@dataclass(frozen=True)
class BackboneRef(_CheckpointedRef):
    """A backbone that can be listed without importing it.

    Args:
        name: the name that `--backbone` takes.
        target: where the class is defined, `"package.module:Class"`.
        summary: one line, the same as the first line of the class's docstring.
        checkpoints: tag -> safetensors file (with its card next to it). The first is the
            default; a backbone without checkpoints needs no weights.
    """

    def load(self) -> type[Backbone]:
        """Import and return the class."""
        from fusionlab.backbone import Backbone

        return _load_class(self.target, Backbone)


@dataclass(frozen=True)
class EngineRef(_Ref):
    """An engine, which runs frozen backbones, that can be listed without importing it.

    Args:
        name: the name that `--engine` takes.
        target: where the class, a `fusionlab.Engine`, is defined, `"package.module:Class"`.
        summary: one line.
    """

    def load(self) -> Any:
        """Import and return the class."""
        return load_attribute(self.target)


class MetricFunction(Protocol):
    """A function that computes a metric: N images in, N numbers out."""

    def __call__(self, fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
        """Return `(N,)`, float64, of fused `(N, H, W)` and sources `(k, N, H, W)` in 0..255.

        A metric that takes color gets `(N, 3, H, W)` and `(k, N, 3, H, W)`.
        """


@dataclass(frozen=True)
class MetricRef(_Ref):
    """A metric that can be listed without importing it.

    Before the function is called, the shapes, the size, the number of sources and the range of the
    images are checked against this description.

    Args:
        name: the name that `--metrics` takes, without or with `@CONVENTION`.
        target: where the function is defined, `"package.module:function"`; see `MetricFunction`.
        summary: one line: the long name and the unit.
        higher_is_better: whether larger values are better; None for a property that is neither
            good nor bad.
        bounds: the smallest and largest possible value; infinite where there is no bound.
        min_size: the smallest height and width of an image that it can score, in pixels.
        sources: how it uses the sources: `none` (it uses the fused image alone), the `mean`
            or the `sum` over any number of sources, all of them jointly (`joint`), or exactly
            two (`pair`).
        constant: its value for a fused image of a single gray level: a number, nan where it is
            undefined, None where it depends on the sources.
        symmetric: whether the value is independent of the order of the sources.
        color: whether it takes images in color, `(N, 3, H, W)` and `(k, N, 3, H, W)`, where gray
            images have three equal channels; all other metrics get the luminance.
        reference: DOI or another reference to its definition.
        conventions: name of a program whose values it can reproduce -> how that program differs
            from the definition; empty where it does not differ.
        joined_channels: those of the conventions whose program takes the channels of a color image
            side by side, as one image three times as wide, where others go channel by channel.
    """

    higher_is_better: bool | None = True
    bounds: tuple[float, float] = (-math.inf, math.inf)
    min_size: int = 1
    sources: SourcesRule = "mean"
    constant: float | None = None
    symmetric: bool = True
    reference: str = ""
    conventions: Mapping[str, str] = field(default_factory=dict)
    color: bool = False
    joined_channels: Sequence[str] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for convention in self.conventions:
            check_name(convention)
        if unknown := set(self.joined_channels) - self.conventions.keys():
            raise ValueError(
                f"joined_channels of {self.name} must name some of its conventions, got "
                f"{min(unknown)!r}"
            )
        if self.higher_is_better not in (True, False, None):
            raise ValueError(
                f"higher_is_better of {self.name} must be True, False or None, got "
                f"{self.higher_is_better!r}"
            )
        if self.sources not in get_args(SourcesRule):
            raise ValueError(
                f"sources of {self.name} must be one of {', '.join(get_args(SourcesRule))}, got "
                f"{self.sources!r}"
            )
        if not (self.min_size >= 1 and self.bounds[0] <= self.bounds[1]):
            raise ValueError(f"{self.name} needs min_size >= 1 and bounds (low, high)")

    def load(self) -> MetricFunction:
        """Import and return the function."""
        function: MetricFunction = load_attribute(self.target)
        if not callable(function):
            raise TypeError(f"{self.target} is not a function")
        return function


def _load_class(target: str, base: type[T]) -> type[T]:
    cls = load_attribute(target)
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise TypeError(f"{target} is not a fusionlab.{base.__name__}")
    return cls


def check_target(target: str) -> None:
    """Raise ValueError unless a target is written `package.module:name`."""
    if not (isinstance(target, str) and re.fullmatch(r"[\w.]+:\w+", target)):
        raise ValueError(f"a target is written 'package.module:Class', got {target!r}")


def load_attribute(target: str) -> Any:
    """Import and return the class or function of a target."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
