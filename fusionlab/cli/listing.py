"""What is installed: `fusionlab strategies`, `backbones`, `engines`, `readers`, `registrations`,
`tasks`, `presets` and `plugins`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.command import Command
from fusionlab.cli.output import json_option, show_facts, show_table
from fusionlab.cli.session import Session, cli_errors

if TYPE_CHECKING:
    from fusionlab.parameters import Param
    from fusionlab.plugins.offers import BackboneRef, StrategyRef
    from fusionlab.plugins.presets import Preset
    from fusionlab.plugins.registry import Plugins, Registration


STRATEGIES_EXAMPLES = """\b
Examples:
  fusionlab strategies
  fusionlab strategies l1norm                 its parameters and their defaults
  fusionlab fuse --strategy l1norm --help     the options of one of them
"""


@click.command(cls=Command, epilog=STRATEGIES_EXAMPLES)
@click.argument("name", required=False)
@json_option
@click.pass_obj
def strategies(session: Session, name: str | None, *, as_json: bool) -> None:
    """List the strategies that can be given to `fuse --strategy`, or show the parameters of NAME.

    If the order of the sources matters, the list says what each of them must be.
    """
    if name is not None:
        with cli_errors():
            from fusionlab.plugins.loading import strategy_class

            chosen = session.plugins.strategies.find(name)
            facts = _facts(chosen, strategy_class(chosen))
            facts["sources"] = ", ".join(chosen.ref.roles)
        show_facts(facts, as_json=as_json)
        return
    show_table(
        ("name", "summary", "sources", "plugin"),
        (
            (
                registration.ref.name,
                registration.ref.summary,
                ", ".join(registration.ref.roles),
                _origin(registration.plugin, as_json=as_json),
            )
            for registration in session.plugins.strategies.registrations
        ),
        as_json=as_json,
    )


BACKBONES_EXAMPLES = """\b
Examples:
  fusionlab backbones
  fusionlab backbones densefuse               its parameters and the tags of its weights
  fusionlab fuse --backbone identity a.png b.png
"""


@click.command(cls=Command, epilog=BACKBONES_EXAMPLES)
@click.argument("name", required=False)
@json_option
@click.pass_obj
def backbones(session: Session, name: str | None, *, as_json: bool) -> None:
    """List the backbones for `fuse --backbone` with their weights, or show the parameters of NAME.

    Weights are chosen by their tag, NAME@TAG; the first is the default.
    """
    if name is not None:
        with cli_errors():
            from fusionlab.plugins.loading import backbone_class

            chosen = session.plugins.backbones.find(name)
            facts = _facts(chosen, backbone_class(chosen))
        show_facts(facts, as_json=as_json)
        return
    show_table(
        ("name", "summary", "weights", "plugin"),
        (
            (
                registration.ref.name,
                registration.ref.summary,
                " ".join(f"@{tag}" for tag in registration.ref.checkpoints) or "no weights",
                _origin(registration.plugin, as_json=as_json),
            )
            for registration in session.plugins.backbones.registrations
        ),
        as_json=as_json,
    )


ENGINES_EXAMPLES = """\b
Examples:
  fusionlab engines
  fusionlab bench --engine eager --engine compile    measure them on this machine
"""


@click.command(cls=Command, epilog=ENGINES_EXAMPLES)
@json_option
@click.pass_obj
def engines(session: Session, *, as_json: bool) -> None:
    """List the engines that can be given to `fuse --engine`.

    `--engine auto` takes the fastest of them on this machine, measured once. Of two engines, as in
    `--engine eager+ncnn`, the second decodes.
    """
    show_table(
        ("name", "summary", "plugin"),
        (
            (
                registration.ref.name,
                registration.ref.summary,
                _origin(registration.plugin, as_json=as_json),
            )
            for registration in session.plugins.engines.registrations
        ),
        as_json=as_json,
    )


READERS_EXAMPLES = """\b
Examples:
  fusionlab readers
  fusionlab pairs infrared/ visible/          which files are read and paired
"""


@click.command(cls=Command, epilog=READERS_EXAMPLES)
@json_option
@click.pass_obj
def readers(session: Session, *, as_json: bool) -> None:
    """List the formats of images and videos that are read, and what must be installed for some.

    A file is recognized by its content; the suffixes of images are those that count when a folder
    is searched.
    """
    plugins = session.plugins
    kinds: dict[str, list[Registration[Any]]] = {
        "image": plugins.readers.registrations,
        "video": plugins.sequence_readers.registrations,
    }
    show_table(
        ("name", "kind", "summary", "suffixes", "requires", "plugin"),
        (
            (
                registration.ref.name,
                kind,
                registration.ref.summary,
                " ".join(registration.ref.suffixes),
                registration.ref.requires,
                _origin(registration.plugin, as_json=as_json),
            )
            for kind, registrations in kinds.items()
            for registration in registrations
        ),
        as_json=as_json,
    )


REGISTRATIONS_EXAMPLES = """\b
Examples:
  fusionlab registrations
  fusionlab register --method ecc near.jpg far.jpg
"""


@click.command(cls=Command, epilog=REGISTRATIONS_EXAMPLES)
@json_option
@click.pass_obj
def registrations(session: Session, *, as_json: bool) -> None:
    """List the methods of image registration, with the models that they estimate."""
    show_table(
        ("name", "summary", "models", "reference", "plugin"),
        (
            (
                registration.ref.name,
                registration.ref.summary,
                " ".join(registration.ref.models),
                registration.ref.reference,
                _origin(registration.plugin, as_json=as_json),
            )
            for registration in session.plugins.image_registrations.registrations
        ),
        as_json=as_json,
    )


TASKS_EXAMPLES = """\b
Examples:
  fusionlab tasks
  fusionlab fuse --task focus near.png far.png
"""


@click.command(cls=Command, epilog=TASKS_EXAMPLES)
@json_option
@click.pass_obj
def tasks(session: Session, *, as_json: bool) -> None:
    """List the tasks that can be given to `fuse --task`, with their methods and the evidence."""
    show_table(
        ("name", "summary", "method", "color", "range", "plugin", "evidence"),
        (
            (
                registration.ref.name,
                registration.ref.summary,
                registration.ref.method,
                registration.ref.color,
                registration.ref.range_policy,
                _origin(registration.plugin, as_json=as_json),
                registration.ref.evidence,
            )
            for registration in session.plugins.tasks.registrations
        ),
        as_json=as_json,
    )


PRESETS_EXAMPLES = """\b
Examples:
  fusionlab presets
  fusionlab presets paper                     its methods, metrics and packages
  fusionlab fuse --preset paper a.png b.png
"""


@click.command(cls=Command, epilog=PRESETS_EXAMPLES)
@click.argument("name", required=False)
@json_option
@click.pass_obj
def presets(session: Session, name: str | None, *, as_json: bool) -> None:
    """List the presets that `fuse`, `evaluate` and `train` take, or show what NAME sets.

    Several plugins may contribute to one preset.
    """
    if name is not None:
        with cli_errors():
            facts = _preset_facts(name, session.plugins)
        show_facts(facts, as_json=as_json)
        return
    show_table(
        ("name", "summary", "settings", "plugin"),
        (
            (
                preset.name,
                preset.summary,
                " ".join(_preset_values(preset)),
                _origin(plugin, as_json=as_json),
            )
            for plugin, preset in session.plugins.presets
        ),
        as_json=as_json,
    )


PLUGINS_EXAMPLES = """\b
Examples:
  fusionlab plugins
  fusionlab --no-plugin NAME plugins          leave one of them out
"""


@click.command(cls=Command, epilog=PLUGINS_EXAMPLES)
@json_option
@click.pass_obj
def plugins(session: Session, *, as_json: bool) -> None:
    """List the installed plugins, whether they were loaded, and how long that took."""
    show_table(
        ("name", "version", "status", "load time", "module", "problem"),
        (
            (
                plugin.name,
                plugin.version,
                plugin.status,
                f"{plugin.seconds * 1e3:.1f} ms",
                plugin.target,
                plugin.problem,
            )
            for plugin in session.plugins.loaded
        ),
        as_json=as_json,
    )


def _origin(plugin: str, *, as_json: bool) -> str:
    """Return the name of a plugin, in brackets unless it is for JSON."""
    return plugin if as_json else f"[{plugin}]"


def _facts(
    registration: Registration[StrategyRef] | Registration[BackboneRef], cls: type
) -> dict[str, Any]:
    """Return the parameters of a strategy or a backbone, and the tags of its weights."""
    from fusionlab.parameters import params_of

    return {
        "name": registration.ref.name,
        "summary": registration.ref.summary,
        "parameters": [_parameter(param) for param in params_of(cls)],
        "weights": [f"@{tag}" for tag in registration.ref.checkpoints],
        "plugin": registration.plugin,
    }


def _parameter(param: Param) -> str:
    """Return one line about a parameter: `r=1  Radius of ...`."""
    value = param.kind.__name__ if param.required else param.format(param.default)
    choices = f" ({', '.join(map(param.format, param.choices))})" if param.choices else ""
    return f"{param.name}={value}  {param.help}{choices}".rstrip()


def _preset_values(preset: Preset) -> list[str]:
    """Return what a preset sets, `option=value` and `owner:parameter=value`."""
    return [f"{key}={value}" for key, value in preset.settings.items()] + [
        f"{owner}:{key}={value}"
        for chosen in (preset.strategies, preset.trainings)
        for owner, values in chosen.items()
        for key, value in values.items()
    ]


def _preset_facts(name: str, plugins: Plugins) -> dict[str, Any]:
    """Return everything that a preset sets, from all plugins that contribute to it."""
    from fusionlab.plugins.presets import preset_methods, preset_metrics, published_table

    methods = preset_methods(name, plugins)
    parts = [(plugin, part) for plugin, part in plugins.presets if part.name == name]
    packages = {distribution for _, part in parts for distribution in part.packages.values()}
    return {
        "name": name,
        "parts": [f"{part.summary} [{plugin}]" for plugin, part in parts],
        "settings": [value for _, part in parts for value in _preset_values(part)],
        "methods": methods,
        "metrics": [metric.rpartition(":")[2] for metric in preset_metrics(name, plugins)],
        "published": list(published_table(name, plugins).rows),
        "packages": sorted(packages),
    }
