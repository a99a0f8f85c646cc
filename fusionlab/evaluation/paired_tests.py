"""Intervals and tests of paired differences, for all tests of a table at once.

Tests over equally many images share one call of scipy, and so the draws of the bootstrap. Each
result is the one that the test has alone, to the last digit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05
RESAMPLES = 9999
MIN_IMAGES = 6
"""Images that an interval needs; with fewer, no test can reach 5 % either."""
EXACT_TIED = 13
"""The most images for which scipy's signed-rank test is exact where differences are tied."""
BLOCK = 256
"""Tests that are resampled together; their means need 20 MB."""

Differences = NDArray[np.float64]


def mean_intervals(tests: Sequence[Differences]) -> list[tuple[float, float]]:
    """Return the 95 % bootstrap interval of each mean: BCa, seeded.

    Args:
        tests: the finite differences of each test, `(images,)`.

    Returns:
        (low, high) of each: nan for fewer than six images, one point if nothing varies.
    """
    intervals = [(math.nan, math.nan)] * len(tests)
    for indices, rows in _stacked(tests, [len(differences) for differences in tests]):
        if rows.shape[1] < MIN_IMAGES:  # it would look like evidence
            continue
        for index, low in zip(indices, rows[:, 0].tolist(), strict=True):
            intervals[index] = low, low
        varies = np.flatnonzero(np.ptp(rows, axis=1))
        for start in range(0, len(varies), BLOCK):
            chosen = varies[start : start + BLOCK]
            lows, highs = _bootstrap(rows[chosen])
            for row, low, high in zip(chosen, lows.tolist(), highs.tolist(), strict=True):
                intervals[indices[row]] = low, high
    return intervals


def signed_rank_p_values(tests: Sequence[Differences]) -> list[float]:
    """Return the p-value of the two-sided Wilcoxon signed-rank test of each.

    It is exact up to 13 images, and up to 50 where no differences are tied or zero.

    Args:
        tests: the finite differences of each test, `(images,)`.

    Returns:
        The p-values: 1 if no image differs, nan without images.
    """
    from scipy.stats import wilcoxon

    p_values = [math.nan] * len(tests)
    kinds = [(len(differences), _tied(differences)) for differences in tests]
    for indices, rows in _stacked(tests, kinds):  # scipy chooses one method for all rows
        images, tied = kinds[indices[0]]
        if images == 0:
            continue
        if tied and images <= EXACT_TIED:
            found = np.array([_exact_p_value(row) for row in rows])
        else:
            found = np.ones(len(rows))
            differ = rows.any(axis=1)
            if differ.any():
                found[differ] = wilcoxon(rows[differ], axis=1).pvalue
        for index, p in zip(indices, found.tolist(), strict=True):
            p_values[index] = p
    return p_values


def _stacked(
    tests: Sequence[Differences], kinds: Sequence[Hashable]
) -> Iterator[tuple[list[int], Differences]]:
    """Yield the indices and the differences `(tests, images)` of the tests of each kind."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for index, kind in enumerate(kinds):
        groups[kind].append(index)
    for indices in groups.values():
        yield indices, np.stack([tests[index] for index in indices])


def _bootstrap(rows: Differences) -> tuple[Differences, Differences]:
    """Return the limits of the intervals of `(tests, images)` differences."""
    from scipy.stats import bootstrap

    def means(images: NDArray[np.int_], axis: int) -> Differences:
        return np.stack([row[images].mean(axis=axis) for row in rows])

    # images are drawn, not differences: one draw serves all tests
    interval = bootstrap(
        (np.arange(rows.shape[1]),),
        means,
        n_resamples=RESAMPLES,
        confidence_level=1 - ALPHA,
        method="BCa",
        vectorized=True,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return interval.low, interval.high


def _tied(differences: Differences) -> bool:
    """Return whether any difference is zero or as large as another one."""
    return not differences.all() or len(np.unique(np.abs(differences))) < len(differences)


def _exact_p_value(differences: Differences) -> float:
    """Return the p-value over all 2^n signs of the ranks; zeros are left out.

    scipy finds the same one, in seconds: it lists the signs.
    """
    from scipy.stats import rankdata

    differences = differences[differences != 0]
    ranks = np.rint(2 * rankdata(np.abs(differences))).astype(int)  # whole: ties share a half
    sums = np.zeros(ranks.sum() + 1, dtype=int)
    sums[0] = 1  # how many choices of signs have each sum of positive ranks
    for rank in ranks:
        sums[rank:] += sums[:-rank].copy()
    positive = ranks[differences > 0].sum()
    fewer = int(min(sums[: positive + 1].sum(), sums[positive:].sum()))
    choices: int = 2 ** len(ranks)
    return min(1.0, 2 * fewer / choices)
