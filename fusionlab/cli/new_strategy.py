"""`fusionlab new-strategy`: write the package of a new strategy, ready to install."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click

from fusionlab.cli.command import Command
from fusionlab.cli.output import echo
from fusionlab.cli.session import Session, cli_errors

EXAMPLES = """\b
Examples:
  fusionlab new-strategy mine && pip install -e fusionlab-mine && fusionlab check mine
  fusionlab new-strategy my_strategy --directory plugins --author "Ada Lovelace"

\b
Exit codes: 0 the package was written, 2 nothing was written.
"""


@click.command("new-strategy", cls=Command, epilog=EXAMPLES)
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    help="Where to put the folder of the package.",
)
@click.option("--author", metavar="TEXT", help="Name of the author, for pyproject.toml.")
@click.pass_obj
def new_strategy(session: Session, *, name: str, directory: Path, author: str | None) -> None:
    """Write a package with a strategy NAME, for you to change.

    The folder `fusionlab-NAME` holds a strategy in one module, its tests, `pyproject.toml`, a
    README and `.gitignore`. The package works as it is: once pip has installed it, the strategy is
    a plugin, and it passes `fusionlab check`.
    """
    with cli_errors():
        from fusionlab.scaffold import Names, write_package

        names = Names(name)
        backbone = session.plugins.default("backbone").partition("@")[0]
        folder = write_package(names, directory, session.plugins, author)
    echo(
        f"wrote {folder}: the strategy is in {names.module}.py. Next:",
        f"  pip install -e {quote(str(folder))}",
        f"  fusionlab check {name}",
        f"  fusionlab evaluate SET --method {backbone}/{name}",
    )
