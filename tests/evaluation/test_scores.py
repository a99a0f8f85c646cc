"""Means, deviations and ranks of a table, worked out by hand."""

import math

import numpy as np
import pytest

from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.scores import ScoreRow, Scores
from fusionlab.plugins.host import installed


@pytest.fixture
def columns(metrics):
    return [Metric.find(name, installed()) for name in ("brightness", "darkness")]


def scores(columns, rows):
    """Rows: method -> image -> values of the two columns."""
    samples = sorted({sample for row in rows.values() for sample in row})
    score_rows = [
        ScoreRow(sample, method, dict(zip(("brightness", "darkness"), values, strict=True)))
        for method, row in rows.items()
        for sample, values in row.items()
    ]
    return Scores(list(rows), samples, columns, score_rows)


def test_means_and_deviations_are_over_the_images(columns):
    result = scores(columns, {"m": {"a": (1, 10), "b": (3, 30)}})
    assert result.means().tolist() == [[2, 20]]
    assert result.deviations() == pytest.approx(np.array([[math.sqrt(2), math.sqrt(200)]]))


def test_one_image_has_no_deviation(columns):
    assert np.isnan(scores(columns, {"m": {"a": (1, 10)}}).deviations()).all()


def test_a_method_that_lacks_values_costs_the_other_methods_nothing(columns):
    """Its own mean is over the images that it has, and it is not ranked."""
    result = scores(
        columns,
        {"m": {"a": (1, 10), "b": (3, 30), "c": (5, 5)}, "n": {"a": (2, 4), "b": (4, math.nan)}},
    )
    assert result.means().tolist() == [[3, 15], [3, 4]]
    assert result.deviations()[1, 0] == pytest.approx(math.sqrt(2))
    assert np.isnan(result.deviations()[1, 1])  # of a single image
    assert result.counts == [3, 3]
    assert result.method_counts.tolist() == [[3, 3], [2, 1]]
    assert result.complete.tolist() == [[True, True], [False, False]]
    assert result.ranks()[0].tolist() == [1, 1]
    assert np.isnan(result.ranks()[1]).all()


def test_an_image_where_a_metric_is_undefined_for_all_counts_for_none(columns):
    result = scores(
        columns, {"m": {"a": (1, math.nan), "b": (3, 6)}, "n": {"a": (2, math.nan), "b": (4, 7)}}
    )
    assert result.counts == [2, 1]
    assert result.complete.all()
    assert result.means().tolist() == [[2, 6], [3, 7]]


def test_an_undefined_value_leaves_the_other_metrics_alone(columns):
    result = scores(columns, {"m": {"a": (math.nan, 10), "b": (3, 30)}})
    assert result.means().tolist() == [[3, 20]]
    assert result.counts == [1, 2]


def test_a_method_without_any_value_has_no_mean(columns):
    result = scores(columns, {"m": {"a": (math.nan, 1)}, "n": {"a": (2, 1)}})
    assert np.isnan(result.means()[0, 0])
    assert result.means()[1, 0] == 2
    assert np.isnan(result.ranks()[0, 0])
    assert result.ranks()[1, 0] == 1


def test_ranks_follow_the_direction_and_ties_share(columns):
    result = scores(
        columns,
        {
            "m": {"a": (1, 1), "b": (5, 5)},
            "n": {"a": (2, 2), "b": (5, 5)},
            "o": {"a": (3, 3), "b": (6, 6)},
        },
    )
    # brightness: higher is better; darkness: lower is
    assert result.ranks()[:, 0].tolist() == [(3 + 2.5) / 2, (2 + 2.5) / 2, 1]
    assert result.ranks()[:, 1].tolist() == [(1 + 1.5) / 2, (2 + 1.5) / 2, 3]
