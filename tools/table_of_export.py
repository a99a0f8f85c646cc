"""Write the table of docs/export.md from benchmarks/export.json.

python tools/table_of_export.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PATH = ROOT / "docs" / "export.md"
RESULTS = ROOT / "benchmarks" / "export.json"
BEGIN, END = "<!-- made from benchmarks/export.json -->", "<!-- end -->"
GRAY_LEVELS = 255


def results() -> dict[str, Any]:
    """Return what benchmarks/export.py has measured."""
    content: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return content


def exports(row: dict[str, Any]) -> str:
    """Return whether a method is exported, and else why not."""
    if "refused" in row:
        return f"no: {row['refused'].replace('|', ' ')}"
    return f"for one size, here {row['size']}" if row["size"] else "yes"


def difference(row: dict[str, Any]) -> str:
    """Return the largest difference at the sizes of the export, in gray levels."""
    if "refused" in row:
        return ""
    text = f"{row['difference'] * GRAY_LEVELS:.1g}"
    return f"{text}, at {row['differing']:.2%} of the pixels" if row["differing"] else text


def table() -> str:
    """Return the table, a row for each method."""
    content = results()
    machine = content["machine"]
    versions = ", ".join(
        f"{name} {machine['libraries'][name]}" for name in ("torch", "onnx", "onnxruntime")
    )
    threads = machine["threads"]
    lines = [
        f"{machine['processor']}, {threads} thread{'s' if threads > 1 else ''}, {versions}:",
        "",
        "| method | exported | five sizes | 640x480 | KiB | pipeline, s | onnxruntime, s | tiles |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in content["rows"]:
        done = "refused" not in row
        cells = [
            f"`{row['method']}`",
            exports(row),
            difference(row),
            f"{row['difference_of_the_pair'] * GRAY_LEVELS:.1g}" if done else "",
            f"{row['bytes'] / 1024:.0f}" if done else "",
            f"{row['pipeline']:.2g}" if done else "",
            f"{row['onnxruntime']:.2g}" if done else "",
            ("yes" if row["halos"] else "no") if done else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def rewrite(text: str) -> str:
    """Return the page with the table made anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PATH.write_text(rewrite(PATH.read_text(encoding="utf-8")), encoding="utf-8")
