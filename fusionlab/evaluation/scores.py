"""The values behind a table: of every method, for every sample, by every metric.

A mean compares methods only over the same images: those for which any method has a value. An image
that could not be read, or where a metric is undefined for all methods, is left out of the means of
all. If a single method lacks a value, it costs that method: its mean is over the images that it
has, the tables say so, and it has no rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionlab.evaluation.metric import Metric


@dataclass(frozen=True)
class ScoreRow:
    """The values of one method for one sample; nan where a metric is undefined."""

    sample: str
    method: str
    values: Mapping[str, float]
    problem: str = ""
    """A sentence that says why values are missing; empty if none are."""
    reused: bool = False
    """Whether they come from an earlier run."""
    truth: str = ""
    """SHA-256 of the true image that some values depend on; empty if there is none."""
    outside: float = math.nan
    """The share of the values of the fused image that the range policy had to bring into 0..255;
    nan for files, and where there is not an image."""


def in_order(
    rows: Iterable[ScoreRow], samples: Sequence[str], methods: Sequence[str]
) -> list[ScoreRow]:
    """Return rows, which come as they are computed, sample by sample, methods in their order."""
    sample_index = {name: number for number, name in enumerate(samples)}
    method_index = {label: number for number, label in enumerate(methods)}
    return sorted(rows, key=lambda row: (sample_index[row.sample], method_index[row.method]))


class Scores:
    """The values of an evaluation, as an array methods x samples x metrics.

    Args:
        methods: labels of the rows.
        samples: names of the samples.
        metrics: the columns.
        rows: values, in any order; what is missing is nan.
    """

    def __init__(
        self,
        methods: Sequence[str],
        samples: Sequence[str],
        metrics: Sequence[Metric],
        rows: Sequence[ScoreRow],
    ) -> None:
        self.methods, self.samples, self.metrics = list(methods), list(samples), list(metrics)
        self.values = np.full((len(methods), len(samples), len(metrics)), np.nan)
        self.known, self.total = len(rows), len(methods) * len(samples)
        """How many rows there are, and how many there will be: methods times samples."""
        method_index = {label: number for number, label in enumerate(self.methods)}
        sample_index = {name: number for number, name in enumerate(self.samples)}
        self._outside = np.full((len(methods), len(samples)), np.nan)
        for row in rows:
            values = [row.values.get(metric.name, np.nan) for metric in metrics]
            place = method_index[row.method], sample_index[row.sample]
            self.values[place] = values
            self._outside[place] = row.outside

    @cached_property
    def scored(self) -> NDArray[np.bool_]:
        """Which images count for a metric, `(samples, metrics)`: any method has a value."""
        scored: NDArray[np.bool_] = np.isfinite(self.values).any(axis=0)
        return scored

    @cached_property
    def counts(self) -> list[int]:
        """The number of images of each metric."""
        return [int(count) for count in self.scored.sum(axis=0)]

    @cached_property
    def method_counts(self) -> NDArray[np.int_]:
        """The number of images of each mean, `(methods, metrics)`."""
        counts: NDArray[np.int_] = np.isfinite(self.values).sum(axis=1)
        return counts

    @cached_property
    def complete(self) -> NDArray[np.bool_]:
        """Whether a mean is over all images that count, `(methods, metrics)`."""
        complete: NDArray[np.bool_] = self.method_counts == np.array(self.counts)
        return complete

    @cached_property
    def copies(self) -> list[list[str]]:
        """Groups of rows that have the same values everywhere; rows without values are in none."""
        groups: dict[bytes, list[str]] = {}
        for label, values in zip(self.methods, self.values, strict=True):
            if np.isfinite(values).any():
                groups.setdefault(values.tobytes(), []).append(label)
        return [labels for labels in groups.values() if len(labels) > 1]

    def column(self, metric: int) -> NDArray[np.float64]:
        """Return the values `(methods, samples)` of one metric, of the images that count.

        Infinite and missing values are nan.
        """
        values: NDArray[np.float64] = self.values[:, self.scored[:, metric], metric]
        values[~np.isfinite(values)] = np.nan  # in place: the sums below depend on the layout
        return values

    def means(self) -> NDArray[np.float64]:
        """Return the means over the images of each method, `(methods, metrics)`; nan for none."""
        return self._by_method(lambda values: values.mean(axis=1))

    def deviations(self) -> NDArray[np.float64]:
        """Return the standard deviations (n - 1), `(methods, metrics)`; nan for a single image."""
        return self._by_method(
            lambda values: (
                values.std(axis=1, ddof=1) if values.shape[1] > 1 else np.full(len(values), np.nan)
            )
        )

    @cached_property
    def outside(self) -> list[float]:
        """The share of values outside 0..255 before the range policy, mean over the images.

        One for each method, in percent; nan for files.
        """
        shares = [row[np.isfinite(row)] for row in self._outside]
        return [100 * float(row.mean()) if row.size else math.nan for row in shares]

    def ranks(self) -> NDArray[np.float64]:
        """Return the mean ranks, `(methods, metrics)`: 1 is the best, ties share their ranks.

        nan for metrics without a direction, and for methods that lack a value: they are ranked
        nowhere, and do not change the ranks of the others.
        """
        from scipy.stats import rankdata

        ranks = np.full(self.complete.shape, np.nan)
        for number, metric in enumerate(self.metrics):
            ranked = self.complete[:, number]
            if metric.direction and self.counts[number] and ranked.any():
                column = self.column(number)
                values = -metric.direction * (column if ranked.all() else column[ranked])
                ranks[ranked, number] = rankdata(values, axis=0).mean(axis=1)
        return ranks

    def _by_method(
        self, reduce: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Apply a function of values `(methods, samples)`, nan if missing, to each metric.

        Methods that lack values are reduced again without the images that they lack.
        """
        reduced = np.full(self.complete.shape, np.nan)
        for number in range(len(self.metrics)):
            column = self.column(number)
            if self.counts[number]:
                reduced[:, number] = reduce(column)
            for row in np.flatnonzero(~self.complete[:, number]):
                values = column[row : row + 1, np.isfinite(column[row])]
                if values.size:
                    reduced[row, number] = reduce(values)[0]
        return reduced


def json_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON can hold them: null instead of nan and infinity."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
