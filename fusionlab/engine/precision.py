"""Numerical precision of the backbone.

* `fp32`: float32, the default;
* `tf32`: float32, but CUDA rounds the factors of products to 10 bits;
* `bf16`: bfloat16, 8 bits and the range of float32: twice as fast where the processor supports it;
* `fp16`: float16, 11 bits, up to 65504.

docs/speed.md has the measured errors of each. Images are scaled, and activities summed, in float32
in any case.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch

from fusionlab.errors import FusionlabError

Precision = Literal["fp32", "tf32", "bf16", "fp16"]

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
"""Precision -> the dtype of weights and features."""


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise `FusionlabError` unless a device supports a precision."""
    if precision not in get_args(Precision):
        names = ", ".join(get_args(Precision))
        raise FusionlabError(f"the precision must be one of {names}, got {precision!r}")
    if precision == "tf32" and device.type != "cuda":
        raise FusionlabError(
            f"tf32 is a precision of CUDA, got the device {device}; choose fp32 or bf16"
        )


@contextmanager
def convolutions(device: torch.device, *, allow_tf32: bool) -> Iterator[None]:
    """Make CUDA convolutions deterministic, and allow TF32 for them only if requested.

    TF32 rounds inputs to 10 bits. By default, torch uses it for convolutions but not for matrix
    products. The switches belong to the process: they are set inside the block and restored after
    it, and blocks in several threads see each other's settings.
    """
    cudnn = torch.backends.cudnn
    switches = [(cudnn, "benchmark", False), (cudnn, "deterministic", True)]
    # torch 2.9 replaced allow_tf32, and refuses to read it once the new switch has been used
    conv = getattr(cudnn, "conv", None)
    with _switched(device, [*switches, _tf32(conv, cudnn, allow_tf32=allow_tf32)]):
        yield


@contextmanager
def products(device: torch.device, *, allow_tf32: bool) -> Iterator[None]:
    """Compute CUDA products of matrices in TF32 only if asked to, likewise."""
    matmul = torch.backends.cuda.matmul
    new = matmul if hasattr(matmul, "fp32_precision") else None
    with _switched(device, [_tf32(new, matmul, allow_tf32=allow_tf32)]):
        yield


def _tf32(new: Any, old: Any, *, allow_tf32: bool) -> tuple[Any, str, object]:
    """Return the switch of TF32, in this torch, and its setting."""
    if new is None:
        return old, "allow_tf32", allow_tf32
    return new, "fp32_precision", "tf32" if allow_tf32 else "ieee"


@contextmanager
def _switched(device: torch.device, switches: list[tuple[Any, str, object]]) -> Iterator[None]:
    """Set switches of CUDA for the length of the block."""
    if device.type != "cuda":
        yield
        return
    before = [(place, name, getattr(place, name)) for place, name, _ in switches]
    try:
        for place, name, setting in switches:
            setattr(place, name, setting)
        yield
    finally:
        for place, name, setting in before:
            setattr(place, name, setting)
