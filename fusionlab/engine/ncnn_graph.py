"""Write a recorded stage of a backbone as a network of ncnn: its text, and its weights.

The text has a layer in each line: `TYPE name #inputs #outputs inputs... outputs... key=value...`,
with numbers as keys; https://github.com/Tencent/ncnn/wiki describes the layers. Every result has a
single reader, so a layer `Split` precedes several.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusionlab.engine.recording import Operation, Recording, Value, unsupported

MAGIC = 7767517
"""The first line of the text of every network."""
FLOAT32 = b"\0\0\0\0"
"""What precedes the weights of a convolution: they are float32."""
ALL_BUT = -233
"""The size of a crop that is given by what is cut off on both sides."""

ADD, SUBTRACT, MULTIPLY, DIVIDE = range(4)
CONSTANT, REPLICATE, REFLECT = range(3)
MAX, AVERAGE = range(2)
NEAREST = 1
MEAN = 3


@dataclass
class Layer:
    """A line of the text."""

    kind: str
    inputs: list[Value]
    output: Value
    settings: dict[int, Any] = field(default_factory=dict)
    weights: bytes = b""


@dataclass(frozen=True)
class NcnnGraph:
    """A network of ncnn."""

    text: str
    weights: bytes
    inputs: tuple[str, ...]
    """The names of its inputs."""
    outputs: tuple[str, ...]
    """The names of its outputs."""


def ncnn_graph(recording: Recording) -> NcnnGraph:
    """Write a recorded stage as a network of ncnn.

    Raises:
        FusionlabError: an operation has no counterpart (code `engine-unsupported`).
    """
    builder = _Builder(recording)
    for operation in recording.operations:
        write = WRITERS.get(_base_name(operation.name))
        if write is None:
            raise unsupported(f"the operation {operation.name}")
        write(builder, operation)
    return builder.graph()


def _base_name(name: str) -> str:
    """Return the name of an operation without its package, its overload and the mark in place."""
    return re.sub(r"_$", "", name.split(".")[1])


class _Builder:
    """Layers, and which value of the recording each of them computes."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._layers: list[Layer] = []
        self._same: dict[Value, Value] = {}
        """Values that are copies of others."""
        self._readers = Counter(
            value
            for operation in recording.operations
            for value in _values((operation.arguments, *operation.named.values()))
        ) + Counter(recording.outputs)

    def add(
        self,
        kind: str,
        operation: Operation,
        inputs: Sequence[Value],
        settings: dict[int, Any] | None = None,
        weights: bytes = b"",
    ) -> None:
        """Add a layer that computes the first result of an operation."""
        read = [self.origin(value) for value in inputs]
        self._layers.append(Layer(kind, read, operation.results[0], settings or {}, weights))

    def alias(self, value: Value, other: Value) -> None:
        """Let a value be another one."""
        self._same[value] = self.origin(other)

    def origin(self, value: Value) -> Value:
        return self._same.get(value, value)

    def written_by(self, value: Value, kind: str) -> Layer | None:
        """Return the layer of a kind whose result only one operation reads."""
        if self._readers[value] > 1 or value in self._same:
            return None
        found = (layer for layer in self._layers if layer.output == value and layer.kind == kind)
        return next(found, None)

    def graph(self) -> NcnnGraph:
        """Return the text and the weights."""
        names: dict[Value, list[str]] = {}
        lines: list[str] = []
        outputs = [self.origin(value) for value in self._recording.outputs]
        readers = Counter(value for layer in self._layers for value in layer.inputs)
        readers += Counter(outputs)
        blobs = 0

        def write(kind: str, inputs: list[str], value: Value, settings: dict[int, Any]) -> None:
            nonlocal blobs
            result = f"v{value.number}"
            lines.append(_line(kind, len(lines), inputs, [result], settings))
            copies = readers[value]
            names[value] = [result]
            blobs += 1
            if copies > 1:
                names[value] = [f"{result}_{copy}" for copy in range(copies)]
                lines.append(_line("Split", len(lines), [result], names[value], {}))
                blobs += copies

        for value in self._recording.inputs:
            write("Input", [], value, {})
        for layer in self._layers:
            read = [names[value].pop() for value in layer.inputs]
            write(layer.kind, read, layer.output, layer.settings)
        results = tuple(names[value].pop() for value in outputs)
        text = "\n".join([str(MAGIC), f"{len(lines)} {blobs}", *lines, ""])
        weights = b"".join(layer.weights for layer in self._layers)
        inputs = tuple(f"v{value.number}" for value in self._recording.inputs)
        return NcnnGraph(text, weights, inputs, results)


def _values(tree: Any) -> list[Value]:
    """Return the values in nested lists and tuples."""
    if isinstance(tree, Value):
        return [tree]
    parts = tree if isinstance(tree, list | tuple) else ()
    return [value for part in parts for value in _values(part)]


def _line(
    kind: str, number: int, inputs: list[str], outputs: list[str], settings: dict[int, Any]
) -> str:
    numbers = f"{len(inputs)} {len(outputs)}"
    pairs = (f"{key}={value}" for key, value in settings.items())
    return " ".join([kind, f"l{number}", numbers, *inputs, *outputs, *pairs])


def _require(condition: bool, operation: Operation, what: str) -> None:
    if not condition:
        raise unsupported(f"the operation {operation.name} with {what}")


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[-1])


def _argument(operation: Operation, position: int, name: str, default: Any) -> Any:
    if position < len(operation.arguments):
        return operation.arguments[position]
    return operation.named.get(name, default)


def _convolution(builder: _Builder, operation: Operation) -> None:
    maps, weight, bias, stride, padding, dilation, transposed, _, groups = operation.arguments
    constant = isinstance(weight, Tensor) and not isinstance(bias, Value)
    _require(isinstance(maps, Value) and constant, operation, "weights that depend on the image")
    _require(not transposed and groups == 1, operation, "groups, or transposed")
    _require(len(stride) == 2, operation, "another number of dimensions")
    out, _, height, width = weight.shape
    settings = {
        0: out,
        1: width,
        11: height,
        2: dilation[1],
        12: dilation[0],
        3: stride[1],
        13: stride[0],
        4: padding[1],
        14: padding[0],
        5: int(bias is not None),
        6: weight.numel(),
    }
    content = FLOAT32 + _bytes(weight) + (_bytes(bias) if bias is not None else b"")
    builder.add("Convolution", operation, [maps], settings, content)


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().float().numpy().astype("<f4").tobytes()


def _relu(builder: _Builder, operation: Operation) -> None:
    """Apply ReLU in the convolution before it, if that is what it is applied to."""
    (maps,) = operation.arguments
    if convolution := builder.written_by(maps, "Convolution"):
        convolution.output = operation.results[0]
        convolution.settings[9] = 1
    else:
        builder.add("ReLU", operation, [maps])


def _leaky_relu(builder: _Builder, operation: Operation) -> None:
    slope = _argument(operation, 1, "negative_slope", 0.01)
    builder.add("ReLU", operation, operation.arguments[:1], {0: _float(slope)})


def _absolute(builder: _Builder, operation: Operation) -> None:
    builder.add("UnaryOp", operation, operation.arguments[:1], {0: 0})


def _float(value: float) -> str:
    """Write a number that must not be taken for an integer, to the last bit of float32."""
    return np.format_float_scientific(np.float32(value), unique=True, trim="0")


def _binary(kind: int) -> Callable[[_Builder, Operation], None]:
    def write(builder: _Builder, operation: Operation) -> None:
        first, second = operation.arguments[:2]
        _require(operation.named.get("alpha", 1) == 1, operation, "a factor")
        _require(operation.named.get("rounding_mode") is None, operation, "rounding")
        if isinstance(first, Value) and isinstance(second, Value):
            _require(first.shape == second.shape, operation, "different shapes")
            builder.add("BinaryOp", operation, [first, second], {0: kind})
            return
        if isinstance(second, Tensor) and second.numel() == 1:
            second = second.item()
        scalar = isinstance(first, Value) and isinstance(second, int | float)
        _require(scalar, operation, "a constant that is not a number")
        builder.add("BinaryOp", operation, [first], {0: kind, 1: 1, 2: _float(second)})

    return write


def _concatenation(builder: _Builder, operation: Operation) -> None:
    parts, axis = operation.arguments[0], _argument(operation, 1, "dim", 0)
    _require(all(isinstance(part, Value) for part in parts), operation, "constants")
    _require(axis in (1, -3), operation, "another axis than that of the channels")
    if len(parts) == 1:
        builder.alias(operation.results[0], parts[0])
        return
    builder.add("Concat", operation, parts, {0: 0})


def _slice(builder: _Builder, operation: Operation) -> None:
    """Crop what is cut off at both ends; two crops after each other are one."""
    maps, axis = operation.arguments[0], _argument(operation, 1, "dim", 0)
    size = maps.shape[axis]
    start, stop, step = slice(
        _argument(operation, 2, "start", None),
        _argument(operation, 3, "end", None),
        _argument(operation, 4, "step", 1),
    ).indices(size)
    if (start, stop, step) == (0, size, 1):
        builder.alias(operation.results[0], maps)
        return
    _require(step == 1 and axis % 4 != 0, operation, "steps, or images of a batch")
    key = {1: 2, 2: 1, 3: 0}[axis % 4]  # of the axes of ncnn: width, height, channels
    settings = {key: start, 6 + key: size - stop}
    if crop := builder.written_by(maps, "Crop"):
        crop.output = operation.results[0]
        for place, cut in settings.items():
            crop.settings[place] = crop.settings.get(place, 0) + cut
        return
    builder.add("Crop", operation, [maps], {3: ALL_BUT, 4: ALL_BUT, 5: ALL_BUT, **settings})


def _padding(kind: int) -> Callable[[_Builder, Operation], None]:
    def write(builder: _Builder, operation: Operation) -> None:
        maps, sides = operation.arguments[:2]
        left, right, top, bottom = [*sides, 0, 0, 0, 0][:4]
        _require(len(sides) <= 4 and min(sides) >= 0, operation, "other sides")
        value = _argument(operation, 2, "value", 0) if kind == CONSTANT else 0
        settings = {0: top, 1: bottom, 2: left, 3: right, 4: kind, 5: _float(value)}
        if any(sides):
            builder.add("Padding", operation, [maps], settings)
        else:
            builder.alias(operation.results[0], maps)

    return write


def _pooling(kind: int) -> Callable[[_Builder, Operation], None]:
    def write(builder: _Builder, operation: Operation) -> None:
        maps, kernel = operation.arguments[0], _pair(operation.arguments[1])
        stride = _pair(_argument(operation, 2, "stride", []) or kernel)
        padding = _pair(_argument(operation, 3, "padding", 0))
        settings = {0: kind, 1: kernel[1], 11: kernel[0], 2: stride[1], 12: stride[0]}
        settings |= {3: padding[1], 13: padding[0], 5: 1}
        if kind == MAX:
            plain = _pair(_argument(operation, 4, "dilation", 1)) == (1, 1)
            plain &= not _argument(operation, 5, "ceil_mode", False)
        else:
            plain = not _argument(operation, 4, "ceil_mode", False)
            plain &= _argument(operation, 6, "divisor_override", None) is None
            settings[6] = int(_argument(operation, 5, "count_include_pad", True))
        _require(plain, operation, "dilation, rounded sizes, or a divisor")
        builder.add("Pooling", operation, [maps], settings)

    return write


def _nearest(builder: _Builder, operation: Operation) -> None:
    """Enlarge by a power of two; ncnn rounds other factors."""
    maps, enlarged = operation.arguments[0], operation.results[0]
    factors = [to // of for to, of in zip(enlarged.shape[2:], maps.shape[2:], strict=True)]
    whole = all(
        of * factor == to and factor & (factor - 1) == 0
        for of, factor, to in zip(maps.shape[2:], factors, enlarged.shape[2:], strict=True)
    )
    _require(whole, operation, "a factor that is not a power of two")
    settings = {0: NEAREST, 1: _float(factors[0]), 2: _float(factors[1])}
    builder.add("Interp", operation, [maps], settings)


def _mean(builder: _Builder, operation: Operation) -> None:
    axes, keep = _argument(operation, 1, "dim", None), _argument(operation, 2, "keepdim", False)
    _require(keep and axes in ([1], [-3]), operation, "other axes than that of the channels")
    settings = {0: MEAN, 1: 0, -23303: "1,0", 4: 1, 5: 1}
    builder.add("Reduction", operation, operation.arguments[:1], settings)


def _same(builder: _Builder, operation: Operation) -> None:
    (maps, *_), (result, *_) = operation.arguments, operation.results
    _require(operation.named.get("dtype") in (None, torch.float32), operation, "another dtype")
    builder.alias(result, maps)


WRITERS: dict[str, Callable[[_Builder, Operation], None]] = {
    "_to_copy": _same,
    "abs": _absolute,
    "add": _binary(ADD),
    "alias": _same,
    "avg_pool2d": _pooling(AVERAGE),
    "cat": _concatenation,
    "clone": _same,
    "constant_pad_nd": _padding(CONSTANT),
    "convolution": _convolution,
    "detach": _same,
    "div": _binary(DIVIDE),
    "leaky_relu": _leaky_relu,
    "max_pool2d_with_indices": _pooling(MAX),
    "mean": _mean,
    "mul": _binary(MULTIPLY),
    "reflection_pad2d": _padding(REFLECT),
    "relu": _relu,
    "replication_pad2d": _padding(REPLICATE),
    "slice": _slice,
    "sub": _binary(SUBTRACT),
    "upsample_nearest2d": _nearest,
}
"""Operation of PyTorch -> the function that writes it."""
