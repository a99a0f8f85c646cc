"""Marginal means, and those over rows that are there with every value of a factor."""

import math
from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest

from fusionlab.evaluation.effects import MatchedRows, effects
from fusionlab.evaluation.marginals import marginal_means
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.scores import ScoreRow, Scores
from fusionlab.evaluation.studies.plan import contrasts_along
from fusionlab.plugins.host import installed

GRID = {f"{s} r={r}": {"strategy": s, "r": r} for s in ("l1", "l2") for r in ("0", "1")}


def scores_of(values):
    """Return scores of one metric: label -> values `(samples,)`."""
    samples = [str(n) for n in range(len(next(iter(values.values()))))]
    rows = [
        ScoreRow(sample, label, {"EN": value})
        for label, row in values.items()
        for sample, value in zip(samples, row, strict=True)
    ]
    return Scores(list(values), samples, [Metric.find("EN", installed())], rows)


def means(values, factors):
    """Return (factor, value) -> the numbers of its line."""
    lines = map(astuple, marginal_means(scores_of(values), factors))
    return {(factor, value): tuple(numbers) for factor, value, _, *numbers in lines}


def test_rows_without_partners_count_in_the_marginal_mean_only():
    """addition has no r; with other strategies it would have to be compared at all r."""
    values = dict(zip(GRID, ([1, 3], [2, 4], [5, 5], [6, 8]), strict=True)) | {"addition": [9, 9]}
    factors = GRID | {"addition": {"strategy": "addition"}}
    found = means(values, factors)
    assert found["r", "0"] == found["r", "0"][:3] * 2 == (2, 2, 3.5) * 2
    assert found["strategy", "l1"] == (2, 2, 2.5) * 2
    *numbers, balanced_mean = found["strategy", "addition"]
    assert numbers == [1, 2, 9, 0, 0]
    assert math.isnan(balanced_mean)


def test_in_an_unbalanced_grid_the_balanced_means_differ_by_the_effect():
    """l2 has no r = 1, where all values are higher by 10."""
    values = {"l1 r=0": [1.0, 2], "l1 r=1": [11, 12], "l2 r=0": [1.5, 3]}
    found = means(values, {label: GRID[label] for label in values})
    assert [found["strategy", name] for name in ("l1", "l2")] == [
        (2, 2, 6.5, 1, 2, 1.5),
        (1, 2, 2.25, 1, 2, 2.25),
    ]


def test_balanced_means_are_over_the_images_that_all_of_their_rows_have():
    """A row that has failed as a whole leaves its partner out."""
    values = {
        "l1 r=0": [1.0, math.nan, 3],
        "l1 r=1": [2.0, 5, 6],
        "l2 r=0": [math.nan, math.nan, math.nan],
        "l2 r=1": [7.0, 7, 7],
    }
    found = means(values, GRID)
    assert found["r", "0"] == (1, 2, 2, 1, 2, 2)
    assert found["r", "1"] == (2, 3, (13 / 3 + 7) / 2, 1, 2, 4)


def test_values_that_never_meet_have_no_balanced_means():
    factors = {"a": {"r": "0", "t": "0"}, "b": {"r": "1", "t": "1"}, "Theirs": {}}
    found = means({"a": [1.0], "b": [2.0], "Theirs": [3.0]}, factors)
    assert {numbers[3:5] for numbers in found.values()} == {(0, 0)}


def test_differences_of_balanced_means_are_the_effects_and_pandas_finds_them():
    rng = np.random.default_rng(0)
    factors = {
        f"{s}{r}{t}": {"strategy": s, "r": r, "t": t} for s in "ab" for r in "012" for t in "xyz"
    }
    del factors["a1z"]
    values = {label: rng.random(7) for label in factors}
    found = means(values, factors)
    scores = scores_of(values)
    contrasts = contrasts_along(["strategy"], factors)
    (effect,) = effects([MatchedRows("set", scores, scores.samples, contrasts)])
    difference = found["strategy", "b"][-1] - found["strategy", "a"][-1]
    assert difference == pytest.approx(effect.comparison.difference, abs=1e-12)
    frame = pd.DataFrame([{**factors[label], "mean": v.mean()} for label, v in values.items()])
    wide = frame.pivot_table(index=["strategy", "t"], columns="r", values="mean").dropna()
    assert [found["r", r][-1] for r in "012"] == pytest.approx(wide.mean().tolist(), rel=1e-12)
    assert [found["r", r][3] for r in "012"] == [len(wide)] * 3 == [5] * 3
