"""`fusionlab score`: score a fused image by its sources, or a sequence frame by frame."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.command import Command
from fusionlab.cli.options import with_options
from fusionlab.cli.output import echo, json_option, show_facts, show_table
from fusionlab.cli.sequence_options import SEQUENCE_OPTIONS, is_sequence, refuse_given
from fusionlab.cli.session import CommandError, Session, cli_errors, quiet_decoders
from fusionlab.cli.threads import threads_option

if TYPE_CHECKING:
    from fusionlab.evaluation.gray_levels import ScoreColor

EXAMPLES = """\b
Examples:
  fusionlab score fused.png infrared.png visible.png
  fusionlab score --metrics EN,Qabf,Qabf@paper fused.png a.png b.png c.png
  fusionlab score --truth sharp.png fused.png near.png far.png
  fusionlab score --preset paper fused.png ir.png vis.png --json | jq .values
  fusionlab score --metrics SSIM,flicker,BiSWE fused.mp4 ir.mp4 vis.mp4 --plot scores.png
  fusionlab score --sequence out/ set/a set/b --fused fixed=out2/ --csv frames.csv
"""

metrics_option = click.option(
    "--metrics",
    metavar="NAME[@CONVENTION],...",
    help="Which metrics, see 'fusionlab metrics'; or 'all'.  [default: a metric of each family]",
)

score_color_option = click.option(
    "--score-color",
    type=click.Choice(["luma", "per-channel"]),
    default="luma",
    show_default=True,
    help="How color images are scored: their luminance, or red, green and blue one by one and the "
    "mean of the three values, as VIFB does. Metrics that take color get the color images.",
)

OF_SEQUENCES = ("sync", "offsets", "rate", "results", "csv_file", "plot", "overwrite")
"""Options that mean nothing without a sequence."""


def direction_text(direction: int) -> str:
    """Return what 1, -1 and 0 of `Metric.direction` mean."""
    return {1: "higher is better", -1: "lower is better", 0: ""}[direction]


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("fused", type=click.Path(path_type=Path))
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@metrics_option
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The true image, what FUSED should be: adds PSNR_truth and SSIM_truth, which compare with "
    "it alone.",
)
@click.option("--preset", metavar="NAME", help="Take the metrics from a preset, such as 'paper'.")
@click.option(
    "--scale",
    multiple=True,
    default=["auto"],
    show_default=True,
    metavar="SCALE",
    help="Which values of the sources are black and white, as for 'fuse'.",
)
@score_color_option
@with_options(*SEQUENCE_OPTIONS)
@click.option(
    "--fused",
    "results",
    multiple=True,
    metavar="NAME=PATH",
    help="Of sequences, a further result of the same sources, beside FUSED; repeatable.",
)
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Of sequences, write the values of every frame.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Of sequences, draw the values over time, as .png or .svg.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ...")
@threads_option
@json_option
@click.pass_context
def score(
    ctx: click.Context,
    /,
    *,
    fused: Path,
    sources: tuple[Path, ...],
    metrics: str | None,
    truth: Path | None,
    preset: str | None,
    scale: tuple[str, ...],
    score_color: ScoreColor,
    device: str,
    as_json: bool,
    **_: Any,
) -> None:
    """Score the image FUSED against its SOURCES: image files of one size.

    A dash means that a metric is not defined: for this number of sources, for so small an image, or
    for an image of a single value.

    Videos are scored frame by frame, and so are folders and files of several pages with --sequence:
    the table has mean, minimum and maximum of each metric, and the frame of its worst value.
    Metrics over time, such as flicker, compare frames with each other.
    """
    session = ctx.find_object(Session) or Session()
    with cli_errors(), quiet_decoders():
        if is_sequence(ctx, [fused, *sources]):
            from fusionlab.cli.score_sequence import score_sequences

            complete = score_sequences(ctx, session, fused, sources)
            ctx.exit(0 if complete else 1)
        refuse_given(ctx, OF_SEQUENCES, "is for sequences: give videos, or --sequence")
        if folder := next((path for path in (fused, *sources) if path.is_dir()), None):
            raise CommandError(f"{folder} is a folder; --sequence scores folders, frame by frame")
        from fusionlab.evaluation.gray_levels import SCORED_BY
        from fusionlab.evaluation.metric import choose_metrics
        from fusionlab.evaluation.score import score_by
        from fusionlab.evaluation.scores import json_values
        from fusionlab.evaluation.truth import truth_metrics

        columns = choose_metrics(metrics, preset, session.plugins)
        if truth is not None:
            columns += truth_metrics(session.plugins)
        values = score_by(
            columns,
            fused,
            sources,
            truth=truth,
            scale=scale,
            score_color=score_color,
            device=device,
        )
    facts = {"color": SCORED_BY[score_color], "truth": None if truth is None else str(truth)}
    if as_json:
        paths = [str(path) for path in sources]
        scores = json_values(values)
        echo(json.dumps({"fused": str(fused), "sources": paths, **facts, "values": scores}))
        return
    show_facts({**facts, "sources": f"{len(sources)}"}, as_json=False)
    rows = (
        (
            metric.name,
            "-" if math.isnan(value := values[metric.name]) else f"{value:.6g}",
            direction_text(metric.direction),
            metric.summary,
        )
        for metric in columns
    )
    show_table(("metric", "value", "direction", "summary"), rows, as_json=False)
