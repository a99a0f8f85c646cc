"""How far metrics agree in their order of the methods: rank correlation of the means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusionlab.evaluation.scores import Scores

MIN_METHODS = 4
"""Fewer methods have too few orders for a correlation to mean anything."""


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of the means of each pair of metrics."""

    metrics: tuple[str, ...]
    values: NDArray[np.float64]
    """`(metrics, metrics)`, -1..1; nan where a metric does not vary."""
    methods: int
    """How many methods have all means."""


def metric_correlation(scores: Scores) -> Correlation | None:
    """Return the correlation of the metrics, all turned so that higher is better.

    Metrics without a direction keep theirs. None for fewer than two metrics or four methods that
    have all of the means.
    """
    from scipy.stats import rankdata

    means = scores.means()
    columns = [number for number, count in enumerate(scores.counts) if count]
    complete = np.isfinite(means[:, columns]).all(axis=1)
    if len(columns) < 2 or complete.sum() < MIN_METHODS:
        return None
    signs = np.array([scores.metrics[number].direction or 1 for number in columns])
    ranks = rankdata(means[complete][:, columns] * signs, axis=0)
    centered = ranks - ranks.mean(axis=0)
    lengths = np.sqrt((centered**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        values = centered.T @ centered / np.outer(lengths, lengths)
    names = tuple(scores.metrics[number].name for number in columns)
    return Correlation(names, values, int(complete.sum()))
