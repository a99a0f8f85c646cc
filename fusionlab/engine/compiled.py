"""The engine of `torch.compile`: on CUDA it compiles the backbone into CUDA graphs.

Compiling takes seconds to minutes for the first tile of every size and position, so it pays for
many images of one size. PyTorch compiles at most eight kinds of tiles and runs others like `eager`.
It gains nothing on CPUs.
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
    """Runs the backbone compiled by `torch.compile`, which compiles on one thread only."""

    tiles_in_parallel = False

    def __init__(self, backbone: Backbone, device: torch.device, precision: Precision) -> None:
        super().__init__(backbone, device, precision)
        self._graphs = device.type == "cuda"
        compiled = partial(
            torch.compile, dynamic=False, mode="reduce-overhead" if self._graphs else None
        )
        self._encoder: Callable[[Tensor, Borders], Features] = compiled(self.module.encode_tile)
        self._decoder: Callable[[Features, Borders], Tensor] = compiled(self.module.decode_tile)

    def encode_tile(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile; see `Engine`."""
        features = self._encoder(images.to(self.dtype, memory_format=self.layout), borders)
        # CUDA graphs reuse their output memory for the next tile
        return tuple(maps.clone() for maps in features) if self._graphs else features

    def decode_tile(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile; see `Engine`."""
        maps = tuple(level.to(memory_format=self.layout) for level in features)
        return self._decoder(maps, borders).to(torch.float32, copy=self._graphs)
