"""Write the tables of docs/results.md from the means of all methods on all image sets.

python tools/tables_of_sets.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PATH = ROOT / "docs" / "results.md"
MEANS = ROOT / "benchmarks" / "sets.json"
BEGIN, END = "<!-- made from the means -->", "<!-- end -->"
TITLES = {
    "tno20": "TNO: infrared and visible, surveillance",
    "vifb": "VIFB: infrared and visible, mixed scenes",
    "roadscene": "RoadScene: infrared and visible, roads",
    "lytro": "Lytro: focus",
    "mef_brackets": "Exposure brackets of four to six images",
    "harvard_ct_mri": "Harvard: CT and MRI",
}


def table(name: str, results: dict[str, Any], against: str) -> str:
    """Return the table of one set, the best mean rank first and the best means in bold."""
    means, ranks = results["means"], results["ranks"]
    metrics = list(dict.fromkeys(metric for row in means.values() for metric in row))
    best = {
        metric: max(row.get(metric, float("-inf")) for row in means.values()) for metric in metrics
    }
    lines = [
        f"### {TITLES.get(name, name)}",
        "",
        f"{results['images']} images; `*` differs significantly from `{against}`.",
        "",
        f"| method | rank | {' | '.join(metrics)} |",
        f"|---|---|{'---|' * len(metrics)}",
    ]
    for method in sorted(means, key=lambda label: ranks.get(label, float("inf"))):
        cells = []
        for metric in metrics:
            mean = means[method].get(metric)
            text = "" if mean is None else f"{mean:.{3 if mean < 10 else 1}f}"
            text = f"**{text}**" if mean == best[metric] else text
            marked = metric in results["significant"].get(method, {})
            cells.append(f"{text}\\*" if marked else text)
        lines.append(f"| `{method}` | {ranks[method]:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tables() -> str:
    """Return the tables of all sets."""
    content = json.loads(MEANS.read_text(encoding="utf-8"))
    known = [name for name in TITLES if name in content["sets"]]
    names = [*known, *sorted(set(content["sets"]) - set(known))]
    return "\n\n".join(table(name, content["sets"][name], content["against"]) for name in names)


def rewrite(text: str) -> str:
    """Return the page with the tables made anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PATH.write_text(rewrite(PATH.read_text(encoding="utf-8")), encoding="utf-8")
