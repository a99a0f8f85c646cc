"""The `fusionlab` command: one file per subcommand; heavy imports wait until the work starts.

Read `session` (plugins of a run, errors as sentences), `options` (the options of a strategy) and
`output` (what is printed), then a command such as `fuse`. Nothing in this package imports torch,
numpy or rich at the top.
"""

from __future__ import annotations

import click

from fusionlab.cli.bench import bench
from fusionlab.cli.check import check
from fusionlab.cli.command import MainGroup, print_and_exit
from fusionlab.cli.curves import curves
from fusionlab.cli.evaluate import evaluate
from fusionlab.cli.explain import explain
from fusionlab.cli.fuse import fuse
from fusionlab.cli.listing import (
    backbones,
    engines,
    plugins,
    presets,
    readers,
    registrations,
    strategies,
    tasks,
)
from fusionlab.cli.metrics import metrics
from fusionlab.cli.new_strategy import new_strategy
from fusionlab.cli.pairs import pairs
from fusionlab.cli.register import register
from fusionlab.cli.score import score
from fusionlab.cli.session import Session
from fusionlab.cli.sheet import sheet
from fusionlab.cli.study import study
from fusionlab.cli.train import train
from fusionlab.cli.train_strategy import train_strategy
from fusionlab.plugins import NO_PLUGIN


def _show_version(
    ctx: click.Context, _param: click.Parameter, asked: bool
) -> None:  # the signature is click's
    if asked and not ctx.resilient_parsing:
        from importlib.metadata import version

        print_and_exit(ctx, f"fusionlab, version {version('fusionlab-imaging')}")


@click.group(
    cls=MainGroup,
    epilog="Example:  fusionlab fuse --strategy l1norm --r 1 infrared.png visible.png -o fused.png",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.option(
    "--no-plugin",
    multiple=True,
    metavar="NAME",
    envvar=NO_PLUGIN,
    show_envvar=True,
    help="Do not load this plugin; repeatable.",
)
@click.pass_context
def main(ctx: click.Context, no_plugin: tuple[str, ...]) -> None:
    """Fuse registered images with a frozen neural backbone and the strategy of your choice."""
    ctx.obj = Session(no_plugin)
    ctx.with_resource(ctx.obj.in_process())


for command in (
    fuse,
    pairs,
    register,
    explain,
    evaluate,
    study,
    score,
    sheet,
    check,
    bench,
    new_strategy,
    strategies,
    backbones,
    engines,
    metrics,
    readers,
    registrations,
    tasks,
    presets,
    plugins,
    train,
    train_strategy,
    curves,
):
    main.add_command(command)
