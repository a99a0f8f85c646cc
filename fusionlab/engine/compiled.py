"""The engine of `torch.compile`: on CUDA it compiles the backbone into CUDA graphs.

Compiling takes seconds to minutes for the first tile of every kind, which is its size and which of
its sides are borders of the image, so it pays for many images of one size. An image of one tile has
one kind; a large one has nine, or up to sixteen where its tiles differ by a pixel. It gains nothing
on CPUs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fusionlab.backbone import Backbone, Borders, Features
from fusionlab.engine.eager import Eager
from fusionlab.engine.precision import Precision

MAX_KINDS = 2**12
"""Kinds of tiles that PyTorch may compile; the engines of all backbones of one class count."""


class Compiled(Eager):
    """Runs the backbone compiled by `torch.compile`."""

    automatic = False  # it compiles for minutes
    tiles_in_parallel = False  # PyTorch compiles in one thread

    def __init__(self, backbone: Backbone, device: torch.device, precision: Precision) -> None:
        super().__init__(backbone, device, precision)
        self._graphs = device.type == "cuda"
        compiled = partial(
            torch.compile, dynamic=False, mode="reduce-overhead" if self._graphs else None
        )
        self._encoder: Callable[[Tensor, Borders], Features] = compiled(self.module.encode_tile)
        self._decoder: Callable[[Features, Borders], Tensor] = compiled(self.module.decode_tile)
        self._kinds: set[tuple[object, ...]] = set()
        """The kinds of tiles that have been compiled, for either stage."""

    def encode_tile(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile; see `Engine`."""
        tile = images.to(self.dtype, memory_format=self.layout)
        with self._compiling("encode", (tile,), borders):
            features = self._encoder(tile, borders)
        # CUDA graphs reuse their output memory for the next tile
        return tuple(maps.clone() for maps in features) if self._graphs else features

    def decode_tile(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile; see `Engine`."""
        maps = tuple(level.to(memory_format=self.layout) for level in features)
        with self._compiling("decode", maps, borders):
            images = self._decoder(maps, borders)
        return images.to(torch.float32, copy=self._graphs)

    def _compiling(self, stage: str, tensors: Features, borders: Borders) -> Any:
        """Allow one more kind of tile, where this is the first one of its kind.

        PyTorch compiles a function for eight kinds of arguments, and then runs it uncompiled for
        all others without a word.
        """
        kind = (stage, borders, *(tuple(maps.shape) for maps in tensors))
        if kind in self._kinds:
            return nullcontext()
        self._kinds.add(kind)
        config: Any = torch._dynamo.config  # noqa: SLF001  # where its documentation has it
        return config.patch(recompile_limit=MAX_KINDS, accumulated_recompile_limit=MAX_KINDS)
