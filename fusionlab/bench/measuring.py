"""Measure cases: memory, then time, between two measurements of the matrix rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from fusionlab.bench.cases import Case
from fusionlab.bench.memory import peak_on_cpu
from fusionlab.bench.rate import Rate, matrix_rate
from fusionlab.bench.timing import Samples, TimingBudget, alternate
from fusionlab.bench.work import Work
from fusionlab.errors import FusionlabError
from fusionlab.plugins.host import in_one_line
from fusionlab.plugins.registry import Plugins

WHOLE, INSIDE = "from array to array", "on the device"


@dataclass(frozen=True)
class Row:
    """What was found of a case."""

    case: Case
    method: str
    """The full name, with all parameters."""
    times: Samples
    """From arrays in memory to an array in memory."""
    on_device: Samples | None
    """From tensors on the device to a tensor there; None on CPUs, where it is the same."""
    multiply_adds: int
    """Of the backbone; see `Work`."""
    rates: tuple[Rate, ...]
    """Of the device, just before and just after; none where the backbone multiplies nothing."""
    peak: int | None
    """Bytes of memory: on CUDA of all that the fusion has there, on CPUs see `peak_on_cpu`."""

    @property
    def per_second(self) -> float:
        """Fused pictures."""
        return 1 / self.times.median

    @property
    def megapixels_per_second(self) -> float:
        """Of the result."""
        return self.case.width * self.case.height / 1e6 / self.times.median

    @property
    def rate(self) -> float | None:
        """Multiply-adds a second that the device reaches: the median of what was measured."""
        return float(np.median([one.per_second for one in self.rates])) if self.rates else None

    @property
    def share(self) -> float | None:
        """What the backbone's multiply-adds reach of that, over the whole time of the fusion.

        Where there are tensors on the device, over their time: it is the device that is judged.
        """
        seconds = (self.on_device or self.times).median
        return self.multiply_adds / seconds / self.rate if self.rate else None


@dataclass(frozen=True)
class Refusal:
    """A case that cannot be run, and why."""

    case: Case
    problem: str


@dataclass(frozen=True)
class Bench:
    """Where and how cases are measured.

    Args:
        device: on which device.
        plugins: who offers backbones and strategies.
        blocked: the plugins that are left out.
        budget: how long.
        memory: also measure the memory.
    """

    device: torch.device
    plugins: Plugins
    blocked: Sequence[str] = ()
    budget: TimingBudget = field(default_factory=TimingBudget)
    memory: bool = True

    def run(self, cases: Sequence[Case]) -> Iterator[Row | Refusal]:
        """Measure one case after the other; one that cannot be run costs only itself."""
        for case in cases:
            try:
                yield self.measure(case)
            except FusionlabError as error:
                yield Refusal(case, str(error))

    def measure(self, case: Case) -> Row:
        """Measure a case.

        Raises:
            FusionlabError: it cannot be run.
        """
        cuda = self.device.type == "cuda"
        before = torch.cuda.memory_allocated(self.device) if cuda else 0
        fusion = case.fusion(self.device, self.plugins)
        images, peak = case.images(), None
        works: dict[str, Callable[[], object]] = {WHOLE: lambda: fusion(images)}
        if cuda:
            tensors = case.tensors(self.device)
            works[INSIDE] = lambda: fusion(tensors)
        work = Work.of(fusion.backbone, self.device).total(case)
        with _one_sentence():
            if self.memory and not cuda:  # first: if it does not suffice, another process ends
                peak = peak_on_cpu(case, torch.get_num_threads(), self.blocked)
            rates = [matrix_rate(self.device, case.precision)] if work else []
            if cuda:
                torch.cuda.reset_peak_memory_stats(self.device)
            times = alternate(works, self.device, self.budget)
            if self.memory and cuda:
                peak = torch.cuda.max_memory_allocated(self.device) - before
            rates += [matrix_rate(self.device, case.precision)] if work else []
        return Row(case, fusion.method, times[WHOLE], times.get(INSIDE), work, tuple(rates), peak)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn what torch raises, out of memory or without a compiler, into a sentence."""
    try:
        yield
    except RuntimeError as error:
        raise FusionlabError(in_one_line(error)) from error
