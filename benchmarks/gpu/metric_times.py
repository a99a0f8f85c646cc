"""Metrics on batches of sixteen: seconds an image, and differences from the CPU; a histogram."""

from __future__ import annotations

from typing import Any

import torch
from part import Part
from torch import Tensor

from fusionlab import histograms
from fusionlab.bench.machine import describe_machine
from fusionlab.evaluation.metric import Metric
from fusionlab.plugins.host import installed

BATCH = 16


def measure(part: Part) -> None:
    """Measure each metric in its default convention."""
    plugins = installed()
    width, height, batch = (64, 64, 2) if part.toy else (640, 480, BATCH)
    part.keep(machine=describe_machine(part.device), size=[width, height], batch=batch)
    part.keep(histogram=histogram(part, batch * width * height))
    names = [registration.ref.name for registration in plugins.metrics.registrations]

    def row(name: str) -> dict[str, Any]:
        metric = Metric.find(name, plugins)
        edge = metric.ref.min_size
        pair = images(max(height, edge), max(width, edge), batch)
        if metric.ref.color:
            pair = tuple(gray.unsqueeze(-3).expand(*gray.shape[:-2], 3, -1, -1) for gray in pair)
        on_device = tuple(tensor.to(part.device) for tensor in pair)
        timings = part.timed({"batch": lambda: metric(*on_device)}, seconds=0)["batch"]
        one = [pair[0][:1], pair[1][:, :1]]
        expected, found = metric(*one), metric(*on_device)[:1].cpu()
        scale = expected.abs().clamp(min=1e-30)
        return {
            "seconds an image": timings["median"] / batch,
            "relative difference from the CPU": float(((found - expected).abs() / scale).max()),
        }

    part.rows("metrics", names[:6] if part.toy else names, row)


def histogram(part: Part, pixels: int) -> dict[str, Any]:
    """Compare `torch.bincount`, which waits for the device, with `fusionlab.histograms`."""
    levels = torch.randint(0, 256, (1, pixels), device=part.device)
    return part.timed(
        {
            "torch.bincount": lambda: torch.bincount(levels[0], minlength=256),
            "fusionlab.histograms": lambda: histograms(levels, 256),
        }
    )


def images(height: int, width: int, batch: int) -> tuple[Tensor, ...]:
    """Return fused images and their sources in gray levels: waves, a step and noise."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    noise = torch.randn(2, batch, height, width, generator=generator)
    waves = torch.stack([(20 * x).sin() + (9 * y).cos(), (13 * x + 17 * y).sin()])[:, None]
    sources = (110 + 40 * waves + 50 * (x > y) + 6 * noise).clamp(0, 255).round()
    return sources.mean(dim=0).round(), sources
