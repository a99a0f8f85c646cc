"""Compute under the defaults of torch, whatever the host program has set.

A host may have an autocast open, another default dtype or default device, or inference mode. None
of these may change a result, or leave traces in weights and kernels that are kept for later calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock, local

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


@contextmanager
def one_thread_each() -> Iterator[int]:
    """Run every operation of torch on one thread, for the length of the block.

    Threads inside an operation wait for each other at its end: on a machine that does other work
    they wait for whoever is not scheduled, and a sum depends on how many there are. What is
    independent, such as tiles, is computed by several threads instead, each in such a block.

    Yields:
        How many threads torch may use here: as many as its own number of threads says.
    """
    with _threads.one_each() as count:
        yield count


def threads_at_once() -> int:
    """Return how many threads compute at the same time: those inside operations, or the blocks."""
    return _threads.at_once()


class _Threads:
    """The number of threads of torch, which a new thread takes over from whoever set it last."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._blocks = 0
        self._of_host = 1
        self._here = local()

    def at_once(self) -> int:
        with self._lock:
            return self._of_host if self._blocks else torch.get_num_threads()

    @contextmanager
    def one_each(self) -> Iterator[int]:
        if getattr(self._here, "inside", False):  # a worker of another block, or a block in a block
            yield 1
            return
        with self._lock:
            # asking comes first: a new thread takes over the number of others when it asks
            count = torch.get_num_threads()
            if self._blocks == 0:
                self._of_host = count
            count = self._of_host
            self._blocks += 1
            torch.set_num_threads(1)
        self._here.inside = True
        try:
            yield count
        finally:
            self._here.inside = False
            with self._lock:
                self._blocks -= 1
                torch.set_num_threads(count)


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
_threads = _Threads()
