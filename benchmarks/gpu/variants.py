"""Ways to run the network that are compared: engines that ship, and variations of `eager`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor

from fusionlab.backbone import Backbone, Borders, Features
from fusionlab.engine.base import Engine
from fusionlab.engine.eager import Eager
from fusionlab.engine.precision import Precision
from fusionlab.fusion import Fusion

METHOD = "densefuse", "l1norm,r=1"


class OtherLayout(Eager):
    """`eager` in the memory layout that it does not choose."""

    def __init__(self, backbone: Backbone, device: torch.device, precision: Precision) -> None:
        super().__init__(backbone, device, precision)
        last = self.layout is torch.channels_last
        self.layout = torch.contiguous_format if last else torch.channels_last


class FastestKernels(Eager):
    """`eager` with the kernels that cuDNN finds fastest, which need not be deterministic."""

    def encode_tile(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile; see `Engine`."""
        with self._fastest():
            return super().encode_tile(images, borders)

    def decode_tile(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile; see `Engine`."""
        with self._fastest():
            return super().decode_tile(features, borders)

    @contextmanager
    def _fastest(self) -> Iterator[None]:
        cudnn = torch.backends.cudnn
        before = cudnn.benchmark, cudnn.deterministic
        cudnn.benchmark, cudnn.deterministic = True, False
        try:
            yield
        finally:
            cudnn.benchmark, cudnn.deterministic = before


class Recorded(Eager):
    """`eager`, each stage recorded as a CUDA graph for each kind of tile, and replayed."""

    def __init__(self, backbone: Backbone, device: torch.device, precision: Precision) -> None:
        super().__init__(backbone, device, precision)
        self._recordings: dict[object, Recording] = {}

    def encode_tile(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile; see `Engine`."""

        def encode(tensors: Features) -> Features:
            return Eager.encode_tile(self, tensors[0], borders)

        return self._replayed(encode, (images,), ("encode", borders))

    def decode_tile(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile; see `Engine`."""

        def decode(tensors: Features) -> Features:
            return (Eager.decode_tile(self, tensors, borders),)

        return self._replayed(decode, features, ("decode", borders))[0]

    def _replayed(
        self, stage: Callable[[Features], Features], tensors: Features, kind: object
    ) -> Features:
        key = kind, *(tuple(tensor.shape) for tensor in tensors)
        if key not in self._recordings:
            self._recordings[key] = Recording(stage, tensors, self.device)
        return self._recordings[key](tensors)


class Recording:
    """A stage for tensors of one shape, recorded as a CUDA graph; on a CPU it is called again."""

    def __init__(
        self, stage: Callable[[Features], Features], tensors: Features, device: torch.device
    ) -> None:
        self._stage = stage
        self._inputs = tuple(tensor.clone() for tensor in tensors)
        self._graph: Any = None
        if device.type == "cuda":
            aside = torch.cuda.Stream(device)
            aside.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(aside):
                stage(self._inputs)  # chooses kernels and allocates workspaces
            torch.cuda.current_stream(device).wait_stream(aside)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._outputs = stage(self._inputs)
        else:
            self._outputs = stage(self._inputs)

    def __call__(self, tensors: Features) -> Features:
        """Run the stage; the results are copies, which the next run leaves alone."""
        for static, tensor in zip(self._inputs, tensors, strict=True):
            static.copy_(tensor)
        if self._graph is not None:
            self._graph.replay()
        else:
            for static, tensor in zip(self._outputs, self._stage(self._inputs), strict=True):
                static.copy_(tensor)
        return tuple(tensor.clone() for tensor in self._outputs)


VARIATIONS: dict[str, type[Engine]] = {
    "eager, other layout": OtherLayout,
    "eager, fastest kernels": FastestKernels,
    "eager, CUDA graphs": Recorded,
}
EAGER = "eager", *VARIATIONS
"""Variants that compile nothing."""


class WithoutGraphs(Eager):
    """Compiled by `torch.compile` without CUDA graphs: only fused operations."""

    def __init__(self, backbone: Backbone, device: torch.device, precision: Precision) -> None:
        super().__init__(backbone, device, precision)
        compiler: Any = torch.compile
        self._encoder = compiler(self.module.encode_tile, dynamic=False)
        self._decoder = compiler(self.module.decode_tile, dynamic=False)

    def encode_tile(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile; see `Engine`."""
        tile = images.to(self.dtype, memory_format=self.layout)
        return cast("Features", self._encoder(tile, borders))

    def decode_tile(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile; see `Engine`."""
        maps = tuple(level.to(memory_format=self.layout) for level in features)
        return cast("Tensor", self._decoder(maps, borders)).float()


VARIATIONS["compile, no CUDA graphs"] = WithoutGraphs
COMPILED = "compile", "compile, no CUDA graphs"
"""Variants that compile, for seconds to minutes each."""


def build(variant: str, precision: str, device: torch.device, **settings: Any) -> Fusion:
    """Return a fusion of `METHOD`.

    Args:
        variant: an engine or one of `VARIATIONS`.
        precision: see `fusionlab.engine.precision`.
        device: where to compute.
        settings: others of `Fusion`.
    """
    own = VARIATIONS.get(variant)
    engine = variant if own is None else "eager"
    chosen = cast("Precision", precision)
    fusion = Fusion(*METHOD, device=device, engine=engine, precision=chosen, **settings)
    if own is not None:
        fusion._engine = own(fusion.backbone, fusion.device, chosen)  # noqa: SLF001
    return fusion
