"""Time calls: several in turns, with a budget, as medians and quartiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch


@dataclass(frozen=True)
class TimingBudget:
    """How often and how long to time a call, each at least."""

    rounds: int = 5
    seconds: float = 2.0


@dataclass(frozen=True)
class Timings:
    """The durations of repeated calls, in seconds."""

    first: float
    """Duration of the very first call, which is not among the others: it may compile."""
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the durations."""
        return float(np.median(self.seconds))

    @property
    def spread(self) -> float:
        """Interquartile range of the durations."""
        low, high = np.quantile(self.seconds, (0.25, 0.75))
        return float(high - low)


def seconds_of(function: Callable[[], object], device: torch.device) -> float:
    """Time one call; on CUDA from an idle device to an idle device."""
    _synchronize(device)
    start = perf_counter()
    function()
    _synchronize(device)
    return perf_counter() - start


def time_in_turns(
    functions: Mapping[str, Callable[[], object]], device: torch.device, budget: TimingBudget
) -> dict[str, Timings]:
    """Time several functions in turns, so that other load on the machine affects all of them.

    Args:
        functions: name -> function to call.
        device: where they compute.
        budget: for each of them.

    Returns:
        name -> its timings.
    """
    first = {name: seconds_of(function, device) for name, function in functions.items()}
    if device.type == "cuda":  # the second call records CUDA graphs
        for function in functions.values():
            seconds_of(function, device)
    times: dict[str, list[float]] = {name: [] for name in functions}
    start, rounds = perf_counter(), 0
    while rounds < budget.rounds or perf_counter() - start < budget.seconds * len(functions):
        for name, function in functions.items():
            times[name].append(seconds_of(function, device))
        rounds += 1
    return {name: Timings(first[name], tuple(seconds)) for name, seconds in times.items()}


def _synchronize(device: torch.device) -> None:
    """Wait until the device is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
