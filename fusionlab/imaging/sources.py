"""Sources: tensors, arrays and rows of files behind one interface, cut into tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionlab.errors import FusionlabError
from fusionlab.imaging.rows import BaseRows, Rows, bands


class TensorSource:
    """A source given as a tensor: one image or a batch."""

    def __init__(self, source: Tensor, name: str) -> None:
        axes = "a tensor is (H, W), (C, H, W) or (N, C, H, W)"
        _check_pixels(source.dtype, source.shape, name)
        if source.ndim not in (2, 3, 4) or (source.ndim > 2 and source.shape[-3] not in (1, 3)):
            raise _not_an_image(name, f"shape {tuple(source.shape)}; {axes}")
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
        axes = "an array is (H, W) or (H, W, 3)"
        self.dtype = _torch_dtype(source.dtype, name)
        if source.ndim not in (2, 3) or source.shape[2:] not in ((), (1,), (3,)):
            raise _not_an_image(name, f"shape {source.shape}; {axes}")
        _check_pixels(self.dtype, source.shape, name)
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
        pixels = torch.from_numpy(native_copy(rows))
        return (pixels.movedim(-1, 0) if pixels.ndim == 3 else pixels[None])[None]


def native_copy(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy that torch takes: not flipped, of the byte order of this machine, writable."""
    return np.array(array, array.dtype.newbyteorder("="), order="C")


def native_pixels(pixels: NDArray[Any], name: str) -> NDArray[Any]:
    """Return a copy of pixels of any layout, see `native_copy`.

    Raises:
        FusionlabError: torch has no such type, or it is not one of pixels (code `not-an-image`).
    """
    _check_pixels(_torch_dtype(pixels.dtype, name), pixels.shape, name)
    return native_copy(pixels)


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
    raise _not_an_image(name, type(source).__name__)


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


def _torch_dtype(dtype: np.dtype[Any], name: str) -> torch.dtype:
    try:
        return torch.from_numpy(np.empty(0, dtype.newbyteorder("="))).dtype
    except TypeError:
        raise _not_an_image(name, f"dtype {dtype}") from None


def _check_pixels(dtype: torch.dtype, shape: Sequence[int], name: str) -> None:
    if dtype == torch.bool or dtype.is_complex:
        raise _not_an_image(name, f"dtype {str(dtype).removeprefix('torch.')}")
    if 0 in shape:
        raise _not_an_image(name, f"no pixels (shape {tuple(shape)})")


def _not_an_image(name: str, got: str) -> FusionlabError:
    return FusionlabError(
        f"{name} is not an image: expected integers or floats, got {got}", code="not-an-image"
    )
