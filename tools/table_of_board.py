"""Write the tables of docs/board.md from the results of the regression board.

python tools/table_of_board.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PATH = ROOT / "docs" / "board.md"
RESULTS = ROOT / "benchmarks" / "board.json"
BEGIN, END = "<!-- made from the board -->", "<!-- end -->"


def heads_and_rows(entry: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the table of one set as text: a row for each metric, a column for each method.

    Args:
        entry: the results of the set, as `benchmarks/board.py` writes them.
    """
    means, candidates = entry["means"], entry["candidates"]
    fixed = [*entry["trivial"], *entry["references"]]
    rows = []
    for metric in dict.fromkeys(metric for row in means.values() for metric in row):
        results = [candidate["metrics"].get(metric) for candidate in candidates.values()]
        best = next((result["best"] for result in results if result), "-")
        cells = [_number(means[label][metric]) for label in fixed]
        for label, result in zip(candidates, results, strict=True):
            mean = _number(means.get(label, {}).get(metric))
            cells.append(f"{mean} ({_difference(result)})" if result else mean)
        rows.append([metric, *cells[: len(fixed)], best, *cells[len(fixed) :]])
    return ["metric", *fixed, "best trivial", *candidates], rows


def verdict_lines(entry: dict[str, Any]) -> list[str]:
    """Return the verdicts on the candidates of one set, one or more lines for each."""
    lines = []
    for label, result in entry["candidates"].items():
        gains = f", better in {', '.join(result['gains'])}" if result["gains"] else ""
        lines.append(f"{label}: {'pass' if result['passed'] else 'FAIL'}{gains}")
        lines += [f"  fails: {text}" for text in result["failures"]]
        lines += [f"  not checked: {text}" for text in result["unchecked"]]
        for rule, metrics in result["against"].items():
            parts = [f"{word} in {', '.join(names)}" for word, names in metrics.items() if names]
            lines.append(f"  against {rule} alone: {'; '.join(parts) or 'within the limits'}")
    return lines


def images_text(entry: dict[str, Any]) -> str:
    """Return `24 images`, or `1 image`."""
    return f"{entry['images']} image{'' if entry['images'] == 1 else 's'}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.{3 if abs(value) < 10 else 2}f}"


def _difference(result: dict[str, Any]) -> str:
    """Return `+1.2 %*` with `*` for significant, or `+1.2 %, 5/6` where nothing is tested."""
    gain = result["gain_percent"]
    percent = "-" if gain is None else f"{gain:+.1f} %"
    if result["p"] is None:
        return f"{percent}, {result['better_on']}/{result['images']}"
    return f"{percent}*" if result["significant"] else percent


def table(task: str, name: str, entry: dict[str, Any]) -> str:
    """Return the section of one set as Markdown; candidates lose their parameters in the table."""
    full_names = {label.partition(",")[0]: label for label in entry["candidates"]}
    if len(full_names) < len(entry["candidates"]):  # they differ in their parameters
        full_names = {}
    heads, rows = heads_and_rows(entry)
    methods = [head if head in ("metric", "best trivial") else f"`{head}`" for head in heads]
    lines = [
        f"| {' | '.join(methods)} |",
        f"|---|{'---|' * (len(heads) - 1)}",
        *(f"| {' | '.join(row)} |".replace("*", "\\*") for row in rows),
        "",
        *(
            f"    * {line.strip()}" if line.startswith(" ") else f"* {line}"
            for line in verdict_lines(entry)
        ),
    ]
    body = "\n".join(lines)
    for short, label in full_names.items():
        body = body.replace(label, short)
    about = f"{images_text(entry)}; fusionlab {entry['version']}; color mode {entry['color']}."
    intro = [f"### {task.capitalize()}: {name}", about]
    if shortened := [f"* `{s}`: `{label}`" for s, label in full_names.items() if s != label]:
        intro.append("\n".join(shortened))
    return "\n\n".join([*intro, body])


def tables() -> str:
    """Return the sections of all tasks and sets."""
    content = json.loads(RESULTS.read_text(encoding="utf-8"))
    return "\n\n".join(
        table(task, name, entry) for task, sets in content.items() for name, entry in sets.items()
    )


def rewrite(text: str) -> str:
    """Return the page with the tables made anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PATH.write_text(rewrite(PATH.read_text(encoding="utf-8")), encoding="utf-8")
