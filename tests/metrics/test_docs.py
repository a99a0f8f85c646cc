"""The tables of docs/metrics.md match the catalog, and its code works."""

import tables_of_metrics
import torch

from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.temporal_metric import choose_sequence_metrics
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


def code_of_the_docs(number):
    blocks = tables_of_metrics.PATH.read_text(encoding="utf-8").split("```python\n")
    return blocks[number].partition("```")[0]


def test_the_metric_of_the_docs_works(install):
    install("of-the-docs", code_of_the_docs(1))
    measure = Metric.find("contrast", installed())
    fused = torch.tensor([[[50.0, 150.0]], [[7.0, 7.0]]])
    assert measure(fused, fused[None]).tolist() == [0.5, 0]


def test_the_metric_over_time_of_the_docs_works(install):
    install("of-the-docs", code_of_the_docs(2))
    (measure,) = choose_sequence_metrics("pumping", None, installed())
    fused = torch.tensor([3.0, 5, 4]).view(3, 1, 1).expand(3, 2, 2)
    assert measure(fused, fused[None]).tolist() == [2, 1]
