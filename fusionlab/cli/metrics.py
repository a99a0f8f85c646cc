"""`fusionlab metrics`: what can be measured, and which definition each metric is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.output import json_option, show_facts, show_table
from fusionlab.cli.session import Session, cli_errors

if TYPE_CHECKING:
    from fusionlab.plugins.offers import MetricRef
    from fusionlab.plugins.registry import Registration

EXAMPLES = """\b
Examples:
  fusionlab metrics
  fusionlab metrics Qabf              its definition, and the programs it can reproduce
  fusionlab score --metrics Qabf,Qabf@paper fused.png infrared.png visible.png
"""


@click.command(epilog=EXAMPLES)
@click.argument("name", required=False)
@json_option
@click.pass_obj
def metrics(session: Session, name: str | None, *, as_json: bool) -> None:
    """List the metrics of fusion quality, or tell everything about the one called NAME.

    All are computed on gray images in gray levels, 0..255. Without @CONVENTION a metric is what
    its inventor defined; with it, what a known program computes.
    """
    if name is not None:
        with cli_errors():
            registration = session.plugins.metrics.find(name)
        show_facts(_facts(registration), as_json=as_json)
        return
    registrations = session.plugins.metrics.registrations
    if as_json:
        import json

        click.echo(json.dumps([_facts(registration) for registration in registrations], indent=1))
        return
    show_table(
        ("name", "better", "sources", "conventions", "summary"),
        (
            (
                registration.ref.name,
                registration.ref.better,
                registration.ref.sources,
                " ".join(f"@{name}" for name in registration.ref.conventions),
                registration.ref.summary,
            )
            for registration in registrations
        ),
        as_json=False,
    )


def _facts(registration: Registration[MetricRef]) -> dict[str, Any]:
    ref = registration.ref
    low, high = (None if math.isinf(bound) else bound for bound in ref.bounds)
    return {
        "name": ref.name,
        "summary": ref.summary,
        "better": ref.better,
        "bounds": [f"{'-inf' if low is None else low} to {'inf' if high is None else high}"],
        "sources": _SOURCES[ref.sources],
        "smallest image": f"{ref.least}x{ref.least}",
        "constant image": _constant(ref.constant),
        "symmetric": "yes" if ref.symmetric else "no: the order of the sources matters",
        "conventions": [f"@{name}  {note or 'the same'}" for name, note in ref.conventions.items()],
        "reference": ref.reference,
        "plugin": registration.plugin,
    }


_SOURCES = {
    "none": "looks at the fused image alone",
    "mean": "mean over the sources, any number",
    "sum": "sum over the sources, any number",
    "joint": "judges all sources together, any number",
    "pair": "defined for exactly two",
}


def _constant(value: float | None) -> str:
    if value is None:
        return "depends on the sources"
    return "undefined (nan)" if math.isnan(value) else f"{value:g}"
