"""Marginal means: the mean of all rows that have one value of a factor.

Where a value occurs with other rows than another one does, the difference of their means is also
that of these other factors: l1norm with r = 0 and addition, which has no r. Balanced means are over
rows that are there with every value, and over the same images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from fusionlab.evaluation.factors import matching_rows, varying
from fusionlab.evaluation.scores import Scores


@dataclass(frozen=True)
class MarginalMean:
    """The mean of a metric over the rows with one value of a factor."""

    factor: str
    value: str
    metric: str
    rows: int
    images: int
    """Those for which any of the rows has a value."""
    mean: float
    """Over the means of the rows; nan without any."""
    balanced_rows: int
    """How many of the rows have a partner at every other value, the same in all other factors."""
    balanced_images: int
    """For how many images all of these and their partners have values."""
    balanced_mean: float
    """The mean over these rows and images; nan without any."""


def marginal_means(
    scores: Scores, factors: Mapping[str, Mapping[str, str]]
) -> Iterator[MarginalMean]:
    """Yield the means of each value of each factor that varies, and of each metric.

    A value whose rows have no partner at all, such as a strategy with other parameters than the
    rest has, has no balanced mean, and does not cost the others theirs.

    Args:
        scores: the values.
        factors: label -> factor -> value.
    """
    means, known = scores.means(), np.isfinite(scores.values)
    numbers = {label: number for number, label in enumerate(scores.methods)}
    for factor in varying(factors.values()):
        values = [factors[label].get(factor) for label in scores.methods]
        balanced = [
            [numbers[label] for label in group] for group in _balanced_groups(factors, factor)
        ]
        for value in dict.fromkeys(entry for entry in values if entry is not None):
            chosen = [number for number, entry in enumerate(values) if entry == value]
            for j, metric in enumerate(scores.metrics):
                of_rows = means[chosen, j]
                of_rows = of_rows[np.isfinite(of_rows)]
                images = known[chosen, :, j].any(axis=0).sum()
                # a row that has failed leaves its partners without one
                groups = [group for group in balanced if known[group, :, j].any(axis=1).all()]
                partners = [number for group in groups for number in group]
                complete = known[partners, :, j].all(axis=0)
                rows = [number for number in partners if values[number] == value]
                cells = scores.values[rows][:, complete, j]
                yield MarginalMean(
                    factor,
                    value,
                    metric.name,
                    of_rows.size,
                    int(images),
                    float(of_rows.mean()) if of_rows.size else math.nan,
                    len(rows),
                    int(complete.sum()) if rows else 0,
                    float(cells.mean()) if cells.size else math.nan,
                )


def _balanced_groups(factors: Mapping[str, Mapping[str, str]], factor: str) -> list[list[str]]:
    """Return the groups of rows that differ in a factor only and have each of its values.

    Values that are in no group with another value do not count.
    """
    groups = matching_rows(factors, factor)
    values = [{factors[label][factor] for label in group} for group in groups]
    compared = {value for seen in values if len(seen) > 1 for value in seen}
    return [
        group for group, seen in zip(groups, values, strict=True) if compared and seen >= compared
    ]
