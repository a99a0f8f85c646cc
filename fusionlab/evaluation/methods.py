"""The rows of a table: methods that fuse here and now, and folders of other people's results."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from fusionlab.backbone import Backbone
from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.errors import FusionlabError
from fusionlab.evaluation.metric_input import gray
from fusionlab.evaluation.provenance import code_of
from fusionlab.fusion import Fusion
from fusionlab.imaging.range_policy import RangePolicy
from fusionlab.imaging.reading import SUFFIXES, LoadedImage, read_image
from fusionlab.imaging.scale import Scale
from fusionlab.parameters import params_of
from fusionlab.plugins.factory import build_backbone, build_strategy, method_id, split_method
from fusionlab.plugins.registry import Plugins
from fusionlab.runs.image_sets import images_by_stem
from fusionlab.runs.record import describe_method
from fusionlab.strategy import LearnedStrategy, Strategy


@dataclass(frozen=True)
class Subject:
    """The sources of one image of a set, gray, and who they are."""

    stem: str
    sources: tuple[NDArray[Any], ...]
    names: tuple[str, ...]
    sha256: tuple[str, ...]

    @classmethod
    def of(cls, stem: str, pictures: Sequence[LoadedImage]) -> Subject:
        """Take the gray images of pictures of one size.

        Raises:
            FusionlabError: their sizes differ.
        """
        sizes = [picture.pixels.shape[:2] for picture in pictures]
        if len(set(sizes)) > 1:
            found = ", ".join(f"{width}x{height}" for height, width in sizes)
            raise FusionlabError(f"the images must have the same size, got {found}")
        return cls(
            stem,
            tuple(gray(np.asarray(picture.pixels)) for picture in pictures),
            tuple(picture.name for picture in pictures),
            tuple(picture.sha256 for picture in pictures),
        )


class Method(Protocol):
    """Anything that has one gray picture for every subject."""

    @property
    def label(self) -> str:
        """What the row is called."""

    @property
    def baseline(self) -> str | None:
        """The label of the row it is compared with: the same strategy on the baseline backbone."""

    def describe(self) -> dict[str, Any]:
        """Everything its pictures depend on, as plain JSON."""

    def fingerprint(self, stem: str) -> str:
        """Return what tells apart two states of its result for a subject, besides `describe`."""

    def picture(self, subject: Subject, feature_cache: FeatureCache) -> NDArray[Any]:
        """Return the picture `(H, W)` as it is or would be written, or raise FusionlabError."""


@dataclass(frozen=True)
class FusionMethod:
    """A backbone and a strategy, fused here."""

    label: str
    fusion: Fusion
    plugins: Plugins
    baseline: str | None = None

    def describe(self) -> dict[str, Any]:
        """Return what a record says of the fusion, and the state of the code that does it."""
        parts = type(self.fusion.backbone), type(self.fusion.strategy)
        return {
            **describe_method(self.fusion, self.plugins),
            "code": [code_of(part.__module__) for part in parts],
        }

    def fingerprint(self, stem: str) -> str:  # noqa: ARG002  # it all stands in `describe`
        """Return nothing: the result is a function of settings and sources."""
        return ""

    def picture(self, subject: Subject, feature_cache: FeatureCache) -> NDArray[Any]:
        """Fuse the gray sources, at the depth of the deepest."""
        with torch.no_grad():
            return self.fusion.fuse(
                list(subject.sources), names=subject.names, feature_cache=feature_cache
            ).image


@dataclass(frozen=True)
class FolderMethod:
    """A folder with one result for every subject, made by whatever program.

    Args:
        label: what the row is called.
        names: how the files are called, `{}` for the stem, in words for an error.
        files: stem -> the files there are for it.
    """

    label: str
    names: str
    files: Mapping[str, Sequence[Path]]
    baseline: str | None = None

    @classmethod
    def parse(cls, text: str, stems: Sequence[str]) -> FolderMethod:
        """Read `NAME=DIR`, or `NAME=DIR/before{}after` where the names hold more than the stem.

        Args:
            text: as a user gives it; a suffix of an image at its end has to be met.
            stems: of the image set.

        Raises:
            FusionlabError: it is neither, the folder is not there, or has no result at all.
        """
        label, equals, place = text.partition("=")
        if not (equals and place and label.isprintable() and label.strip()):
            raise FusionlabError(
                f"expected NAME=DIR, or NAME=DIR/fused_{{}}_x with {{}} for the stem; got {text!r}"
            )
        path, pattern = Path(place), "{}"
        if "{}" in path.name:
            path, pattern = path.parent, path.name
        suffix = next((suffix for suffix in SUFFIXES if pattern.lower().endswith(suffix)), "")
        before, _, after = pattern[: len(pattern) - len(suffix)].partition("{}")
        if not path.is_dir():
            raise FusionlabError(f"{path} is not a folder; {label} needs one with its results")
        found = images_by_stem(path)
        files = {
            stem: [
                file
                for file in found.get(f"{before}{stem}{after}", [])
                if not suffix or file.suffix.lower() == suffix
            ]
            for stem in stems
        }
        names = str(path / (pattern if suffix else f"{pattern}.*"))
        if not any(files.values()):
            raise FusionlabError(
                f"{label} has no result for any image of the set; expected files called {names}, "
                f"{{}} being {stems[0]} and so on"
            )
        return cls(label, names, files)

    def describe(self) -> dict[str, Any]:
        """Return how the files are called."""
        return {"method": self.label, "names": Path(self.names).name}

    def fingerprint(self, stem: str) -> str:
        """Return the SHA-256 of the file."""
        try:
            return hashlib.sha256(self._file(stem).read_bytes()).hexdigest()
        except OSError as error:
            raise FusionlabError(f"cannot read {error.filename}: {error.strerror}") from error

    def picture(self, subject: Subject, feature_cache: FeatureCache) -> NDArray[Any]:  # noqa: ARG002
        """Read the result for a subject.

        Raises:
            FusionlabError: there is none, it cannot be read, or it has another size.
        """
        path = self._file(subject.stem)
        image = gray(np.asarray(read_image(path).pixels))
        if image.shape != subject.sources[0].shape:
            (height, width), (rows, columns) = image.shape, subject.sources[0].shape
            raise FusionlabError(
                f"{path} has {width}x{height} pixels, its sources {columns}x{rows}; a result is "
                "judged at the size of its sources"
            )
        return image

    def _file(self, stem: str) -> Path:
        found = self.files[stem]
        if len(found) != 1:
            there = ", ".join(file.name for file in found) or "none"
            raise FusionlabError(f"expected one image {self.names} for {stem}, found {there}")
        return found[0]


def build_methods(
    names: Sequence[str],
    plugins: Plugins,
    *,
    preset: str | None = None,
    range_policy: RangePolicy = "minmax",
    scale: Sequence[str | Scale] = ("full",),
    device: str = "cpu",
) -> list[FusionMethod]:
    """Build the methods that `BACKBONE[@TAG]/STRATEGY[,name=value,...]` name, and their baselines.

    Every learned backbone brings along a row of the same strategy on the baseline backbone: what
    the network adds to the rule alone, its lift.

    Args:
        names: the methods; a name given twice counts once.
        plugins: who offers what.
        preset: replaces the defaults of the strategies' parameters.
        range_policy: one for all rows.
        scale: which values of the sources are black and white, as for a `Fusion`.
        device: where to compute.

    Raises:
        FusionlabError: a name is unknown, or the range policy is not one for all rows.
    """
    if range_policy not in get_args(RangePolicy):
        raise FusionlabError(
            f"the rows of a table need one range policy, clip or minmax; got {range_policy!r}, "
            "which depends on the strategy"
        )
    backbones: dict[str, Backbone] = {}  # by name: strategies share them, and their feature_cache

    def backbone_called(name: str) -> Backbone:
        if name not in backbones:
            backbones[name] = build_backbone(name, plugins)
        return backbones[name]

    def method(backbone: Backbone, strategy: Strategy, base: Backbone | None) -> FusionMethod:
        fusion = Fusion(
            backbone,
            strategy,
            range_policy=range_policy,
            scale=scale,
            color="gray",
            device=device,
        )
        baseline = None if base is None else _label(base, strategy, plugins)
        return FusionMethod(_label(backbone, fusion.strategy, plugins), fusion, plugins, baseline)

    methods, baselines = [], []
    for name in names:
        left, right = split_method(name, plugins)
        strategy = _strategy(right, plugins, preset)
        backbone = backbone_called(left)
        base = None
        # a backbone that has learned something; networks know the features of theirs only
        if backbone.card is not None and not isinstance(strategy, LearnedStrategy):
            base = backbone_called(plugins.default("baseline"))
            baselines.append(method(base, strategy, None))
        methods.append(method(backbone, strategy, base))
    return list({one.label: one for one in (*methods, *baselines)}.values())


def _strategy(text: str, plugins: Plugins, preset: str | None) -> Strategy:
    """Build a strategy, with the parameters of a preset where `text` does not give them."""
    if preset is None:
        return build_strategy(text, plugins)
    registration = plugins.strategies.find(text.partition(",")[0])
    return build_strategy(text, plugins, plugins.preset_parameters(preset, registration))


def _label(backbone: Backbone, strategy: Strategy, plugins: Plugins) -> str:
    """Return the name of a method without the parameters that have their default."""
    left, _, right = method_id(backbone, strategy, plugins).rpartition("/")
    return f"{left}/{','.join([right.partition(',')[0], *_changed(strategy)])}"


def _changed(strategy: Strategy) -> list[str]:
    """Return the parameters that differ from their defaults, as `name=value`."""
    return [
        f"{param.name}={param.format(value)}"
        for param in params_of(type(strategy))
        if (value := getattr(strategy, param.name)) != param.default
    ]
