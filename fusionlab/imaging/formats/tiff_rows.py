"""Rows of large TIFF images, decoded a few rows of tiles or strips at a time."""

from __future__ import annotations

import io
import os
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from math import prod
from threading import Lock
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import COMPRESSION, PHOTOMETRIC

from fusionlab.errors import FusionlabError, one_line
from fusionlab.imaging.formats import jpeg_data
from fusionlab.imaging.formats.jpeg2000 import SIZE_MARKER, check_tiles
from fusionlab.imaging.rows import BaseRows, fill

GROUP_BYTES = 2**23
"""Strips are decoded in groups of 8 MiB: 32 strips of the usual size, enough to distribute among
threads."""
CACHE_BYTES = 2**25
"""Size of the cache of decoded rows: four groups of strips, but at least two rows of tiles, because
a slice may begin in one and end in the next."""
MAX_SEGMENT_BYTES = 2**27
"""The largest row of tiles, or strip, that is read by rows: 128 MiB, two of which are cached.
Tiles of 512 pixels reach it in an image 20,000 wide with three channels of 32 bits."""
READ_BYTES = 2**24
"""Compressed bytes per read."""
JPEG = (COMPRESSION.JPEG, COMPRESSION.ALT_JPEG)
JPEG2000 = (33003, 33004, 33005, 34712)
"""Compressions, of JPEGs and of those of Aperio, too."""
PLAIN: dict[int, str] = {
    PHOTOMETRIC.MINISBLACK: "YX",
    PHOTOMETRIC.RGB: "YXS",
    PHOTOMETRIC.YCBCR: "YXS",
}
"""Photometric interpretations that can be read by rows -> order of the axes; JPEG decodes YCbCr to
RGB."""


def is_plain(page: tifffile.TiffPage) -> bool:
    """Return whether a page stores its pixels as they are, in segments of moderate size."""
    plain = (
        page.axes == PLAIN.get(page.photometric)
        and page.shape[2:] in ((), (3,))
        and page.dtype is not None
        and page.dtype.kind in "uif"
        and page.bitspersample == 8 * page.dtype.itemsize
        and page.jpegheader is None  # NDPI: a single strip that claims to be tiles
    )
    if not plain or page.is_final:  # uncompressed and contiguous, whatever the strips are
        return plain
    # tifffile decodes a predictor without compression only as a whole
    readable = page.compression != 1 or page.predictor == 1
    return readable and _segment_row_bytes(page) <= MAX_SEGMENT_BYTES


def check_segment(page: tifffile.TiffPage, data: bytes) -> None:
    """Refuse a strip or tile that its decoder would complete without a word.

    Raises:
        ValueError: it is incomplete.
    """
    if page.compression in JPEG:
        jpeg_data.check_complete(data, page.jpegtables or b"")
    elif page.compression in JPEG2000:
        check_tiles(data[data.index(SIZE_MARKER) :])


def _segment_row_bytes(page: tifffile.TiffPage) -> int:
    """Return the bytes of one row of tiles, or of one strip."""
    assert page.dtype is not None
    return page.chunks[0] * prod(page.shape[1:]) * page.dtype.itemsize


class TiffRows(BaseRows):
    """The rows of a page, read on demand.

    The groups of the last slices are cached, so that consecutive slices from top to bottom, with
    some overlap, decode nothing twice. Safe to use from several threads, one slice at a time; the
    tiles of a slice are decoded in parallel.

    Args:
        file: the open file, which is closed when the rows are no longer referenced. A file that is
            replaced or deleted in the meantime can still be read; one that is modified is detected.
        page: a page of the file that is plain and complete.
        name: of the file, for error messages.
    """

    def __init__(self, file: io.BufferedReader, page: tifffile.TiffPage, name: str) -> None:
        assert page.dtype is not None
        super().__init__(page.shape, page.dtype)
        self._file, self._page, self._name = file, page, name
        self._file_stamp = _stamp(file)
        self._height = page.chunks[0]
        self._across = page.chunked[1]
        """Tiles per row; 1 for strips."""
        tiles_per_group = max(1, GROUP_BYTES // _segment_row_bytes(page))
        self._group = tiles_per_group * self._height
        """Rows that are decoded together."""
        self._cache: dict[int, NDArray[Any]] = {}
        """Number -> group, in the order of decoding."""
        self._cache_size = max(2, CACHE_BYTES // (tiles_per_group * _segment_row_bytes(page)))
        self._decode = page.decode
        self._tables = {}
        if page.jpegtables is not None:
            self._tables = {"jpegtables": page.jpegtables}
        self._lock = Lock()
        weakref.finalize(self, file.close)

    def _read(self, top: int, bottom: int) -> NDArray[Any]:
        with self._lock:
            try:
                rows = (self._stored if self._page.is_final else self._decoded)(top, bottom)
            except MemoryError:
                raise
            except Exception as error:  # decoders may raise anything at damaged files
                self._check_unmodified(error)
                raise FusionlabError(
                    f"cannot read {self._name}: rows {top} to {bottom} cannot be decoded: "
                    f"{one_line(error)}",
                    code="unreadable",
                ) from error
            self._check_unmodified()
        return rows

    def _check_unmodified(self, cause: Exception | None = None) -> None:
        if _stamp(self._file) != self._file_stamp:
            raise FusionlabError(
                f"cannot read {self._name}: it was modified after it was opened; try again",
                code="unreadable",
            ) from cause

    def _stored(self, top: int, bottom: int) -> NDArray[Any]:
        """Read uncompressed rows."""
        row = prod(self.shape[1:]) * self.dtype.itemsize
        order = self._page.parent.byteorder
        rows = np.empty((bottom - top, *self.shape[1:]), self.dtype.newbyteorder(order))
        fill(rows, self._file, self._page.dataoffsets[0] + top * row)
        return rows.astype(self.dtype, copy=False)

    def _decoded(self, top: int, bottom: int) -> NDArray[Any]:
        """Assemble rows from decoded groups."""
        rows = np.empty((bottom - top, *self.shape[1:]), self.dtype)
        for number in range(top // self._group, -(-bottom // self._group)):
            start = number * self._group
            first, last = max(top, start), min(bottom, start + self._group)
            group = self._decoded_group(number)
            rows[first - top : last - top] = group[first - start : last - start]
        return rows

    def _decoded_group(self, number: int) -> NDArray[Any]:
        """Return a group, from the cache or decoded."""
        if number in self._cache:
            return self._cache[number]
        if len(self._cache) == self._cache_size:
            del self._cache[next(iter(self._cache))]
        start, end = number * self._group, min(len(self), (number + 1) * self._group)
        group = np.empty((end - start, *self.shape[1:]), self.dtype)

        def place(segment: tuple[bytes | None, int]) -> None:
            """Decode a tile or strip into the group, without the part beyond the image."""
            data, position = segment
            if data is not None:
                check_segment(self._page, data)
            decoded = self._decode(data, segments[position], **self._tables)
            pixels, (_, _, row, column, _), _ = decoded
            if pixels is None:
                raise ValueError("a tile or strip is missing")
            target = group[row - start :, column:][: pixels.shape[1], : pixels.shape[2]]
            target[:] = pixels[0, : target.shape[0], : target.shape[1]].reshape(target.shape)

        segments = range(
            start // self._height * self._across, -(-end // self._height) * self._across
        )
        # Yields lists of (bytes, position) if not flat. `indices` would replace the positions, but
        # tifffile before 2026 fails with it where there is only one segment.
        reads: Any = self._page.parent.filehandle.read_segments(
            [self._page.dataoffsets[index] for index in segments],
            [self._page.databytecounts[index] for index in segments],
            buffersize=READ_BYTES,
            flat=False,
        )
        workers = self._page.maxworkers  # 1 for segments too small to benefit from threads
        with ThreadPoolExecutor(max(1, workers)) as pool:
            for read in reads:
                results = (pool.map if workers > 1 else map)(place, read)
                deque(results, maxlen=0)  # re-raises exceptions of the threads
        self._cache[number] = group
        return group


def _stamp(file: io.BufferedReader) -> tuple[int, int]:
    """Return the size and modification time of a file."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
