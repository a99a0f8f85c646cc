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
import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from time import perf_counter
from typing import Any, TypeVar

import pluggy

from fusionlab import hookspecs
from fusionlab.plugins.offers import BackboneRef, MetricRef, StrategyRef
from fusionlab.plugins.presets import Preset
from fusionlab.plugins.registry import (
    Plugin,
    Plugins,
    Ref,
    Registration,
    Registry,
    Status,
    normalized_name,
)

NO_PLUGIN = "FUSIONLAB_NO_PLUGIN"
"""Environment variable: names of plugins to leave out, separated by spaces."""

T = TypeVar("T")


def load_plugins(blocked: Iterable[str] = ()) -> Plugins:
    """Load every installed plugin except the `blocked` distributions.

    Nothing a plugin does wrong at this point is raised: see `Plugins.loaded` and `.warnings`.
    (A plugin that hangs or kills the process cannot be helped from within it.)
    """
    manager = pluggy.PluginManager("fusionlab")
    manager.add_hookspecs(hookspecs)
    barred = {normalized_name(name) for name in blocked}
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
    return normalized_name(point.dist.name) if point.dist else "?"


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
        manager.set_blocked(handle)  # also undoes a offer that failed half-way
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

    plugins.strategies.registrations += strategies
    plugins.backbones.registrations += backbones
    plugins.metrics.registrations += metrics
    plugins.presets += [(plugin, preset) for preset in presets]
    plugins.defaults += [(plugin, k, v) for values in defaults for k, v in values.items()]


def _new(registry: Registry[Ref], refs: list[Ref], plugin: str) -> list[Registration[Ref]]:
    """Turn refs into offers; a name may be offered by two plugins, but not twice by one."""
    taken = {registration.qualified for registration in registry.registrations}
    registrations = []
    for ref in refs:
        registration = Registration(ref, plugin)
        if registration.qualified in taken:
            raise ValueError(f"it offers the {registry.kind} {ref.name!r} twice")
        taken.add(registration.qualified)
        registrations.append(registration)
    return registrations
