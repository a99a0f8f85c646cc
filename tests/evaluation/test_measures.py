"""Metrics are found by name, and a stranger's is held to its contract."""

import math

import pytest
import torch

from fusionlab import FusionlabError
from fusionlab.evaluation.measures import Measure, value_of
from fusionlab.plugins.host import installed

FUSED = torch.full((2, 5, 7), 100.0)
SOURCES = torch.zeros(2, 2, 5, 7)


def test_a_strangers_metric_is_computed(metrics):
    measure = Measure.find("brightness", installed())
    assert measure.name == "brightness"
    assert measure(FUSED, SOURCES).tolist() == [100, 100]


def test_a_convention_stands_in_the_name():
    assert Measure.find("Qabf@paper", installed()).name == "Qabf@paper"
    assert Measure.find("fusionlab_imaging:Qabf@paper", installed()).name == "Qabf@paper"


def test_an_unknown_metric_or_convention_is_refused_with_what_there_is(metrics):
    with pytest.raises(FusionlabError, match="there is no metric 'brightnes'; did you mean"):
        Measure.find("brightnes", installed())
    with pytest.raises(FusionlabError, match="no convention 'vfib'; known: .*vifb"):
        Measure.find("Qabf@vfib", installed())
    with pytest.raises(FusionlabError, match="known: none"):
        Measure.find("brightness@paper", installed())


def test_a_broken_metric_is_named_with_its_plugin(metrics):
    with pytest.raises(FusionlabError, match="by-hand:broken .* ZeroDivisionError.*by-hand"):
        Measure.find("broken", installed())(FUSED, SOURCES)
    with pytest.raises(FusionlabError, match="expected 2 values"):
        Measure.find("short", installed())(FUSED, SOURCES)


def test_a_metric_without_its_function_is_a_mistake_of_its_plugin(install):
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
            Measure.find(name, installed())(FUSED, SOURCES)


def test_what_does_not_fit_a_metric_costs_a_value_only(metrics):
    wide = Measure.find("wide", installed())
    assert math.isnan(value_of(wide, FUSED[:1], SOURCES[:, :1]))
    large = torch.full((1, 20, 20), 9.0)
    assert value_of(wide, large, large.repeat(2, 1, 1, 1)) == 9
    assert math.isnan(value_of(wide, large, large.repeat(3, 1, 1, 1)))
