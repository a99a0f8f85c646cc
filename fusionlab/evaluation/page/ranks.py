"""Mean ranks of methods over the samples, and how far apart they must be to differ.

Friedman's test asks whether any method is ranked differently from the others; Nemenyi's critical
difference is how far apart two mean ranks must be, at 5 % for all pairs together:
q sqrt(k (k + 1) / (6 n)) with k methods, n samples, and the studentized range q / sqrt 2. Both are
approximations for large n; with fewer than about ten samples they are rough.

Reference: Demsar 2006, Journal of Machine Learning Research 7, 1-30.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fusionlab.evaluation.paired_tests import ALPHA
from fusionlab.evaluation.scores import Scores


@dataclass(frozen=True)
class RankedRow:
    """One method of a rank diagram."""

    row: int
    """Its number in the table."""
    label: str
    rank: float
    tied: bool
    """Whether its distance from the best is less than the critical difference."""


@dataclass(frozen=True)
class RankDiagram:
    """The mean ranks of the methods by one metric, the best first."""

    metric: int
    name: str
    rows: tuple[RankedRow, ...]
    samples: int
    critical: float
    """The critical difference of two mean ranks."""
    p: float
    """Of Friedman's test that all methods are equal; nan for two methods."""

    @property
    def tells_apart(self) -> bool:
        """Whether the best and the worst differ by the critical difference."""
        return self.rows[-1].rank - self.rows[0].rank >= self.critical


def rank_diagrams(scores: Scores) -> list[RankDiagram]:
    """Return a diagram for each metric with a direction that ranks at least two methods."""
    from scipy.stats import chi2, studentized_range

    diagrams = []
    all_ranks = scores.ranks()
    for number, metric in enumerate(scores.metrics):
        ranks, samples = all_ranks[:, number], scores.counts[number]
        ranked = np.flatnonzero(np.isfinite(ranks))
        count = len(ranked)
        if count < 2 or samples < 2:
            continue
        spread = math.sqrt(count * (count + 1) / (6 * samples))
        critical = studentized_range.ppf(1 - ALPHA, count, np.inf) / math.sqrt(2) * spread
        center = (count + 1) / 2
        statistic = ((ranks[ranked] - center) ** 2).sum() * 12 * samples / (count * (count + 1))
        order = ranked[np.argsort(ranks[ranked], kind="stable")]
        best = ranks[order[0]]
        diagrams.append(
            RankDiagram(
                number,
                metric.name,
                tuple(
                    RankedRow(
                        int(row),
                        scores.methods[row],
                        float(ranks[row]),
                        bool(ranks[row] - best < critical),
                    )
                    for row in order
                ),
                samples,
                float(critical),
                float(chi2.sf(statistic, count - 1)) if count > 2 else math.nan,
            )
        )
    return diagrams
