"""`fusionlab check`: test which laws a strategy keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from fusionlab.cli.command import Command
from fusionlab.cli.output import echo, json_option, show_progress, show_table
from fusionlab.cli.session import CommandError, CommandStopped, Session, cli_errors

if TYPE_CHECKING:
    from fusionlab.plugins.registry import Plugins
    from fusionlab.strategy import Law, Strategy
    from fusionlab.testing import Verdict

EXAMPLES = """\b
Examples:
  fusionlab check l1norm
  fusionlab check mine --law permutation --law tiles
  fusionlab check mine,gamma=8                   with this parameter, the others at their defaults
  fusionlab check mine --profile thorough        twenty times as many inputs

\b
Exit codes: 0 the strategy keeps all required and declared laws, 1 it breaks one, 2 it could not
be checked, 130 stopped by Ctrl-C.
"""


class _LawsBroken(click.ClickException):
    exit_code = 1


@click.command(cls=Command, epilog=EXAMPLES)
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
    help="Number of inputs per law: 25 or 500.",
)
@json_option
@click.pass_context
def check(
    ctx: click.Context, *, name: str, laws: tuple[str, ...], profile: str, as_json: bool
) -> None:
    """Test the laws of a strategy with random inputs, and show the simplest one that breaks a law.

    Some laws are required of every strategy: finite results and gradients, independence of the
    images in a batch, tiles that give the result of the whole image. Others are properties that a
    strategy declares, for example that the order of the sources does not matter. Laws that are not
    declared are tested too: those that hold could be declared.

    Parameters, number of sources, sizes and values are drawn at random, including zeros and
    channels of zeros. Parameters that are given are not drawn.

    Laws that others rest on come first: where the support is wrong, for example, tiles break as
    well, and the table says so in place of a second input.
    """
    session: Session = ctx.obj
    with cli_errors():
        registration = session.plugins.strategies.find(name.partition(",")[0])
        verdicts = _verdicts(_strategy(name, session.plugins), _chosen(laws), profile)
    show_table(("law", "declared", "held", "what"), map(_row, verdicts), as_json=as_json)
    if not as_json and all(verdict.passed for verdict in verdicts):
        echo(f"{registration.qualified} keeps all required and declared laws")
    if broken := [verdict.law.name.lower() for verdict in verdicts if not verdict.passed]:
        raise _LawsBroken(
            f"{registration.qualified} breaks {len(broken)} of its required and declared laws: "
            f"{', '.join(broken)}"
        )


def _chosen(names: tuple[str, ...]) -> list[Law]:
    """Return the laws of these names, or all laws."""
    from fusionlab.strategy import Law

    by_name = {law.name.lower(): law for law in Law}
    if unknown := [name for name in names if name.lower() not in by_name]:
        raise CommandError(f"there is no law {unknown[0]!r}; known: {', '.join(by_name)}")
    return [by_name[name.lower()] for name in names] or list(Law)


def _strategy(text: str, plugins: Plugins) -> Strategy | type[Strategy]:
    """Return an instance if the text gives parameters, else the class."""
    from fusionlab.plugins.factory import build_strategy
    from fusionlab.plugins.loading import strategy_class

    if "," in text:
        return build_strategy(text, plugins)
    return strategy_class(plugins.strategies.find(text))


def _verdicts(strategy: Strategy | type[Strategy], laws: list[Law], profile: str) -> list[Verdict]:
    """Test the laws, with a progress bar."""
    from fusionlab.testing import examine
    from fusionlab.torch_defaults import torch_threads

    verdicts: list[Verdict] = []
    try:
        with (
            _temporary_hypothesis_folder(),
            torch_threads(1),  # for maps this small, more cost more than they save
            show_progress("checking") as progress,
        ):
            for verdict in examine(strategy, laws, profile):
                verdicts.append(verdict)
                progress(len(verdicts), len(laws))
    except KeyboardInterrupt as stop:
        raise CommandStopped(f"stopped after {len(verdicts)} of {len(laws)} laws", stop) from None
    return verdicts


@contextmanager
def _temporary_hypothesis_folder() -> Iterator[None]:
    """Keep hypothesis from leaving a folder in the current directory."""
    from hypothesis import configuration

    with TemporaryDirectory() as folder:
        configuration.set_hypothesis_home_dir(folder)
        yield
        configuration.set_hypothesis_home_dir(None)


def _row(verdict: Verdict) -> tuple[str, str, str, str]:
    explanation = verdict.counterexample or verdict.law.value
    if verdict.held is None:
        outcome, explanation = "-", f"does not apply here: {verdict.law.value}"
    elif verdict.held:
        outcome = "yes"
        if verdict.declared == "no":
            explanation = f"could be declared: {explanation}"
    else:
        outcome = "NO" if not verdict.passed else "no"
        if verdict.cause:
            explanation = f"first correct {verdict.cause.name.lower()}"
    return verdict.law.name.lower(), verdict.declared, outcome, explanation
