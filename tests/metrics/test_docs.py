"""The tables of docs/metrics.md are the catalog. Run this file to write them anew."""

import math
from pathlib import Path

import torch

from fusionlab.evaluation.metric import Metric
from fusionlab.metrics.catalog import CATALOG
from fusionlab.plugins.host import installed

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
BEGIN, END = "<!-- made from the catalog -->", "<!-- end -->"


def number(value):
    return "" if math.isinf(value) else f"{value:.4g}"


def constant(value):
    if value is None:
        return "depends"
    return "undefined" if math.isnan(value) else f"{value:.4g}"


def tables():
    lines = [
        "| name | what | better | range | smallest | k > 2 | constant F | reference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for ref in CATALOG:
        low, high = map(number, ref.bounds)
        better = {True: "↑", False: "↓", None: ""}[ref.higher_is_better]
        sources = ref.sources if ref.symmetric else f"{ref.sources}, in order"
        cells = [
            f"`{ref.name}`",
            ref.summary,
            better,
            f"{low}..{high}",
            str(ref.min_size),
            sources,
            constant(ref.constant),
            ref.reference,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| convention | what differs from the default |", "|---|---|"]
    lines += [
        f"| `{ref.name}@{name}` | {note or 'nothing'} |"
        for ref in CATALOG
        for name, note in ref.conventions.items()
    ]
    return "\n".join(lines)


def test_the_docs_have_the_tables_of_the_catalog():
    text = DOCS.read_text(encoding="utf-8")
    made = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert made == tables(), "run: python tests/metrics/test_docs.py"


def test_every_metric_of_the_defaults_and_presets_is_there():
    plugins = installed()
    for name in (*plugins.default_metrics(), *plugins.preset_metrics("paper")):
        assert Metric.find(name, plugins)
    rows, images = plugins.published("paper")
    columns = [Metric.find(name, plugins).name for name in plugins.preset_metrics("paper")]
    assert all(list(row) == columns for row in rows.values())
    assert images == 20


def test_the_metric_of_the_docs_works(install):
    code = DOCS.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    install("of-the-docs", code)
    measure = Metric.find("contrast", installed())
    fused = torch.tensor([[[50.0, 150.0]], [[7.0, 7.0]]])
    assert measure(fused, fused[None]).tolist() == [0.5, 0]


if __name__ == "__main__":
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    DOCS.write_text(f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}", encoding="utf-8")
