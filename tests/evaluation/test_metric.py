"""Metrics are found by name, and those of plugins are checked against their contract."""

import math

import numpy as np
import pytest
import torch

from fusionlab import FusionlabError
from fusionlab.evaluation.gray_levels import MetricInput
from fusionlab.evaluation.metric import Metric, choose_metrics
from fusionlab.imaging.scale import Scale
from fusionlab.metrics import ssim
from fusionlab.plugins.host import installed

FUSED = torch.full((2, 5, 7), 100.0)
SOURCES = torch.zeros(2, 2, 5, 7)


def test_the_metric_of_a_plugin_is_computed(metrics):
    metric = Metric.find("brightness", installed())
    assert metric.name == "brightness"
    assert metric(FUSED, SOURCES).tolist() == [100, 100]


def test_the_name_contains_the_convention():
    assert Metric.find("Qabf@paper", installed()).name == "Qabf@paper"
    assert Metric.find("fusionlab_imaging:Qabf@paper", installed()).name == "Qabf@paper"


def test_an_unknown_metric_or_convention_is_refused_with_suggestions(metrics):
    with pytest.raises(FusionlabError, match="there is no metric 'brightnes'; did you mean"):
        Metric.find("brightnes", installed())
    with pytest.raises(FusionlabError, match="known: .*vifb") as unknown:
        Metric.find("Qabf@vfib", installed())
    assert unknown.value.code == "unknown-convention"
    with pytest.raises(FusionlabError) as unknown:
        Metric.find("brightness@paper", installed())
    assert unknown.value.code == "unknown-convention"


def test_a_broken_metric_is_named_with_its_plugin(metrics):
    with pytest.raises(FusionlabError, match="by-hand:broken .* ZeroDivisionError.*by-hand"):
        Metric.find("broken", installed())(FUSED, SOURCES)
    with pytest.raises(FusionlabError, match="expected 2 values"):
        Metric.find("short", installed())(FUSED, SOURCES)


def test_a_metric_without_its_function_is_blamed_on_its_plugin(install):
    install(
        "promises",
        """
        from fusionlab import hookimpl
        from fusionlab.plugins.offers import MetricRef
        there = 3
        @hookimpl
        def fusionlab_metrics():
            return [MetricRef("gone", __name__ + ":gone", ""),
                    MetricRef("three", __name__ + ":there", "")]
        """,
    )
    for name in ("gone", "three"):
        with pytest.raises(FusionlabError, match=f"promises:{name} cannot be used"):
            Metric.find(name, installed())(FUSED, SOURCES)


LARGE = torch.full((1, 20, 20), 9.0)


@pytest.mark.parametrize(
    ("fused", "sources", "code"),
    [
        (LARGE[:, :19], LARGE[None, :, :19].repeat(2, 1, 1, 1), "too-small"),
        (LARGE, LARGE.repeat(3, 1, 1, 1), "number-of-sources"),
        (LARGE, LARGE[:, :, :10].repeat(2, 1, 1, 1), "size-mismatch"),
        (LARGE + 250, LARGE.repeat(2, 1, 1, 1), "value-range"),
        (LARGE, LARGE.repeat(2, 1, 1, 1) - 10, "value-range"),
        (LARGE * math.nan, LARGE.repeat(2, 1, 1, 1), "value-range"),
    ],
)
def test_the_images_of_the_metric_of_a_plugin_are_checked_before_it_is_called(
    metrics, fused, sources, code
):
    wide = Metric.find("wide", installed())
    with pytest.raises(FusionlabError, match="^wide ") as refused:
        wide(fused, sources)
    assert refused.value.code == code


def test_the_images_of_a_shipped_metric_are_checked_when_its_function_is_called():
    with pytest.raises(FusionlabError) as refused:
        ssim(FUSED, SOURCES)
    assert refused.value.code == "too-small"


def test_a_sample_that_does_not_suit_a_metric_has_no_value(metrics):
    def value(edge, k):
        images = [np.full((edge, edge + 5), 9, dtype=np.uint8)] * (1 + k)
        fused, sources = (
            MetricInput(part, ["x.png"] * len(part), [Scale()] * len(part))
            for part in (images[:1], images[1:])
        )
        return Metric.find("wide", installed()).value(fused, sources)

    assert value(20, 2) == 9
    assert math.isnan(value(19, 2))
    assert math.isnan(value(20, 3))


def names(*args):
    return [metric.name for metric in choose_metrics(*args, installed())]


def test_metrics_are_named_in_a_list_or_in_one_text():
    assert names(["EN", "Qabf@paper"], None) == ["EN", "Qabf@paper"]
    assert names("EN,Qabf@paper", None) == names("EN Qabf@paper", None) == ["EN", "Qabf@paper"]
    assert len(names("all", None)) == len(installed().metrics.registrations)


def test_a_metric_named_twice_is_one_column():
    assert names("EN,SD,EN", None) == ["EN", "SD"]


def test_a_preset_chooses_the_metrics_if_none_are_named():
    assert names(None, "paper")[:2] == ["EN", "Qabf@paper"]
    assert names("SD", "paper") == ["SD"]
    assert "VIF" in names(None, None)


def test_an_empty_list_of_metrics_is_refused():
    with pytest.raises(FusionlabError) as empty:
        choose_metrics([], None, installed())
    assert (empty.value.code, empty.value.option) == ("no-metrics", "metrics")
