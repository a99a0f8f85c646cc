"""Write the table of strategies/README.md from the strategies that ship.

python tools/table_of_strategies.py
"""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import replace
from pathlib import Path

from fusionlab import Law, Strategy, StrategyRef, WeightedStrategy
from fusionlab.parameters import params_of
from fusionlab.plugins.host import installed

ROOT = Path(__file__).parents[1]
PATH = ROOT / "strategies" / "README.md"
COSTS = ROOT / "benchmarks" / "strategies.json"
BEGIN, END = "<!-- made from the strategies -->", "<!-- end -->"
DOI = re.compile(r"doi:(10\.\S+[^\s,;.])")


def shipped() -> list[StrategyRef]:
    """Return the descriptions of the strategies that ship."""
    registrations = installed().strategies.registrations
    return [entry.ref for entry in registrations if entry.plugin == "fusionlab-imaging"]


def parameters(strategy: Strategy) -> str:
    """Return the parameters with their defaults."""
    values = {p.name: p.format(getattr(strategy, p.name)) for p in params_of(type(strategy))}
    return ", ".join(
        f"`{name}={value}`" if value else f"`{name}`" for name, value in values.items()
    )


def support(strategy: Strategy) -> str:
    """Return the support, as a function of the parameter that it grows with."""
    size = strategy.support
    text = "the image" if size is None else str(size)
    for param in params_of(type(strategy)):
        if size is not None and param.kind is int and isinstance(param.default, int):
            wider = replace(strategy, **{param.name: param.default + 1})
            if wider.support == size + 1:
                more = size - param.default
                text = f"{param.name} + {more}" if more else param.name
    return f"{text}; statistics" if strategy.two_pass else text


def cost(name: str, cls: type[Strategy]) -> str:
    """Return the time of a strategy, divided by that of encoding and decoding."""
    if cls.domain == "pixels":  # it runs without the network that it is compared with
        return "no network"
    seconds = json.loads(COSTS.read_text(encoding="utf-8"))["seconds"]["1"]
    return f"{seconds[name] / seconds['encoding and decoding']:.2g}"


def source(cls: type[Strategy]) -> str:
    """Return the reference in the docstring of a strategy, with links to its DOIs."""
    paragraphs = (inspect.getdoc(cls) or "").split("\n\n")
    (reference,) = [text for text in paragraphs if text.startswith("Reference: ")]
    text = " ".join(reference.removeprefix("Reference: ").split()).removesuffix(".")
    return DOI.sub(r"[\1](https://doi.org/\1)", text)


def table() -> str:
    """Return the table, a row for each strategy."""
    lines = [
        "| name | what it does | parameters | support | weights | laws declared | cost | source |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for ref in shipped():
        cls = ref.load()
        strategy = cls()
        cells = [
            f"[`{ref.name}`](fusionlab_strategies/{cls.__module__.rpartition('.')[2]}.py)",
            ref.summary,
            parameters(strategy),
            support(strategy),
            "yes" if isinstance(strategy, WeightedStrategy) else "no",
            ", ".join(law.name.lower() for law in Law if law in strategy.laws),
            cost(ref.name, cls),
            source(cls),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def rewrite(text: str) -> str:
    """Return the page with the table made anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PATH.write_text(rewrite(PATH.read_text(encoding="utf-8")), encoding="utf-8")
