"""Effects of factors, against pandas, scipy and values worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from fusionlab.evaluation.effects import ALL_SETS, Contrast, MatchedRows, effects
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.scores import ScoreRow, Scores
from fusionlab.plugins.host import installed

RANGE = Contrast("range", "minmax", "clip")
PAIRS = (("a2", "a1"), ("b2", "b1"), ("c2", "c1"))
EN, QABF = (Metric.find(name, installed()) for name in ("EN", "Qabf"))


def matched(values, pairs=PAIRS, *, samples=None, image_set="tno", metrics=(EN,)):
    """Return the rows of a set: label -> values `(samples,)` or `(samples, metrics)`."""
    arrays = {label: np.reshape(row, (-1, len(metrics))) for label, row in values.items()}
    count = len(next(iter(arrays.values())))
    samples = list(range(count)) if samples is None else samples
    rows = [
        ScoreRow(sample, label, {m.name: v for m, v in zip(metrics, row, strict=True)})
        for label, array in arrays.items()
        for sample, row in zip(samples, array.tolist(), strict=True)
    ]
    scores = Scores(list(arrays), samples, metrics, rows)
    return MatchedRows(image_set, scores, samples, {RANGE: pairs})


def random_rows(samples, seed=0, labels=("a1", "a2", "b1", "b2", "c1", "c2")):
    """Return values in steps of 1/64, so that whole numbers are added to them exactly."""
    rng = np.random.default_rng(seed)
    return {label: rng.integers(0, 500, samples) / 64 for label in labels}


def test_two_pairs_on_six_images_as_worked_out_by_hand():
    """Differences 1, 2, 3, 4, 5, 6 and 3, 2, 1, 0, 3, 2; their means all have one sign."""
    values = {
        "a1": [0, 0, 0, 0, 0, 0],
        "a2": [1, 2, 3, 4, 5, 6],
        "b1": [1, 1, 1, 1, 1, 1],
        "b2": [4, 3, 2, 1, 4, 3],
    }
    ((effect),) = effects([matched(values, PAIRS[:2])])
    entry = effect.comparison
    assert (effect.image_set, effect.factor, effect.pairs, entry.images) == ("tno", "range", 2, 6)
    assert (entry.method, entry.against, entry.metric) == ("minmax", "clip", "EN")
    assert entry.difference == pytest.approx((2 + 2 + 2 + 2 + 4 + 4) / 6)
    assert entry.raw_p == entry.p == pytest.approx(2 / 2**6)
    assert 2 <= entry.low < 16 / 6 < entry.high <= 4
    assert (entry.better, entry.tests, entry.significant) == (1, 1, True)


def test_pandas_and_scipy_find_the_same_where_values_are_missing():
    values = random_rows(30)
    values["b2"][[3, 7]] = math.nan
    values["a1"][5] = math.nan
    for row in values.values():
        row[11] = math.nan
    (effect,) = effects([matched(values)])
    frame = pd.DataFrame(values)
    columns = {f"{a}-{b}": frame[a] - frame[b] for a, b in PAIRS}
    long = pd.DataFrame(columns).reset_index().melt(id_vars="index").dropna()
    means = long.groupby("index")["value"].mean()
    assert effect.comparison.images == len(means) == 29
    # pandas rounds each sum on its way
    assert effect.comparison.difference == pytest.approx(means.mean(), rel=1e-12)
    assert effect.comparison.raw_p == pytest.approx(wilcoxon(means.round(12)).pvalue, rel=1e-9)


def test_over_all_sets_a_sample_of_two_sets_counts_once():
    first, second = random_rows(6), random_rows(8, seed=1)
    sets = [
        matched(first, samples=list("abcdef"), image_set="full"),
        matched(second, PAIRS[:2], samples=list("efghijkl"), image_set="half"),
    ]
    found = effects(sets)
    assert [(e.image_set, e.pairs, e.comparison.images) for e in found] == [
        (ALL_SETS, 3, 12),
        ("full", 3, 6),
        ("half", 2, 8),
    ]
    assert [effect.comparison.tests for effect in found] == [1, 2, 2]

    def differences(values, pairs, sample):
        return [values[a][sample] - values[b][sample] for a, b in pairs]

    samples = [differences(first, PAIRS, n) for n in range(4)]
    samples += [
        differences(first, PAIRS, n) + differences(second, PAIRS[:2], n - 4) for n in (4, 5)
    ]
    samples += [differences(second, PAIRS[:2], n) for n in range(2, 8)]
    expected = np.mean([np.mean(sample) for sample in samples])
    assert found[0].comparison.difference == pytest.approx(expected, rel=1e-12)


def test_a_metric_of_one_set_is_not_pooled_and_all_sets_are_a_family_of_their_own():
    base = np.arange(12.0)
    both = {"a1": np.stack([base, base], 1), "a2": np.stack([base + 1, base - 1], 1)}
    sets = [
        matched(both, PAIRS[:1], image_set="x", metrics=(EN, QABF)),
        matched(
            {"a1": base, "a2": base + 1}, PAIRS[:1], samples=list(range(12, 24)), image_set="y"
        ),
    ]
    found = [(e.image_set, e.comparison.metric, e.comparison.p) for e in effects(sets)]
    # tied differences of more than 13 images: the normal approximation
    pooled = wilcoxon(np.ones(24)).pvalue
    assert found == [
        (ALL_SETS, "EN", pytest.approx(pooled)),
        ("x", "EN", pytest.approx(3 * 2 / 2**12)),
        ("x", "Qabf", pytest.approx(3 * 2 / 2**12)),
        ("y", "EN", pytest.approx(3 * 2 / 2**12)),
    ]
    assert effects(sets)[2].comparison.better == -1


@settings(max_examples=10)  # two bootstraps each
@given(st.permutations(PAIRS), st.permutations(range(8)), st.integers(-9, 9))
def test_the_order_of_rows_and_samples_and_a_constant_change_nothing(pairs, samples, constant):
    values = random_rows(8)
    moved = {label: values[label][samples] + constant for pair in pairs for label in reversed(pair)}
    (before,), (after,) = effects([matched(values)]), effects([matched(moved, pairs)])
    assert after.comparison.raw_p == before.comparison.raw_p
    assert after.comparison.difference == pytest.approx(before.comparison.difference, rel=1e-12)
    # the bootstrap draws other images: its limits vary by some percent of the width
    width = before.comparison.high - before.comparison.low
    assert after.comparison.low == pytest.approx(before.comparison.low, abs=0.1 * width)


def test_exchanged_levels_have_the_opposite_effect():
    values = random_rows(9)
    (there,) = effects([matched(values)])
    (back,) = effects([matched(values, [(b, a) for a, b in PAIRS])])
    assert back.comparison.difference == -there.comparison.difference
    assert back.comparison.raw_p == there.comparison.raw_p


@pytest.mark.parametrize("order", [("a", "b", "c"), ("b", "c", "a")])
def test_copies_have_no_effect_not_even_one_of_rounding(order):
    """Pairs whose differences cancel would have a sum of 1e-16 on each sample."""
    values = dict(zip(("a1", "b1", "c1"), np.random.default_rng(0).random((3, 12)), strict=True))
    values |= {f"{to}2": values[f"{of}1"] for to, of in zip("abc", order, strict=True)}
    (effect,) = effects([matched(values)])
    assert (effect.comparison.difference, effect.comparison.p) == (0, 1)
    assert (effect.comparison.low, effect.comparison.high) == (0, 0)


def test_without_values_there_is_no_effect_and_without_contrasts_nothing():
    (effect,) = effects([matched({label: [math.nan] for pair in PAIRS for label in pair})])
    assert (effect.pairs, effect.comparison.images, effect.comparison.tests) == (0, 0, 0)
    assert math.isnan(effect.comparison.difference)
    assert effects([]) == []
