"""What makes the host wait for a GPU: strategies, metrics and tiles, counted by torch itself.

Confirms on a device what `tests/gpu/test_fake_device.py` finds without one: a fusion waits once,
and so does the check of the images of a metric. Results are compared with those of the CPU, too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from metric_times import images
from part import Part

from fusionlab.bench.machine import describe_machine
from fusionlab.evaluation.metric import Metric
from fusionlab.fusion import Fusion
from fusionlab.plugins.host import installed


def measure(part: Part) -> None:
    """Count for every strategy in two precisions, every metric, and a growing number of tiles."""
    part.keep(machine=describe_machine(part.device))
    plugins = installed()
    strategies = [registration.ref.name for registration in plugins.strategies.registrations]
    metrics = [registration.ref.name for registration in plugins.metrics.registrations]
    if part.toy:
        strategies, metrics = strategies[:3], metrics[:3]
    part.rows("tiles", ["1", "4", "16"], lambda count: tiles(part, int(count)))
    names = [f"{name} {precision}" for name in strategies for precision in ("fp32", "bf16")]
    part.rows("strategies", names, lambda name: strategy(part, name))
    part.rows("metrics", metrics, lambda name: metric(part, name))


def tiles(part: Part, count: int) -> dict[str, Any]:
    """Fuse an image of so many tiles, from main memory to main memory."""
    fusion = Fusion("densefuse", "l1norm", device=part.device, tile=64, range_policy="clip")
    sources = part.sources(64 * count, 64)
    fusion(sources)
    with counted(part) as waits:
        fusion(sources)
    return {"waits": waits()}


def strategy(part: Part, name: str) -> dict[str, Any]:
    """Fuse a pair of 64x64 on the device, and compare with the CPU."""
    name, _, precision = name.partition(" ")
    chosen: Any = precision
    on_cpu = Fusion(None, name, range_policy=None)
    fusion = Fusion(None, name, range_policy=None, device=part.device, precision=chosen)
    planes = torch.rand(2, 1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    on_device = planes.to(part.device)
    fused, _ = fusion.fuse_planes(on_device)
    with counted(part) as waits:
        fusion.fuse_planes(on_device)
    expected, _ = on_cpu.fuse_planes(planes)
    difference = (fused.detach().cpu() - expected.detach()).abs().max()
    return {"waits": waits(), "largest difference": 255 * float(difference)}


def metric(part: Part, name: str) -> dict[str, Any]:
    """Score a batch of two on the device."""
    metric = Metric.find(name, installed())
    edge = max(64, metric.ref.min_size)
    pair = images(edge, edge, 2)
    if metric.ref.color:
        pair = tuple(gray.unsqueeze(-3).expand(*gray.shape[:-2], 3, -1, -1) for gray in pair)
    on_device = [tensor.to(part.device) for tensor in pair]
    metric(*on_device)
    with counted(part) as waits:
        metric(*on_device)
    return {"waits": waits()}


@contextmanager
def counted(part: Part) -> Iterator[Callable[[], int | None]]:
    """Count how often torch waits for the device in the block; None on a CPU."""
    if part.device.type != "cuda":
        yield lambda: None
        return
    torch.cuda.synchronize(part.device)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield lambda: sum("synchronizing CUDA operation" in str(w.message) for w in caught)
        finally:
            torch.cuda.set_sync_debug_mode("default")
