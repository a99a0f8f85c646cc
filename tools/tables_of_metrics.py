"""Write the tables of docs/metrics.md from the catalog of metrics.

python tools/tables_of_metrics.py
"""

from __future__ import annotations

import math
from pathlib import Path

from fusionlab.metrics.catalog import CATALOG, TEMPORAL_CATALOG

PATH = Path(__file__).parents[1] / "docs" / "metrics.md"
BEGIN, END = "<!-- made from the catalog -->", "<!-- end -->"


def number(value: float) -> str:
    """Return a bound of a range, nothing for infinity."""
    return "" if math.isinf(value) else f"{value:.4g}"


def constant(value: float | None) -> str:
    """Return what a metric gives for a constant fused image."""
    if value is None:
        return "depends"
    return "undefined" if math.isnan(value) else f"{value:.4g}"


def tables() -> str:
    """Return the tables of metrics, of metrics over time, and of conventions."""
    lines = [
        "| name | what | better | range | smallest | k > 2 | constant F | reference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for ref in CATALOG:
        low, high = map(number, ref.bounds)
        better = {True: "↑", False: "↓", None: ""}[ref.higher_is_better]
        sources = ref.sources if ref.symmetric else f"{ref.sources}, in order"
        cells = [
            f"`{ref.name}`{' (color)' if ref.color else ''}",
            ref.summary,
            better,
            f"{low}..{high}",
            str(ref.min_size),
            sources,
            constant(ref.constant),
            ref.reference,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "| over time | what | better | range | smallest | frames | k > 2 | flow | reference |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for temporal in TEMPORAL_CATALOG:
        low, high = map(number, temporal.bounds)
        cells = [
            f"`{temporal.name}`",
            temporal.summary,
            {True: "↑", False: "↓", None: ""}[temporal.higher_is_better],
            f"{low}..{high}",
            str(temporal.min_size),
            str(temporal.frames),
            temporal.sources,
            "yes" if temporal.flow else "",
            temporal.reference,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| convention | what differs from the default |", "|---|---|"]
    lines += [
        f"| `{ref.name}@{name}` | {note or 'nothing'} |"
        for ref in CATALOG
        for name, note in ref.conventions.items()
    ]
    return "\n".join(lines)


def rewrite(text: str) -> str:
    """Return the page with the tables made anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PATH.write_text(rewrite(PATH.read_text(encoding="utf-8")), encoding="utf-8")
