"""Put the graph of a file together from its parts, with the metadata.

    image_i --scale--> source_i --extend--> method --crop--> fused --range--> fused_image

Images are extended like the pipeline does it, by repeating the last row and column, to a multiple
of the size divisor; and to two pixels, where one would do, since graphs are not made for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusionlab.exported.conversion import OPSET, SMALLEST_EDGE
from fusionlab.exported.metadata import DTYPES, KEY, ModelMetadata

if TYPE_CHECKING:
    import onnx


def extended_name(number: int) -> str:
    """Return the name of an input of the graph of the method, before `assembled` uses it."""
    return f"extended_{number}"


DECODED = "decoded"
"""The name of the output of the graph of the method."""


def assembled(
    method: onnx.ModelProto,
    metadata: ModelMetadata,
    scalings: Sequence[onnx.ModelProto] = (),
    display: onnx.ModelProto | None = None,
) -> onnx.ModelProto:
    """Return the model of a file.

    Args:
        method: the graph of the method, from `extended_name(1)`, ... to `DECODED`.
        metadata: what the file says about itself.
        scalings: a graph for each source, from `image_1` to `source_1`; none: without scale.
        display: a graph from `fused` to `fused_image`; None: without range policy.
    """
    from onnx import TensorProto, checker, compose, helper

    k = metadata.sources
    parts = [
        compose.add_prefix(part, f"{name}/", rename_inputs=False, rename_outputs=False)
        for name, part in (
            *((f"scale_{number}", part) for number, part in enumerate(scalings, start=1)),
            ("method", method),
            *([("range", display)] if display is not None else []),
        )
    ]
    sources = [f"source_{number}" for number in range(1, k + 1)]
    extended = [extended_name(number) for number in range(1, k + 1)]
    before, constants = _extension(sources, extended, metadata)
    after = helper.make_node("Slice", [DECODED, "no_offset", "size", "axes"], ["fused"])
    nodes: list[Any] = [node for part in parts[: len(scalings)] for node in part.graph.node]
    nodes += [*before, *parts[len(scalings)].graph.node, after]
    nodes += [node for part in parts[len(scalings) + 1 :] for node in part.graph.node]
    assert not any(node.domain for node in nodes)  # nothing but operations of ONNX
    for node in nodes:  # lines of source code, and paths of the machine that exported it
        del node.metadata_props[:]
        node.ClearField("doc_string")

    def value(name: str, dtype: str) -> Any:
        kind = {
            "float32": TensorProto.FLOAT,
            "uint8": TensorProto.UINT8,
            "uint16": TensorProto.UINT16,
        }
        height, width = metadata.size or ("height", "width")
        return helper.make_tensor_value_info(name, kind[dtype], ["batch", 1, height, width])

    dtypes = [DTYPES[depth] for depth in metadata.depths or (32,) * k]
    graph = helper.make_graph(
        nodes,
        "method",
        [value(name, dtype) for name, dtype in zip(metadata.inputs, dtypes, strict=True)],
        [value(metadata.output, DTYPES[max(metadata.depths or (32,))])],
        [*constants, *(tensor for part in parts for tensor in part.graph.initializer)],
    )
    model = helper.make_model(
        graph,
        producer_name="fusionlab",
        producer_version=metadata.libraries["fusionlab-imaging"],
        ir_version=method.ir_version,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(model, {KEY: metadata.to_json()})
    checker.check_model(model)
    return model


def _extension(
    sources: Sequence[str], extended: Sequence[str], metadata: ModelMetadata
) -> tuple[list[Any], list[Any]]:
    """Return the nodes that extend the sources, and their constants."""
    from onnx import TensorProto, helper

    def integers(name: str, *values: int) -> Any:
        shape = () if len(values) == 1 else (len(values),)
        return helper.make_tensor(name, TensorProto.INT64, shape, values)

    divisor = metadata.size_divisor
    constants = [
        integers("divisor", divisor),
        integers("divisor_less_one", divisor - 1),
        integers("least", SMALLEST_EDGE if metadata.size is None and divisor == 1 else 1),
        integers("nothing_before", 0, 0, 0, 0, 0, 0),
        integers("no_offset", 0, 0),
        integers("axes", 2, 3),
    ]
    nodes = [
        helper.make_node("Shape", [sources[0]], ["size"], start=2),
        helper.make_node("Add", ["size", "divisor_less_one"], ["size_and_more"]),
        helper.make_node("Div", ["size_and_more", "divisor"], ["blocks"]),
        helper.make_node("Mul", ["blocks", "divisor"], ["whole_blocks"]),
        helper.make_node("Max", ["whole_blocks", "least"], ["extended_size"]),
        helper.make_node("Sub", ["extended_size", "size"], ["missing"]),
        helper.make_node("Concat", ["nothing_before", "missing"], ["pads"], axis=0),
    ]
    nodes += [
        helper.make_node("Pad", [source, "pads"], [name], mode="edge")
        for source, name in zip(sources, extended, strict=True)
    ]
    return nodes, constants
