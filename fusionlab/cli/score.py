"""`fusionlab score`: score a fused image by its sources, and by the true image if there is one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionlab.cli.command import Command
from fusionlab.cli.output import echo, json_option, show_facts, show_table
from fusionlab.cli.session import Session, cli_errors, quiet_decoders
from fusionlab.cli.threads import threads_option

if TYPE_CHECKING:
    from fusionlab.evaluation.gray_levels import ScoreColor

EXAMPLES = """\b
Examples:
  fusionlab score fused.png infrared.png visible.png
  fusionlab score --metrics EN,Qabf,Qabf@paper fused.png a.png b.png c.png
  fusionlab score --truth sharp.png fused.png near.png far.png
  fusionlab score --preset paper fused.png ir.png vis.png --json | jq .values
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

DIRECTIONS = {1: "higher is better", -1: "lower is better", 0: ""}


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
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ...")
@threads_option
@json_option
@click.pass_obj
def score(
    session: Session,
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
) -> None:
    """Score the image FUSED against its SOURCES: image files of one size.

    A dash means that a metric is not defined: for this number of sources, for so small an image, or
    for an image of a single value.
    """
    with cli_errors(), quiet_decoders():
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
            DIRECTIONS[metric.direction],
            metric.summary,
        )
        for metric in columns
    )
    show_table(("metric", "value", "direction", "summary"), rows, as_json=False)
