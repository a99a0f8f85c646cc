"""Peak throughput of a device: the MACs per second of its matrix products.

A convolution is a sum of products like a matrix product, and with large square matrices a library
comes close to the limit of a processor. Measured next to a fusion, on the same machine in the same
minute, it shows how much of the device the fusion uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fusionlab.bench.timing import seconds_of
from fusionlab.engine.precision import DTYPES, Precision, products

EDGES = tuple(2**n for n in range(8, 14))
"""Edges of the matrices to try; throughput grows with them until a product takes long enough."""
MIN_SECONDS = 0.01
"""When a product takes long enough; starting it takes some 0.00001 seconds."""
ROUNDS = 9


@dataclass(frozen=True)
class PeakThroughput:
    """The throughput of the products of square matrices."""

    edge: int
    """Rows and columns of the matrices."""
    macs_per_second: float


def peak_throughput(device: torch.device, precision: Precision) -> PeakThroughput:
    """Measure the throughput in a precision: the median of several products, after a warm-up."""
    with products(device, allow_tf32=precision == "tf32"):
        for edge in EDGES:
            left, right = (
                torch.randn(edge, edge, device=device).to(DTYPES[precision]) for _ in range(2)
            )
            result = torch.empty_like(left)

            def multiply(a: torch.Tensor = left, b: torch.Tensor = right) -> None:
                torch.mm(a, b, out=result)  # noqa: B023  # called within this iteration

            multiply()  # the first call chooses a kernel
            if seconds_of(multiply, device) >= MIN_SECONDS:
                break
        times = [seconds_of(multiply, device) for _ in range(ROUNDS)]
    return PeakThroughput(edge, edge**3 / float(np.median(times)))
