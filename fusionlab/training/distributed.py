"""Training in several processes that `torchrun` has started, or in a single one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

from fusionlab.errors import FusionlabError

TIMEOUT = timedelta(hours=12)
"""How long the processes wait for the main process, which decodes the images."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train together, seen from one of them."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that validates, saves and reports."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        if self.world_size == 1:
            return flag
        flags = torch.tensor([int(flag)])
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags.item())

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes."""
        if self.world_size == 1:
            return values
        total = values.clone()
        distributed.all_reduce(total)
        return total / self.world_size

    def barrier(self) -> None:
        """Wait until all processes have reached this point."""
        if self.world_size > 1:
            distributed.barrier()


SINGLE_PROCESS = ProcessGroup()


@contextmanager
def process_group(device: torch.device) -> Iterator[tuple[ProcessGroup, torch.device]]:
    """Join the processes that `torchrun` has started, and yield the group and this one's device.

    Without `torchrun` there is a single process. With it, `cuda` means one device per process;
    gradients travel by NCCL on CUDA and by gloo elsewhere, the flags of `ProcessGroup` always by
    gloo.

    Raises:
        FusionlabError: the processes cannot connect to each other (code `process-group`).
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield SINGLE_PROCESS, device
        return
    try:
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(device)
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise FusionlabError(
            f"the training processes cannot connect to each other: {reason}; start them with "
            "torchrun, and on CUDA at most one per device",
            code="process-group",
        ) from error
    try:
        yield ProcessGroup(distributed.get_rank(), distributed.get_world_size()), device
    finally:
        distributed.destroy_process_group()
