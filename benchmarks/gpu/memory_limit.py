"""Memory that does not suffice: a fusion must take smaller tiles, with the same result.

On a CPU the lack of memory is played: tiles above a size raise what torch raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from part import Part
from variants import build

from fusionlab.bench.machine import describe_machine
from fusionlab.engine.eager import Eager

SHARES = "1/2", "1/4", "1/16"
"""Of the memory that the fusion takes where there is enough."""


def measure(part: Part) -> None:
    """Fuse with less and less memory."""
    edge = 160 if part.toy else 2048
    part.keep(machine=describe_machine(part.device), edge=edge)
    fusion = build("eager", "fp32", part.device, range_policy=None)
    tensors = [torch.from_numpy(image).to(part.device) for image in part.sources(edge, edge)]
    expected, needed = fusion(tensors), part.peak(lambda: fusion(tensors))
    part.keep(peak_bytes=needed)

    def row(share: str) -> dict[str, Any]:
        above, below = map(int, share.split("/"))
        with limited(part, (needed or 0) * above // below, edge * above // below):
            fused = fusion.fuse(tensors)
        difference = (fused.image - expected).abs().max()
        return {"tile": fused.tile, "largest difference": 255 * float(difference)}

    part.rows("shares", SHARES, row)
    if part.device.type == "cuda":  # everything computes again afterwards
        part.keep(afterwards=255 * float((fusion(tensors) - expected).abs().max()))


@contextmanager
def limited(part: Part, size: int, edge: int) -> Iterator[None]:
    """Let the block have so many bytes more on the device, or tiles of such an edge on a CPU."""
    if part.device.type == "cuda":
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(part.device).total_memory
        allowed = torch.cuda.memory_reserved(part.device) + size
        torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total), part.device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, part.device)
        return
    encode = Eager.encode_tile

    def short_of_memory(self: Eager, images: torch.Tensor, borders: Any) -> Any:
        if max(images.shape[-2:]) > edge + 64:
            raise torch.OutOfMemoryError("Tried to allocate more than there is.")
        return encode(self, images, borders)

    with patch.object(Eager, "encode_tile", short_of_memory):
        yield
