"""`fusionlab strategies | backbones | engines | presets | plugins`: list what is installed."""

from __future__ import annotations

import click

from fusionlab.cli.output import json_option, show_table
from fusionlab.cli.session import Session


@click.command()
@json_option
@click.pass_obj
def strategies(session: Session, *, as_json: bool) -> None:
    r"""List the strategies that can be given to `fuse --strategy`.

    If the order of the sources matters, the list says what each of them must be.

    \b
    Example:
      fusionlab strategies
      fusionlab fuse --strategy l1norm --help     the options of one of them
    """
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


@click.command()
@json_option
@click.pass_obj
def backbones(session: Session, *, as_json: bool) -> None:
    r"""List the backbones that can be given to `fuse --backbone`, with the tags of their weights.

    \b
    Example:
      fusionlab backbones
      fusionlab fuse --backbone identity a.png b.png
    """
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


@click.command()
@json_option
@click.pass_obj
def engines(session: Session, *, as_json: bool) -> None:
    r"""List the engines that can be given to `fuse --engine`.

    \b
    Example:
      fusionlab engines
      fusionlab bench --engine eager --engine compile    measure them on this machine
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


@click.command()
@json_option
@click.pass_obj
def presets(session: Session, *, as_json: bool) -> None:
    r"""List the presets that `fuse`, `evaluate` and `train` take, and the values of each.

    \b
    Example:
      fusionlab presets
      fusionlab fuse --preset paper a.png b.png
    """
    show_table(
        ("name", "summary", "settings", "plugin"),
        (
            (
                preset.name,
                preset.summary,
                " ".join(
                    [f"{key}={value}" for key, value in preset.settings.items()]
                    + [
                        f"{name}:{key}={value}"
                        for chosen in (preset.strategies, preset.trainings)
                        for name, values in chosen.items()
                        for key, value in values.items()
                    ]
                ),
                _origin(plugin, as_json=as_json),
            )
            for plugin, preset in session.plugins.presets
        ),
        as_json=as_json,
    )


@click.command()
@json_option
@click.pass_obj
def plugins(session: Session, *, as_json: bool) -> None:
    r"""List the installed plugins, whether they were loaded, and how long that took.

    \b
    Example:
      fusionlab plugins
      fusionlab --no-plugin NAME plugins          leave one of them out
    """
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
