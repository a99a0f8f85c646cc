"""Small images one by one and in batches: what it costs that each is a batch of its own on a GPU.

docs/decisions/0040-one-image-at-a-time-on-gpus.md says why they are.
"""

from __future__ import annotations

from typing import Any

import torch
from part import Part
from variants import build

from fusionlab.bench.machine import describe_machine

PAIRS = 32
SIZES = "64x64", "128x128", "256x256", "640x480"


def measure(part: Part) -> None:
    """Measure pairs a second, from tensors on the device to tensors there."""
    pairs = 4 if part.toy else PAIRS
    part.keep(machine=describe_machine(part.device), pairs=pairs)

    def row(name: str) -> dict[str, Any]:
        size, _, precision = name.partition(" ")
        width, height = map(int, size.split("x"))
        fusion = build("eager", precision, part.device)
        planes = torch.rand(2, pairs, 1, height, width, device=part.device)

        def one_by_one() -> None:
            for number in range(pairs):
                fusion.fuse_planes(planes[:, number : number + 1])

        works = {"one by one": one_by_one, "together": lambda: fusion.fuse_planes(planes)}
        timings = part.timed(works)  # type: ignore[arg-type]
        alone, _ = fusion.fuse_planes(planes[:, :1])
        difference = (fusion.fuse_planes(planes)[0][:1] - alone).abs().max()
        per_second = {how: pairs / t["median"] for how, t in timings.items()}
        return {
            "pairs a second": per_second,
            "times as fast together": per_second["together"] / per_second["one by one"],
            "largest difference": 255 * float(difference),
        }

    sizes = SIZES[:1] if part.toy else SIZES
    names = [f"{size} {precision}" for precision in ("fp32", "bf16") for size in sizes]
    part.rows("sizes", names, row)
