"""The OpenVINO engine: compiles the frozen network for the CPU at hand, with fused layers.

It needs an extra, `pip install 'fusionlab-imaging[openvino]'`. The backbone is traced, so any
backbone works whose graph depends on shapes alone.
"""

from __future__ import annotations

import warnings
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from fusionlab.backbone import Backbone, Borders, Features
from fusionlab.engine.base import Engine
from fusionlab.engine.optional import package_for_cpu
from fusionlab.engine.precision import Precision
from fusionlab.torch_defaults import threads_at_once

HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}
"""Precision -> its name in OpenVINO, for those that its CPU plugin supports."""


class OpenVINO(Engine):
    """Runs the backbone compiled by OpenVINO; features and images are float32 outside.

    Raises:
        FusionlabError: the package is not installed, the device is not a CPU, or the precision is
            not one of `HINTS`.
    """

    automatic = True

    def __init__(self, backbone: Backbone, device: torch.device, precision: Precision) -> None:
        super().__init__(backbone, device, precision)
        openvino = package_for_cpu("openvino", device, precision, HINTS)
        self.dtype = torch.float32
        self._core = openvino.Core()
        self._graphs: dict[object, Any] = {}
        self._idle: dict[object, list[Any]] = {}
        """Requests that no thread runs: a request has one output, and belongs to one at a time."""
        self._compiling = Lock()

    def encode_tile(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile; see `Engine`."""
        encoder_halo, _, _ = self.backbone.halos(0)
        height, width = borders.size(images, encoder_halo)
        shapes: list[tuple[int, ...]] = [
            (len(images), level.channels, height // level.stride, width // level.stride)
            for level in self.backbone.levels
        ]
        return self._run("encode", (images,), borders, shapes)

    def decode_tile(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile; see `Engine`."""
        stride = self.backbone.levels[0].stride
        _, _, decoder_halo = self.backbone.halos(0)
        height, width = borders.size(features[0], decoder_halo // stride)
        shape = len(features[0]), 1, height * stride, width * stride
        return self._run("decode", features, borders, [shape])[0]

    def _run(
        self, stage: str, tensors: Features, borders: Borders, shapes: list[tuple[int, ...]]
    ) -> Features:
        """Run a graph; return results of these shapes in newly allocated memory."""
        import openvino

        # where an axis has a single pixel, at the coarsest stride of the backbone, layers may pad
        # differently, which needs a graph of its own
        stride = self._strides(stage)[0]
        single = tuple(
            edge * stride == self.backbone.size_divisor for edge in tensors[0].shape[-2:]
        )
        threads = torch.get_num_threads()
        # a stream for each thread that computes tiles, which has one thread
        streams = threads_at_once() if threads == 1 else 1
        key = stage, borders, single, threads, streams
        with self._compiling:
            if key not in self._graphs:
                self._graphs[key] = self._compiled(stage, tensors, borders, single, streams)
                self._idle[key] = []
        graph, idle = self._graphs[key], self._idle[key]
        try:
            request = idle.pop()
        except IndexError:
            request = graph.create_infer_request()
        outputs = tuple(torch.empty(shape) for shape in shapes)
        for number, maps in enumerate(outputs):  # avoids a copy
            request.set_output_tensor(number, openvino.Tensor(maps.numpy(), shared_memory=True))
        request.infer([tensor.contiguous().numpy() for tensor in tensors], share_inputs=True)
        idle.append(request)
        return outputs

    def _strides(self, stage: str) -> list[int]:
        """Return the strides of what a stage is given."""
        return [1] if stage == "encode" else [level.stride for level in self.backbone.levels]

    def _compiled(
        self, stage: str, like: Features, borders: Borders, single: tuple[bool, ...], streams: int
    ) -> Any:
        """Trace a stage of the backbone, and compile it for tiles of every size."""
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        # small, so that tracing is fast
        divisor = self.backbone.size_divisor
        size = 8 * divisor + 2 * max(self.backbone.halos(0))
        edges = [divisor if is_single else size for is_single in single]
        example = tuple(
            torch.zeros(1, tensor.shape[1], *(edge // stride for edge in edges))
            for tensor, stride in zip(like, self._strides(stage), strict=True)
        )
        with warnings.catch_warnings():
            # that shapes become constants, and that tracing is deprecated
            warnings.simplefilter("ignore")
            module = _Stage(self.backbone, stage, borders)
            traced = torch.jit.trace(module, example, check_trace=False)
            # `openvino.convert_model` does the same, but reports each call to Google Analytics
            frontend = FrontEndManager().load_by_framework("pytorch")
            decoder = TorchScriptPythonDecoder(traced, example_input=example)
            model = frontend.convert(frontend.load(decoder))
        shapes = zip(model.inputs, example, strict=True)
        model.reshape({port: [-1, tensor.shape[1], -1, -1] for port, tensor in shapes})
        settings = {
            "INFERENCE_PRECISION_HINT": HINTS[self.precision],
            "INFERENCE_NUM_THREADS": streams * torch.get_num_threads(),
            "NUM_STREAMS": streams,
            "ENABLE_CPU_PINNING": False,  # a thread would wait for a core that is busy
        }
        return self._core.compile_model(model, "CPU", settings)


class _Stage(nn.Module):
    """The encoder or the decoder of a backbone, for tiles with given borders."""

    def __init__(self, backbone: Backbone, stage: str, borders: Borders) -> None:
        super().__init__()
        self.backbone = backbone
        self._encodes = stage == "encode"
        self._borders = borders

    def forward(self, *tensors: Tensor) -> Features:
        if self._encodes:
            return self.backbone.encode_tile(tensors[0], self._borders)
        return (self.backbone.decode_tile(tensors, self._borders),)
