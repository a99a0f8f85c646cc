"""Rank diagrams, correlations and sweeps of the page, against SciPy and by hand."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from made_up_study import made_up_report
from scipy.stats import friedmanchisquare, spearmanr

from fusionlab.evaluation.page.correlation import metric_correlation
from fusionlab.evaluation.page.ranks import rank_diagrams
from fusionlab.evaluation.page.sweeps import Series, _half_interval, bundles, draw_sweep, sweeps


def scores(values, metrics=("EN", "Qabf")):
    methods = [f"m{number}" for number in range(len(values))]
    samples = [f"s{number}" for number in range(len(values[0]))]
    return made_up_report(methods, samples, values, metrics).scores


def test_a_rank_diagram_has_the_test_of_friedman_and_the_difference_of_nemenyi():
    values = np.random.default_rng(0).random((4, 12, 2))
    first, second = rank_diagrams(scores(values))
    assert (first.name, second.name, first.samples) == ("EN", "Qabf", 12)
    assert first.p == pytest.approx(friedmanchisquare(*values[:, :, 0]).pvalue)
    # q of 5 % for four methods is 2.569: Demsar 2006, Table 5
    assert first.critical == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 12)), rel=1e-3)
    ranks = [row.rank for row in first.rows]
    assert ranks == sorted(ranks)
    assert sum(ranks) == pytest.approx(10)
    assert [row.tied for row in first.rows] == [rank - ranks[0] < first.critical for rank in ranks]


def test_a_few_samples_do_not_tell_many_methods_apart_and_more_do():
    values = np.arange(30.0)[:, None, None] + np.zeros((30, 12, 1))
    few, many = (rank_diagrams(scores(values[:, :count], ("EN",)))[0] for count in (2, 12))
    assert (few.tells_apart, many.tells_apart) == (False, True)


def test_a_method_that_lacks_a_value_has_no_rank_and_a_metric_without_direction_no_diagram():
    values = np.random.default_rng(0).random((3, 5, 2))
    values[1, 2, 0] = np.nan
    diagram, _ = rank_diagrams(scores(values))
    assert {row.label for row in diagram.rows} == {"m0", "m2"}
    assert np.isnan(diagram.p)  # of two methods
    assert rank_diagrams(scores(values[:1])) == []
    assert rank_diagrams(scores(values[:, :1])) == []


def test_the_correlation_is_that_of_spearman_and_better_means_better():
    values = np.random.default_rng(1).random((6, 3, 2))
    correlation = metric_correlation(scores(values, ("EN", "CC")))
    means = values.mean(axis=1)
    assert correlation.values[0, 1] == pytest.approx(spearmanr(means[:, 0], means[:, 1]).statistic)
    lower = metric_correlation(scores(values, ("EN", "MSE")))
    assert lower.values[0, 1] == pytest.approx(-correlation.values[0, 1])
    assert (correlation.metrics, correlation.methods) == (("EN", "CC"), 6)


def test_few_methods_or_one_metric_have_no_correlation():
    assert metric_correlation(scores(np.ones((3, 2, 2)))) is None
    assert metric_correlation(scores(np.ones((5, 2, 1)), ("EN",))) is None


def test_sweeps_are_over_each_numeric_factor_that_varies_with_the_others_in_series():
    rows = [
        {"strategy": "l1norm", "tag": tag, "r": r, "border": "inside"}
        for tag in ("1e0", "1e2")
        for r in ("4", "0", "10")
    ]
    rows += [{"strategy": "addition", "tag": "1e2", "border": "inside"}, {}]
    found = sweeps(rows)
    assert set(found) == {"tag", "r"}
    assert found["r"] == [
        Series("tag=1e0", (0, 4, 10), (1, 0, 2)),
        Series("tag=1e2", (0, 4, 10), (4, 3, 5)),
    ]
    assert [series.name for series in found["tag"]] == ["r=4", "r=0", "r=10"]
    assert [series.values for series in found["tag"]] == [(1, 100)] * 3
    assert sweeps([{"r": "1"}, {"r": "1"}]) == {}


def test_intervals_are_of_the_differences_within_samples():
    """A sample with higher values for all methods widens no interval."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (2, 20))
    shifted = values + rng.normal(0, 100, 20)
    assert _half_interval(shifted) == pytest.approx(_half_interval(values))
    # of two rows it is that of half their difference, times the correction sqrt(2)
    difference = values[0] - values[1]
    expected = 2.093 * difference.std(ddof=1) / 2 * np.sqrt(2) / np.sqrt(20)  # t of 19, 97.5 %
    assert _half_interval(values) == pytest.approx(expected, rel=1e-4)
    assert (_half_interval(values[:, :1]) == 0).all()


@pytest.mark.parametrize("count", [2, 12])
def test_a_sweep_is_drawn_as_svg_whatever_the_names_hold(count):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    rows = [{"name": f"$<{number}&", "r": r} for number in range(count) for r in ("1", "100")]
    values = np.random.default_rng(0).random((2 * count, 5, 2))
    ((factor, series),) = sweeps(rows).items()
    assert (factor, len(series)) == ("r", count)
    drawn = draw_sweep(factor, series, scores(values))
    assert drawn == draw_sweep(factor, series, scores(values))
    texts = [text.strip() for text in ET.fromstring(drawn).itertext() if text.strip()]
    assert {"EN ↑", "Qabf ↑", "r"} <= set(texts)
    lines = [f"name=$<{number}&" for number in range(count)]
    if count <= 8:
        assert texts.count(lines[1]) == 1 + 2  # in the legend, and as a tooltip in each panel
    else:  # too many for a legend, and no factor to color them by
        assert texts.count(lines[1]) == 2
        assert texts.count("mean of all") == 1 + 2


def test_many_lines_have_the_color_of_the_factor_that_separates_them():
    rows = [
        {"tag": tag, "range": policy, "strategy": strategy, "r": r}
        for tag in ("", "1e0")
        for policy in ("clip", "minmax")
        for strategy in "abc"
        for r in "02"
    ]
    series = sweeps(rows)["r"]
    means = np.array([[float(row["range"] == "clip"), 7.0] for row in rows])
    means[:, 0] += np.random.default_rng(0).normal(0, 0.1, len(rows))
    clip = [number for number, entry in enumerate(series) if entry.others["range"] == "clip"]
    rest = [number for number in range(12) if number not in clip]
    assert bundles(series, means) == {"range=clip": clip, "range=minmax": rest}
    assert len(bundles(series[:8], means)) == 8
