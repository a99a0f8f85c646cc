"""How long a fusion takes, and its network alone, by variant and precision; where the time goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from part import Part, reported
from torch import Tensor
from variants import EAGER, build

from fusionlab.bench.machine import describe_machine
from fusionlab.bench.macs import MACsPerPixel
from fusionlab.bench.throughput import peak_throughput
from fusionlab.engine.precision import Precision, convolutions
from fusionlab.fusion import Fusion

PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16", "fp16")
BATCH = 16
KERNELS = 15
"""So many kernels are listed, those that take the longest."""


def measure(part: Part) -> None:
    """Measure the variants that compile nothing."""
    part.keep(machine=describe_machine(part.device))
    throughputs: dict[str, Any] = {}
    for precision in PRECISIONS[:1] if part.toy else PRECISIONS:
        with reported(throughputs, precision):
            throughputs[precision] = peak_throughput(part.device, precision).macs_per_second
        part.keep(peak_macs_per_second=throughputs)
    compare(part, EAGER)
    profiled: dict[str, Any] = {}
    for precision in ("fp32", "bf16"):
        with reported(profiled, precision):
            profiled[precision] = kernels(part, precision)
        part.keep(kernels=profiled)


def compare(part: Part, variants: tuple[str, ...]) -> None:
    """Measure variants in every precision, and how far they are from `eager` in fp32."""
    width, height, pairs = (64, 48, 2) if part.toy else (640, 480, BATCH)
    images = part.sources(width, height)
    tensors = [torch.from_numpy(image).to(part.device) for image in images]
    exact = build("eager", "fp32", part.device, range_policy=None)(images)
    macs = MACsPerPixel.of(build("eager", "fp32", part.device).backbone, part.device)
    part.keep(
        size=[width, height],
        batch=pairs,
        macs=width * height * (2 * macs.encode + macs.decode),
    )

    def row(name: str) -> dict[str, Any]:
        variant, _, precision = name.partition(":")
        fusion = build(variant, precision, part.device)
        raw = build(variant, precision, part.device, range_policy=None)
        difference = abs(raw(images) - exact) * 255
        batch = torch.stack([torch.stack(tensors)] * pairs, 1).unsqueeze(2).float() / 255
        works: dict[str, Callable[[], object]] = {
            "from arrays to an array": lambda: fusion(images),
            "on the device": lambda: fusion(tensors),
            "network alone": network(raw, tensors),
            "a batch on the device": lambda: fusion.fuse_planes(batch),
        }
        return {
            **part.timed(works),
            "largest difference": float(difference.max()),
            "mean difference": float(difference.mean()),
            "peak bytes": part.peak(works["on the device"]),
        }

    names = [f"{variant}:{precision}" for precision in PRECISIONS for variant in variants]
    part.rows("variants", names, row)


def network(fusion: Fusion, tensors: list[Tensor]) -> Callable[[], None]:
    """Return what only encodes the sources and decodes the features of the first."""
    from fusionlab.backbone import WHOLE

    engine = fusion._engine  # noqa: SLF001  # what is measured
    planes = torch.stack(tensors).unsqueeze(1).float() / 255

    def run() -> None:
        with convolutions(fusion.device, allow_tf32=fusion.precision == "tf32"):
            features = engine.encode(planes, WHOLE)
            engine.decode(tuple(maps[:1] for maps in features), WHOLE)

    return run


def kernels(part: Part, precision: Precision) -> dict[str, Any]:
    """Return which kernels a fusion spends its time in, from tensors to a tensor on the device."""
    from torch.profiler import ProfilerActivity, profile

    width, height = part.figures["size"]
    fusion = build("eager", precision, part.device)
    tensors = [torch.from_numpy(image).to(part.device) for image in part.sources(width, height)]
    fusion(tensors)
    cuda = part.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as profiler:
        fusion(tensors)
        if cuda:
            torch.cuda.synchronize(part.device)
    spent = "self_device_time_total" if cuda else "self_cpu_time_total"
    events = [event for event in profiler.key_averages() if getattr(event, spent) > 0]
    events.sort(key=lambda event: -getattr(event, spent))
    return {
        "microseconds": sum(getattr(event, spent) for event in events),
        "calls": sum(event.count for event in events),
        "longest": [
            {"name": e.key[:120], "calls": e.count, "microseconds": getattr(e, spent)}
            for e in events[:KERNELS]
        ],
    }
