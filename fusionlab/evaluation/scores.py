"""The values behind a table: of every method, for every sample, by every metric.

A mean compares methods only over the same images. An image for which one method has no value
(it could not be read, or the metric is undefined there) is therefore left out of the means of all
methods, and the tables count it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
        method_index = {label: number for number, label in enumerate(self.methods)}
        sample_index = {name: number for number, name in enumerate(self.samples)}
        for row in rows:
            values = [row.values.get(metric.name, np.nan) for metric in metrics]
            self.values[method_index[row.method], sample_index[row.sample]] = values

    @cached_property
    def complete(self) -> NDArray[np.bool_]:
        """Whether every method has a value for a sample, `(samples, metrics)`."""
        complete: NDArray[np.bool_] = np.isfinite(self.values).all(axis=0)
        return complete

    @cached_property
    def counts(self) -> list[int]:
        """The number of images of each metric's means."""
        return [int(count) for count in self.complete.sum(axis=0)]

    def column(self, metric: int) -> NDArray[np.float64]:
        """Return the values `(methods, samples)` of one metric, of the samples that count."""
        values: NDArray[np.float64] = self.values[:, self.complete[:, metric], metric]
        return values

    def means(self) -> NDArray[np.float64]:
        """Return the means over the images, `(methods, metrics)`; nan where none counts."""
        return self._by_metric(lambda values, _: values.mean(axis=1))

    def deviations(self) -> NDArray[np.float64]:
        """Return the standard deviations (n - 1), `(methods, metrics)`; nan for a single image."""
        return self._by_metric(
            lambda values, _: values.std(axis=1, ddof=1) if values.shape[1] > 1 else np.nan
        )

    def ranks(self) -> NDArray[np.float64]:
        """Return the mean ranks, `(methods, metrics)`: 1 is the best, ties share their ranks.

        nan for metrics without a direction.
        """
        from scipy.stats import rankdata

        return self._by_metric(
            lambda values, direction: (
                rankdata(-direction * values, axis=0).mean(axis=1) if direction else np.nan
            )
        )

    def _by_metric(self, reduce: Callable[[NDArray[np.float64], int], Any]) -> NDArray[np.float64]:
        """Apply a function of a column and its direction to every metric that has values."""
        reduced = np.full((len(self.methods), len(self.metrics)), np.nan)
        for number, metric in enumerate(self.metrics):
            if self.counts[number]:
                reduced[:, number] = reduce(self.column(number), metric.direction)
        return reduced


def json_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON can hold them: null instead of nan and infinity."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
