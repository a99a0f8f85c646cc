"""Intervals and tests, against scipy and values worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionlab.evaluation.comparisons import compare, holm, smallest_p, what_to_change
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.scores import ScoreRow, Scores
from fusionlab.plugins.host import installed


def comparison(metrics, ours, theirs, metric="brightness"):
    columns = [Metric.find(metric, installed())]
    score_rows = [
        ScoreRow(str(number), label, {metric: value})
        for label, values in (("ours", ours), ("theirs", theirs))
        for number, value in enumerate(values)
    ]
    samples = [str(number) for number in range(len(ours))]
    (only,) = compare(
        Scores(["ours", "theirs"], samples, columns, score_rows), [("ours", "theirs")]
    )
    return only


def test_ten_images_all_better_give_the_smallest_p_there_is(metrics):
    base = np.arange(10.0)
    result = comparison(metrics, base + np.arange(1, 11) / 10, base)
    assert result.p == pytest.approx(2 / 2**10)  # both signs of ten ranks
    assert result.difference == pytest.approx(0.55)
    assert 0.1 < result.low < 0.55 < result.high < 1
    assert (result.better, result.significant, result.images) == (1, True, 10)


def test_lower_is_better_where_the_metric_says_so(metrics):
    base = np.arange(10.0)
    assert comparison(metrics, base + 1, base, "darkness").better == -1


def test_five_images_can_never_be_significant(metrics):
    result = comparison(metrics, [2, 3, 4, 5, 6], [1, 1, 1, 1, 1])
    assert result.p == pytest.approx(2 / 2**5)
    assert not result.significant


def test_a_published_example_of_the_signed_rank_test(metrics):
    """Darwin's maize, cross- minus self-fertilised, as in scipy's manual: W = 24, p = 0.041."""
    d = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]
    assert comparison(metrics, d, [0] * 15).p == pytest.approx(0.041259765625)


def test_no_difference_is_no_evidence(metrics):
    result = comparison(metrics, [1.0, 2, 3] * 2, [1.0, 2, 3] * 2)
    assert (result.difference, result.low, result.high, result.p, result.better) == (0, 0, 0, 1, 0)


def test_a_constant_difference_has_an_interval_of_one_point(metrics):
    result = comparison(metrics, [2.0, 3, 4, 5, 6, 7], [1.0, 2, 3, 4, 5, 6])
    assert (result.difference, result.low, result.high) == (1, 1, 1)


@pytest.mark.parametrize("images", [1, 2, 5])
def test_a_few_images_have_no_interval(metrics, images):
    result = comparison(metrics, [2.0 * n for n in range(images)], [1.0] * images)
    assert math.isnan(result.low)
    assert math.isnan(result.high)


def test_images_without_a_value_leave_no_comparison(metrics):
    result = comparison(metrics, [math.nan], [1.0])
    assert math.isnan(result.difference)
    assert math.isnan(result.p)
    assert not result.significant


def test_the_interval_is_the_same_every_time(metrics):
    rng = np.random.default_rng(3)
    ours, theirs = rng.normal(0.3, 1, (2, 20))
    assert comparison(metrics, ours, theirs) == comparison(metrics, ours, theirs)


def test_holm_as_worked_out_by_hand():
    """0.01 x 4, then 0.02 x 3, then 0.03 x 2, and 0.04 x 1 raised to what stands before it."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1, 1]
    corrected = holm([0.01, math.nan, 0.02])
    assert (corrected[0], corrected[2]) == (0.02, 0.02)
    assert math.isnan(corrected[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_never_helps_a_claim_and_keeps_the_order(values):
    corrected = holm(values)
    assert all(p <= q <= 1 for p, q in zip(values, corrected, strict=True))
    assert max(corrected) <= len(values) * max(values)
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= 0).all()


def test_a_comparison_is_over_the_images_that_both_methods_have(metrics):
    """Images that only one of them has do not matter."""
    both = comparison(metrics, [2.0, 3, 4, 5, 6, 7], [1.0, 1, 1, 1, 1, 1])
    more = comparison(metrics, [2.0, 3, math.nan, 4, 5, 6, 7, 9], [1.0, 1, 5, 1, 1, 1, 1, math.nan])
    assert both == more
    assert both.images == 6


@pytest.mark.parametrize(
    ("images", "tests", "metrics", "advice"),
    [
        (5, 1, 1, "take at least 6 images"),
        (6, 2, 2, "take more images, or fewer metrics"),
        (6, 4, 1, "take more images, or fewer rows"),
        (6, 4, 2, "take more images, or fewer rows or metrics"),
    ],
)
def test_what_to_change_is_what_makes_the_smallest_p_small_enough(images, tests, metrics, advice):
    assert tests * smallest_p(images) >= 0.05
    assert what_to_change(images, tests, metrics) == advice
    assert smallest_p(6) < 0.05
