"""`fusionlab metrics`: list the metrics, or show the definition of one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.command import Command
from fusionlab.cli.output import json_option, show_facts, show_json, show_table
from fusionlab.cli.session import Session, cli_errors
from fusionlab.plugins.offers import MetricRef, TemporalMetricRef

if TYPE_CHECKING:
    from fusionlab.plugins.registry import Registration

    _Registration = Registration[MetricRef] | Registration[TemporalMetricRef]

EXAMPLES = """\b
Examples:
  fusionlab metrics
  fusionlab metrics Qabf              its definition and conventions
  fusionlab score --metrics Qabf,Qabf@paper fused.png infrared.png visible.png
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("name", required=False)
@json_option
@click.pass_obj
def metrics(session: Session, name: str | None, *, as_json: bool) -> None:
    """List the metrics of fusion quality, or show the details of the metric NAME.

    Metrics are computed in gray levels, 0..255, on the luminance unless they take color. Without
    @CONVENTION a metric follows its original definition; with it, the program that the convention
    names. Those at the end of the list compare the frames of a sequence.
    """
    if name is not None:
        over_time = session.plugins.temporal_metrics
        with cli_errors():
            found = (
                over_time.find(name) if name in over_time else session.plugins.metrics.find(name)
            )
        show_facts(_facts(found), as_json=as_json)
        return
    registrations: list[_Registration] = [
        *session.plugins.metrics.registrations,
        *session.plugins.temporal_metrics.registrations,
    ]
    if as_json:
        show_json([_facts(registration) for registration in registrations])
        return
    show_table(
        ("name", "better", "sources", "conventions", "summary"),
        (
            (
                registration.ref.name,
                _DIRECTIONS[registration.ref.higher_is_better],
                registration.ref.sources,
                " ".join(f"@{name}" for name in registration.ref.conventions),
                registration.ref.summary,
            )
            for registration in registrations
        ),
        as_json=False,
    )


def _facts(registration: _Registration) -> dict[str, Any]:
    ref = registration.ref
    low, high = (None if math.isinf(bound) else bound for bound in ref.bounds)
    return {
        "name": ref.name,
        "summary": ref.summary,
        "better": _DIRECTIONS[ref.higher_is_better],
        "bounds": [f"{'-inf' if low is None else low} to {'inf' if high is None else high}"],
        "sources": _SOURCES[ref.sources],
        "images": "in color" if isinstance(ref, MetricRef) and ref.color else "gray: the luminance",
        **(_over_time(ref) if isinstance(ref, TemporalMetricRef) else {}),
        "smallest image": f"{ref.min_size}x{ref.min_size}",
        "constant image": _constant(ref.constant),
        "symmetric": "yes" if ref.symmetric else "no: the order of the sources matters",
        "conventions": [f"@{name}  {note or 'the same'}" for name, note in ref.conventions.items()],
        "reference": ref.reference,
        "plugin": registration.plugin,
    }


def _over_time(ref: TemporalMetricRef) -> dict[str, str]:
    flow = ", and the optical flow between them" if ref.flow else ""
    return {"frames": f"{ref.frames} consecutive ones of a sequence{flow}"}


_DIRECTIONS = {True: "higher", False: "lower", None: "neither"}
_SOURCES = {
    "none": "uses the fused image alone",
    "mean": "mean over the sources, any number",
    "sum": "sum over the sources, any number",
    "joint": "all sources jointly, any number",
    "pair": "defined for exactly two sources",
}


def _constant(value: float | None) -> str:
    if value is None:
        return "depends on the sources"
    return "undefined (nan)" if math.isnan(value) else f"{value:g}"
