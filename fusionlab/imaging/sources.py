"""Sources: tensors, arrays and rows of files behind one interface, cut into tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionlab.errors import FusionlabError
from fusionlab.imaging.decoding import held
from fusionlab.imaging.depth import pixel_dtype
from fusionlab.imaging.rows import BaseRows, Rows, bands


class TensorSource:
    """A source given as a tensor: one image or a batch."""

    def __init__(self, source: Tensor, name: str) -> None:
        check_tensor(source, name)
        if source.dtype == torch.bool:
            source = source.to(torch.uint8) * 255
        self.name = name
        self.axes, self.dtype, self.device = source.ndim, source.dtype, source.device
        self._tensor = source[(None,) * (4 - source.ndim)]
        self.requires_grad = source.requires_grad
        self.images, self.channels = self._tensor.shape[:2]
        self.size = tuple(self._tensor.shape[2:])

    def cut(self, rows: slice, columns: slice) -> Tensor:
        """Return a rectangle of all images, `(N, C, h, w)`."""
        return self._tensor[..., rows, columns]

    def parts(self) -> Iterator[Tensor]:
        """Yield the complete images, in one part."""
        yield self._tensor


class ArraySource:
    """A source given as an array, or as the rows of a file."""

    images, device, requires_grad = 1, torch.device("cpu"), False

    def __init__(self, source: Rows, name: str) -> None:
        check_array(source, name)
        self.dtype = torch.from_numpy(np.empty(0, pixel_dtype(source.dtype))).dtype
        self.name = name
        self.axes, self.channels = source.ndim, 1 if source.ndim == 2 else source.shape[2]
        self.size = source.shape[:2]
        self._rows = source
        self._last_rows: tuple[tuple[int, int], NDArray[Any]] | None = None

    def cut(self, rows: slice, columns: slice) -> Tensor:
        """Return a rectangle of the image, `(1, C, h, w)`."""
        return self._tensor(self._read(rows.start or 0, rows.stop)[:, columns])

    def parts(self) -> Iterator[Tensor]:
        """Yield the image in bands, from top to bottom."""
        return map(self._tensor, bands(self._rows))

    def _read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows; the last ones are cached for the other tiles of their band."""
        if isinstance(self._rows, np.ndarray):
            return self._rows[top:bottom]
        if self._last_rows is None or self._last_rows[0] != (top, bottom):
            self._last_rows = (top, bottom), self._rows[top:bottom]
        return self._last_rows[1]

    def _tensor(self, rows: NDArray[Any]) -> Tensor:
        pixels = torch.from_numpy(np.array(held(rows), order="C"))  # a copy: writable, not flipped
        return (pixels.movedim(-1, 0) if pixels.ndim == 3 else pixels[None])[None]


Source = TensorSource | ArraySource


def open_source(source: object, name: str) -> Source:
    """Return a source behind the common interface.

    Args:
        source: a tensor `(H, W)`, `(C, H, W)` or `(N, C, H, W)`, an array `(H, W)` or `(H, W, 3)`,
            or the rows of a file.
        name: of the source, for error messages.

    Raises:
        FusionlabError: the source is none of these (code `not-an-image`).
    """
    if isinstance(source, Tensor):
        return TensorSource(source, name)
    if isinstance(source, np.ndarray | BaseRows):
        return ArraySource(source, name)
    raise not_an_image(name, f"the type {type(source).__name__}")


def open_sources(sources: Sequence[object], names: Sequence[str] = ()) -> list[Source]:
    """Open the k >= 2 sources of one fusion, and check that they fit together.

    Args:
        sources: see `open_source`.
        names: one for each source, for error messages; empty: source 1, source 2, ...

    Raises:
        FusionlabError: there are fewer than two sources, one is not an image, arrays are mixed with
            tensors, or sizes or batch sizes differ.
    """
    if len(sources) < 2:
        raise FusionlabError(
            f"a fusion needs at least two sources, got {len(sources)}", code="number-of-sources"
        )
    if len({isinstance(source, Tensor) for source in sources}) > 1:
        raise FusionlabError(
            "the sources must all be arrays or all be tensors, got both", code="mixed-kinds"
        )
    names = names or [f"source {number}" for number in range(1, len(sources) + 1)]
    opened: list[Source] = [
        open_source(source, name) for source, name in zip(sources, names, strict=True)
    ]
    if len({source.size for source in opened}) > 1:
        sizes = ", ".join(f"{source.size[1]}x{source.size[0]}" for source in opened)
        raise FusionlabError(
            f"the sources must have the same size, got {sizes} (width x height); "
            "crop or resize them first",
            code="size-mismatch",
            option="resize",
        )
    if len({source.images for source in opened}) > 1:
        counts = ", ".join(str(source.images) for source in opened)
        raise FusionlabError(
            f"the sources must be batches of the same size, got {counts}", code="batch-mismatch"
        )
    return opened


def bit_depth_order(dtype: torch.dtype) -> tuple[bool, int]:
    """Return a sort key of dtypes by bit depth: any float is deeper than any integer."""
    return dtype.is_floating_point, dtype.itemsize


_TENSORS = {
    *(torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
}
"""Dtypes of tensors that are images."""


def check_array(source: Rows, name: str) -> None:
    """Raise `FusionlabError` (code `not-an-image`) unless an array is an image."""
    shape, dtype = tuple(source.shape), source.dtype
    if pixel_dtype(dtype) is None:
        remedy = "take its magnitude" if dtype.kind == "c" else "convert it with astype"
        raise not_an_image(name, f"the dtype {dtype}; {remedy}")
    if 0 in shape:
        raise not_an_image(name, f"no pixels (shape {shape})")
    if len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,)):
        remedy = "an array is (H, W) or (H, W, 3)"
        if len(shape) == 3 and shape[0] in (1, 3):
            remedy += "; where its channels come first, give np.moveaxis(array, 0, -1)"
        elif len(shape) == 3 and shape[2] in (2, 4):
            remedy += "; leave out its alpha channel, array[..., :-1]"
        elif len(shape) > 2:
            remedy += "; give the images of a stack one by one, list(stack)"
        raise not_an_image(name, f"the shape {shape}; {remedy}")


def check_tensor(source: Tensor, name: str) -> None:
    """Raise `FusionlabError` (code `not-an-image`) unless a tensor is an image or a batch."""
    shape = tuple(source.shape)
    if source.dtype not in _TENSORS:
        remedy = "take its magnitude" if source.dtype.is_complex else "convert it with float()"
        kind = str(source.dtype).removeprefix("torch.")
        raise not_an_image(name, f"the dtype {kind}; {remedy}")
    if source.layout != torch.strided or source.is_meta:
        kind = "meta" if source.is_meta else "sparse"
        raise not_an_image(name, f"a {kind} tensor; give one that holds all values")
    if 0 in shape:
        raise not_an_image(name, f"no pixels (shape {shape})")
    if len(shape) not in (2, 3, 4) or (len(shape) > 2 and shape[-3] not in (1, 3)):
        remedy = "a tensor is (H, W), (C, H, W) or (N, C, H, W)"
        if len(shape) in (3, 4) and shape[-1] in (1, 3):
            remedy += "; where its channels come last, give tensor.movedim(-1, -3)"
        elif len(shape) in (3, 4) and shape[-3] in (2, 4):
            remedy += "; leave out its alpha channel, tensor[..., :-1, :, :]"
        raise not_an_image(name, f"the shape {shape}; {remedy}")


def not_an_image(name: str, got: str) -> FusionlabError:
    """Return the error for a source that is something else."""
    return FusionlabError(f"{name} must be an image, got {got}", code="not-an-image")
