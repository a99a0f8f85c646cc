"""What the installed plugins offer: offers by name, presets and defaults."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import chain
from typing import Generic, Literal, TypeVar

from fusionlab.errors import FusionlabError
from fusionlab.plugins.offers import BackboneRef, EngineRef, MetricRef, StrategyRef
from fusionlab.plugins.presets import Preset

Status = Literal["ok", "broken", "blocked", "outdated"]
Ref = TypeVar("Ref", StrategyRef, BackboneRef, EngineRef, MetricRef)


@dataclass(frozen=True)
class Plugin:
    """One entry point of one distribution, and what became of it."""

    name: str
    """Of the distribution, normalized as PyPI does it."""
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
class Registration(Generic[Ref]):
    """A strategy, a backbone or a metric together with the plugin it comes from."""

    ref: Ref
    plugin: str

    @property
    def qualified(self) -> str:
        """`PLUGIN:NAME`, which is unique."""
        return f"{self.plugin}:{self.ref.name}"


@dataclass
class Registry(Generic[Ref]):
    """All offers of one kind."""

    kind: str
    registrations: list[Registration[Ref]] = field(default_factory=list)

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
        close = get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
        raise FusionlabError(f"there is no {self.kind} {name!r}; {hint}", code="unknown-name")

    def registration_of(self, cls: type) -> Registration[Ref] | None:
        """Return the registration of a class, or None."""
        for registration in self.registrations:
            module, _, attribute = registration.ref.target.partition(":")
            # a class in use is imported already; it may be defined in a module other than its own
            if getattr(sys.modules.get(module), attribute, None) is cls:
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
    """The plugins of this process and everything they registration."""

    loaded: list[Plugin] = field(default_factory=list)
    strategies: Registry[StrategyRef] = field(default_factory=lambda: Registry("strategy"))
    backbones: Registry[BackboneRef] = field(default_factory=lambda: Registry("backbone"))
    engines: Registry[EngineRef] = field(default_factory=lambda: Registry("engine"))
    metrics: Registry[MetricRef] = field(default_factory=lambda: Registry("metric"))
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

    def preset(self, name: str, strategy: Registration[StrategyRef]) -> dict[str, object]:
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

    def preset_parameters(
        self, name: str, strategy: Registration[StrategyRef]
    ) -> dict[str, object]:
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

    def training_preset(self, name: str, backbone: Registration[BackboneRef]) -> dict[str, object]:
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


def normalized_name(name: str) -> str:
    """Spell a distribution name the way PyPI compares them (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
