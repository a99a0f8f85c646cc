"""Presets: named defaults that plugins contribute to, and the functions that look them up.

Several plugins may contribute a part to a preset of one name, for example `paper`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from fusionlab.errors import FusionlabError
from fusionlab.parameters import check_name

if TYPE_CHECKING:
    from fusionlab.plugins.offers import BackboneRef, StrategyRef
    from fusionlab.plugins.registry import Plugins, Registration


@dataclass(frozen=True)
class Preset:
    """The part that one plugin contributes to a preset such as `paper`.

    Presets only replace defaults; explicit settings take precedence.

    Args:
        name: the name that `--preset` takes.
        summary: one line: what this part reproduces.
        settings: options of the pipeline, for example `{"range_policy": "own", "scale": ["full"]}`;
            `fusionlab fuse` takes `backbone`, `color`, `shared_weights`, `range_policy` and
            `scale`, `fusionlab evaluate` and studies all but the backbone.
        strategies: name of one of this plugin's strategies -> its parameters, for example
            `{"l1norm": {"r": 0}}`. `fusionlab evaluate` compares these strategies.
        backbones: this plugin's backbones, with tags, that `fusionlab evaluate` compares.
        methods: further methods that `fusionlab evaluate` compares, of any plugin, with their full
            names: `"cbf,variant=authors"`, `"densefuse@1e2/l1norm,r=0"`. They are not combined with
            `backbones`. One that is not installed has no row.
        packages: name of a strategy or backbone in `methods` -> the distribution that offers it,
            which the table names where it is not installed.
        metrics: the metrics that it computes, for example `("EN", "Qabf@paper")`.
        published: rows of a published table to print next to the computed ones: name of the row
            -> metric -> value.
        published_images: the number of images that these rows are means over; rows are comparable
            only for image sets of that size.
        published_methods: name of a published row -> the method that it belongs to; a row that is
            not listed here has the name of its method.
        notes: name of a published row -> sentences that explain how and why ours differs.
        trainings: name of one of this plugin's backbones -> options of `fusionlab train`, for
            example `{"densefuse": {"batch": 2, "epochs": (4,)}}`.

    Raises:
        ValueError: the name is not valid, or `published_methods` or `notes` name no published row.
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
    methods: Sequence[str] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    published_methods: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        for argument in ("published_methods", "notes"):
            if foreign := getattr(self, argument).keys() - self.published.keys():
                raise ValueError(
                    f"{argument} of the preset {self.name!r} has {min(foreign)!r}, "
                    "which is not a published row"
                )


class PublishedTable(NamedTuple):
    """The published rows of a preset, from all plugins that contribute to it."""

    rows: Mapping[str, Mapping[str, float]] = MappingProxyType({})
    """Name of the row -> metric -> mean."""
    images: int = 0
    """The number of images that the means are over."""
    methods: Mapping[str, str] = MappingProxyType({})
    """Name of the row -> the method that it belongs to."""
    notes: Mapping[str, str] = MappingProxyType({})
    """Name of the row -> how and why ours differs."""


def preset_values(
    name: str, strategy: Registration[StrategyRef], plugins: Plugins
) -> dict[str, object]:
    """Return the values of a preset for a run with a strategy: option or parameter -> value.

    Raises:
        FusionlabError: see `preset_settings`.
    """
    return preset_settings(name, plugins) | preset_parameters(name, strategy, plugins)


def preset_settings(name: str, plugins: Plugins) -> dict[str, object]:
    """Return the values of a preset for the pipeline: option -> value.

    Raises:
        FusionlabError: there is no such preset (code `unknown-name`), or two plugins give an option
            different values (code `preset-conflict`).
    """
    values: dict[str, object] = {}
    for plugin, part in _parts_of(name, plugins):
        for option, value in part.settings.items():
            if values.setdefault(option, value) != value:
                raise FusionlabError(
                    f"plugins disagree on what the preset {name!r} means for {option}: "
                    f"{values[option]!r} or {value!r} (from {plugin})",
                    code="preset-conflict",
                )
    return values


def preset_parameters(
    name: str, strategy: Registration[StrategyRef], plugins: Plugins
) -> dict[str, object]:
    """Return the values of a preset for the parameters of a strategy: name -> value.

    Raises:
        FusionlabError: there is no such preset (code `unknown-name`).
    """
    values: dict[str, object] = {}
    for plugin, part in _parts_of(name, plugins):
        if plugin == strategy.plugin:
            values |= part.strategies.get(strategy.ref.name, {})
    return values


def preset_methods(name: str, plugins: Plugins) -> list[str]:
    """Return the methods that a preset compares: those it names, then strategies on backbones.

    Raises:
        FusionlabError: there is no such preset (code `unknown-name`).
    """
    parts = [part for _, part in _parts_of(name, plugins)]
    return [
        *chain.from_iterable(part.methods for part in parts),
        *(
            f"{backbone}/{strategy}"
            for strategy in chain.from_iterable(part.strategies for part in parts)
            for backbone in chain.from_iterable(part.backbones for part in parts)
        ),
    ]


def package_to_install(preset: str, method: str, plugins: Plugins) -> str | None:
    """Return the distribution that a method of a preset needs and that is not installed.

    None where the preset names none, or the strategy and the backbone are registered.

    Raises:
        FusionlabError: there is no such preset (code `unknown-name`).
    """
    offered = {
        registration.ref.name
        for registry in (plugins.strategies, plugins.backbones)
        for registration in registry.registrations
    }
    names = [re.split("[@,]", part)[0] for part in method.split("/")]
    for _, part in _parts_of(preset, plugins):
        for missing in (name for name in names if name in part.packages and name not in offered):
            return part.packages[missing]
    return None


def preset_metrics(name: str, plugins: Plugins) -> list[str]:
    """Return the metrics that a preset computes, `PLUGIN:NAME` where its own plugin offers them.

    Raises:
        FusionlabError: there is no such preset (code `unknown-name`).
    """
    offered = {registration.qualified for registration in plugins.metrics.registrations}

    def qualified(plugin: str, metric: str) -> str:
        own_name = f"{plugin}:{metric}"
        return own_name if own_name.partition("@")[0] in offered else metric

    return [
        qualified(plugin, metric)
        for plugin, part in _parts_of(name, plugins)
        for metric in part.metrics
    ]


def published_table(name: str, plugins: Plugins) -> PublishedTable:
    """Return the rows of the published table of a preset.

    Raises:
        FusionlabError: there is no such preset (code `unknown-name`).
    """
    rows: dict[str, Mapping[str, float]] = {}
    methods: dict[str, str] = {}
    notes: dict[str, str] = {}
    images = 0
    for _, part in _parts_of(name, plugins):
        rows |= part.published
        methods |= {row: part.published_methods.get(row, row) for row in part.published}
        notes |= part.notes
        images = max(images, part.published_images)
    return PublishedTable(rows, images, methods, notes)


def training_options(
    name: str, backbone: Registration[BackboneRef], plugins: Plugins
) -> dict[str, object]:
    """Return the values of a preset for the training of a backbone: option -> value.

    Raises:
        FusionlabError: there is no such preset, or it has no options for this backbone (both with
            the code `unknown-name`).
    """
    for plugin, part in _parts_of(name, plugins):
        if plugin == backbone.plugin and backbone.ref.name in part.trainings:
            return dict(part.trainings[backbone.ref.name])
    names = sorted(
        part.name
        for plugin, part in plugins.presets
        if plugin == backbone.plugin and backbone.ref.name in part.trainings
    )
    raise FusionlabError(
        f"the preset {name!r} has no options for the training of {backbone.ref.name}; "
        f"known: {', '.join(names) or 'none'}",
        code="unknown-name",
    )


def _parts_of(name: str, plugins: Plugins) -> list[tuple[str, Preset]]:
    """Return the parts of a preset, each with its plugin."""
    parts = [(plugin, part) for plugin, part in plugins.presets if part.name == name]
    if not parts:
        names = ", ".join(sorted({part.name for _, part in plugins.presets})) or "none"
        raise FusionlabError(f"there is no preset {name!r}; known: {names}", code="unknown-name")
    return parts
