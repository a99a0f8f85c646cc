"""Comparisons of two methods: is a difference more than chance? Paired, image by image.

A table of means does not tell whether another draw of images would reverse it. For two methods and
a metric, over the images that both have values for:

* the mean difference, with the interval of a bootstrap over the images (bias-corrected and
  accelerated, 9,999 resamples, seeded);
* the Wilcoxon signed-rank test of no difference, two-sided; images without a difference are left
  out of it. With n images its smallest p-value is 2^(1-n): fewer than six cannot reach 0.05;
* Holm's correction for all tests of one table, so that each printed p-value can be compared with
  0.05 as it is.

References: Wilcoxon 1945, doi:10.2307/3001968; Holm 1979, Scandinavian Journal of Statistics 6(2),
65-70, https://www.jstor.org/stable/4615733; Efron 1987, doi:10.1080/01621459.1987.10478410. For
mean ranks over several data sets: Demsar 2006, Journal of Machine Learning Research 7, 1-30.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.paired_tests import (
    ALPHA,
    MIN_IMAGES,
    Differences,
    mean_intervals,
    signed_rank_p_values,
)
from fusionlab.evaluation.scores import Scores


@dataclass(frozen=True)
class Comparison:
    """One method against another by one metric."""

    method: str
    against: str
    metric: str
    images: int
    """How many images both methods have a value for."""
    difference: float
    """Mean of method minus against."""
    low: float
    high: float
    """The 95 % interval of the mean difference; nan for fewer than six images."""
    p: float
    """The p-value of the Wilcoxon test, after Holm's correction for all tests of its family."""
    better: int
    """1 if the method has the better mean, -1 if the worse, 0 if equal or without a direction."""
    raw_p: float = math.nan
    """The p-value before the correction."""
    tests: int = 0
    """How many tests the correction is for."""

    @property
    def significant(self) -> bool:
        """Whether chance is an unlikely explanation, at 5 %."""
        return self.p < ALPHA


Pairs = Sequence[tuple[str, str]]
"""(method, the one that it is compared with), labels."""


def compare(scores: Scores, pairs: Pairs) -> list[Comparison]:
    """Compare methods by every metric, over the images that both have values for.

    Args:
        scores: the values.
        pairs: what is compared with what.

    Returns:
        A comparison for each pair and metric, p-values corrected for all of them together.
    """
    return corrected([_uncorrected(scores, pairs)])[0]


def compare_families(
    families: Sequence[Sequence[tuple[Scores, Pairs]]],
) -> list[list[list[Comparison]]]:
    """Compare methods in several tables, each p-value corrected for all tests of its family.

    Args:
        families: for each family, the values and pairs of each of its tables.
    """
    return [corrected([_uncorrected(*table) for table in family]) for family in families]


def corrected(tables: Sequence[Sequence[Comparison]]) -> list[list[Comparison]]:
    """Return comparisons of several tables with their p-values corrected for all of them."""
    flat = [comparison for table in tables for comparison in table]
    p_values = iter(holm([comparison.raw_p for comparison in flat]))
    tests = sum(not math.isnan(comparison.raw_p) for comparison in flat)
    return [
        [replace(comparison, p=next(p_values), tests=tests) for comparison in table]
        for table in tables
    ]


def tested(
    names: Sequence[tuple[str, str, Metric]], tests: Sequence[Differences]
) -> list[Comparison]:
    """Return a comparison for each array of differences, with its raw p-value only.

    Args:
        names: (method, what it is compared with, metric) of each.
        tests: the finite differences of each, `(images,)`.
    """
    comparisons = []
    for (method, against, metric), differences, (low, high), p in zip(
        names, tests, mean_intervals(tests), signed_rank_p_values(tests), strict=True
    ):
        images = len(differences)
        mean = float(differences.mean()) if images else math.nan
        better = int(np.sign(mean)) * metric.direction if images else 0
        comparisons.append(
            Comparison(method, against, metric.name, images, mean, low, high, p, better, p)
        )
    return comparisons


def _uncorrected(scores: Scores, pairs: Pairs) -> list[Comparison]:
    """Return a comparison for each pair and metric, with its raw p-value only."""
    rows = {label: number for number, label in enumerate(scores.methods)}
    columns = [scores.column(number) for number in range(len(scores.metrics))]
    names = [(*pair, metric) for pair in pairs for metric in scores.metrics]
    tests = []
    for method, against in pairs:
        for column in columns:
            differences = column[rows[method]] - column[rows[against]]
            tests.append(differences[np.isfinite(differences)])
    return tested(names, tests)


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, in their order; nan counts as no test.

    The i-th smallest of m is multiplied by m - i + 1, and none is smaller than those before it.
    """
    order = sorted((i for i, p in enumerate(values) if not math.isnan(p)), key=values.__getitem__)
    corrected, previous = list(values), 0.0
    for rank, index in enumerate(order):
        previous = max(previous, min(1.0, (len(order) - rank) * values[index]))
        corrected[index] = previous
    return corrected


def smallest_p(images: int) -> float:
    """Return the p-value of the signed-rank test if all of so many images agree."""
    return float(2 ** (1 - images))


def what_to_change(images: int, tests: int, metrics: int, compared: str = "rows") -> str:
    """Return what would let one of the tests be significant, none of which can be: `take ...`.

    Args:
        images: that each test is over.
        tests: how many there are.
        metrics: by how many metrics each comparison is made.
        compared: what there could be fewer of besides metrics, and so fewer tests.
    """
    if smallest_p(images) >= ALPHA:  # not even a single test
        return f"take at least {MIN_IMAGES} images"
    fewer = [*([compared] if tests > metrics else []), *(["metrics"] if metrics > 1 else [])]
    return f"take more images, or fewer {' or '.join(fewer)}"
