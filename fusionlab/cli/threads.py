"""The option `--threads`: how many threads the libraries of this process start."""

from __future__ import annotations

import os
import sys
from functools import partial

import click

VARIABLE = "OMP_NUM_THREADS"
"""What torch and others read when they are imported; a user may set it, too."""


def _use_threads(ctx: click.Context, _param: click.Parameter, count: int | None) -> None:
    """Let torch use this many threads, or as many as there are cores, until the command ends."""
    if ctx.resilient_parsing:
        return
    before = os.environ.get(VARIABLE)
    if count is None:
        if before is not None:
            return
        from fusionlab.threads import available_cores

        count = available_cores()
    torch = sys.modules.get("torch")
    if torch is not None:
        ctx.call_on_close(partial(torch.set_num_threads, torch.get_num_threads()))
        torch.set_num_threads(count)

    def restore() -> None:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before

    ctx.call_on_close(restore)
    os.environ[VARIABLE] = str(count)


def chosen_threads() -> int:
    """Return the number of threads of the command that runs."""
    from fusionlab.threads import available_cores

    text = os.environ.get(VARIABLE, "")
    return int(text) if text.isdecimal() and int(text) else available_cores()


threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1),
    callback=_use_threads,
    expose_value=False,
    help="How many threads compute; results do not depend on it.  [default: the cores that this "
    "process may use]",
)
