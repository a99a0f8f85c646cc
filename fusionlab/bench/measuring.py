"""Measure cases: memory, then time, between two measurements of the peak throughput."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from fusionlab.bench.cases import Case
from fusionlab.bench.macs import MACsPerPixel
from fusionlab.bench.memory import peak_on_cpu
from fusionlab.bench.streams import StreamTimings, time_stream
from fusionlab.bench.throughput import PeakThroughput, peak_throughput
from fusionlab.bench.timing import TimingBudget, Timings, time_in_turns
from fusionlab.errors import FusionlabError
from fusionlab.plugins.failures import translated
from fusionlab.plugins.registry import Plugins

END_TO_END, ON_DEVICE = "from array to array", "on the device"


@dataclass(frozen=True)
class Row:
    """The figures of a case."""

    case: Case
    method: str
    """The full name, with all parameters."""
    times: Timings
    """From arrays in memory to an array in memory."""
    on_device: Timings | None
    """From tensors on the device to a tensor there; None on CPUs, where it is the same."""
    macs: int
    """MACs of the backbone; see `MACsPerPixel`."""
    throughputs: tuple[PeakThroughput, ...]
    """Peak throughput of the device just before and just after; empty if there are no MACs."""
    peak: int | None
    """Bytes of memory: on CUDA all that the fusion allocates there, on CPUs see `peak_on_cpu`."""
    engine: str = ""
    """The name of the engine; where the case says `auto`, the chosen one."""
    stream: StreamTimings | None = None
    """Of a stream of frames; None: it was not measured."""

    @property
    def images_per_second(self) -> float:
        """Fused images per second."""
        return 1 / self.times.median

    @property
    def megapixels_per_second(self) -> float:
        """Megapixels of the result per second."""
        return self.case.width * self.case.height / 1e6 / self.times.median

    @property
    def peak_macs_per_second(self) -> float | None:
        """Median of the measured peak throughputs."""
        if not self.throughputs:
            return None
        return float(np.median([throughput.macs_per_second for throughput in self.throughputs]))

    @property
    def share(self) -> float | None:
        """MACs of the backbone per second, as a share of the peak throughput.

        The seconds are those of the whole fusion; on CUDA those from tensors to a tensor on the
        device.
        """
        seconds = (self.on_device or self.times).median
        peak = self.peak_macs_per_second
        return self.macs / seconds / peak if peak else None


@dataclass(frozen=True)
class Refusal:
    """A case that cannot be run, and why."""

    case: Case
    problem: str


@dataclass(frozen=True)
class Bench:
    """Where and how cases are measured.

    Args:
        device: the device.
        plugins: who offers backbones and strategies.
        blocked: the plugins that are left out.
        budget: how often and how long to time.
        memory: also measure the memory.
        frames: also measure a stream of so many frames; 0: do not.
    """

    device: torch.device
    plugins: Plugins
    blocked: Sequence[str] = ()
    budget: TimingBudget = field(default_factory=TimingBudget)
    memory: bool = True
    frames: int = 0

    def run(self, cases: Sequence[Case]) -> Iterator[Row | Refusal]:
        """Measure one case after the other; one that cannot be run becomes a `Refusal`."""
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
        functions: dict[str, Callable[[], object]] = {END_TO_END: lambda: fusion(images)}
        if cuda:
            tensors = case.tensors(self.device)
            functions[ON_DEVICE] = lambda: fusion(tensors)
        macs = MACsPerPixel.of(fusion.backbone, self.device).total(case)
        with translated("the measurement", "not-measured"):
            if self.memory and not cuda:  # first: a lack of memory then kills another process
                known = replace(case, engine=fusion.engine)  # so that it does not choose again
                peak = peak_on_cpu(known, torch.get_num_threads(), self.blocked)
            throughputs = [peak_throughput(self.device, case.precision)] if macs else []
            if cuda:
                torch.cuda.reset_peak_memory_stats(self.device)
            times = time_in_turns(functions, self.device, self.budget)
            if self.memory and cuda:
                peak = torch.cuda.max_memory_allocated(self.device) - before
            throughputs += [peak_throughput(self.device, case.precision)] if macs else []
            stream = time_stream(fusion, case, self.plugins, self.frames) if self.frames else None
        return Row(
            case,
            fusion.method,
            times[END_TO_END],
            times.get(ON_DEVICE),
            macs,
            tuple(throughputs),
            peak,
            fusion.engine,
            stream,
        )
