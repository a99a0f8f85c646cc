"""Compute under the defaults of torch, whatever the host program has set.

A host may have an autocast open, another default dtype or default device, or inference mode. None
of these may change a result, or leave traces in weights and kernels that are kept for later calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock

import torch


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Compute in float32 on the CPU where nothing else is said, without autocast.

    Inside inference mode, the block computes without gradients instead. What the host has set is
    restored after the block. The default dtype belongs to the process: where the host changed it,
    other threads see float32 during the block.
    """
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():  # tensors made in it could never be used elsewhere
            stack.enter_context(torch.inference_mode(mode=False))
            stack.enter_context(torch.no_grad())
        for device_type in ("cpu", "cuda"):
            stack.enter_context(torch.autocast(device_type, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_default_dtype.float32())
        yield


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use this many threads for the length of the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _DefaultDtype:
    """The default dtype of the process: the first block sets it, the last one restores it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._blocks = 0
        self._of_host = torch.float32

    @contextmanager
    def float32(self) -> Iterator[None]:
        with self._lock:
            changes = self._blocks > 0 or torch.get_default_dtype() != torch.float32
            if changes:
                if self._blocks == 0:
                    self._of_host = torch.get_default_dtype()
                    torch.set_default_dtype(torch.float32)
                self._blocks += 1
        try:
            yield
        finally:
            if changes:
                with self._lock:
                    self._blocks -= 1
                    if self._blocks == 0:
                        torch.set_default_dtype(self._of_host)


_default_dtype = _DefaultDtype()
