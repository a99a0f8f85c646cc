"""The scores of a sequence: the values of its frames, and their summary."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import isnan, nan
from typing import NamedTuple

import numpy as np

from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.temporal_metric import TemporalMetric

AnyMetric = Metric | TemporalMetric


@dataclass(frozen=True)
class FrameScores:
    """The values of one frame of a result."""

    number: int
    """Counted from 0."""
    name: str
    time: Fraction | None
    """Seconds since the first frame; None: unknown."""
    values: dict[str, float]
    """Name of the metric -> value; nan where a metric is not defined, and of a metric over time
    where a neighbor that it needs is missing."""
    problem: str = ""
    """Why values are missing, a sentence."""


class Summary(NamedTuple):
    """The values of one metric over a sequence."""

    mean: float
    minimum: float
    maximum: float
    at_minimum: int
    """The number of the first frame that has it; -1: no frame has a value."""
    at_maximum: int
    frames: int
    """How many frames have a value."""


@dataclass(frozen=True)
class SequenceScores:
    """The values of all frames of a result."""

    metrics: tuple[AnyMetric, ...]
    frames: tuple[FrameScores, ...]
    notes: tuple[str, ...] = ()
    """What the user should know, such as frames that are left over."""

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each frame that lacks values."""
        return tuple(
            f"frame {frame.number} ({frame.name}): {frame.problem}"
            for frame in self.frames
            if frame.problem
        )

    def values(self, name: str) -> list[float]:
        """Return the values of a metric, one for each frame, nan where there is none."""
        return [frame.values.get(name, nan) for frame in self.frames]

    def summary(self, name: str) -> Summary:
        """Return mean, minimum and maximum of a metric over the frames that have a value.

        Infinite values count, as that of PSNR for equal images does.
        """
        pairs = [(v, f.number) for v, f in zip(self.values(name), self.frames, strict=True)]
        known = [(value, number) for value, number in pairs if not isnan(value)]
        if not known:
            return Summary(nan, nan, nan, -1, -1, 0)
        low = min(known, key=lambda pair: pair[0])
        high = max(known, key=lambda pair: pair[0])
        mean = float(np.mean([value for value, _ in known]))
        return Summary(mean, low[0], high[0], low[1], high[1], len(known))
