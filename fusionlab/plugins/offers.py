"""The descriptions that hooks return.

A description says where a class or a function is defined, and holds what lists and tables print
about it. The class or function is imported only when it is used.
"""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args

from fusionlab.errors import PluginWarning
from fusionlab.parameters import check_name
from fusionlab.plugins.import_effects import undone_effects

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab.backbone import Backbone
    from fusionlab.imaging.contents import Contents
    from fusionlab.imaging.decoding import SizeCheck
    from fusionlab.metrics.optical_flow import Flows
    from fusionlab.registration.contract import EstimatorFunction
    from fusionlab.sequences.contract import FrameSequence
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


@dataclass(frozen=True)
class _FormatRef(_Ref):
    """The fields of descriptions of readers: how a file of their format is recognized."""

    suffixes: tuple[str, ...] = ()
    magic: bytes = b""
    contains: tuple[bytes, ...] = ()
    within: int = 256
    needs_suffix: bool = False
    priority: int = 0
    requires: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.magic and isinstance(self.magic, bytes)):
            raise ValueError(f"magic of {self.name} must be a regular expression of bytes")
        re.compile(self.magic)  # raises here, where it says which plugin is broken
        if bad := [s for s in self.suffixes if not re.fullmatch(r"\.[^A-Z]+", s)]:
            raise ValueError(
                f"a suffix of {self.name} begins with a dot, in lower case, got {bad[0]!r}"
            )

    def recognizes(self, content: bytes, suffix: str) -> bool:
        """Return whether a file seems to be in this format.

        Args:
            content: of the file, or its first `within` bytes.
            suffix: of its name, in lower case.
        """
        if self.needs_suffix and suffix not in self.suffixes:
            return False
        if not self._start.match(content, 0, self.within):
            return False
        found = (content.find(mark, 0, self.within) >= 0 for mark in self.contains)
        return not self.contains or any(found)

    @cached_property
    def _start(self) -> re.Pattern[bytes]:
        return re.compile(self.magic, re.DOTALL)


@dataclass(frozen=True)
class ReaderRef(_FormatRef):
    """A reader of one image format that can be listed, and asked for, without importing it.

    A file is read by the first reader that recognizes its content, whatever its name.

    Args:
        name: of the format, as messages say it: `"PNG"`.
        target: where the function is defined, `"package.module:open_format"`: from the bytes of a
            file to what it holds. See `ReaderFunction`.
        summary: one line: what images of the format can hold.
        suffixes: of such files, in lower case, with the dot: files with one of them are taken for
            images when a folder is searched.
        magic: how such files begin, a regular expression of bytes in which `.` is any byte.
        contains: bytes of which one must be among the first `within` bytes, too; empty: none.
        within: how many bytes of a file are needed to recognize it.
        needs_suffix: whether a file must have one of the suffixes, too, because its first bytes
            are no mark.
        priority: of several readers that recognize a file, the one with the highest priority is
            asked first. A format inside another one, such as thermal data in a JPEG, takes 1.
        requires: what must be installed to read it, as pip takes it: the package or the extra
            whose lack makes the import of `target` fail; empty: nothing else.
    """

    def load(self) -> ReaderFunction:
        """Import and return the function.

        Raises:
            ImportError: what it requires is not installed.
        """
        function: ReaderFunction = load_attribute(self.target)
        if not callable(function):
            raise TypeError(f"{self.target} is not a function")
        return function


@dataclass(frozen=True)
class SequenceReaderRef(_FormatRef):
    """A reader of one format of videos that can be listed, and asked for, without importing it.

    A file that it recognizes is a sequence of frames by itself. A file of images with several
    pages, such as TIFF, needs no such reader: its `ReaderRef` gives the pages, which are frames
    where the user asks for that.

    Args:
        name: of the format, as messages say it: `"Matroska"`.
        target: where the function is defined, `"package.module:open_format"`: from the path of a
            file to its frames. See `SequenceReaderFunction`.
        summary: one line: what frames of the format can hold.
        suffixes: as for `ReaderRef`; files with one of them are not taken for images.
        magic: as for `ReaderRef`.
        contains: as for `ReaderRef`.
        within: as for `ReaderRef`.
        needs_suffix: as for `ReaderRef`.
        priority: as for `ReaderRef`.
        requires: as for `ReaderRef`.
    """

    def load(self) -> SequenceReaderFunction:
        """Import and return the function.

        Raises:
            ImportError: what it requires is not installed.
        """
        function: SequenceReaderFunction = load_attribute(self.target)
        if not callable(function):
            raise TypeError(f"{self.target} is not a function")
        return function


class ReaderFunction(Protocol):
    """A function that opens an image file: bytes in, what the file holds out."""

    def __call__(self, content: bytes, check_size: SizeCheck, /) -> Contents | None:
        """Return the pages of a file, without decoding their pixels.

        Anything may be raised at a damaged file. `fusionlab.imaging.decoding.UnsupportedImage`
        says what an image is instead of gray or RGB; a `FusionlabError` reaches the user as it is.

        Args:
            content: of the file.
            check_size: to be called with (width, height) before pixels are allocated; raises if
                there are too many.

        Returns:
            The contents; None: the file is not in this format after all, and the next reader that
            recognizes it is asked.
        """


class SequenceReaderFunction(Protocol):
    """A function that opens a video: its path in, its frames out."""

    def __call__(self, path: Path, check_size: SizeCheck, /) -> FrameSequence | None:
        """Return the frames of a file, without decoding more than it takes to know what they are.

        Anything may be raised at a damaged file, here and while frames are read. A
        `FusionlabError` reaches the user as it is.

        Args:
            path: of a regular file that can be read.
            check_size: to be called with (width, height) before pixels are allocated; raises if
                there are too many.

        Returns:
            The frames; None: the file is not in this format after all, and the next reader that
            recognizes it is asked.
        """


@dataclass(frozen=True)
class RegistrationRef(_Ref):
    """A method of image registration that can be listed without importing it.

    Args:
        name: the name that `--register` takes.
        target: where the function is defined, `"package.module:function"`; see
            `fusionlab.registration.contract.EstimatorFunction`.
        summary: one line: what images it is for.
        models: the families of transforms that it estimates, of `translation`, `similarity`,
            `affine` and `homography`.
        reference: DOI or another reference to its definition.
    """

    models: tuple[str, ...] = ("translation", "similarity", "affine", "homography")
    reference: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        known = ("translation", "similarity", "affine", "homography")
        if not self.models or not set(self.models) <= set(known):
            raise ValueError(
                f"models of {self.name} must be some of {', '.join(known)}, got {self.models!r}"
            )
        if self.name == "auto":
            raise ValueError("a method cannot be called 'auto', which means the default one")

    def load(self) -> EstimatorFunction:
        """Import and return the function."""
        function: EstimatorFunction = load_attribute(self.target)
        if not callable(function):
            raise TypeError(f"{self.target} is not a function")
        return function


class MetricFunction(Protocol):
    """A function that computes a metric: N images in, N numbers out."""

    def __call__(self, fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
        """Return `(N,)`, float64, of fused `(N, H, W)` and sources `(k, N, H, W)` in 0..255.

        A metric that takes color gets `(N, 3, H, W)` and `(k, N, 3, H, W)`.
        """


@dataclass(frozen=True)
class _MetricRef(_Ref):
    """The fields that descriptions of metrics share, see `MetricRef`."""

    higher_is_better: bool | None = True
    bounds: tuple[float, float] = (-math.inf, math.inf)
    min_size: int = 1
    sources: SourcesRule = "mean"
    constant: float | None = None
    symmetric: bool = True
    reference: str = ""
    conventions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for convention in self.conventions:
            check_name(convention)
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


@dataclass(frozen=True)
class MetricRef(_MetricRef):
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

    color: bool = False
    joined_channels: Sequence[str] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := set(self.joined_channels) - self.conventions.keys():
            raise ValueError(
                f"joined_channels of {self.name} must name some of its conventions, got "
                f"{min(unknown)!r}"
            )

    def load(self) -> MetricFunction:
        """Import and return the function."""
        function: MetricFunction = load_attribute(self.target)
        if not callable(function):
            raise TypeError(f"{self.target} is not a function")
        return function


class TemporalMetricFunction(Protocol):
    """A function that computes a metric over time: T consecutive frames in, numbers out."""

    def __call__(
        self,
        fused: Tensor,
        sources: Tensor,
        flows: Flows | None,
        convention: str = "default",
    ) -> Tensor:
        """Return `(T - frames + 1,)`, float64: a value for every `frames` consecutive ones.

        Args:
            fused: `(T, H, W)` in 0..255, T at least `frames` of the description.
            sources: `(k, T, H, W)` in 0..255.
            flows: the optical flow between neighbors, if the description asks for it, else None.
            convention: one of the description, or `"default"`.
        """


@dataclass(frozen=True)
class TemporalMetricRef(_MetricRef):
    """A metric over time, of consecutive frames, that can be listed without importing it.

    It is offered by the hook of the other metrics. Frames are gray, the luminance of color; before
    the function is called they are checked as the images of a `MetricRef`. The arguments that are
    not explained here are those of `MetricRef`.

    Args:
        target: where the function is defined, `"package.module:function"`; see
            `TemporalMetricFunction`.
        min_size: if it takes the flow, at least the 16 pixels that its estimator needs.
        frames: how many consecutive frames a value depends on, at least 2. A sequence is scored
            with so many in memory. The value belongs to the last of two, the middle one of three,
            and so on.
        flow: whether it takes the optical flow between neighboring frames.
    """

    frames: int = 2
    flow: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frames < 2:
            raise ValueError(
                f"{self.name} must compare at least 2 frames, got {self.frames}; a metric of "
                "single images is a MetricRef"
            )

    def load(self) -> TemporalMetricFunction:
        """Import and return the function."""
        function: TemporalMetricFunction = load_attribute(self.target)
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
    """Import and return the class or function of a target; what the import changes is undone."""
    module, _, attribute = target.partition(":")
    if module in sys.modules:
        return getattr(sys.modules[module], attribute)
    changed: list[str] = []
    with undone_effects(changed):
        found = getattr(import_module(module), attribute)
    if changed:
        what = " and ".join(changed)
        text = f"the module {module} has changed {what} at import, which was undone"
        warnings.warn(text, PluginWarning, stacklevel=2)
    return found
