"""The matrix rate of a device: how many multiply-adds its matrix products reach, here and now.

A convolution is a sum of products, as a matrix product is, and for large square matrices a library
comes near to what a processor can do at all. Measured beside a fusion, on the same machine in the
same minute, it says how much of the device the fusion uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fusionlab.bench.timing import seconds_of
from fusionlab.engine.precision import DTYPES, Precision, products

EDGES = tuple(2**n for n in range(8, 14))
"""Of the matrices that are tried: larger ones reach more, until they take long enough."""
LONG_ENOUGH = 0.01
"""Seconds of a product; starting it takes some 0.00001."""
ROUNDS = 9


@dataclass(frozen=True)
class Rate:
    """What products of square matrices reached."""

    edge: int
    """Rows and columns of the matrices."""
    per_second: float
    """Multiply-adds."""


def matrix_rate(device: torch.device, precision: Precision) -> Rate:
    """Measure the rate in a precision: the median of several products, after one for each size."""
    with products(device, allow_tf32=precision == "tf32"):
        for edge in EDGES:
            left, right = (
                torch.randn(edge, edge, device=device).to(DTYPES[precision]) for _ in range(2)
            )
            result = torch.empty_like(left)

            def multiply(one: torch.Tensor = left, other: torch.Tensor = right) -> None:
                torch.mm(one, other, out=result)  # noqa: B023  # called before the next one

            multiply()  # the first call chooses a kernel
            if seconds_of(multiply, device) >= LONG_ENOUGH:
                break
        times = [seconds_of(multiply, device) for _ in range(ROUNDS)]
    return Rate(edge, edge**3 / float(np.median(times)))
