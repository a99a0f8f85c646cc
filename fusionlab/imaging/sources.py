"""Sources: arrays, rows of files and tensors behind one interface, cut into arrays or tensors."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError
from fusionlab.imaging.decoding import held
from fusionlab.imaging.depth import pixel_dtype
from fusionlab.imaging.rows import BaseRows, Rows, bands
from fusionlab.namespaces import (
    Array,
    as_array,
    contiguous,
    detached,
    dtype_name,
    is_floating,
    is_tensor,
    item_size,
    namespace_of,
)


@dataclass(frozen=True)
class MaskedImage:
    """An image that may hold pixels that are no data; NaN is no data in every image of floats."""

    pixels: Any
    """An array, a tensor or the rows of a file."""
    valid: Any = None
    """Truth values of the size of the image, True where a pixel is data: an array, a tensor or
    rows; None: there is no mask."""
    nodata: tuple[float, ...] = ()
    """A pixel whose channels all have one of these values is no data."""

    def __getitem__(self, numbers: list[int]) -> MaskedImage:
        """Return some images of a batch of tensors."""
        valid = self.valid
        if is_tensor(valid) and valid.ndim == 4 and len(valid) > 1:
            valid = valid[numbers]
        return MaskedImage(self.pixels[numbers], valid, self.nodata)


Part = tuple[Array, Array | None]
"""Pixels `(N, C, h, w)`, and which of them are data, `(N, 1, h, w)`; None: all."""


class BaseSource(ABC):
    """What tensors and arrays have in common: which of their pixels are data."""

    images: int
    channels: int
    axes: int
    """Of what was given: two for `(H, W)`."""
    size: tuple[int, ...]
    """Height and width."""
    dtype: str
    """The name of the dtype of the pixels."""
    device: Any = None
    """Where tensors are; None for arrays."""
    requires_grad = False
    name: str

    def _open(self, *, masked: bool, nodata: tuple[float, ...]) -> None:
        kept = [self._as_pixel(value) for value in nodata if not math.isnan(value)]
        self._nodata = [value for value in kept if value is not None]
        self.may_lack_data = masked or bool(self._nodata) or is_floating(self.dtype)
        """Whether some pixels may be no data; set to False where they are known to be data."""

    @abstractmethod
    def cut(self, rows: slice, columns: slice) -> Part:
        """Return a rectangle of all images."""

    @abstractmethod
    def parts(self) -> Iterator[Part]:
        """Yield the complete images, in bands from top to bottom."""

    @abstractmethod
    def _as_pixel(self, value: float) -> Array | None:
        """Return a value that is not NaN as a pixel; None if no pixel can have it."""

    def _comparable(self, pixels: Array) -> Array:
        """Return pixels in a form that can be compared with one of `_as_pixel`."""
        return pixels

    def sampled(self, step: int) -> Part:
        """Return every `step`-th pixel of every `step`-th row."""
        pixels, masks, top = [], [], 0
        for part, valid in self.parts():
            of_part = ..., slice(-top % step, None, step), slice(None, None, step)
            pixels.append(contiguous(detached(part)[of_part]))
            masks.append((part[:, :1] == part[:, :1] if valid is None else valid)[of_part])
            top += part.shape[-2]
        xp = namespace_of(pixels[0])
        valid = xp.concatenate(masks, axis=-2)
        return xp.concatenate(pixels, axis=-2), None if valid.all() else valid

    def _part(self, pixels: Array, given: Array | None) -> Part:
        """Return pixels with what is data among them, of what the mask says and beyond it."""
        if not self.may_lack_data:
            return pixels, None
        valid = given
        comparable = self._comparable(pixels)
        lacking = [(comparable == value).all(axis=1, keepdims=True) for value in self._nodata]
        if is_floating(self.dtype):
            lacking.append(namespace_of(pixels).isnan(pixels).any(axis=1, keepdims=True))
        for holes in lacking:
            valid = ~holes if valid is None else valid & ~holes
        return pixels, None if valid is None or valid.all() else valid


class ArraySource(BaseSource):
    """A source given as an array, or as the rows of a file."""

    images = 1

    def __init__(
        self, source: Rows, name: str, valid: Any = None, nodata: tuple[float, ...] = ()
    ) -> None:
        check_array(source, name)
        self._dtype = pixel_dtype(source.dtype) or source.dtype
        self.dtype = self._dtype.name
        self.name = name
        self.axes, self.channels = source.ndim, 1 if source.ndim == 2 else source.shape[2]
        self.size = source.shape[:2]
        self._rows = _CachedRows(source)
        if valid is not None and not isinstance(valid, BaseRows):
            valid = np.asarray(valid)
        if valid is not None and (valid.shape != self.size or valid.dtype.kind == "f"):
            raise wrong_mask(name, valid, self.size)
        self._valid = None if valid is None else _CachedRows(valid)
        self._open(masked=valid is not None, nodata=nodata)

    def cut(self, rows: slice, columns: slice) -> Part:
        """Return a rectangle of the image."""
        top, bottom = rows.start or 0, rows.stop
        return self._pixels(self._rows.read(top, bottom), top, columns)

    def parts(self) -> Iterator[Part]:
        """Yield the image in bands, from top to bottom."""
        top = 0
        for band in bands(self._rows.rows):
            yield self._pixels(band, top, slice(None))
            top += len(band)

    def _pixels(self, rows: NDArray[Any], top: int, columns: slice) -> Part:
        pixels = held(rows[:, columns])
        valid = None
        if self._valid is not None and self.may_lack_data:
            valid = (self._valid.read(top, top + len(rows))[:, columns] != 0)[None, None]
        return self._part(
            (np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels[None])[None], valid
        )

    def _as_pixel(self, value: float) -> NDArray[Any] | None:
        if self._dtype.kind != "f":
            limits = np.iinfo(self._dtype)
            if not float(value).is_integer() or not limits.min <= value <= limits.max:
                return None
            value = int(value)
        with np.errstate(over="ignore"):
            return np.array(value, self._dtype)


class _CachedRows:
    """Rows, of which those last read from a file are kept for the tiles of a band.

    Two bands are: some threads may be at the end of one when others begin the next.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._last: deque[tuple[tuple[int, int], NDArray[Any]]] = deque(maxlen=2)
        self._lock = Lock()

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return some rows."""
        if isinstance(self.rows, np.ndarray):
            return self.rows[top:bottom]
        with self._lock:
            for part, kept in self._last:
                if part == (top, bottom):
                    return kept
            band = self.rows[top:bottom]
            self._last.append(((top, bottom), band))
            return band


class CountedParts:
    """The parts of a source, and how many of its pixels are no data.

    They are counted while the parts are read for something else.

    Raises:
        FusionlabError: all pixels of an image are no data (code `no-data`); after its last part.
    """

    def __init__(self, source: BaseSource) -> None:
        self._source = source
        self._counts: NDArray[np.int64] | None = None

    def __call__(self) -> Iterator[Part]:
        """Yield the parts of the source."""
        counts = np.zeros(self._source.images, np.int64)
        for pixels, valid in self._source.parts():
            if valid is not None:
                counts += as_array((~valid).reshape(len(valid), -1).sum(axis=1))
            yield pixels, valid
        self._counts = counts
        if (counts == self._source.size[0] * self._source.size[1]).any():
            raise FusionlabError(
                f"{self._source.name} has no pixel that is data; leave it out, or correct its mask",
                code="no-data",
            )

    def counts(self) -> NDArray[np.int64]:
        """Return how many pixels of each image are no data, `(N,)`."""
        if self._counts is None and self._source.may_lack_data:
            deque(self(), maxlen=0)
        if self._counts is None:
            return np.zeros(self._source.images, np.int64)
        return self._counts


def open_source(source: object, name: str) -> BaseSource:
    """Return a source behind the common interface.

    Args:
        source: a tensor `(H, W)`, `(C, H, W)` or `(N, C, H, W)`, an array `(H, W)` or `(H, W, 3)`,
            or the rows of a file; or a `MaskedImage` of one of these.
        name: of the source, for error messages.

    Raises:
        FusionlabError: the source is none of these (code `not-an-image`), or its mask has another
            size (code `wrong-mask`).
    """
    image = source if isinstance(source, MaskedImage) else MaskedImage(source)
    if is_tensor(image.pixels):
        from fusionlab.imaging.tensors import TensorSource

        return TensorSource(image.pixels, name, image.valid, image.nodata)
    if isinstance(image.pixels, np.ndarray | BaseRows):
        return ArraySource(image.pixels, name, image.valid, image.nodata)
    raise not_an_image(name, f"the type {type(source).__name__}")


def open_sources(sources: Sequence[object], names: Sequence[str] = ()) -> list[BaseSource]:
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
    if len({is_tensor(unmasked(source)) for source in sources}) > 1:
        raise FusionlabError(
            "the sources must all be arrays or all be tensors, got both", code="mixed-kinds"
        )
    names = names or [f"source {number}" for number in range(1, len(sources) + 1)]
    opened: list[BaseSource] = [
        open_source(source, name) for source, name in zip(sources, names, strict=True)
    ]
    check_sizes([source.size for source in opened])
    if len({source.images for source in opened}) > 1:
        counts = ", ".join(str(source.images) for source in opened)
        raise FusionlabError(
            f"the sources must be batches of the same size, got {counts}", code="batch-mismatch"
        )
    return opened


def check_sizes(sizes: Sequence[tuple[int, ...]]) -> None:
    """Raise `FusionlabError` (code `size-mismatch`) unless sources have one size, `(H, W)`."""
    if len(set(sizes)) > 1:
        listed = ", ".join(f"{width}x{height}" for height, width in sizes)
        raise FusionlabError(
            f"the sources must have the same size, got {listed} (width x height); "
            "crop, resize or register them first",
            code="size-mismatch",
            option="resize",
        )


def unmasked(source: Any) -> Any:
    """Return the pixels of a source: an array, a tensor or the rows of a file."""
    return source.pixels if isinstance(source, MaskedImage) else source


def bit_depth_order(dtype: str) -> tuple[bool, int]:
    """Return a sort key of dtypes by bit depth: any float is deeper than any integer."""
    return is_floating(dtype), item_size(dtype)


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


def wrong_mask(name: str, mask: Any, shape: tuple[int, ...]) -> FusionlabError:
    """Return the error for a mask of another size or kind."""
    return FusionlabError(
        f"the mask of {name} must hold truth values, True where a pixel is data, of the shape "
        f"{shape}; got {dtype_name(mask)} of the shape {tuple(mask.shape)}",
        code="wrong-mask",
    )


def not_an_image(name: str, got: str) -> FusionlabError:
    """Return the error for a source that is something else."""
    return FusionlabError(f"{name} must be an image, got {got}", code="not-an-image")
