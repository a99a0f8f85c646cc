"""The tables of docs/metrics.md match the catalog, and its code works."""

import tables_of_metrics
import torch

from fusionlab.evaluation.metric import Metric
from fusionlab.plugins.host import installed
from fusionlab.plugins.presets import preset_metrics, published_table


def test_the_docs_have_the_tables_of_the_catalog():
    text = tables_of_metrics.PATH.read_text(encoding="utf-8")
    assert text == tables_of_metrics.rewrite(text), "run: python tools/tables_of_metrics.py"


def test_every_metric_of_the_defaults_and_presets_exists():
    plugins = installed()
    for name in (*plugins.default_metrics(), *preset_metrics("paper", plugins)):
        assert Metric.find(name, plugins)
    published = published_table("paper", plugins)
    columns = [Metric.find(name, plugins).name for name in preset_metrics("paper", plugins)]
    assert all(list(row) == columns for row in published.rows.values())
    assert published.images == 20


def test_the_metric_of_the_docs_works(install):
    code = (
        tables_of_metrics.PATH.read_text(encoding="utf-8")
        .partition("```python\n")[2]
        .partition("```")[0]
    )
    install("of-the-docs", code)
    measure = Metric.find("contrast", installed())
    fused = torch.tensor([[[50.0, 150.0]], [[7.0, 7.0]]])
    assert measure(fused, fused[None]).tolist() == [0.5, 0]
