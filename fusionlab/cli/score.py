"""`fusionlab score`: how good is this fused picture, by which metric."""

from __future__ import annotations

import json
import math
from pathlib import Path

import click

from fusionlab.cli.output import json_option, show_facts, show_table
from fusionlab.cli.session import Session, cli_errors, quiet_decoders

EXAMPLES = """\b
Examples:
  fusionlab score fused.png infrared.png visible.png
  fusionlab score --metrics EN,Qabf,Qabf@paper fused.png a.png b.png c.png
  fusionlab score --preset paper fused.png ir.png vis.png --json | jq .values
"""

metrics_option = click.option(
    "--metrics",
    metavar="NAME[@CONVENTION],...",
    help="Which metrics: see 'fusionlab metrics', or 'all'.  [default: a metric of each family]",
)


def chosen_metrics(session: Session, metrics: str | None, preset: str | None) -> list[str]:
    """Return the names of the metrics that the options ask for."""
    plugins = session.plugins
    if metrics == "all":
        return [registration.qualified for registration in plugins.metrics.registrations]
    if metrics is not None:
        return metrics.replace(",", " ").split()
    of_preset = plugins.preset_metrics(preset) if preset else []
    return of_preset or plugins.default_metrics()


@click.command(epilog=EXAMPLES)
@click.argument("fused", type=click.Path(path_type=Path))
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@metrics_option
@click.option("--preset", metavar="NAME", help="Take the metrics from a preset, such as 'paper'.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ...")
@json_option
@click.pass_obj
def score(
    session: Session,
    *,
    fused: Path,
    sources: tuple[Path, ...],
    metrics: str | None,
    preset: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Judge the picture FUSED by its SOURCES: image files of one size.

    Of color it is the luminance that is judged. A dash stands where a metric is not defined: for
    so many sources, so small an image, or an image of a single value.
    """
    with cli_errors(), quiet_decoders():
        import torch

        from fusionlab.evaluation.measures import find_measures, value_of
        from fusionlab.evaluation.methods import Subject
        from fusionlab.evaluation.metric_input import RULE, gray_levels
        from fusionlab.evaluation.scores import as_json as jsonable
        from fusionlab.fusion import available_device
        from fusionlab.imaging.reading import read_image

        measures = find_measures(chosen_metrics(session, metrics, preset), session.plugins)
        place = available_device(device)
        # the picture is held to the size of its sources, too
        subject = Subject.of("", [read_image(path) for path in (fused, *sources)])
        picture, *levels = (
            gray_levels(image, name).to(place)
            for image, name in zip(subject.sources, subject.names, strict=True)
        )
        stack = torch.stack(levels)[:, None]
        values = {measure.name: value_of(measure, picture[None], stack) for measure in measures}
    if as_json:
        paths = [str(path) for path in sources]
        facts = {"fused": str(fused), "sources": paths, "gray": RULE, "values": jsonable(values)}
        click.echo(json.dumps(facts))
        return
    arrows = {True: "higher is better", False: "lower is better", None: ""}
    show_facts({"gray": RULE, "sources": f"{len(sources)}"}, as_json=False)
    show_table(
        ("metric", "value", "direction", "summary"),
        (
            (
                measure.name,
                "-" if math.isnan(value := values[measure.name]) else f"{value:.6g}",
                arrows[measure.ref.higher_is_better],
                measure.ref.summary,
            )
            for measure in measures
        ),
        as_json=False,
    )
