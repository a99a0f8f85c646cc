"""Full float32 on CUDA, for the length of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def convolutions(device: torch.device, *, allow_tf32: bool) -> Iterator[None]:
    """Compute CUDA convolutions repeatably, and in TF32 only if asked to.

    TF32 rounds inputs to 10 bits, and torch takes it for convolutions by itself (for matrix
    products only when told to). The switches belong to the whole process: they are set for the
    length of the block and put back, and blocks in several threads would see each other's.
    """
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    # torch 2.9 replaced allow_tf32, and refuses to read it once the new switch has been used
    conv = getattr(cudnn, "conv", None)
    wanted: list[tuple[Any, str, object]] = [
        (cudnn, "benchmark", False),
        (cudnn, "deterministic", True),
        (conv, "fp32_precision", "tf32" if allow_tf32 else "ieee")
        if conv
        else (cudnn, "allow_tf32", allow_tf32),
    ]
    before = [(place, name, getattr(place, name)) for place, name, _ in wanted]
    try:
        for place, name, setting in wanted:
            setattr(place, name, setting)
        yield
    finally:
        for place, name, setting in before:
            setattr(place, name, setting)
