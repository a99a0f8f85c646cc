"""Images that are read a few rows at a time, so that none has to fit into memory.

An array is one as it stands. Others lie in files: a large TIFF (`fusionlab.imaging.tiff_rows`), or
what the program itself has computed so far (`OnDiskRows`).
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

BAND_BYTES = 2**24
"""About how much of an image is at hand where it is gone through once: 16 MiB.

Enough for threads to share (64 strips of a TIFF), and little beside any network.
"""


class Rows(Protocol):
    """An image whose rows are read by slices: `pixels[top:bottom]` is an array of them.

    An array of numpy is one. Others are meant to be asked downwards, and may decode again what
    they are asked for again; `np.asarray` reads them whole.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """`(H, W)` or `(H, W, 3)`."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the arrays that slices give."""

    @property
    def ndim(self) -> int:
        """Two for gray images, three for color."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """Return rows as an array, cut off at the ends of the image as slices are."""

    def __array__(self, dtype: None = None, /, *, copy: bool | None = None) -> NDArray[Any]:
        """Return the whole image."""


class BaseRows(ABC):
    """What all `Rows` share that are no arrays: they say how rows are read, slices come from here.

    Args:
        shape: `(H, W)` or `(H, W, 3)`.
        dtype: of the pixels, in the byte order of the machine.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape = shape
        self.dtype: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")

    @property
    def ndim(self) -> int:
        """Two for gray images, three for color."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        top, bottom, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"rows are read one after another, got a step of {step}")
        return self._read(top, max(top, bottom))

    def __array__(
        self, dtype: DTypeLike | None = None, /, *, copy: bool | None = None
    ) -> NDArray[Any]:
        if copy is False:
            raise ValueError("rows in a file cannot become an array without a copy")
        whole = np.empty(self.shape, self.dtype if dtype is None else dtype)
        top = 0
        for band in bands(self):
            whole[top : top + len(band)] = band
            top += len(band)
        return whole

    @abstractmethod
    def _read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return the rows from `top` to `bottom`, excluded: an array of its own."""


class InMemoryRows(BaseRows):
    """Rows in memory, appended downwards."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        super().__init__(shape, dtype)
        self.pixels = np.empty(shape, self.dtype)
        """The image; what has not been appended is undefined."""
        self.filled = 0
        """How many rows are there."""

    def append(self, rows: NDArray[Any]) -> None:
        """Write rows below those that are there."""
        self.pixels[self.filled : self.filled + len(rows)] = rows
        self.filled += len(rows)

    def _read(self, top: int, bottom: int) -> NDArray[Any]:
        return self.pixels[top:bottom]


class OnDiskRows(BaseRows):
    """Rows in a temporary file: appended downwards, then read as often as need be.

        with OnDiskRows((height, width), np.float32) as rows:
            rows.append(band)
            rows[:10]

    The file has no name, so that it is gone however the process ends, and is read, not mapped:
    pages of a mapped file count as memory of the process. It lies where `tempfile` puts it; the
    environment variable TMPDIR chooses another folder, for example where /tmp lies in memory.

    Raises:
        FusionlabError: the folder has no room for the image.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        super().__init__(shape, dtype)
        self.filled = 0
        """How many rows are there."""
        self._row = prod(shape[1:]) * self.dtype.itemsize
        self._lock = Lock()
        try:
            if shutil.disk_usage(tempfile.gettempdir()).free < self._row * len(self):
                raise self._full("there is not so much room")
            # without a buffer: what a full disk refuses is known at once, not when it is closed
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # closed below
        except OSError as error:
            raise self._full(error.strerror or str(error)) from error
        self._closing = weakref.finalize(self, self._file.close)

    def append(self, rows: NDArray[Any]) -> None:
        """Write rows below those that are there.

        Raises:
            FusionlabError: the disk is full.
            ValueError: they do not fit into the image.
        """
        if rows.shape[1:] != self.shape[1:] or self.filled + len(rows) > len(self):
            raise ValueError(f"rows {rows.shape} do not fit below {self.filled} of {self.shape}")
        content = _bytes_of(np.ascontiguousarray(rows, self.dtype))
        with self._lock:
            try:
                self._file.seek(self.filled * self._row)
                while content:
                    content = content[self._file.write(content) :]
            except OSError as error:
                raise self._full(error.strerror or str(error)) from error
            self.filled += len(rows)

    def close(self) -> None:
        """Delete the file; happens by itself when nobody holds the rows any more."""
        self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, top: int, bottom: int) -> NDArray[Any]:
        if bottom > self.filled:
            raise ValueError(f"rows {top} to {bottom} are asked for, {self.filled} are there")
        rows = np.empty((bottom - top, *self.shape[1:]), self.dtype)
        with self._lock:
            fill(rows, self._file, top * self._row)
        return rows

    def _full(self, reason: str) -> FusionlabError:
        try:
            folder = tempfile.gettempdir()
        except OSError:  # none of the usual ones can be written
            folder = "any folder for temporary files"
        return FusionlabError(
            f"cannot keep {self._row * len(self) / 1e9:.3g} GB of intermediate results in "
            f"{folder}: {reason}; make room there, or choose another folder with the environment "
            "variable TMPDIR"
        )


def bands(pixels: Rows, multiple: int = 1, size: int | None = None) -> Iterator[NDArray[Any]]:
    """Go through an image from the top.

    Args:
        pixels: the image.
        multiple: of this many rows; the last band takes what is left.
        size: about how many bytes a band has; None: 16 MiB.
    """
    row = prod(pixels.shape[1:]) * pixels.dtype.itemsize
    height = max(1, (size or BAND_BYTES) // (row * multiple)) * multiple
    for top in range(0, pixels.shape[0], height):
        yield pixels[top : top + height]


def fill(array: NDArray[Any], file: io.FileIO | io.BufferedReader, offset: int) -> None:
    """Read a file from `offset` on into a contiguous array.

    Raises:
        EOFError: the file ends before the array is full.
    """
    rest = _bytes_of(array)
    file.seek(offset)
    while rest:  # a file without a buffer may give less than it is asked for
        read = file.readinto(rest)
        if not read:
            raise EOFError("it ends too early")
        rest = rest[read:]


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
