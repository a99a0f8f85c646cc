"""Find, load and isolate plugins, and register what they offer.

pluggy's own `load_setuptools_entrypoints` imports all plugins in one call, lets the first
broken one end the program, and silently keeps only the first of two entry points with the same
name. The loop below loads one entry point at a time, calls its hooks right away, and records
what went wrong. Because each entry point is called by itself, a hook wrapper wraps the
implementations of its own module only.

A plugin is identified by the name of its distribution. pip guarantees that this name is unique;
names of entry points are not.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import (
    Distribution,
    EntryPoint,
    distributions,
    entry_points,
)
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import pluggy

from fusionlab import hookspecs
from fusionlab.errors import PluginWarning, in_one_line
from fusionlab.plugins import NO_PLUGIN
from fusionlab.plugins.import_effects import undone_effects
from fusionlab.plugins.offers import (
    BackboneRef,
    EngineRef,
    MetricRef,
    ReaderRef,
    RegistrationRef,
    SequenceReaderRef,
    StrategyRef,
    TemporalMetricRef,
)
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
from fusionlab.plugins.tasks import Task

HOOK_ARGUMENTS: dict[str, dict[str, object]] = {}
"""Hook -> the arguments it is called with; no hook takes any so far."""

T = TypeVar("T")


class _PluginManager(pluggy.PluginManager):
    """A manager that finds hooks without importing what a module looks up on first use."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> pluggy.HookimplOpts | None:
        """Return the options of a hook; names that a module only computes are no hooks."""
        if isinstance(plugin, ModuleType) and name not in vars(plugin):
            return None
        return super().parse_hookimpl_opts(plugin, name)


def load_plugins(blocked: Iterable[str] = ()) -> Plugins:
    """Load every installed plugin except the `blocked` distributions.

    Errors of plugins are not raised here; see `Plugins.loaded` and `.warnings`.
    (A plugin that hangs or kills the process cannot be isolated from within it.)
    """
    manager = _PluginManager("fusionlab")
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(to_block=tuple(blocked))
    blocked_names = {normalized_name(name) for name in plugins.to_block}
    found, broken = _find()
    plugins.loaded += broken
    for entry in found:
        plugins.loaded.append(_load(manager, entry, blocked_names, plugins))
    return plugins


@cache
def plugins_without(blocked: str) -> Plugins:
    """Return the plugins of this process except some, loaded once.

    Args:
        blocked: names of distributions, separated by spaces, as `NO_PLUGIN` holds them.
    """
    return load_plugins(blocked.split())


@cache
def installed() -> Plugins:
    """Return the plugins of this process, loaded once; warn in Python about problems of them."""
    plugins = plugins_without(os.environ.get(NO_PLUGIN, ""))
    for text in plugins.warnings:
        warnings.warn(text, PluginWarning, stacklevel=3)
    return plugins


class _Found(NamedTuple):
    """An entry point, and the distribution that it is of."""

    point: EntryPoint
    name: str
    """Of the distribution, normalized."""
    version: str


def _find() -> tuple[list[_Found], list[Plugin]]:
    """Return every `fusionlab.v*` entry point, in an order independent of `sys.path`.

    And the distributions whose metadata cannot be read, as broken plugins: what is left of one that
    was removed by hand, or written by hand.
    """
    broken: list[Plugin] = []
    try:
        points = list(_entry_points())
    except KeyboardInterrupt:
        raise
    except BaseException:  # one of them has metadata that cannot be read; find out which
        points = list(_readable_points(broken))
        # torch reads the metadata, too, as it is imported, for device backends of other packages;
        # it would end there
        os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
    found = []
    metadata: dict[Distribution | None, Any] = {}  # parsed once for all points of a distribution
    for point in points:
        try:
            if point.dist not in metadata:
                metadata[point.dist] = point.dist.metadata  # type: ignore[union-attr]
            name, version = (metadata[point.dist].get(key) for key in ("Name", "Version"))
        except Exception as error:
            broken.append(_unreadable(point.dist, in_one_line(error)))
            continue
        if isinstance(name, str):
            found.append(_Found(point, normalized_name(name), str(version or "?")))
        else:
            broken.append(_unreadable(point.dist, "it has no name in a file METADATA"))
    return sorted(found, key=lambda f: (f.name, f.point.group, f.point.name)), broken


def _entry_points() -> list[EntryPoint]:
    """Return every `fusionlab.v*` entry point, if the metadata of all distributions can be read."""
    return _ours(entry_points())


def _ours(points: Any) -> list[EntryPoint]:
    return [
        point
        for group in points.groups
        if re.fullmatch(r"fusionlab\.v\d+", group)
        for point in points.select(group=group)
    ]


def _readable_points(broken: list[Plugin]) -> Iterator[EntryPoint]:
    """Yield the entry points of one distribution after the other; the first of each name counts."""
    names: set[str] = set()
    for distribution in distributions():
        try:
            points = _ours(distribution.entry_points)
            name = normalized_name(distribution.name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            broken.append(_unreadable(distribution, in_one_line(error)))
            continue
        if name not in names:
            names.add(name)
            yield from points


def _unreadable(distribution: Distribution | None, reason: str) -> Plugin:
    """Return the plugin that stands for a distribution whose metadata cannot be read."""
    folder = Path(str(getattr(distribution, "_path", "?")))  # importlib.metadata has no public name
    name, _, version = folder.name.removesuffix(".dist-info").partition("-")
    return Plugin(
        normalized_name(name),
        version or "?",
        "",
        "broken",
        f"its metadata in {folder} cannot be read: {reason}; remove this folder, or "
        "install the package again",
    )


def _load(
    manager: pluggy.PluginManager, found: _Found, blocked_names: set[str], plugins: Plugins
) -> Plugin:
    point, name, version = found
    started = perf_counter()

    def outcome(status: Status, problem: str = "") -> Plugin:
        return Plugin(name, version, point.value, status, problem, perf_counter() - started)

    if name in blocked_names:
        return outcome("blocked")
    if point.group != hookspecs.GROUP:
        return outcome("outdated", f"it is written for {point.group}, not for {hookspecs.GROUP}")
    if not re.fullmatch(r"[\w.]+\s*(:\s*[\w.]+)?\s*(\[.*\])?", point.value):
        return outcome("broken", f"its entry point {point.name!r} names no module: {point.value!r}")
    handle = f"{name}/{point.name}"
    changed: list[str] = []
    try:
        with undone_effects(changed):
            manager.register(point.load(), name=handle)
            manager.check_pending()
            _collect(manager, handle, name, plugins)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a plugin raises, the others still load
        manager.set_blocked(handle)  # also undoes a registration that failed half-way
        return outcome("broken", in_one_line(error))
    undone = f"has changed {' and '.join(changed)} at import, which was undone" if changed else ""
    return outcome("ok", undone)


def _collect(manager: pluggy.PluginManager, handle: str, plugin: str, plugins: Plugins) -> None:
    """Call all hooks of one plugin; register the results only if every one of them is valid."""

    def call(hook: str, *kinds: type[T]) -> list[T]:
        items: list[Any] = []
        for result in _call_hook(manager, handle, hook):
            items += [result] if isinstance(result, Mapping) else list(result)
        for item in items:
            if not isinstance(item, kinds):
                names = " or ".join(kind.__name__ for kind in kinds)
                raise TypeError(f"{hook} must list {names}, got {item!r}")
        return items

    strategies = _new(plugins.strategies, call("fusionlab_strategies", StrategyRef), plugin)
    backbones = _new(plugins.backbones, call("fusionlab_backbones", BackboneRef), plugin)
    engines = _new(plugins.engines, call("fusionlab_engines", EngineRef), plugin)
    offered = call("fusionlab_metrics", MetricRef, TemporalMetricRef)
    of_images = [ref for ref in offered if isinstance(ref, MetricRef)]
    over_time = [ref for ref in offered if isinstance(ref, TemporalMetricRef)]
    if twice := {ref.name for ref in of_images} & {ref.name for ref in over_time}:
        raise ValueError(f"it offers the metric {min(twice)!r} twice")
    metrics = _new(plugins.metrics, of_images, plugin)
    temporal_metrics = _new(plugins.temporal_metrics, over_time, plugin)
    readers = _new(plugins.readers, call("fusionlab_readers", ReaderRef), plugin)
    videos = call("fusionlab_sequence_readers", SequenceReaderRef)
    sequence_readers = _new(plugins.sequence_readers, videos, plugin)
    listed = call("fusionlab_registrations", RegistrationRef)
    image_registrations = _new(plugins.image_registrations, listed, plugin)
    tasks = _new(plugins.tasks, call("fusionlab_tasks", Task), plugin)
    presets = call("fusionlab_presets", Preset)
    defaults: list[Mapping[str, str]] = call("fusionlab_defaults", Mapping)
    for key, value in (item for values in defaults for item in values.items()):
        if not (isinstance(key, str) and isinstance(value, str)):
            raise TypeError(f"fusionlab_defaults must map text to text, got {key!r}: {value!r}")

    plugins.strategies.registrations += strategies
    plugins.backbones.registrations += backbones
    plugins.engines.registrations += engines
    plugins.metrics.registrations += metrics
    plugins.temporal_metrics.registrations += temporal_metrics
    plugins.readers.registrations += readers
    plugins.sequence_readers.registrations += sequence_readers
    plugins.image_registrations.registrations += image_registrations
    plugins.tasks.registrations += tasks
    plugins.presets += [(plugin, preset) for preset in presets]
    plugins.defaults += [(plugin, k, v) for values in defaults for k, v in values.items()]


def _call_hook(manager: pluggy.PluginManager, handle: str, hook: str) -> list[Any]:
    """Call the implementations and wrappers that one plugin has of a hook, through pluggy."""
    others = [plugin for name, plugin in manager.list_name_plugin() if name != handle]
    caller = manager.subset_hook_caller(hook, others)
    results: list[Any] | None = caller(**HOOK_ARGUMENTS.get(hook, {}))
    implementations = caller.get_hookimpls()
    # pluggy drops None, which a function without a return statement gives by mistake
    wrapped = any(impl.wrapper or impl.hookwrapper for impl in implementations)
    if results is None or (not wrapped and len(results) < len(implementations)):
        raise TypeError(f"{hook} must return a list or a mapping, got None")
    return results


def _new(registry: Registry[Ref], refs: list[Ref], plugin: str) -> list[Registration[Ref]]:
    """Turn descriptions into registrations; one plugin may not use the same name twice."""
    used_names = {registration.qualified for registration in registry.registrations}
    registrations = []
    for ref in refs:
        registration = Registration(ref, plugin)
        if registration.qualified in used_names:
            raise ValueError(f"it offers the {registry.kind} {ref.name!r} twice")
        used_names.add(registration.qualified)
        registrations.append(registration)
    return registrations
