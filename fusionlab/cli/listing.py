"""`fusionlab strategies | backbones | presets | plugins`: what there is, a line each."""

from __future__ import annotations

from collections.abc import Iterable

import click

from fusionlab.cli.session import Session


@click.command()
@click.pass_obj
def strategies(session: Session) -> None:
    r"""List the strategies that can be given to `fuse --strategy`.

    \b
    Example:
      fusionlab strategies
      fusionlab fuse --strategy l1norm --help     the options of one of them
    """
    _table(
        (offer.ref.name, offer.ref.summary, f"[{offer.plugin}]")
        for offer in session.plugins.strategies.offers
    )


@click.command()
@click.pass_obj
def backbones(session: Session) -> None:
    r"""List the backbones that can be given to `fuse --backbone`, with their weights.

    \b
    Example:
      fusionlab backbones
      fusionlab fuse --backbone identity a.png b.png
    """
    _table(
        (
            offer.ref.name,
            offer.ref.summary,
            " ".join(f"@{tag}" for tag in offer.ref.checkpoints) or "no weights",
            f"[{offer.plugin}]",
        )
        for offer in session.plugins.backbones.offers
    )


@click.command()
@click.pass_obj
def presets(session: Session) -> None:
    r"""List what each plugin means by the names that can be given to `fuse --preset`.

    \b
    Example:
      fusionlab presets
      fusionlab fuse --preset paper a.png b.png
    """
    _table(
        (
            preset.name,
            preset.summary,
            " ".join(
                [f"{key}={value}" for key, value in preset.settings.items()]
                + [
                    f"{name}:{key}={value}"
                    for name, values in preset.strategies.items()
                    for key, value in values.items()
                ]
            ),
            f"[{plugin}]",
        )
        for plugin, preset in session.plugins.presets
    )


@click.command()
@click.pass_obj
def plugins(session: Session) -> None:
    r"""List the installed plugins, what became of them, and how long each took to load.

    \b
    Example:
      fusionlab plugins
      fusionlab --no-plugin NAME plugins          without one of them
    """
    _table(
        (
            plugin.name,
            plugin.version,
            plugin.status,
            f"{plugin.seconds * 1e3:.1f} ms",
            plugin.target,
            plugin.problem,
        )
        for plugin in session.plugins.loaded
    )


def _table(rows: Iterable[tuple[str, ...]]) -> None:
    """Print rows in columns, plain: the same on a terminal and in a pipe."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
