"""Copy between main memory and a GPU without waiting for it.

A copy from or to pageable memory first waits until the GPU has computed all that was queued. From
page-locked memory the GPU fetches what it needs when its turn comes, while the next tile is cut,
and it stores a band while the next one is computed. On a CPU nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; from main memory to CUDA the host does not wait.

    torch keeps the page-locked memory until the copy has been made, and uses it again then.
    """
    if device.type != "cuda" or tensor.device.type != "cpu" or tensor.requires_grad:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def in_main_memory(bands: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield bands in main memory; those on CUDA each while the next one is computed."""
    waiting: tuple[Tensor, torch.cuda.Event] | None = None
    for band in bands:
        if band.device.type != "cuda" or band.requires_grad:
            yield band.cpu()
            continue
        copy = torch.empty(band.shape, dtype=band.dtype, pin_memory=True)
        copy.copy_(band, non_blocking=True)
        done = torch.cuda.Event()
        done.record(torch.cuda.current_stream(band.device))
        if waiting is not None:
            yield _when_done(*waiting)
        waiting = copy, done
    if waiting is not None:
        yield _when_done(*waiting)


def _when_done(copy: Tensor, done: torch.cuda.Event) -> Tensor:
    done.synchronize()
    return copy
