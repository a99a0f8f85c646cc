"""The metric that the samples of a page are ordered by at first."""

from dataclasses import replace

import pytest
from made_up_study import made_up_report

from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.page.ordering import order_metrics
from fusionlab.evaluation.scores import Scores
from fusionlab.plugins.host import installed

WITHOUT_DIRECTION = "Q_SF"


def chosen(*names, truth=(), order_by=None):
    report = made_up_report(["one"], ["a"], [[[1.0] * len(names)]], names)
    metrics = [replace(Metric.find(name, installed()), of_truth=name in truth) for name in names]
    report.scores = Scores(["one"], ["a"], metrics, report.rows)
    return names[order_metrics([report], order_by)[0]]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((WITHOUT_DIRECTION, "EN"), "EN"),
        (("EN", "MI"), "MI"),
        (("EN", "MI", "SSIM", "Qabf"), "Qabf"),
        (("EN", "MI", "SCD", "VIF"), "SCD"),
        (("MS_SSIM", "Qabf"), "MS_SSIM"),  # equally good: the first
        (("SD", "EN"), "SD"),
        ((WITHOUT_DIRECTION,), WITHOUT_DIRECTION),
    ],
)
def test_it_is_the_one_that_tells_best_which_results_are_bad(names, expected):
    assert chosen(*names) == expected


def test_the_true_image_is_the_best_judge_and_the_user_a_better_one():
    names = ("EN", "Qabf", "SSIM")
    assert chosen(*names, truth=["SSIM"]) == "SSIM"
    assert chosen(*names, truth=["SSIM"], order_by="EN") == "EN"


def test_a_set_without_the_metric_that_is_asked_for_has_its_own():
    with_it, without = (
        made_up_report(["one"], ["a"], [[[1.0, 2.0]]], names)
        for names in (("VIF", "Qabf"), ("EN", "Qabf"))
    )
    assert order_metrics([with_it, without], "VIF") == [0, 1]
