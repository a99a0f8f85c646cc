"""Find, load and isolate plugins, and know who offers what.

pluggy's own `load_setuptools_entrypoints` imports every plugin in one go, lets the first
broken one take the program down, and silently keeps only the first of two entry points with
the same name. The loop below does the same work one entry point at a time, asks each plugin
its hooks at once, and remembers what went wrong.

A plugin is known by the name of its distribution, the name it was installed under: pip
guarantees that it is unique; names of entry points are not.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from itertools import chain
from time import perf_counter
from typing import Any, Generic, Literal, TypeVar

import pluggy

from fusionlab import hookspecs
from fusionlab.errors import FusionlabError
from fusionlab.hookspecs import BackboneRef, MetricRef, Preset, StrategyRef

NO_PLUGIN = "FUSIONLAB_NO_PLUGIN"
"""Environment variable: names of plugins to leave out, separated by spaces."""

Status = Literal["ok", "broken", "blocked", "outdated"]
Ref = TypeVar("Ref", StrategyRef, BackboneRef, MetricRef)
T = TypeVar("T")


@dataclass(frozen=True)
class Plugin:
    """One entry point of one distribution, and what became of it."""

    name: str
    """Of the distribution, normalised as PyPI does it."""
    version: str
    target: str
    """The module that the entry point names."""
    status: Status
    problem: str = ""
    seconds: float = 0.0

    @property
    def warning(self) -> str:
        """One sentence about a plugin that had to be left out; empty if all is well."""
        if self.status not in ("broken", "outdated"):
            return ""
        return f"plugin {self.name} {self.version} is ignored: {self.problem}"


@dataclass(frozen=True)
class Offer(Generic[Ref]):
    """A strategy, a backbone or a metric together with the plugin it comes from."""

    ref: Ref
    plugin: str

    @property
    def qualified(self) -> str:
        """`PLUGIN:NAME`, which is unique."""
        return f"{self.plugin}:{self.ref.name}"


@dataclass
class Catalogue(Generic[Ref]):
    """All offers of one kind."""

    kind: str
    offers: list[Offer[Ref]] = field(default_factory=list)

    def find(self, name: str) -> Offer[Ref]:
        """Return the offer called `NAME` or `PLUGIN:NAME`; plugins are spelt as pip takes them.

        Raises:
            FusionlabError: nobody offers it, or several plugins do.
        """
        plugin, colon, own = name.rpartition(":")
        wanted = f"{_normal(plugin)}{colon}{own}"
        found = [o for o in self.offers if wanted in (o.ref.name, o.qualified)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(sorted(o.qualified for o in found))
            raise FusionlabError(
                f"the {self.kind} {name!r} is offered by several plugins; say which: {names}"
            )
        known = sorted({o.ref.name for o in self.offers})
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"
        raise FusionlabError(f"there is no {self.kind} {name!r}; {hint}")

    def offer_of(self, cls: type) -> Offer[Ref] | None:
        """Return who offers this class, if anybody does."""
        for offer in self.offers:
            module, _, attribute = offer.ref.target.partition(":")
            # a class in use is imported already; it may have been defined in another module
            if getattr(sys.modules.get(module), attribute, None) is cls:
                return offer
        return None

    def name_of(self, cls: type) -> str:
        """Return the shortest name that finds this class, or its own where none is offered."""
        offer = self.offer_of(cls)
        if offer is None:
            return cls.__qualname__
        twins = [o for o in self.offers if o.ref.name == offer.ref.name]
        return offer.ref.name if len(twins) == 1 else offer.qualified


@dataclass
class Plugins:
    """The plugins of this process and everything they offer."""

    loaded: list[Plugin] = field(default_factory=list)
    strategies: Catalogue[StrategyRef] = field(default_factory=lambda: Catalogue("strategy"))
    backbones: Catalogue[BackboneRef] = field(default_factory=lambda: Catalogue("backbone"))
    metrics: Catalogue[MetricRef] = field(default_factory=lambda: Catalogue("metric"))
    presets: list[tuple[str, Preset]] = field(default_factory=list)
    """(plugin, its part of a preset)"""
    defaults: list[tuple[str, str, str]] = field(default_factory=list)
    """(plugin, key, value)"""

    @property
    def warnings(self) -> list[str]:
        """One sentence for each plugin that had to be left out."""
        return [plugin.warning for plugin in self.loaded if plugin.warning]

    def default(self, key: str) -> str:
        """Return what is used when the user does not choose a `key` (backbone, strategy).

        Raises:
            FusionlabError: no plugin says, or several do.
        """
        found = [(plugin, value) for plugin, name, value in self.defaults if name == key]
        if len(found) == 1:
            return found[0][1]
        if found:
            names = ", ".join(f"{value} (from {plugin})" for plugin, value in found)
            raise FusionlabError(f"several plugins offer a default {key}; choose one: {names}")
        raise FusionlabError(f"no installed plugin offers a default {key}; choose one")

    def preset(self, name: str, strategy: Offer[StrategyRef]) -> dict[str, object]:
        """Return what a preset means for a run with `strategy`: option -> value.

        Raises:
            FusionlabError: there is no such preset, or two plugins contradict each other.
        """
        return self.preset_settings(name) | self.preset_parameters(name, strategy)

    def preset_settings(self, name: str) -> dict[str, object]:
        """Return what a preset means for the pipeline: option -> value.

        Raises:
            FusionlabError: there is no such preset, or two plugins contradict each other.
        """
        values: dict[str, object] = {}
        for plugin, part in self._parts_of(name):
            for key, value in part.settings.items():
                if values.setdefault(key, value) != value:
                    raise FusionlabError(
                        f"plugins disagree on what the preset {name!r} means for {key}: "
                        f"{values[key]!r} or {value!r} (from {plugin})"
                    )
        return values

    def preset_parameters(self, name: str, strategy: Offer[StrategyRef]) -> dict[str, object]:
        """Return what a preset means for the parameters of `strategy`: name -> value.

        Raises:
            FusionlabError: there is no such preset.
        """
        values: dict[str, object] = {}
        for plugin, part in self._parts_of(name):
            if plugin == strategy.plugin:
                values |= part.strategies.get(strategy.ref.name, {})
        return values

    def preset_methods(self, name: str) -> list[str]:
        """Return the methods that a preset compares: its strategies on its backbones.

        Raises:
            FusionlabError: there is no such preset.
        """
        parts = [part for _, part in self._parts_of(name)]
        return [
            f"{backbone}/{strategy}"
            for strategy in chain.from_iterable(part.strategies for part in parts)
            for backbone in chain.from_iterable(part.backbones for part in parts)
        ]

    def preset_metrics(self, name: str) -> list[str]:
        """Return the metrics that a preset computes, each of the plugin that says so.

        Raises:
            FusionlabError: there is no such preset.
        """
        return [f"{plugin}:{one}" for plugin, part in self._parts_of(name) for one in part.metrics]

    def default_metrics(self) -> list[str]:
        """Return the metrics that are computed when the user does not choose.

        Raises:
            FusionlabError: no plugin says, or several do.
        """
        names = self.default("metrics").split()
        (plugin,) = (plugin for plugin, key, _ in self.defaults if key == "metrics")
        return [f"{plugin}:{name}" for name in names]

    def published(self, name: str) -> tuple[dict[str, Mapping[str, float]], int]:
        """Return the rows of the published table of a preset, and how many images they are over.

        Raises:
            FusionlabError: there is no such preset.
        """
        rows: dict[str, Mapping[str, float]] = {}
        images = 0
        for _, part in self._parts_of(name):
            rows |= part.published
            images = max(images, part.published_images)
        return rows, images

    def training_preset(self, name: str, backbone: Offer[BackboneRef]) -> dict[str, object]:
        """Return what a preset means for the training of `backbone`: option -> value.

        Raises:
            FusionlabError: there is no such preset, or it says nothing about this backbone.
        """
        for plugin, part in self._parts_of(name):
            if plugin == backbone.plugin and backbone.ref.name in part.trainings:
                return dict(part.trainings[backbone.ref.name])
        known = sorted(
            part.name
            for plugin, part in self.presets
            if plugin == backbone.plugin and backbone.ref.name in part.trainings
        )
        raise FusionlabError(
            f"the preset {name!r} does not say how to train {backbone.ref.name}; "
            f"known: {', '.join(known) or 'none'}"
        )

    def _parts_of(self, name: str) -> list[tuple[str, Preset]]:
        parts = [(plugin, part) for plugin, part in self.presets if part.name == name]
        if not parts:
            known = ", ".join(sorted({part.name for _, part in self.presets})) or "none"
            raise FusionlabError(f"there is no preset {name!r}; known: {known}")
        return parts


def load_plugins(blocked: Iterable[str] = ()) -> Plugins:
    """Load every installed plugin except the `blocked` distributions.

    Nothing a plugin does wrong at this point is raised: see `Plugins.loaded` and `.warnings`.
    (A plugin that hangs or kills the process cannot be helped from within it.)
    """
    manager = pluggy.PluginManager("fusionlab")
    manager.add_hookspecs(hookspecs)
    barred = {_normal(name) for name in blocked}
    plugins = Plugins()
    for point in _entry_points():
        plugins.loaded.append(_load(manager, point, barred, plugins))
    return plugins


@cache
def installed() -> Plugins:
    """Return the plugins of this process, loaded once; broken ones cost a Python warning."""
    plugins = load_plugins(os.environ.get(NO_PLUGIN, "").split())
    for text in plugins.warnings:
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    return plugins


def in_one_line(error: BaseException) -> str:
    """Return type and message of an exception, whatever its class makes of them."""
    try:
        return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
    except Exception:
        return type(error).__name__


def _entry_points() -> list[EntryPoint]:
    """Every `fusionlab.v*` entry point, in an order that does not depend on `sys.path`."""
    everything = entry_points()
    points = [
        point
        for group in everything.groups
        if re.fullmatch(r"fusionlab\.v\d+", group)
        for point in everything.select(group=group)
    ]
    return sorted(points, key=lambda p: (_distribution(p), p.group, p.name))


def _distribution(point: EntryPoint) -> str:
    return _normal(point.dist.name) if point.dist else "?"


def _normal(name: str) -> str:
    """Spell a distribution name the way PyPI compares them (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _load(
    manager: pluggy.PluginManager, point: EntryPoint, barred: set[str], plugins: Plugins
) -> Plugin:
    name = _distribution(point)
    version = point.dist.version if point.dist else "?"
    started = perf_counter()

    def outcome(status: Status, problem: str = "") -> Plugin:
        return Plugin(name, version, point.value, status, problem, perf_counter() - started)

    if name in barred:
        return outcome("blocked")
    if point.group != hookspecs.GROUP:
        return outcome("outdated", f"it speaks {point.group}, this fusionlab {hookspecs.GROUP}")
    handle = f"{name}/{point.name}"
    try:
        manager.register(point.load(), name=handle)
        manager.check_pending()
        _collect(manager, handle, name, plugins)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a plugin raises, we go on without it
        manager.set_blocked(handle)  # also undoes a registration that failed half-way
        return outcome("broken", in_one_line(error))
    return outcome("ok")


def _collect(manager: pluggy.PluginManager, handle: str, plugin: str, plugins: Plugins) -> None:
    """Ask one plugin all its hooks; keep the answers only if every one of them is sound."""

    def ask(hook: str, kind: type[T]) -> list[T]:
        answers: list[T] = []
        for impl in getattr(manager.hook, hook).get_hookimpls():
            if impl.plugin_name == handle:
                answer: Any = impl.function()
                items: list[Any] = [answer] if isinstance(answer, Mapping) else list(answer)
                for item in items:
                    if not isinstance(item, kind):
                        raise TypeError(f"{hook} must list {kind.__name__}, got {item!r}")
                answers += items
        return answers

    strategies = _new(plugins.strategies, ask("fusionlab_strategies", StrategyRef), plugin)
    backbones = _new(plugins.backbones, ask("fusionlab_backbones", BackboneRef), plugin)
    metrics = _new(plugins.metrics, ask("fusionlab_metrics", MetricRef), plugin)
    presets = ask("fusionlab_presets", Preset)
    defaults: list[Mapping[str, str]] = ask("fusionlab_defaults", Mapping)
    for key, value in (item for values in defaults for item in values.items()):
        if not (isinstance(key, str) and isinstance(value, str)):
            raise TypeError(f"fusionlab_defaults must map text to text, got {key!r}: {value!r}")

    plugins.strategies.offers += strategies
    plugins.backbones.offers += backbones
    plugins.metrics.offers += metrics
    plugins.presets += [(plugin, preset) for preset in presets]
    plugins.defaults += [(plugin, k, v) for values in defaults for k, v in values.items()]


def _new(catalogue: Catalogue[Ref], refs: list[Ref], plugin: str) -> list[Offer[Ref]]:
    """Turn refs into offers; a name may be offered by two plugins, but not twice by one."""
    taken = {offer.qualified for offer in catalogue.offers}
    offers = []
    for ref in refs:
        offer = Offer(ref, plugin)
        if offer.qualified in taken:
            raise ValueError(f"it offers the {catalogue.kind} {ref.name!r} twice")
        taken.add(offer.qualified)
        offers.append(offer)
    return offers
