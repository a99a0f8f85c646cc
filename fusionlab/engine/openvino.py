"""OpenVINO: compiles the frozen network for the CPU it finds, its layers fused.

An extra, `pip install 'fusionlab-imaging[openvino]'`. The backbone is traced, so that one of
somebody else's runs as well, as long as its graph depends on shapes alone.
"""

from __future__ import annotations

import warnings
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from fusionlab.backbone import Backbone, Borders, Features
from fusionlab.engine.base import Engine
from fusionlab.engine.precision import Precision
from fusionlab.errors import FusionlabError

HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}
"""Precision -> what OpenVINO calls it, for those that its CPU plugin computes in."""


class OpenVINO(Engine):
    """Runs what OpenVINO makes of the backbone; features and pictures are float32 outside.

    Raises:
        FusionlabError: the package is not installed, the device is no CPU, or the precision is
            not one of `HINTS`.
    """

    def __init__(self, backbone: Backbone, device: torch.device, precision: Precision) -> None:
        super().__init__(backbone, device, precision)
        try:
            import openvino
        except ImportError as error:
            raise FusionlabError(
                "the engine openvino needs a package that is not installed; install it with "
                "pip install 'fusionlab-imaging[openvino]', or choose the engine eager"
            ) from error
        if device.type != "cpu":
            raise FusionlabError(
                f"the engine openvino runs on the cpu, got the device {device}; choose the engine "
                "eager or compile"
            )
        if precision not in HINTS:
            raise FusionlabError(
                f"the engine openvino computes in {' or '.join(HINTS)}, got {precision}"
            )
        self.dtype = torch.float32
        self._core = openvino.Core()
        self._graphs: dict[object, Any] = {}
        self._running = Lock()
        """A graph has one place for its results: two threads must not run it at once."""

    def _encode(self, images: Tensor, borders: Borders) -> Features:
        margin = self.backbone.halos(0)[0]
        height, width = borders.size(images, margin)
        shapes: list[tuple[int, ...]] = [
            (len(images), level.channels, height // level.stride, width // level.stride)
            for level in self.backbone.levels
        ]
        return self._run("encode", (images,), borders, shapes)

    def _decode(self, features: Features, borders: Borders) -> Tensor:
        stride = self.backbone.levels[0].stride
        height, width = borders.size(features[0], self.backbone.halos(0)[2] // stride)
        shape = len(features[0]), 1, height * stride, width * stride
        return self._run("decode", features, borders, [shape])[0]

    def _run(
        self, stage: str, tensors: Features, borders: Borders, shapes: list[tuple[int, ...]]
    ) -> Features:
        """Run a graph; the results, of these shapes, lie in memory of their own."""
        import openvino

        # an axis of a single pixel is mirrored in another way, and takes a graph of its own
        slim = tuple(edge == 1 for edge in tensors[0].shape[-2:])
        key = stage, borders, slim, torch.get_num_threads()
        found = tuple(torch.empty(shape) for shape in shapes)
        with self._running:
            if key not in self._graphs:
                self._graphs[key] = self._compiled(stage, tensors, borders, slim)
            request = self._graphs[key]
            for number, maps in enumerate(found):  # else they would be copied
                request.set_output_tensor(number, openvino.Tensor(maps.numpy(), shared_memory=True))
            request.infer([tensor.contiguous().numpy() for tensor in tensors], share_inputs=True)
        return found

    def _compiled(
        self, stage: str, like: Features, borders: Borders, slim: tuple[bool, ...]
    ) -> Any:
        """Trace a stage of the backbone, and compile it for tiles of every size."""
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        size = 8 * self.backbone.size_divisor + 2 * max(self.backbone.halos(0))  # small, so fast
        strides = [1] if stage == "encode" else [level.stride for level in self.backbone.levels]
        given = tuple(
            torch.zeros(1, tensor.shape[1], *(1 if one else size // stride for one in slim))
            for tensor, stride in zip(like, strides, strict=True)
        )
        with warnings.catch_warnings():
            # that what depends on shapes is taken as it is here, and that tracing grows old
            warnings.simplefilter("ignore")
            module = _Stage(self.backbone, stage, borders)
            traced = torch.jit.trace(module, given, check_trace=False)
            # `openvino.convert_model` does this, too, and reports each time to Google Analytics
            frontend = FrontEndManager().load_by_framework("pytorch")
            decoder = TorchScriptPythonDecoder(traced, example_input=given)
            model = frontend.convert(frontend.load(decoder))
        shapes = zip(model.inputs, given, strict=True)
        model.reshape({port: [-1, tensor.shape[1], -1, -1] for port, tensor in shapes})
        settings = {
            "INFERENCE_PRECISION_HINT": HINTS[self.precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
        }
        return self._core.compile_model(model, "CPU", settings).create_infer_request()


class _Stage(nn.Module):
    """Encoder or decoder of a backbone, for tiles at certain borders."""

    def __init__(self, backbone: Backbone, stage: str, borders: Borders) -> None:
        super().__init__()
        self.backbone = backbone
        self._encodes = stage == "encode"
        self._borders = borders

    def forward(self, *tensors: Tensor) -> Features:
        if self._encodes:
            return self.backbone.encode_tile(tensors[0], self._borders)
        return (self.backbone.decode_tile(tensors, self._borders),)
