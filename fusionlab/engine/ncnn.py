"""The ncnn engine: 3x3 convolutions by the method of Winograd, on CPUs.

It needs an extra, `pip install 'fusionlab-imaging[ncnn]'`. A convolution takes a quarter of the
multiplications that its definition needs (F(4x4, 3x3)), where tiles are small enough for the cache.
The backbone is recorded (`recording`) and written as a network of ncnn (`ncnn_graph`), so any
backbone works whose operations ncnn has and whose graph depends on shapes alone.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusionlab.backbone import Backbone, Borders, Features
from fusionlab.engine.base import Engine
from fusionlab.engine.ncnn_graph import NcnnGraph, ncnn_graph
from fusionlab.engine.optional import package_for_cpu
from fusionlab.engine.precision import Precision
from fusionlab.engine.recording import recorded, unsupported

OPTIONS = {
    "use_vulkan_compute": False,
    # float32 throughout
    "use_fp16_packed": False,
    "use_fp16_storage": False,
    "use_fp16_arithmetic": False,
    "use_bf16_storage": False,
    # F(6x6, 3x3) rounds to more than 1e-3 gray levels, F(2x2, 3x3) is slower
    "use_winograd23_convolution": False,
    "use_winograd63_convolution": False,
}
PRECISIONS: tuple[Precision, ...] = ("fp32",)

OUT_OF_MEMORY = -100
"""What ncnn returns when it cannot allocate."""

FITTING = 0.75
"""Kept memory is used again for what takes at least this share of it. By default small maps take
large pieces, and large maps new ones: a fifth more memory for a pair of 100 megapixels."""

MAX_KEPT_BYTES = 2**25
"""Largest tile after which ncnn keeps its memory for the next one."""


class NCNN(Engine):
    """Runs the backbone as a network of ncnn, image by image.

    Raises:
        FusionlabError: the package is not installed, the device is not a CPU, or the precision is
            not `fp32`. While it runs: the backbone needs an operation that ncnn or this engine
            lacks (code `engine-unsupported`).
    """

    automatic = True

    def __init__(self, backbone: Backbone, device: torch.device, precision: Precision) -> None:
        super().__init__(backbone, device, precision)
        ncnn = package_for_cpu("ncnn", device, precision, PRECISIONS)
        self._memory = ncnn.PoolAllocator(), ncnn.PoolAllocator()
        """Of maps, and of what a layer needs meanwhile. By default each network keeps its own."""
        for memory in self._memory:
            memory.set_size_compare_ratio(FITTING)
        self._networks: dict[object, tuple[Any, NcnnGraph]] = {}
        self._adding = Lock()

    def encode_tile(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile; see `Engine`."""
        return self._run("encode", (images,), borders)

    def decode_tile(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile; see `Engine`."""
        return self._run("decode", features, borders)[0]

    def _run(self, stage: str, tensors: Features, borders: Borders) -> Features:
        """Run a network on each image of a batch."""
        network, graph = self._network(stage, tensors, borders)
        arrays = [tensor.contiguous().numpy() for tensor in tensors]
        results: list[Tensor] = []
        for number in range(len(arrays[0])):
            maps_of_image = self._run_network(network, graph, [array[number] for array in arrays])
            for position, maps in enumerate(maps_of_image):
                # a copy, because the memory is that of ncnn
                found = torch.from_numpy(np.asarray(maps))
                if number == 0:
                    results.append(torch.empty(len(arrays[0]), *found.shape))
                results[position][number] = found
        if sum(tensor.nbytes for tensor in (*tensors, *results)) > MAX_KEPT_BYTES:
            del maps_of_image, maps, found
            for memory in self._memory:
                memory.clear()
        return tuple(results)

    def _run_network(self, network: Any, graph: NcnnGraph, arrays: list[Any]) -> list[Any]:
        """Run a network on an image; return its results, matrices of ncnn."""
        import ncnn

        extractor = network.create_extractor()
        blobs, workspace = self._memory
        extractor.set_blob_allocator(blobs)
        extractor.set_workspace_allocator(workspace)
        for name, array in zip(graph.inputs, arrays, strict=True):
            # a copy: layers that work in place would write to the tensor, or fail
            extractor.input(name, ncnn.Mat(array).clone())
        results = []
        for name in graph.outputs:
            failed, maps = extractor.extract(name)
            if failed == OUT_OF_MEMORY:
                raise MemoryError
            if failed:
                raise RuntimeError(f"ncnn returned {failed}")
            results.append(maps)
        return results

    def _network(self, stage: str, tensors: Features, borders: Borders) -> tuple[Any, NcnnGraph]:
        """Return the network for tiles of a size, which is built for the first of them."""
        strides = [1] if stage == "encode" else [level.stride for level in self.backbone.levels]
        divisor = self.backbone.size_divisor
        usual = 8 * divisor + 2 * max(self.backbone.halos(0))
        # layers may treat small tiles differently, and cannot all mirror them
        edges = tuple(min(edge * strides[0], usual) for edge in tensors[0].shape[-2:])
        key = stage, borders, edges, torch.get_num_threads()
        with self._adding:
            if key not in self._networks:
                channels = [tensor.shape[1] for tensor in tensors]
                sizes = [edges, tuple(edge + divisor * (edge == usual) for edge in edges)]
                graphs = [self._graph(stage, borders, channels, strides, size) for size in sizes]
                if graphs[0] != graphs[1]:
                    raise unsupported("a graph that depends on the size of the image")
                self._networks[key] = _loaded(graphs[0]), graphs[0]
            return self._networks[key]

    def _graph(
        self,
        stage: str,
        borders: Borders,
        channels: list[int],
        strides: list[int],
        edges: tuple[int, ...],
    ) -> NcnnGraph:
        """Record a stage on tiles of one size."""
        tile = tuple(
            torch.zeros(1, number, *(edge // stride for edge in edges))
            for number, stride in zip(channels, strides, strict=True)
        )

        def run(tensors: Features) -> Features:
            if stage == "encode":
                return self.backbone.encode_tile(tensors[0], borders)
            return (self.backbone.decode_tile(tensors, borders),)

        return ncnn_graph(recorded(run, tile))


def _loaded(graph: NcnnGraph) -> Any:
    """Load a network, from files: of weights in memory, ncnn would not copy all."""
    import ncnn

    network = ncnn.Net()
    for name, value in {**OPTIONS, "num_threads": torch.get_num_threads()}.items():
        setattr(network.opt, name, value)
    with TemporaryDirectory(prefix="fusionlab-") as folder:
        text, weights = Path(folder) / "network.param", Path(folder) / "network.bin"
        text.write_text(graph.text, encoding="ascii")
        weights.write_bytes(graph.weights)
        if network.load_param(str(text)) or network.load_model(str(weights)):
            raise RuntimeError("ncnn cannot load the network")
    return network
