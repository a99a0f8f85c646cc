"""Several processes that train together, as `torchrun` starts them; or a single one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

from fusionlab.errors import FusionlabError

PATIENCE = timedelta(hours=12)
"""How long they wait for the one that decodes the images."""


@dataclass(frozen=True)
class Processes:
    """The place of one process among those that train together."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that validates, saves, and speaks to the user."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Return whether the flag is up in any of them."""
        if self.world == 1:
            return flag
        flags = torch.tensor([int(flag)])
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags.item())

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over all of them."""
        if self.world == 1:
            return values
        total = values.clone()
        distributed.all_reduce(total)
        return total / self.world

    def wait(self) -> None:
        """Wait until all have come to this point."""
        if self.world > 1:
            distributed.barrier()


ALONE = Processes()


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[Processes, torch.device]]:
    """Join the processes that `torchrun` has started; give this one's place and device.

    Without `torchrun` the process is alone. With it, `cuda` means one device each; gradients
    travel by NCCL on CUDA and by gloo elsewhere, and the flags of `Processes` always by gloo.

    Raises:
        FusionlabError: the processes did not find each other.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield ALONE, device
        return
    try:
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(device)
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            timeout=PATIENCE,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise FusionlabError(
            f"the processes that train together did not find each other: {reason}; start them "
            "with torchrun, on CUDA no more of them than there are devices"
        ) from error
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size()), device
    finally:
        distributed.destroy_process_group()
