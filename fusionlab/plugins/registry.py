"""The registries: what the installed plugins offer, by name, and their defaults."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

from fusionlab.errors import FusionlabError
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
from fusionlab.plugins.tasks import Task

Status = Literal["ok", "broken", "blocked", "outdated"]
Ref = TypeVar(
    "Ref",
    StrategyRef,
    BackboneRef,
    EngineRef,
    MetricRef,
    TemporalMetricRef,
    ReaderRef,
    SequenceReaderRef,
    RegistrationRef,
    Task,
)


@dataclass(frozen=True)
class Plugin:
    """One entry point of one distribution, and whether it was loaded."""

    name: str
    """The name of the distribution, normalized as on PyPI."""
    version: str
    target: str
    """The module that the entry point names."""
    status: Status
    problem: str = ""
    seconds: float = 0.0

    @property
    def warning(self) -> str:
        """One sentence about a plugin that was ignored, or had to be put right; else empty."""
        if self.status == "ok" and self.problem:
            return f"plugin {self.name} {self.version} {self.problem}"
        if self.status not in ("broken", "outdated"):
            return ""
        return f"plugin {self.name} {self.version} is ignored: {self.problem}"


@dataclass(frozen=True)
class Registration(Generic[Ref]):
    """What a plugin offers, such as a strategy or a reader, and the name of the plugin."""

    ref: Ref
    plugin: str

    @property
    def qualified(self) -> str:
        """The unique name, `PLUGIN:NAME`."""
        return f"{self.plugin}:{self.ref.name}"


@dataclass
class Registry(Generic[Ref]):
    """All registrations of one kind."""

    kind: str
    registrations: list[Registration[Ref]] = field(default_factory=list)

    def __contains__(self, name: str) -> bool:
        """Return whether a name, with or without its plugin, is offered."""
        return any(name in (entry.ref.name, entry.qualified) for entry in self.registrations)

    def find(self, name: str) -> Registration[Ref]:
        """Return the registration of `NAME` or `PLUGIN:NAME`; PLUGIN is spelled as pip accepts it.

        Raises:
            FusionlabError: no plugin offers it (code `unknown-name`), or several plugins do (code
                `ambiguous-name`).
        """
        plugin, colon, local_name = name.rpartition(":")
        wanted = f"{normalized_name(plugin)}{colon}{local_name}"
        matches = [r for r in self.registrations if wanted in (r.ref.name, r.qualified)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            choices = ", ".join(sorted(match.qualified for match in matches))
            raise FusionlabError(
                f"several plugins offer the {self.kind} {name!r}; choose one of: {choices}",
                code="ambiguous-name",
            )
        names = sorted({registration.ref.name for registration in self.registrations})
        spelled = [known for known in names if known.casefold() == name.casefold()]
        hint = _did_you_mean(spelled[0] if spelled else name, names)
        raise FusionlabError(f"there is no {self.kind} {name!r}; {hint}", code="unknown-name")

    def registration_of(self, cls: type) -> Registration[Ref] | None:
        """Return the registration of a class, or None."""
        for registration in self.registrations:
            module, _, attribute = registration.ref.target.partition(":")
            # a class in use is imported already; it may be defined in a module other than its own
            if _attribute(module, attribute) is cls:
                return registration
        return None

    def name_of(self, cls: type) -> str:
        """Return the shortest name that finds a class; its own name if it is not registered."""
        registration = self.registration_of(cls)
        return cls.__qualname__ if registration is None else self.shortest_name(registration)

    def shortest_name(self, registration: Registration[Ref]) -> str:
        """Return the name of a registration, with its plugin if other plugins use the name, too."""
        same_name = [r for r in self.registrations if r.ref.name == registration.ref.name]
        return registration.ref.name if len(same_name) == 1 else registration.qualified


@dataclass
class Plugins:
    """The plugins of this process and everything they offer."""

    loaded: list[Plugin] = field(default_factory=list)
    to_block: tuple[str, ...] = ()
    """The names of the plugins that were not to be loaded, as they were given."""
    strategies: Registry[StrategyRef] = field(default_factory=lambda: Registry("strategy"))
    backbones: Registry[BackboneRef] = field(default_factory=lambda: Registry("backbone"))
    engines: Registry[EngineRef] = field(default_factory=lambda: Registry("engine"))
    metrics: Registry[MetricRef] = field(default_factory=lambda: Registry("metric"))
    temporal_metrics: Registry[TemporalMetricRef] = field(
        default_factory=lambda: Registry("metric over time")
    )
    readers: Registry[ReaderRef] = field(default_factory=lambda: Registry("reader"))
    sequence_readers: Registry[SequenceReaderRef] = field(
        default_factory=lambda: Registry("reader of sequences")
    )
    image_registrations: Registry[RegistrationRef] = field(
        default_factory=lambda: Registry("registration method")
    )
    tasks: Registry[Task] = field(default_factory=lambda: Registry("task"))
    presets: list[tuple[str, Preset]] = field(default_factory=list)
    """(plugin, its part of a preset)"""
    defaults: list[tuple[str, str, str]] = field(default_factory=list)
    """(plugin, key, value)"""

    @property
    def warnings(self) -> list[str]:
        """One sentence for each plugin that was ignored, or was to be left out and is not there."""
        ignored = [plugin.warning for plugin in self.loaded if plugin.warning]
        names = sorted({plugin.name for plugin in self.loaded})
        missing = [
            f"there is no plugin {name!r} to leave out; {_did_you_mean(name, names)}"
            for name in self.to_block
            if normalized_name(name) not in names
        ]
        return ignored + missing

    @cached_property
    def readers_in_order(self) -> list[ReaderRef]:
        """The readers in the order in which they are asked, once all plugins are loaded."""
        refs = [registration.ref for registration in self.readers.registrations]
        return sorted(refs, key=lambda ref: -ref.priority)

    @cached_property
    def sequence_readers_in_order(self) -> list[SequenceReaderRef]:
        """The readers of sequences in the order in which they are asked, likewise."""
        refs = [registration.ref for registration in self.sequence_readers.registrations]
        return sorted(refs, key=lambda ref: -ref.priority)

    @cached_property
    def image_suffixes(self) -> frozenset[str]:
        """The suffixes of files that a reader may read, once all plugins are loaded."""
        return frozenset(suffix for ref in self.readers_in_order for suffix in ref.suffixes)

    @property
    def blocked(self) -> tuple[str, ...]:
        """The names of the plugins that were not loaded on request."""
        return tuple(plugin.name for plugin in self.loaded if plugin.status == "blocked")

    def default(self, key: str) -> str:
        """Return the name that is used when the user does not choose a `key`.

        Where several plugins use this name, that of the plugin that offers the default is meant.

        Args:
            key: `backbone`, `strategy`, `engine`, `baseline`, `metrics`, `temporal metrics` or
                `registration`.

        Raises:
            FusionlabError: no plugin offers a default (code `no-default`), or several do (code
                `ambiguous-default`).
        """
        offers = [(plugin, value) for plugin, name, value in self.defaults if name == key]
        if len(offers) == 1:
            return self._own_name(key, *offers[0])
        if offers:
            choices = ", ".join(f"{value} (from {plugin})" for plugin, value in offers)
            raise FusionlabError(
                f"several plugins offer a default {key}; choose one: {choices}",
                code="ambiguous-default",
            )
        raise FusionlabError(
            f"no installed plugin offers a default {key}; choose one", code="no-default"
        )

    def _own_name(self, key: str, plugin: str, name: str) -> str:
        """Return the name of a default, with its plugin where other plugins use the name, too."""
        registries: dict[str, Registry[Any]] = {
            "backbone": self.backbones,
            "baseline": self.backbones,
            "engine": self.engines,
            "registration": self.image_registrations,
            "strategy": self.strategies,
        }
        plain = re.split("[@,]", name)[0]
        registrations = registries[key].registrations if key in registries else []
        offering = [entry.plugin for entry in registrations if entry.ref.name == plain]
        return f"{plugin}:{name}" if plugin in offering and len(offering) > 1 else name

    def default_metrics(self, key: str = "metrics") -> list[str]:
        """Return the names of the metrics that are computed when the user does not choose.

        Args:
            key: `metrics`, or `temporal metrics` for those that are added for sequences.

        Raises:
            FusionlabError: no plugin says, or several do.
        """
        names = self.default(key).split()
        (plugin,) = (plugin for plugin, offered, _ in self.defaults if offered == key)
        return [f"{plugin}:{name}" for name in names]


def _attribute(module: str, name: str) -> object:
    """Return an attribute of a module that is imported; None where there is none."""
    try:
        return getattr(sys.modules.get(module), name, None)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a module may compute its attributes
        return None


def _did_you_mean(name: str, names: list[str]) -> str:
    """Return the most similar name as a question, or all names if none is similar."""
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"


def normalized_name(name: str) -> str:
    """Return the name of a distribution in its normalized form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
