"""Convert a module to ONNX, and say in one sentence what of it cannot be converted."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fusionlab.errors import FusionlabError, one_line
from fusionlab.exported.sessions import NotExportable, load

if TYPE_CHECKING:
    import onnx

OPSET = 18
"""The version of the operators: what the exporter of torch speaks, and onnxruntime since 1.14."""
LARGEST_EDGE = 2**15
"""Upper bound of height and width, in pixels: the exporter wants one."""
MOST_IMAGES = 2**12
"""Upper bound of the number of images in a batch."""
SMALLEST_EDGE = 2
"""Graphs are not made for an edge of a single pixel, of which torch takes other ways."""

_VIOLATED = re.compile(r"Constraints violated \(([^)]+)\)")
_GUARD = re.compile(r"generated guard ([^\n]+)")
_SHAPE = re.compile(r"L\['\w+'\](?:\[\d+\])*\.size\(\)\[(\d)\]")
_MINIMUM = re.compile(r"(height|width) = Dim\('\w+', min=(\d+)")
_OPERATION = re.compile(r"torch\.ops\.(\w+\.\w+)|<OpOverload\(op='(\w+\.\w+)'")


def traced(
    module: nn.Module, examples: tuple[Any, ...], divisor: int, *, fixed: bool
) -> tuple[Any, int]:
    """Trace a module of images `(N, 1, H, W)`, for any N, and any H and W or those of the examples.

    Args:
        module: what is traced.
        examples: its arguments, tensors of two images or tuples of them.
        divisor: H and W are multiples of this.
        fixed: whether H and W are always those of the examples.

    Returns:
        The program that torch has traced; and the smallest H and W of the images that it takes, as
        multiples of the divisor.

    Raises:
        NotExportable: the code of the module depends on sizes or values in a way that a graph
            cannot express.
        FusionlabError: raised by the code itself.
    """
    smallest = SMALLEST_EDGE
    for last_try in (False, True):
        try:
            with _quiet(), torch.no_grad():
                program = torch.export.export(
                    module,
                    examples,
                    dynamic_shapes=_shapes(examples, divisor, smallest, fixed=fixed),
                    strict=False,
                )
        except FusionlabError:
            raise
        except Exception as error:  # of torch, or of the code that is traced
            text = str(error)
            minima = [int(minimum) for _, minimum in _MINIMUM.findall(text)]
            if last_try or fixed:
                raise _untraceable(error, fixed=fixed) from error
            # differences of neighbors may have a single pixel, of which torch takes other ways
            smallest = max(minima, default=SMALLEST_EDGE + 1)
        else:
            break
    with _quiet():
        return program.run_decompositions(_DECOMPOSITIONS), smallest


def to_onnx(program: Any, inputs: Sequence[str], output: str) -> onnx.ModelProto:
    """Convert a traced program.

    Args:
        program: what `traced` has returned.
        inputs: names for the inputs of the graph.
        output: name for its output.

    Raises:
        NotExportable: ONNX has no operation that one of the program could become.
    """
    try:
        with _quiet():
            converted = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=inputs,
                output_names=[output],
                verbose=False,
                optimize=False,  # takes minutes for thousands of operations
            )
            assert converted is not None  # with dynamo
            return _folded(converted)
    except NotExportable:
        raise
    except Exception as error:  # whatever the exporter raises
        name = _operation(error)
        what = f"ONNX has no counterpart of its operation {name}" if name else one_line(error)
        raise NotExportable(what) from error


def _folded(converted: Any) -> onnx.ModelProto:
    """Return a converted program with its constants folded, as onnxruntime does it.

    That is a matter of seconds, and leaves a third of the operations of a large graph; a model runs
    as fast with it as without.
    """
    import onnx

    with TemporaryDirectory() as folder:
        before, after = Path(folder) / "converted.onnx", Path(folder) / "folded.onnx"
        converted.save(before)
        load(before, after)
        return onnx.load(after)


def _shapes(examples: tuple[Any, ...], divisor: int, smallest: int, *, fixed: bool) -> Any:
    """Return which axes of the arguments vary, as the exporter wants to know it."""
    dim = torch.export.Dim
    shape: dict[int, Any] = {0: dim("batch", min=1, max=MOST_IMAGES)}
    if not fixed:
        for axis, name in ((2, "height"), (3, "width")):
            edge = dim(name, min=smallest, max=LARGEST_EDGE // divisor)
            shape[axis] = edge if divisor == 1 else divisor * edge
    return tuple(
        (shape,) * len(example) if isinstance(example, tuple) else shape for example in examples
    )


def _untraceable(error: Exception, *, fixed: bool) -> NotExportable:
    """Return what the code does that cannot be traced."""
    text = str(error)
    if "data-dependent" in text.lower() or "DataDependent" in type(error).__name__:
        return NotExportable(
            "its code decides by values of the images, and a graph takes the same way for all"
        )
    violated = _VIOLATED.search(text)
    if violated is None:
        return NotExportable(one_line(error))
    helps = not fixed and "batch" not in violated[1]
    advice = "; export it for images of one size" if helps else ""
    what = f"makes a constant of the {violated[1].replace(', ', ' and the ')} of the images"
    if guard := _GUARD.search(text):
        names = {"0": "batch", "2": "height", "3": "width"}
        where = _SHAPE.sub(lambda match: names.get(match[1], "size"), guard[1]).rstrip(". ")
        what = f"decides by the size of the images, such as {where}"
    return NotExportable(f"its code {what}{advice}", option="size" if helps else "")


def _operation(error: BaseException | None) -> str:
    """Return the operation that could not be converted, `aten.NAME`; empty if nothing says it."""
    name = ""
    while error is not None:
        if match := _OPERATION.search(str(error)):
            name = match[1] or match[2]
        error = error.__cause__
    return name


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says about itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _average_pool(  # the signature is that of the operation
    maps: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Average windows by sums: onnxruntime has no average pooling in double precision."""
    plain = not ceil_mode and divisor_override is None and (count_include_pad or not any(padding))
    if maps.dtype != torch.float64 or not plain:
        return NotImplemented
    for axis, edge in ((-2, kernel[0]), (-1, kernel[-1])):
        before = padding[0] if axis == -2 else padding[-1]
        step = (stride or kernel)[0 if axis == -2 else -1]
        sides = (0, 0, before, before) if axis == -2 else (before, before, 0, 0)
        padded = torch.nn.functional.pad(maps, sides) if before else maps
        length = padded.shape[axis] - edge + 1
        total = padded.narrow(axis, 0, length)
        for offset in range(1, edge):
            total = total + padded.narrow(axis, offset, length)
        if step > 1:
            total = total[..., ::step, :] if axis == -2 else total[..., ::step]
        maps = total / edge
    return maps


_DECOMPOSITIONS: Mapping[Any, Any] = {torch.ops.aten.avg_pool2d.default: _average_pool}
"""Operations that runners lack for some types, and what they are made of."""
