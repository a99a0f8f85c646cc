"""The contract between fusionlab and its plugins, in the order of a run.

A plugin is any installed distribution with an entry point in the group `fusionlab.v1` that
names a module; the module implements some of the hooks below:

    [project.entry-points."fusionlab.v1"]
    mine = "my_package"

What ships with fusionlab registers in exactly this way. A hook returns light descriptions
(`StrategyRef`, `BackboneRef`, `MetricRef`, ...): they say where a class or a function lives, and
it is imported only when somebody chooses it.

What keeps old plugins working:

* the major version of the contract is in the name of the group; plugins of another group are
  reported by name and never imported;
* adding a hook, or an argument to a hook, is a minor change: an implementation may take fewer
  arguments than the specification offers;
* a hook or an argument is retired with a warning for one release (`warn_on_impl`,
  `warn_on_impl_args`) before it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    from fusionlab.plugins.offers import BackboneRef, MetricRef, StrategyRef
    from fusionlab.plugins.presets import Preset

API = 1
GROUP = f"fusionlab.v{API}"

hookspec = HookspecMarker("fusionlab")
hookimpl = HookimplMarker("fusionlab")
"""Marks a function as the implementation of the hook of its name: `@hookimpl`."""


@hookspec
def fusionlab_defaults() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Say what is used when the user does not choose.

    Keys: `backbone` (a name, with or without `@TAG`) and `strategy` (a name); `baseline`, the
    backbone without weights that evaluations print beside every other; and `metrics`, which
    they compute, separated by spaces. If two plugins offer a default for the same key, the user
    is asked to choose.
    """


@hookspec
def fusionlab_presets() -> Iterable[Preset]:  # type: ignore[empty-body]
    """List the presets this plugin takes part in."""


@hookspec
def fusionlab_backbones() -> Iterable[BackboneRef]:  # type: ignore[empty-body]
    """List the backbones (frozen encoder and decoder) this plugin registrations.

    Called whenever backbones are listed: name where a backbone lives, do not import it.
    """


@hookspec
def fusionlab_strategies() -> Iterable[StrategyRef]:  # type: ignore[empty-body]
    """List the fusion strategies this plugin registrations.

    Called whenever strategies are listed: name where a strategy lives, do not import it.
    """


@hookspec
def fusionlab_metrics() -> Iterable[MetricRef]:  # type: ignore[empty-body]
    """List the metrics of fusion quality this plugin registrations.

    Called whenever metrics are listed: name where a metric lives, do not import it.
    """
