"""The contract between fusionlab and its plugins, in the order of a run.

A plugin is any installed distribution with an entry point in the group `fusionlab.v1` that
names a module. The module implements some of the hooks below:

    [project.entry-points."fusionlab.v1"]
    mine = "my_package"

The plugins that ship with fusionlab register in exactly this way. A hook returns lightweight
descriptions (`StrategyRef`, `BackboneRef`, `MetricRef`, ...). They say where a class or a function
is defined; it is imported only when it is used.

Compatibility:

* The major version of the contract is in the name of the group. Plugins of another group are
  reported by name and never imported.
* Adding a hook, or an argument to a hook, is a minor change: an implementation may take fewer
  arguments than the specification offers.
* Before a hook or an argument is removed, it warns for one release (`warn_on_impl`,
  `warn_on_impl_args`).

Hooks are called through pluggy, one plugin at a time. A hook wrapper (`@hookimpl(wrapper=True)`)
therefore wraps the implementations of its own module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
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

API = 1
GROUP = f"fusionlab.v{API}"

hookspec = HookspecMarker("fusionlab")
hookimpl = HookimplMarker("fusionlab")
"""Marks a function as the implementation of the hook of its name: `@hookimpl`."""


@hookspec
def fusionlab_defaults() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return the names that are used when the user does not choose.

    Keys: `backbone` (a name, with or without `@TAG`); `strategy` (a name); `engine` (a
    name); `baseline`, the backbone without weights that evaluations compare every other backbone
    with; `metrics`, the metrics that evaluations compute, separated by spaces; `temporal metrics`,
    those that are computed of sequences besides; and `registration`, the method that
    `--register auto` stands for. If two plugins offer a default for the same key, the user has to
    choose.
    """


@hookspec
def fusionlab_readers() -> Iterable[ReaderRef]:  # type: ignore[empty-body]
    """List the image formats that this plugin reads.

    Called before the first file is read or a folder is searched: say by which bytes a format is
    recognized and where its reader is defined, do not import it.
    """


@hookspec
def fusionlab_sequence_readers() -> Iterable[SequenceReaderRef]:  # type: ignore[empty-body]
    """List the formats of videos, or of other sequences in a file, that this plugin reads.

    Called before the first file is read as a sequence: say by which bytes a format is recognized
    and where its reader is defined, do not import it.
    """


@hookspec
def fusionlab_registrations() -> Iterable[RegistrationRef]:  # type: ignore[empty-body]
    """List the methods of image registration that this plugin offers.

    Called whenever methods are listed or one is chosen: say where a function is defined, do not
    import it.
    """


@hookspec
def fusionlab_presets() -> Iterable[Preset]:  # type: ignore[empty-body]
    """List the presets that this plugin contributes to."""


@hookspec
def fusionlab_tasks() -> Iterable[Task]:  # type: ignore[empty-body]
    """List the tasks that this plugin knows a method for, such as focus stacks or exposures.

    Called whenever tasks are listed or one is chosen: the function that recognizes a task is
    imported only when it is needed.
    """


@hookspec
def fusionlab_backbones() -> Iterable[BackboneRef]:  # type: ignore[empty-body]
    """List the backbones (frozen encoder and decoder) that this plugin offers.

    Called whenever backbones are listed: say where a backbone is defined, do not import it.
    """


@hookspec
def fusionlab_strategies() -> Iterable[StrategyRef]:  # type: ignore[empty-body]
    """List the fusion strategies that this plugin offers.

    Called whenever strategies are listed: say where a strategy is defined, do not import it.
    """


@hookspec
def fusionlab_engines() -> Iterable[EngineRef]:  # type: ignore[empty-body]
    """List the engines (ways to run a frozen backbone) that this plugin offers.

    Called whenever engines are listed: say where an engine is defined, do not import it.
    """


@hookspec
def fusionlab_metrics() -> Iterable[  # type: ignore[empty-body]
    MetricRef | TemporalMetricRef
]:
    """List the metrics of fusion quality that this plugin offers, of images and of sequences.

    Called whenever metrics are listed: say where a metric is defined, do not import it.
    """
