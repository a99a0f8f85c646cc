"""Statistics of latencies in constant memory, for runs that last for days."""

from __future__ import annotations

import numpy as np

_STEP = 1.02
"""Ratio of the borders of a bin: a percentile is off by at most 1 %."""

_SHORTEST = 1e-4
"""Seconds; shorter latencies are in the first bin."""

_BINS = 1000
"""So that the last bin begins after more than ten hours."""


class Latencies:
    """Counts latencies in bins whose borders grow geometrically.

    `count`, `maximum` and the sum are exact; percentiles are the middle of a bin.
    """

    def __init__(self) -> None:
        self._bins = np.zeros(_BINS, np.int64)
        self.maximum = 0.0

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._bins.sum())

    def add(self, seconds: float) -> None:
        """Count a latency."""
        place = np.log(max(seconds, _SHORTEST) / _SHORTEST) / np.log(_STEP)
        self._bins[min(int(place), _BINS - 1)] += 1
        self.maximum = max(self.maximum, seconds)

    def percentile(self, percent: float) -> float:
        """Return the latency that so many percent do not exceed, in seconds; 0 if there is none."""
        if not self.count:
            return 0.0
        place = int(np.searchsorted(np.cumsum(self._bins), percent / 100 * self.count))
        middle = _SHORTEST * _STEP ** (place + 0.5)
        return float(min(middle, self.maximum))

    def describe(self) -> dict[str, float]:
        """Return median, 95th percentile and maximum in seconds, as JSON values."""
        values = {"median": self.percentile(50), "95%": self.percentile(95), "max": self.maximum}
        return {name: round(value, 4) for name, value in values.items()}
