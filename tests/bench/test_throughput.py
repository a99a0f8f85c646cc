"""The peak throughput of a device."""

import pytest
import torch

from fusionlab.bench import throughput
from fusionlab.bench.throughput import peak_throughput
from fusionlab.engine.precision import products

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_it_is_that_of_square_matrices_in_the_precision(monkeypatch, precision, dtype):
    seen = set()
    monkeypatch.setattr(throughput, "seconds_of", lambda work, _: work() or 0.02)
    monkeypatch.setattr(
        torch, "mm", lambda a, b, out: seen.update((x.dtype, x.shape) for x in (a, b))
    )
    peak = peak_throughput(CPU, precision)
    assert seen == {(dtype, (256, 256))}
    assert peak.macs_per_second == pytest.approx(256**3 / 0.02)


def test_matrices_grow_until_a_product_takes_long_enough(monkeypatch):
    """Of an edge of 1024 it takes 16 ms here, of 512 only 2."""
    edges = []
    monkeypatch.setattr(torch, "mm", lambda a, b, out: edges.append(len(a)))
    monkeypatch.setattr(
        throughput, "seconds_of", lambda work, _: work() or edges[-1] ** 3 / 2**26 / 1e3
    )
    peak = peak_throughput(CPU, "fp32")
    assert peak.edge == 1024
    assert peak.macs_per_second == pytest.approx(2**26 * 1e3)


def test_one_slow_product_does_not_count(monkeypatch):
    times = iter([0.02, *[0.01] * 5, *[9.0] * 4])
    monkeypatch.setattr(throughput, "seconds_of", lambda *_: next(times))
    assert peak_throughput(CPU, "fp32").macs_per_second == pytest.approx(256**3 / 0.01)


def test_the_largest_matrices_do_where_none_takes_long_enough(monkeypatch):
    monkeypatch.setattr(throughput, "EDGES", (8, 16))
    monkeypatch.setattr(throughput, "seconds_of", lambda work, _: 1e-4)
    assert peak_throughput(CPU, "fp32").edge == 16


@pytest.mark.parametrize("allow", [True, False])
def test_tf32_is_switched_for_the_products_alone_and_put_back(allow):
    matmul = torch.backends.cuda.matmul
    name = "fp32_precision" if hasattr(matmul, "fp32_precision") else "allow_tf32"
    before = getattr(matmul, name)
    with products(torch.device("cuda"), allow_tf32=allow):
        inside = getattr(matmul, name)
    assert inside in ({"tf32", True} if allow else {"ieee", False})
    assert getattr(matmul, name) == before
    with products(CPU, allow_tf32=allow):
        assert getattr(matmul, name) == before
