"""Recipes of methods: what to send to another process so that it builds the same fusion."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal

from fusionlab import parameters
from fusionlab.backbone import Backbone
from fusionlab.fusion import Fusion
from fusionlab.imaging.color import Color
from fusionlab.imaging.range_policy import RangePolicy
from fusionlab.imaging.scale import Scale
from fusionlab.plugins.factory import build_backbone, build_strategy
from fusionlab.plugins.method_names import NameWithValues
from fusionlab.plugins.registry import Plugins
from fusionlab.strategy import Strategy

Backbones = MutableMapping[str, Backbone]
"""Name of a backbone -> the backbone, which several methods and their feature cache share."""

TablePolicy = RangePolicy | Literal["auto", "own"]
"""The range policy of a table: one for all rows, or what `Fusion` chooses for each row."""


@dataclass(frozen=True)
class Recipe:
    """A backbone and a strategy by name, and the settings of their fusion."""

    backbone: str
    """`[PLUGIN:]BACKBONE[@TAG][,name=value...]`"""
    strategy: str
    """`[PLUGIN:]STRATEGY[,name=value...]`, with all parameters."""
    range_policy: TablePolicy
    scale: tuple[str | Scale, ...]
    color: Color | Literal["auto"]
    shared_weights: bool
    device: str

    def build(
        self, plugins: Plugins, backbones: Backbones, strategy: Strategy | None = None
    ) -> Fusion:
        """Build the fusion.

        Args:
            plugins: the plugins that offer the backbone and the strategy.
            backbones: those that are built already; a new one is added.
            strategy: the strategy, if it is built already.

        Raises:
            FusionlabError: a part is unknown or cannot be built.
        """
        return Fusion(
            shared_backbone(self.backbone, plugins, backbones),
            build_strategy(self.strategy, plugins) if strategy is None else strategy,
            range_policy=self.range_policy,
            scale=self.scale,
            color=self.color,
            shared_weights=self.shared_weights,
            device=self.device,
        )


@dataclass(frozen=True)
class NamedMethod:
    """A method that a worker has to build: its label and recipe."""

    label: str
    recipe: Recipe


def shared_backbone(name: str, plugins: Plugins, backbones: Backbones) -> Backbone:
    """Return a backbone by name, built once."""
    if name not in backbones:
        backbones[name] = build_backbone(name, plugins)
    return backbones[name]


def strategy_text(strategy: Strategy, plugins: Plugins) -> str:
    """Return the name of a strategy with all its parameters, from which it can be built again."""
    values: Mapping[str, Any] = parameters.texts(strategy)
    return str(NameWithValues(plugins.strategies.name_of(type(strategy)), values=values))
