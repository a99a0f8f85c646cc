"""The backbone compiled by PyTorch: on CUDA into graphs, which a GPU runs in one go.

The first tile of every size and position takes seconds to minutes, the next ones none; worth it for
many images of one size. PyTorch compiles eight kinds of tiles and computes others as `eager` does.
On CPUs nothing is gained.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from fusionlab.backbone import Backbone, Borders, Features
from fusionlab.engine.eager import Eager
from fusionlab.engine.precision import Precision


class Compiled(Eager):
    """Runs what `torch.compile` makes of the backbone."""

    def __init__(self, backbone: Backbone, device: torch.device, precision: Precision) -> None:
        super().__init__(backbone, device, precision)
        self._graphs = device.type == "cuda"
        compiled = partial(
            torch.compile, dynamic=False, mode="reduce-overhead" if self._graphs else None
        )
        self._encoder: Callable[[Tensor, Borders], Features] = compiled(self.module.encode_tile)
        self._decoder: Callable[[Features, Borders], Tensor] = compiled(self.module.decode_tile)

    def _encode(self, images: Tensor, borders: Borders) -> Features:
        found = self._encoder(images.to(self.dtype, memory_format=self.layout), borders)
        # graphs write into the same memory again at the next tile
        return tuple(level.clone() for level in found) if self._graphs else found

    def _decode(self, features: Features, borders: Borders) -> Tensor:
        maps = tuple(level.to(memory_format=self.layout) for level in features)
        return self._decoder(maps, borders).to(torch.float32, copy=self._graphs)
