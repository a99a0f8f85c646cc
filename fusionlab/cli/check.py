"""`fusionlab check`: which laws a strategy owes or claims, and whether they hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from fusionlab.cli.output import json_option, on_terminal, show_table
from fusionlab.cli.session import CommandError, CommandInterrupted, Session, cli_errors

if TYPE_CHECKING:
    from fusionlab.testing import Verdict

EXAMPLES = """\b
Examples:
  fusionlab check l1norm
  fusionlab check mine --law permutation --law tiles
  fusionlab check mine,gamma=8                   with this parameter, and defaults
  fusionlab check mine --profile thorough        twenty times as many inputs
\b
Exit codes: 0 it keeps every law that it owes or claims, 1 it breaks one, 2 it could not be
checked, 130 stopped by Ctrl-C.
"""


class _LawsBroken(click.ClickException):
    exit_code = 1


@click.command(epilog=EXAMPLES)
@click.argument("name", metavar="STRATEGY[,name=value]")
@click.option(
    "--law",
    "laws",
    multiple=True,
    metavar="LAW",
    help="Only this law; repeatable.  [default: all]",
)
@click.option(
    "--profile",
    type=click.Choice(["quick", "thorough"]),
    default="quick",
    show_default=True,
    help="How many inputs: 25 a law, or 500.",
)
@json_option
@click.pass_context
def check(
    ctx: click.Context, *, name: str, laws: tuple[str, ...], profile: str, as_json: bool
) -> None:
    """Test a strategy for the laws of fusion rules, with inputs that shrink when one breaks.

    Every rule owes some laws: finite results and gradients, images of a batch that do not see
    each other, tiles that give the result of the whole image. Others are a matter of the rule,
    and it says which it claims: the order of the sources does not matter, the result stays
    within the range of the sources. Both are tested, with parameters, numbers of sources, sizes
    and values drawn at random, zeros and dead channels among them; and so are laws that the rule
    does not claim: where they hold, it could. Parameters that are given are not drawn.
    """
    session: Session = ctx.obj
    with cli_errors():
        registration = session.plugins.strategies.find(name.partition(",")[0])
        from fusionlab.plugins.factory import build_strategy
        from fusionlab.plugins.loading import strategy_class
        from fusionlab.strategy import Law
        from fusionlab.testing import examine

        known = {law.name.lower(): law for law in Law}
        if unknown := [law for law in laws if law.lower() not in known]:
            raise CommandError(f"there is no law {unknown[0]!r}; there are {', '.join(known)}")
        chosen = [known[law.lower()] for law in laws] or list(Law)
        given = (
            build_strategy(name, session.plugins) if "," in name else strategy_class(registration)
        )
        verdicts = []
        try:
            with _nothing_kept(), on_terminal("checking") as progress:
                for verdict in examine(given, chosen, profile):
                    verdicts.append(verdict)
                    progress(len(verdicts), len(chosen))
        except KeyboardInterrupt:
            raise CommandInterrupted(
                f"stopped after {len(verdicts)} of {len(chosen)} laws"
            ) from None
    show_table(("law", "claimed", "held", "what"), map(_row, verdicts), as_json=as_json)
    if not as_json and all(verdict.kept for verdict in verdicts):
        click.echo(f"{registration.qualified} keeps every law that it owes or claims")
    if broken := [verdict.law.name.lower() for verdict in verdicts if not verdict.kept]:
        raise _LawsBroken(
            f"{registration.qualified} does not keep {len(broken)} of the laws it owes or claims: "
            f"{', '.join(broken)}"
        )


@contextmanager
def _nothing_kept() -> Iterator[None]:
    """Keep hypothesis from leaving a folder where the command is run."""
    from hypothesis import configuration

    with TemporaryDirectory() as folder:
        configuration.set_hypothesis_home_dir(folder)
        yield
        configuration.set_hypothesis_home_dir(None)


def _row(verdict: Verdict) -> tuple[str, str, str, str]:
    what = verdict.counterexample or verdict.law.value
    if verdict.held is None:
        held, what = "-", f"does not apply here: {verdict.law.value}"
    elif verdict.held:
        held = "yes"
        if verdict.claimed == "no":
            what = f"could be claimed: {what}"
    else:
        held = "NO" if not verdict.kept else "no"
    return verdict.law.name.lower(), verdict.claimed, held, what
