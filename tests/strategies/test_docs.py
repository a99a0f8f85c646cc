"""The table of strategies/README.md is the strategies. Run this file to write it anew."""

import inspect
import json
import re
from dataclasses import replace
from pathlib import Path

from fusionlab import Law, WeightedStrategy
from fusionlab.parameters import params_of
from fusionlab.plugins.host import installed

ROOT = Path(__file__).parents[2]
README = ROOT / "strategies" / "README.md"
COSTS = ROOT / "benchmarks" / "strategies.json"
BEGIN, END = "<!-- made from the strategies -->", "<!-- end -->"
DOI = re.compile(r"doi:(10\.\S+[^\s,;.])")


def shipped():
    return [o.ref for o in installed().strategies.registrations if o.plugin == "fusionlab-imaging"]


def parameters(rule):
    values = {p.name: p.format(getattr(rule, p.name)) for p in params_of(type(rule))}
    return ", ".join(
        f"`{name}={value}`" if value else f"`{name}`" for name, value in values.items()
    )


def support(rule):
    """The support, by the parameter that it grows with."""
    seen = "the image" if rule.support is None else str(rule.support)
    for param in params_of(type(rule)):
        if param.kind is int:
            wider = replace(rule, **{param.name: param.default + 1})
            if wider.support == rule.support + 1:
                more = rule.support - param.default
                seen = f"{param.name} + {more}" if more else param.name
    return f"{seen}; statistics" if rule.two_pass else seen


def cost(name, cls):
    if cls.domain == "pixels":  # it runs without the network that it is compared with
        return "no network"
    seconds = json.loads(COSTS.read_text(encoding="utf-8"))["seconds"]["1"]
    return f"{seconds[name] / seconds['encoding and decoding']:.2g}"


def source(cls):
    (found,) = [p for p in inspect.getdoc(cls).split("\n\n") if p.startswith("Reference: ")]
    text = " ".join(found.removeprefix("Reference: ").split()).removesuffix(".")
    return DOI.sub(r"[\1](https://doi.org/\1)", text)


def table():
    lines = [
        "| name | what it does | parameters | support | weights | laws claimed | cost | source |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for ref in shipped():
        cls = ref.load()
        rule = cls()
        cells = [
            f"[`{ref.name}`](fusionlab_strategies/{cls.__module__.rpartition('.')[2]}.py)",
            ref.summary,
            parameters(rule),
            support(rule),
            "yes" if isinstance(rule, WeightedStrategy) else "no",
            ", ".join(law.name.lower() for law in Law if law in rule.laws),
            cost(ref.name, cls),
            source(cls),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_readme_has_the_table_of_the_strategies():
    text = README.read_text(encoding="utf-8")
    made = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert made == table(), "run: python tests/strategies/test_docs.py"


if __name__ == "__main__":
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    README.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", encoding="utf-8")
