"""What a table is made of: the values of every method, for every image, by every metric.

A mean only compares methods over the same images. An image that one method has no value for
(it could not be read, the metric is undefined there) is therefore left out of the means of all
methods, and counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionlab.evaluation.measures import Measure


@dataclass(frozen=True)
class Outcome:
    """The values of one method for one image; nan where a metric is undefined."""

    stem: str
    method: str
    values: Mapping[str, float]
    problem: str = ""
    """Why there are none, or not all, a sentence; else empty."""
    reused: bool = False
    """Whether they come from an earlier run."""


class Scores:
    """The values of an evaluation, as an array methods x images x metrics.

    Args:
        methods: the labels of the rows.
        stems: the images.
        measures: the columns.
        outcomes: in any order; what is missing is nan.
    """

    def __init__(
        self,
        methods: Sequence[str],
        stems: Sequence[str],
        measures: Sequence[Measure],
        outcomes: Sequence[Outcome],
    ) -> None:
        self.methods, self.stems, self.measures = list(methods), list(stems), list(measures)
        self.values = np.full((len(methods), len(stems), len(measures)), np.nan)
        row = {label: number for number, label in enumerate(self.methods)}
        column = {stem: number for number, stem in enumerate(self.stems)}
        for outcome in outcomes:
            values = [outcome.values.get(measure.name, np.nan) for measure in measures]
            self.values[row[outcome.method], column[outcome.stem]] = values

    @cached_property
    def complete(self) -> NDArray[np.bool_]:
        """Which images have a value from every method, `(images, metrics)`."""
        found: NDArray[np.bool_] = np.isfinite(self.values).all(axis=0)
        return found

    @cached_property
    def used(self) -> list[int]:
        """How many images each mean is over."""
        return [int(count) for count in self.complete.sum(axis=0)]

    def column(self, metric: int) -> NDArray[np.float64]:
        """Return the values `(methods, images)` of one metric, of the images that count."""
        values: NDArray[np.float64] = self.values[:, self.complete[:, metric], metric]
        return values

    def means(self) -> NDArray[np.float64]:
        """Return the means over the images, `(methods, metrics)`; nan where none counts."""
        return self._by_metric(lambda values, _: values.mean(axis=1))

    def spreads(self) -> NDArray[np.float64]:
        """Return the standard deviations over the images (n - 1), likewise; nan for one image."""
        return self._by_metric(
            lambda values, _: values.std(axis=1, ddof=1) if values.shape[1] > 1 else np.nan
        )

    def ranks(self) -> NDArray[np.float64]:
        """Return the mean ranks over the images, likewise: 1 is the best, ties share their ranks.

        nan for metrics that know no better or worse.
        """
        from scipy.stats import rankdata

        return self._by_metric(
            lambda values, better: (
                rankdata(-better * values, axis=0).mean(axis=1) if better else np.nan
            )
        )

    def _by_metric(self, reduce: Callable[[NDArray[np.float64], int], Any]) -> NDArray[np.float64]:
        """Apply a function of a column and its direction to every metric that has values."""
        found = np.full((len(self.methods), len(self.measures)), np.nan)
        for number, measure in enumerate(self.measures):
            if self.used[number]:
                found[:, number] = reduce(self.column(number), direction_of(measure))
        return found


def direction_of(measure: Measure) -> int:
    """Return 1 if higher values of a metric are better, -1 if lower ones are, 0 if neither."""
    return {True: 1, False: -1, None: 0}[measure.ref.higher_is_better]


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON knows them: what is nan or infinite becomes null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
