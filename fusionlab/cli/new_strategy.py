"""`fusionlab new-strategy`: the package of a rule of one's own, ready to install."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click

from fusionlab.cli.session import Session, cli_errors

EXAMPLES = """\b
Examples:
  fusionlab new-strategy mine && pip install -e fusionlab-mine && fusionlab check mine
  fusionlab new-strategy my_rule --directory plugins --author "Ada Lovelace"
\b
Exit codes: 0 the package is there, 2 nothing has been written.
"""


@click.command("new-strategy", epilog=EXAMPLES)
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    help="Where to put the folder of the package.",
)
@click.option("--author", metavar="TEXT", help="Who writes it, for pyproject.toml.")
@click.pass_obj
def new_strategy(session: Session, *, name: str, directory: Path, author: str | None) -> None:
    """Write a package with a strategy NAME, to be changed into a rule of your own.

    The folder `fusionlab-NAME` holds a rule in one module, its tests, `pyproject.toml`, a README
    and `.gitignore`. All of it works as it stands: the rule keeps every law of `fusionlab check`,
    and is a plugin once pip has installed it.
    """
    with cli_errors():
        from fusionlab.scaffold import Names, write_package

        names = Names(name)
        folder = write_package(names, directory, session.plugins, author)
    click.echo(
        f"wrote {folder}: the rule is in {names.module}.py. Next:\n"
        f"  pip install -e {quote(str(folder))}\n"
        f"  fusionlab check {name}\n"
        f"  fusionlab evaluate SET --method densefuse/{name}"
    )
