"""Metrics over time are found by name for sequences, and those of plugins are checked."""

import pytest
import torch

from fusionlab import FusionlabError, list_metrics, list_temporal_metrics
from fusionlab.errors import PluginError
from fusionlab.evaluation.metric import Metric, choose_metrics
from fusionlab.evaluation.temporal_metric import TemporalMetric, choose_sequence_metrics
from fusionlab.plugins.host import installed

FRAMES = torch.zeros(3, 16, 16)

PLUGIN = """
from fusionlab import TemporalMetricRef, hookimpl
import torch

@hookimpl
def fusionlab_metrics():
    return [
        TemporalMetricRef(name, f"{__name__}:{name}", name, sources="none", frames=3)
        for name in ("short", "writes", "fails")
    ]

def short(fused, sources, flows, convention="default"):
    return torch.zeros(len(fused))

def writes(fused, sources, flows, convention="default"):
    fused += 1
    return fused.mean(dim=(1, 2))[2:]

def fails(fused, sources, flows, convention="default"):
    return 1 / 0
"""


def names(*args):
    return [metric.name for metric in choose_sequence_metrics(*args, installed())]


def test_metrics_of_images_and_over_time_are_named_alike():
    assert names("EN,BiSWE,EN,Qabf@paper", None) == ["EN", "BiSWE", "Qabf@paper"]
    assert names(["fusionlab-imaging:flicker"], None) == ["flicker"]
    assert names("all", None) == [
        *(metric.name for metric in choose_metrics("all", None, installed())),
        *(r.ref.name for r in installed().temporal_metrics.registrations),
    ]
    assert list_temporal_metrics() == ["BiSWE", "MS2R", "flicker"]
    assert "flicker" not in list_metrics()


def test_a_sequence_is_scored_by_the_default_metrics_and_flicker():
    images = [metric.name for metric in choose_metrics(None, None, installed())]
    assert names(None, None) == [*images, "flicker"]
    assert names(None, "paper")[-2:] == ["MS_SSIM", "flicker"]


def test_a_metric_over_time_is_refused_for_single_images():
    with pytest.raises(FusionlabError, match="BiSWE compares the frames") as refused:
        choose_metrics("EN,BiSWE", None, installed())
    assert (refused.value.code, refused.value.option) == ("metric-of-sequences", "metrics")


def test_unknown_names_are_refused():
    with pytest.raises(FusionlabError, match="has no convention 'paper'") as refused:
        choose_sequence_metrics("flicker@paper", None, installed())
    assert refused.value.code == "unknown-convention"
    with pytest.raises(FusionlabError, match="there is no metric 'flickr'"):
        choose_sequence_metrics("flickr", None, installed())
    with pytest.raises(FusionlabError) as refused:
        choose_sequence_metrics("", None, installed())
    assert refused.value.code == "no-metrics"


@pytest.mark.parametrize("name", ["short", "writes", "fails"])
def test_a_metric_of_a_plugin_that_breaks_its_contract_is_named(install, name):
    install("lab-times", PLUGIN)
    with pytest.raises(PluginError, match="lab-times"):
        TemporalMetric.find(name, installed())(FRAMES.clone(), FRAMES[None].clone())


def test_another_plugin_may_use_the_name_for_images(install):
    code = """
from fusionlab import MetricRef, hookimpl

@hookimpl
def fusionlab_metrics():
    return [MetricRef("flicker", f"{__name__}:flicker", "of images", sources="none")]

def flicker(fused, sources, convention="default"):
    return fused.double().mean(dim=(1, 2))
"""
    install("lab-flicker", code)
    assert Metric.find("flicker", installed()).summary == "of images"
