"""How long calls take: what a clock shows, when to stop, and how certain it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch


@dataclass(frozen=True)
class TimingBudget:
    """When enough has been measured: after so many rounds, and no sooner than so many seconds."""

    rounds: int = 5
    seconds: float = 2.0


@dataclass(frozen=True)
class Samples:
    """The seconds of one call, again and again."""

    first: float
    """Of the very first call, which is not among the others: it may compile."""
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """What half of the calls stay below."""
        return float(np.median(self.seconds))

    @property
    def spread(self) -> float:
        """The seconds between the first and the third quartile: half of the calls lie there."""
        low, high = np.quantile(self.seconds, (0.25, 0.75))
        return float(high - low)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Time one call; on CUDA from an idle device to an idle device."""
    _finish(device)
    started = perf_counter()
    work()
    _finish(device)
    return perf_counter() - started


def alternate(
    works: Mapping[str, Callable[[], object]], device: torch.device, budget: TimingBudget
) -> dict[str, Samples]:
    """Time several calls in turns, so that whatever else the machine does meets them all.

    Args:
        works: name -> what to call.
        device: where they compute.
        budget: for each of them.
    """
    first = {name: seconds_of(work, device) for name, work in works.items()}
    if device.type == "cuda":  # compiled graphs are recorded by the second call
        for work in works.values():
            seconds_of(work, device)
    times: dict[str, list[float]] = {name: [] for name in works}
    started, rounds = perf_counter(), 0
    while rounds < budget.rounds or perf_counter() - started < budget.seconds * len(works):
        for name, work in works.items():
            times[name].append(seconds_of(work, device))
        rounds += 1
    return {name: Samples(first[name], tuple(found)) for name, found in times.items()}


def _finish(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
