"""Write the tables of docs/methods.md from the methods of the literature and their figures.

python tools/table_of_methods.py
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

from fusionlab import Law, Strategy, StrategyRef
from fusionlab.plugins.host import installed

ROOT = Path(__file__).parents[1]
PATH = ROOT / "docs" / "methods.md"
COSTS = ROOT / "benchmarks" / "methods.json"
AGREEMENT = ROOT / "benchmarks" / "agreement.json"
DISTRIBUTION = "fusionlab-classics"
BEGIN, END = "<!-- made from the methods -->", "<!-- end -->"
DOI = re.compile(r"doi:(10\.\S+[^\s,;.)])")


def classics() -> list[StrategyRef]:
    """Return the descriptions of the methods of the literature."""
    registrations = installed().strategies.registrations
    return [entry.ref for entry in registrations if entry.plugin == DISTRIBUTION]


def reference(cls: type[Strategy]) -> str:
    """Return the reference in the docstring of a method, with links to its DOIs."""
    paragraphs = (inspect.getdoc(cls) or "").split("\n\n")
    texts = [text for text in paragraphs if text.startswith(("Reference: ", "References: "))]
    text = " ".join(texts[0].partition(": ")[2].split()).removesuffix(".")
    return DOI.sub(r"[\1](https://doi.org/\1)", text)


def sources(cls: type[Strategy]) -> str:
    """Return how many sources a method takes, and what they must be."""
    count = str(cls.min_k) if cls.max_k == cls.min_k else f"{cls.min_k} or more"
    return f"{count}: {', '.join(cls.roles)}" if cls.roles else count


def tiles(strategy: Strategy) -> str:
    """Return how far a pixel looks."""
    if strategy.support is None:
        return "whole image"
    pixels = "1 pixel" if strategy.support == 1 else f"{strategy.support} pixels"
    return f"{pixels}; statistics" if strategy.two_pass else pixels


def agreement(figures: dict[str, Any]) -> str:
    """Return how exactly the images of the authors' program are reproduced."""
    if not figures:
        return "no program to compare with"
    equal = [pair for pair, row in figures.items() if not row["different"]]
    rest = []
    for pair, row in figures.items():
        if row["different"]:
            share = f"{100 * row['different']:.2g} % of the pixels differ"
            mean = f", {row['mean']:.2g} on average" if row["largest"] > 1 else ""
            rest.append(f"{pair}: {share}, by at most {row['largest']:g}{mean}")
    return "; ".join([*([f"equal on {', '.join(equal)}"] if equal else []), *rest])


def learning(costs: dict[str, Any]) -> str:
    """Return how long the methods that learn a dictionary take for that."""
    texts = [f"`{name}` {seconds:g} s" for name, seconds in costs["learning_seconds"].items()]
    return f"With a given dictionary; learning one takes, for each image: {', '.join(texts)}."


def table() -> str:
    """Return the table of methods and the table of their references."""
    costs = json.loads(COSTS.read_text(encoding="utf-8"))
    figures = json.loads(AGREEMENT.read_text(encoding="utf-8"))
    width, height = costs["size"]
    lines = [
        "| method | sources | looks at | s per megapixel | MiB | agreement | laws declared |",
        "|---|---|---|---|---|---|---|",
    ]
    references = ["| method | what it does | reference |", "|---|---|---|"]
    for ref in classics():
        cls = ref.load()
        strategy = cls()
        seconds = costs["seconds"][ref.name] / (width * height / 1e6)
        laws = ", ".join(law.name.lower() for law in Law if law in strategy.laws)
        cells = [
            f"`{ref.name}`",
            sources(cls),
            tiles(strategy),
            f"{seconds:.2f}" if seconds < 10 else f"{seconds:.0f}",
            str(costs["peak_mib"][ref.name]),
            agreement(figures.get(ref.name, {})),
            laws or "none",
        ]
        lines.append(f"| {' | '.join(cells)} |")
        references.append(f"| `{ref.name}` | {ref.summary} | {reference(cls)} |")
    measured = (
        f"Seconds and the growth of peak memory: a pair of {width}x{height}, {costs['threads']} "
        f"threads, {costs['processor']}, torch {costs['versions']['torch']}, load "
        f"{costs['load']:g}; the median of {costs['rounds']}. {learning(costs)}"
    )
    return "\n".join([*lines, "", measured, "", *references])


def rewrite(text: str) -> str:
    """Return the page with the tables made anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PATH.write_text(rewrite(PATH.read_text(encoding="utf-8")), encoding="utf-8")
