"""Tests of many rows at once, against scipy's result for each row alone."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, wilcoxon

from fusionlab.evaluation.paired_tests import mean_intervals, signed_rank_p_values


def drawn(*shape, decimals=15):
    return np.random.default_rng(5).normal(0.3, 1, shape).round(decimals)


def interval_alone(differences):
    rng = np.random.default_rng(0)
    return tuple(bootstrap((differences,), np.mean, rng=rng).confidence_interval)


def test_each_interval_is_that_of_its_row_alone_to_the_last_digit():
    tests = [*drawn(3, 20), drawn(7), *drawn(2, 20, decimals=1), drawn(150)]
    assert mean_intervals(tests) == [interval_alone(row) for row in tests]


def test_intervals_of_few_images_or_one_value_need_no_draws():
    few, one_value = mean_intervals([drawn(5), np.full(6, 0.25)])
    assert np.isnan(few).all()
    assert one_value == (0.25, 0.25)


@pytest.mark.parametrize(
    "decimals",
    [15, 1, 0],  # no ties; ties; ties and zeros
)
def test_each_p_value_is_that_of_its_row_alone_to_the_last_digit(decimals):
    rows = [drawn(n, decimals=decimals) for n in (1, 3, 7, 14, 20, 50, 51, 90)]
    tests = [*rows, *drawn(3, 20, decimals=decimals)]
    assert signed_rank_p_values(tests) == [wilcoxon(row).pvalue for row in tests]


def test_rows_of_zeros_and_empty_ones_do_not_disturb_the_others():
    row = drawn(20)
    p_values = signed_rank_p_values([np.zeros(20), row, np.empty(0), np.zeros(3)])
    assert p_values[:2] == [1, wilcoxon(row).pvalue]
    assert math.isnan(p_values[2])
    assert p_values[3] == 1


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=12))
def test_ties_count_choices_of_signs_alike_in_both_directions_and_without_zeros(levels):
    differences = np.array(levels, float)
    (p,) = signed_rank_p_values([differences])
    assert signed_rank_p_values([-differences]) == [p]
    assert signed_rank_p_values([np.append(differences, 0)]) == [p]
    assert 0 < p <= 1
    assert (p * 2 ** len(levels)).is_integer()


def test_thirteen_tied_images_as_worked_out_by_hand():
    """All ranks are 7: at most one of 13 signs is negative in 14 of 2^13 choices, at either end."""
    assert signed_rank_p_values([np.array([1.0] * 12 + [-1])]) == [2 * 14 / 2**13]
