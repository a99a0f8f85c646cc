"""Numerical precision of the backbone.

* `fp32`: float32, the default;
* `tf32`: float32, but CUDA rounds the factors of products to 10 bits;
* `bf16`: bfloat16, 8 bits and the range of float32: twice as fast where the processor supports it;
* `fp16`: float16, 11 bits, up to 65504.

docs/speed.md has the measured errors of each. Images are scaled, and activities summed, in float32
in any case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Condition, get_ident
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
    products. The switches belong to the process: the first block sets them, the last one restores
    them, and a block with other settings waits for the end of those that run in other threads.

    Raises:
        FusionlabError: this thread runs a block with other settings (code `precision-conflict`).
    """
    cudnn = torch.backends.cudnn
    switches = [(cudnn, "benchmark", False), (cudnn, "deterministic", True)]
    # torch 2.9 replaced allow_tf32, and refuses to read it once the new switch has been used
    conv = getattr(cudnn, "conv", None)
    settings = [*switches, _tf32(conv, cudnn, allow_tf32=allow_tf32)]
    with _of_convolutions.set(settings) if device.type == "cuda" else nullcontext():
        yield


@contextmanager
def products(device: torch.device, *, allow_tf32: bool) -> Iterator[None]:
    """Compute CUDA products of matrices in TF32 only if asked to, likewise."""
    matmul = torch.backends.cuda.matmul
    new = matmul if hasattr(matmul, "fp32_precision") else None
    settings = [_tf32(new, matmul, allow_tf32=allow_tf32)]
    with _of_products.set(settings) if device.type == "cuda" else nullcontext():
        yield


_Setting = tuple[Any, str, object]
"""A place in `torch.backends`, the name of a switch there, and its setting."""


def _tf32(new: Any, old: Any, *, allow_tf32: bool) -> _Setting:
    """Return the switch of TF32, in this torch, and its setting."""
    if new is None:
        return old, "allow_tf32", allow_tf32
    return new, "fp32_precision", "tf32" if allow_tf32 else "ieee"


class _Switches:
    """Switches of the process: blocks with one setting run together, others one after the other."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._blocks: Counter[int] = Counter()
        """How many blocks each thread is in."""
        self._settings: list[_Setting] = []
        self._of_host: list[_Setting] = []

    @contextmanager
    def set(self, settings: list[_Setting]) -> Iterator[None]:
        """Set switches for the length of the block."""
        thread = get_ident()
        with self._changed:
            while self._blocks and self._settings != settings:
                if thread in self._blocks:  # it would wait for itself
                    raise FusionlabError(
                        "a fusion with another precision runs around this one, in the same thread; "
                        "give both the same precision, or run one after the other",
                        code="precision-conflict",
                        option="precision",
                    )
                self._changed.wait()
            if not self._blocks:
                self._of_host = [(place, name, getattr(place, name)) for place, name, _ in settings]
                self._settings = settings
                _write(settings)
            self._blocks[thread] += 1
        try:
            yield
        finally:
            with self._changed:
                self._blocks[thread] -= 1
                if not self._blocks[thread]:
                    del self._blocks[thread]
                if not self._blocks:
                    _write(self._of_host)
                    self._changed.notify_all()


def _write(settings: list[_Setting]) -> None:
    for place, name, setting in settings:
        setattr(place, name, setting)


_of_convolutions, _of_products = _Switches(), _Switches()
