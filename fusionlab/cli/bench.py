"""`fusionlab bench`: how fast methods are on this machine, and what they need."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import Any

import click

from fusionlab.cli.options import PRECISIONS, EngineName
from fusionlab.cli.output import json_option, on_terminal, show_facts
from fusionlab.cli.session import CommandInterrupted, Session, cli_errors

EXAMPLES = """\b
Examples:
  fusionlab bench                                  the defaults, on a pair of 640x480
  fusionlab bench --engine eager --engine openvino --precision fp32 --precision bf16
  fusionlab bench --size 640x480 --size 4000x3000 --sources 2 --sources 3
  fusionlab bench --method densefuse/l1norm,r=1 --method densefuse/addition --threads 1
  fusionlab bench --device cuda --precision fp32 --precision bf16 --json | jq .rows
\b
What is timed: one call of a fusion that is built already, from 8-bit arrays in memory to an array
in memory: conversion, network, strategy, range, and on CUDA the transfers; no files. The first
call is apart, it may compile; the others go on until both --rounds and --seconds are reached, and
their median counts. '±' is the distance between their quartiles. On CUDA the device is idle before
and after each call, and the column 'on device' is without the transfers.
\b
share: the multiply-adds of the network, over the time, over the matrix rate: what products of large
matrices reach on the device in this precision, measured just before and just after; the
column 'of GMAC/s' shows both, in 1e9 multiply-adds a second.
\b
peak: on a CPU by how much the first call raises the memory of a process of its own, on CUDA what
the fusion allocates there.
\b
Exit codes: 0 all is well, or some rows were refused and say why; 2 nothing could be measured,
130 stopped by Ctrl-C.
"""


def _sizes(
    _ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]
) -> list[tuple[int, int]]:
    for text in texts:
        if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
            raise click.BadParameter(f"expected WIDTHxHEIGHT such as 640x480, got {text!r}")
    pairs = (text.split("x") for text in texts)
    return [(int(width), int(height)) for width, height in pairs]


@click.command(epilog=EXAMPLES)
@click.option(
    "--size",
    "sizes",
    multiple=True,
    default=["640x480"],
    show_default=True,
    metavar="WIDTHxHEIGHT",
    callback=_sizes,
    help="Of the sources, which are made up; repeatable, as all that follow up to --precision.",
)
@click.option(
    "--sources",
    "counts",
    multiple=True,
    type=click.IntRange(min=2),
    default=[2],
    show_default=True,
    metavar="K",
    help="How many of them.",
)
@click.option(
    "--channels",
    multiple=True,
    type=click.Choice(["1", "3"]),
    default=["1"],
    show_default=True,
    help="Gray, or color of which each channel is fused.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="BACKBONE[@TAG]/STRATEGY[,name=value]",
    help="What to measure.  [default: the default backbone and strategy]",
)
@click.option(
    "--engine",
    "engines",
    multiple=True,
    type=EngineName(),
    metavar="NAME",
    help="Engine that runs the backbone, as for 'fuse'; repeatable.  [default: eager]",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(PRECISIONS),
    default=["fp32"],
    show_default=True,
    help="In which numbers, as for 'fuse'.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ...")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="How many threads may compute.  [default: as many as torch takes]",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Calls that are timed, at least.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=2,
    show_default=True,
    help="How long they are timed, at least.",
)
@click.option("--no-memory", is_flag=True, help="Do not measure the memory.")
@json_option
@click.pass_context
def bench(
    ctx: click.Context,
    *,
    sizes: list[tuple[int, int]],
    counts: tuple[int, ...],
    channels: tuple[str, ...],
    methods: tuple[str, ...],
    engines: tuple[str, ...],
    precisions: tuple[str, ...],
    device: str,
    threads: int | None,
    rounds: int,
    seconds: float,
    no_memory: bool,
    as_json: bool,
) -> None:
    """Measure how fast methods are on this machine, and how much memory they need.

    Options that are given several times are combined: a row for each combination. One that cannot
    be run is a row that says why.
    """
    session: Session = ctx.obj
    plugins = session.plugins
    with cli_errors():
        import torch

        from fusionlab.bench.cases import Case
        from fusionlab.bench.machine import describe_machine
        from fusionlab.bench.measuring import Bench, Refusal
        from fusionlab.bench.report import Report
        from fusionlab.bench.timing import TimingBudget
        from fusionlab.fusion import available_device

        names = methods or (f"{plugins.default('backbone')}/{plugins.default('strategy')}",)
        engines = engines or (plugins.default("engine"),)
        combined: Any = product(names, sizes, counts, channels, engines, precisions)
        cases = [
            Case(method, width, height, count, int(channel), engine, precision)  # type: ignore[arg-type]  # click has checked it
            for method, (width, height), count, channel, engine, precision in combined
        ]
        place = available_device(device)
        before = torch.get_num_threads()
        if threads is not None:
            torch.set_num_threads(threads)
        measuring = Bench(
            place, plugins, session.blocked, TimingBudget(rounds, seconds), memory=not no_memory
        )
        report = Report(describe_machine(place), rows := [])
        stopped = False
        try:
            with on_terminal("measuring") as progress:
                progress(0, len(cases))
                for row in measuring.run(cases):
                    rows.append(row)
                    progress(len(rows), len(cases))
        except KeyboardInterrupt:
            stopped = True
        finally:
            torch.set_num_threads(before)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
    elif rows:
        show_facts(report.facts(), as_json=False)
        click.echo(f"\n{report.to_text()}")
    if stopped:
        raise CommandInterrupted(f"stopped after {len(rows)} of {len(cases)} rows")
    ctx.exit(2 if all(isinstance(row, Refusal) for row in rows) else 0)
