"""Images that are read a few rows at a time, so that they do not have to fit into memory.

Arrays are such images. Others are in files: a large TIFF (`fusionlab.imaging.formats.tiff_rows`),
or an intermediate result (`OnDiskRows`).
"""

from __future__ import annotations

import io
import shutil
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from math import prod
from threading import Lock
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fusionlab.errors import FusionlabError
from fusionlab.imaging.depth import pixel_dtype

BAND_BYTES = 2**24
"""Default size of a band: 16 MiB.

Enough to distribute among threads (64 strips of a TIFF), and little compared to any network.
"""


class Rows(Protocol):
    """An image whose rows are read by slices: `pixels[top:bottom]` is an array of them.

    A numpy array is one. Others should be read from top to bottom, and may decode rows again that
    are requested again; `np.asarray` reads all of them.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """`(H, W)` or `(H, W, 3)`."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the slices."""

    @property
    def ndim(self) -> int:
        """Two for gray images, three for color."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """Return rows as an array, clipped to the image like any slice."""

    def __array__(self, dtype: None = None, /, *, copy: bool | None = None) -> NDArray[Any]:
        """Return the whole image."""


class BaseRows(ABC):
    """Base class of all `Rows` that are not arrays: implements slicing with `_read`.

    Args:
        shape: `(H, W)` or `(H, W, 3)`.
        dtype: of the pixels, in the byte order of the machine.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape = shape
        self.dtype: np.dtype[Any] = pixel_dtype(np.dtype(dtype)) or np.dtype(dtype)

    @property
    def ndim(self) -> int:
        """Two for gray images, three for color."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        top, bottom, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"rows can only be sliced with a step of 1, got {step}")
        return self._read(top, max(top, bottom))

    def __array__(
        self, dtype: DTypeLike | None = None, /, *, copy: bool | None = None
    ) -> NDArray[Any]:
        if copy is False:
            raise ValueError("rows in a file cannot become an array without a copy")
        pixels = np.empty(self.shape, self.dtype if dtype is None else dtype)
        top = 0
        for band in bands(self):
            pixels[top : top + len(band)] = band
            top += len(band)
        return pixels

    @abstractmethod
    def _read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return the rows from `top` to `bottom` (exclusive) as a new array."""


class InMemoryRows(BaseRows):
    """Rows in memory, appended from top to bottom."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        super().__init__(shape, dtype)
        self.pixels = np.empty(shape, self.dtype)
        """The image; rows that have not been appended are undefined."""
        self.filled = 0
        """The number of rows appended so far."""

    def append(self, rows: NDArray[Any]) -> None:
        """Append rows at the bottom."""
        self.pixels[self.filled : self.filled + len(rows)] = rows
        self.filled += len(rows)

    def _read(self, top: int, bottom: int) -> NDArray[Any]:
        return self.pixels[top:bottom]


class OnDiskRows(BaseRows):
    """Rows in a temporary file: appended from top to bottom, then read any number of times.

        with OnDiskRows((height, width), np.float32) as rows:
            rows.append(band)
            rows[:10]

    The file has no name, so that it disappears however the process ends, and is not memory-mapped,
    because mapped pages count as memory of the process. `tempfile` chooses its folder; the
    environment variable TMPDIR selects another one, for example if /tmp is in memory.

    Raises:
        FusionlabError: there is not enough disk space for the image (code `disk-full`).
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        super().__init__(shape, dtype)
        self.filled = 0
        """The number of rows appended so far."""
        self._row_bytes = prod(shape[1:]) * self.dtype.itemsize
        self._lock = Lock()
        try:
            if shutil.disk_usage(tempfile.gettempdir()).free < self._row_bytes * len(self):
                raise self._disk_error("there is not enough disk space")
            # unbuffered, so that a full disk is reported by the write, not when the file is closed
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # closed below
        except OSError as error:
            raise self._disk_error(error.strerror or str(error)) from error
        self._closing = weakref.finalize(self, self._file.close)

    def append(self, rows: NDArray[Any]) -> None:
        """Append rows at the bottom.

        Raises:
            FusionlabError: the disk is full.
            ValueError: they do not fit into the image.
        """
        if rows.shape[1:] != self.shape[1:] or self.filled + len(rows) > len(self):
            raise ValueError(f"rows {rows.shape} do not fit below {self.filled} of {self.shape}")
        content = _bytes_of(np.ascontiguousarray(rows, self.dtype))
        with self._lock:
            try:
                self._file.seek(self.filled * self._row_bytes)
                while content:
                    content = content[self._file.write(content) :]
            except OSError as error:
                raise self._disk_error(error.strerror or str(error)) from error
            self.filled += len(rows)

    def close(self) -> None:
        """Delete the file; happens automatically when the rows are no longer referenced."""
        self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, top: int, bottom: int) -> NDArray[Any]:
        if bottom > self.filled:
            raise ValueError(f"rows {top} to {bottom} requested, only {self.filled} appended")
        rows = np.empty((bottom - top, *self.shape[1:]), self.dtype)
        with self._lock:
            fill(rows, self._file, top * self._row_bytes)
        return rows

    def _disk_error(self, reason: str) -> FusionlabError:
        try:
            folder = tempfile.gettempdir()
        except OSError:  # none of the usual folders is writable
            folder = "any folder for temporary files"
        return FusionlabError(
            f"cannot store {self._row_bytes * len(self) / 1e9:.3g} GB of intermediate results in "
            f"{folder}: {reason}; free disk space, or choose another folder with the environment "
            "variable TMPDIR",
            code="disk-full",
        )


def bands(pixels: Rows, divisor: int = 1, size: int | None = None) -> Iterator[NDArray[Any]]:
    """Yield the bands of an image from top to bottom.

    Args:
        pixels: the image.
        divisor: the height of each band is a multiple of it; that of the last band may not be.
        size: of a band, in bytes, approximately; None: 16 MiB.
    """
    row_bytes = prod(pixels.shape[1:]) * pixels.dtype.itemsize
    height = max(1, (size or BAND_BYTES) // (row_bytes * divisor)) * divisor
    for top in range(0, pixels.shape[0], height):
        yield pixels[top : top + height]


def fill(array: NDArray[Any], file: io.FileIO | io.BufferedReader, offset: int) -> None:
    """Read a file from `offset` into a contiguous array.

    Raises:
        EOFError: the file ends before the array is full.
    """
    remaining = _bytes_of(array)
    file.seek(offset)
    while remaining:  # an unbuffered file may return less than requested
        count = file.readinto(remaining)
        if not count:
            raise EOFError("it ends too early")
        remaining = remaining[count:]


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
