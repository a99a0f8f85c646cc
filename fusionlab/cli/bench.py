"""`fusionlab bench`: measure the speed and the memory of methods on this machine."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.command import Command
from fusionlab.cli.options import PRECISIONS, EngineName
from fusionlab.cli.output import echo, json_option, show_facts, show_json, show_progress
from fusionlab.cli.session import CommandStopped, Session, cli_errors
from fusionlab.cli.threads import threads_option
from fusionlab.plugins.engine_names import AUTO

if TYPE_CHECKING:
    from fusionlab.bench.cases import Case
    from fusionlab.plugins.registry import Plugins

EXAMPLES = """\b
Examples:
  fusionlab bench                                  the engines, on a pair of 640x480
  fusionlab bench --engine eager --engine openvino --precision fp32 --precision bf16
  fusionlab bench --size 640x480 --size 4000x3000 --sources 2 --sources 3
  fusionlab bench --method densefuse/l1norm,r=1 --method densefuse/addition --threads 1
  fusionlab bench --frames 100 --no-memory         frames per second and latency of a stream, too
  fusionlab bench --device cuda --precision fp32 --precision bf16 --json | jq .rows

\b
What is timed: one call of an existing fusion, from 8-bit arrays in memory to an array in memory:
conversion, network, strategy, range, and on CUDA the transfers; no files. The first call, which may
compile, is listed separately; the others continue until both --rounds and --seconds are reached,
and their median counts. '±' is their interquartile range. On CUDA the device is idle before and
after each call, and the column 'on device' is without the transfers.

\b
share: the MACs (multiply-accumulate operations) of the network per second, as a share of the peak
throughput: that of products of large matrices on the device in this precision, measured just
before and just after; the column 'of GMAC/s' shows both, in 1e9 MACs per second.

\b
peak: on a CPU by how much the first call raises the memory of a process of its own, on CUDA what
the fusion allocates there.

\b
--frames: from uncompressed TIFF files in memory to such a file. 'frames/s' is that of a sequence
that is there: decoding ahead and encoding overlap with fusing, and small frames are fused at the
same time. 'latency' is that of a camera that is slower than the fusion: from the files of a frame
to the file of its result, the median, and what 95 % do not exceed.

\b
Exit codes: 0 success, or some rows were refused and say why; 2 nothing could be measured,
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


@click.command(cls=Command, epilog=EXAMPLES)
@click.option(
    "--size",
    "sizes",
    multiple=True,
    default=["640x480"],
    show_default=True,
    metavar="WIDTHxHEIGHT",
    callback=_sizes,
    help="Size of the synthetic sources; repeatable, like all options up to --precision.",
)
@click.option(
    "--sources",
    "counts",
    multiple=True,
    type=click.IntRange(min=2),
    default=[2],
    show_default=True,
    metavar="K",
    help="Number of sources.",
)
@click.option(
    "--channels",
    multiple=True,
    type=click.Choice(["1", "3"]),
    default=["1"],
    show_default=True,
    help="Gray, or color, of which each channel is fused.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="[BACKBONE[@TAG]/]STRATEGY[,name=value]",
    help="The method to measure.  [default: the default backbone and strategy]",
)
@click.option(
    "--engine",
    "engines",
    multiple=True,
    type=EngineName(),
    metavar="NAME",
    help="Engine that runs the backbone, as for 'fuse'; repeatable.  [default: on a CPU those that "
    "'auto' chooses from, and 'auto']",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(PRECISIONS),
    default=["fp32"],
    show_default=True,
    help="Numerical precision of the backbone, as for 'fuse'.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ...")
@threads_option
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How many calls to time, at least.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=2,
    show_default=True,
    help="How long to time them, at least.",
)
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    metavar="N",
    help="Also fuse N frames as a stream: the columns 'frames/s', where decoding, fusing and "
    "encoding overlap, and 'latency' of a frame, where one follows the other.",
)
@click.option("--no-memory", is_flag=True, help="Do not measure the memory.")
@json_option
@click.pass_context
def bench(
    ctx: click.Context,
    /,
    *,
    device: str,
    rounds: int,
    seconds: float,
    frames: int | None,
    no_memory: bool,
    as_json: bool,
    **choices: Any,
) -> None:
    """Measure how fast methods are on this machine, and how much memory they need.

    Options that are given several times are combined, one row for each combination. A row that
    cannot be run says why.
    """
    session: Session = ctx.obj
    with cli_errors():
        from fusionlab.bench.machine import describe_machine
        from fusionlab.bench.measuring import Bench, Refusal
        from fusionlab.bench.report import Report
        from fusionlab.bench.timing import TimingBudget
        from fusionlab.engine.device import available_device

        place = available_device(device)
        cases = _cases(session.plugins, on_cpu=place.type == "cpu", **choices)
        budget = TimingBudget(rounds, seconds)
        runner = Bench(
            place,
            session.plugins,
            session.blocked,
            budget,
            memory=not no_memory,
            frames=frames or 0,
        )
        report = Report(describe_machine(place), rows := [])
        stopped = None
        try:
            with show_progress("measuring") as progress:
                progress(0, len(cases))
                for row in runner.run(cases):
                    rows.append(row)
                    progress(len(rows), len(cases))
        except KeyboardInterrupt as stop:
            stopped = stop
    if as_json:
        show_json(report.as_dict())
    elif rows:
        show_facts(report.facts(), as_json=False)
        echo("", *report.to_text().split("\n"))
    if stopped:
        raise CommandStopped(f"stopped after {len(rows)} of {len(cases)} rows", stopped)
    ctx.exit(2 if all(isinstance(row, Refusal) for row in rows) else 0)


def _cases(
    plugins: Plugins,
    *,
    on_cpu: bool,
    methods: tuple[str, ...],
    sizes: list[tuple[int, int]],
    counts: tuple[int, ...],
    channels: tuple[str, ...],
    engines: tuple[str, ...],
    precisions: tuple[Any, ...],
) -> list[Case]:
    """Return one case for each combination of the options."""
    from fusionlab.bench.cases import Case
    from fusionlab.engine.choice import automatic_engines

    methods = methods or (f"{plugins.default('backbone')}/{plugins.default('strategy')}",)
    if not engines:
        default = plugins.default("engine")
        engines = (*automatic_engines(plugins), AUTO) if on_cpu else (default,)
    return [
        Case(method, width, height, count, 3 if channel == "3" else 1, engine, precision)
        for method, (width, height), count, channel, engine, precision in product(
            methods, sizes, counts, channels, engines, precisions
        )
    ]
