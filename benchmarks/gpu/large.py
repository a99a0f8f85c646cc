"""A pair of 100 megapixels: seconds, and memory of the device and of the process."""

from __future__ import annotations

import resource
from typing import Any

from part import Part
from variants import build

from fusionlab.bench.machine import describe_machine

PRECISIONS = "bf16", "tf32", "fp32"


def measure(part: Part) -> None:
    """Measure whole calls, from arrays to an array."""
    edge = 300 if part.toy else 10_000
    part.keep(machine=describe_machine(part.device), edge=edge)
    images = part.sources(edge, edge)
    pixels = images[0].nbytes

    def row(precision: str) -> dict[str, Any]:
        fusion = build("eager", precision, part.device, range_policy="clip")
        fusion([image[:256, :256] for image in images])
        seconds = part.timed({"pair": lambda: fusion(images)}, seconds=0)["pair"]
        return {
            **seconds,
            "peak bytes": part.peak(lambda: fusion(images)),
            "peak of the process": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "megapixels a second": pixels / 1e6 / seconds["median"],
        }

    part.rows("precisions", PRECISIONS, row)
