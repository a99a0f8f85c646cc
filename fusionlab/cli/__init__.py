"""The `fusionlab` command: one file per subcommand; heavy imports wait until the work starts.

Read `session` (plugins of a run, errors as sentences), `options` (the options of a strategy) and
`output` (what is printed), then a command such as `fuse`, which is imported when it runs.
Nothing in this package imports torch, numpy or rich at the top.
"""

from __future__ import annotations

import click

from fusionlab.cli.command import MainGroup, print_and_exit
from fusionlab.cli.session import Session
from fusionlab.plugins import NO_PLUGIN

COMMANDS = {
    "fuse": "fuse",
    "watch": "watch",
    "pairs": "pairs",
    "register": "register",
    "explain": "explain",
    "export": "export",
    "evaluate": "evaluate",
    "study": "study",
    "score": "score",
    "sheet": "sheet",
    "check": "check",
    "bench": "bench",
    "new-strategy": "new_strategy",
    "strategies": "listing",
    "backbones": "listing",
    "engines": "listing",
    "metrics": "metrics",
    "readers": "listing",
    "registrations": "listing",
    "tasks": "listing",
    "presets": "listing",
    "plugins": "listing",
    "train": "train",
    "train-strategy": "train_strategy",
    "curves": "curves",
}
"""Command -> the file with its function."""


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


main.homes = {name: f"{__name__}.{file}" for name, file in COMMANDS.items()}
