"""Large TIFF images, decoded a few rows of tiles or strips at a time."""

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
from tifffile import PHOTOMETRIC

from fusionlab.errors import FusionlabError
from fusionlab.imaging.rows import BaseRows, fill

GROUP_BYTES = 2**23
"""Strips are decoded together until they make up 8 MiB: 32 of them, as most programs cut them,
which is enough to share among threads."""
KEEP_BYTES = 2**25
"""Decoded rows that are kept for the next slice: four groups of strips, but two rows of tiles at
least, because a slice may begin in one and end in the next."""
MOST_BYTES = 2**27
"""The largest row of tiles, or strip, that is decoded by itself: 128 MiB, two of which are kept.
Tiles of 512 pixels make up so much in an image 20,000 wide with three channels of 32 bits."""
READ_BYTES = 2**24
"""Compressed bytes that are read in one go."""
PLAIN: dict[int, str] = {
    PHOTOMETRIC.MINISBLACK: "YX",
    PHOTOMETRIC.RGB: "YXS",
    PHOTOMETRIC.YCBCR: "YXS",
}
"""What may be read by rows, and the order of its axes; JPEG decodes YCbCr to RGB."""


def is_plain(page: tifffile.TiffPage) -> bool:
    """Return whether the pixels of a page are what is stored, in pieces of moderate size."""
    plain = (
        page.axes == PLAIN.get(page.photometric)
        and page.shape[2:] in ((), (3,))
        and page.dtype is not None
        and page.dtype.kind in "uif"
        and page.bitspersample == 8 * page.dtype.itemsize
        and page.jpegheader is None  # a strip that claims to be tiles, in NDPI
    )
    if not plain or page.is_final:  # uncompressed, row after row, whatever the strips are
        return plain
    # who predicts without compressing is decoded by tifffile only as a whole
    return (page.compression != 1 or page.predictor == 1) and _segment_row(page) <= MOST_BYTES


def _segment_row(page: tifffile.TiffPage) -> int:
    """Return the bytes of one row of tiles, or of one strip."""
    assert page.dtype is not None
    return page.chunks[0] * prod(page.shape[1:]) * page.dtype.itemsize


class TiffRows(BaseRows):
    """The rows of a page, read when they are asked for.

    What the last slices have needed is kept, so that slices that follow each other downwards,
    with some overlap, decode nothing twice. Any thread may ask; they wait for each other, and
    the tiles of a slice are decoded by several.

    Args:
        file: the open file, which is closed when nobody holds the rows any more. A file that is
            replaced or deleted meanwhile stays what it was, one that is written to is noticed.
        page: a page of it that is plain and complete.
        name: what errors call it.
    """

    def __init__(self, file: io.BufferedReader, page: tifffile.TiffPage, name: str) -> None:
        assert page.dtype is not None
        super().__init__(page.shape, page.dtype)
        self._file, self._page, self._name = file, page, name
        self._stamp = _stamp(file)
        self._height = page.chunks[0]
        self._across = page.chunked[1]
        """Tiles side by side; a strip is alone."""
        together = max(1, GROUP_BYTES // _segment_row(page))
        self._group = together * self._height
        """Rows that are decoded together."""
        self._kept: dict[int, NDArray[Any]] = {}
        """Groups by their number, those last decoded at the end."""
        self._room = max(2, KEEP_BYTES // (together * _segment_row(page)))
        self._decode = page.decode
        self._tables = {}
        if page.jpegtables is not None:
            self._tables = {"jpegtables": page.jpegtables}
        self._lock = Lock()
        weakref.finalize(self, file.close)

    def _read(self, top: int, bottom: int) -> NDArray[Any]:
        with self._lock:
            rows, problem = None, None
            try:
                rows = self._stored(top, bottom) if self._page.is_final else self._cut(top, bottom)
            except MemoryError:
                raise
            except Exception as error:  # a decoder raises what it likes; the file is at fault
                problem = error
            if _stamp(self._file) != self._stamp:
                raise FusionlabError(
                    f"cannot read {self._name}: it has been changed since it was opened; try again"
                ) from problem
        if rows is None:
            reason = " ".join(str(problem).split()) or type(problem).__name__
            raise FusionlabError(
                f"cannot read {self._name}: rows {top} to {bottom} cannot be decoded: {reason}"
            ) from problem
        return rows

    def _stored(self, top: int, bottom: int) -> NDArray[Any]:
        """Read rows that are stored as they are."""
        row = prod(self.shape[1:]) * self.dtype.itemsize
        order = self._page.parent.byteorder
        rows = np.empty((bottom - top, *self.shape[1:]), self.dtype.newbyteorder(order))
        fill(rows, self._file, self._page.dataoffsets[0] + top * row)
        return rows.astype(self.dtype, copy=False)

    def _cut(self, top: int, bottom: int) -> NDArray[Any]:
        """Put rows together from decoded groups."""
        rows = np.empty((bottom - top, *self.shape[1:]), self.dtype)
        for number in range(top // self._group, -(-bottom // self._group)):
            start = number * self._group
            first, last = max(top, start), min(bottom, start + self._group)
            rows[first - top : last - top] = self._decoded(number)[first - start : last - start]
        return rows

    def _decoded(self, number: int) -> NDArray[Any]:
        """Return a group, kept or decoded."""
        if number in self._kept:
            return self._kept[number]
        if len(self._kept) == self._room:
            del self._kept[next(iter(self._kept))]
        start, end = number * self._group, min(len(self), (number + 1) * self._group)
        group = np.empty((end - start, *self.shape[1:]), self.dtype)

        def place(segment: tuple[bytes | None, int]) -> None:
            """Decode a tile or strip, and cut off what lies beyond the image."""
            pixels, (_, _, row, column, _), _ = self._decode(*segment, **self._tables)
            if pixels is None:
                raise ValueError("a part of it is missing")
            target = group[row - start :, column:][: pixels.shape[1], : pixels.shape[2]]
            target[:] = pixels[0, : target.shape[0], : target.shape[1]].reshape(target.shape)

        segments = range(
            start // self._height * self._across, -(-end // self._height) * self._across
        )
        reads: Any = self._page.parent.filehandle.read_segments(  # lists of segments, if not flat
            [self._page.dataoffsets[index] for index in segments],
            [self._page.databytecounts[index] for index in segments],
            indices=segments,
            buffersize=READ_BYTES,
            flat=False,
        )
        workers = self._page.maxworkers  # none for segments so small that sharing them costs more
        with ThreadPoolExecutor(max(1, workers)) as pool:
            for read in reads:
                done = (pool.map if workers > 1 else map)(place, read)
                deque(done, maxlen=0)  # raises what a thread has raised
        self._kept[number] = group
        return group


def _stamp(file: io.BufferedReader) -> tuple[int, int]:
    """Return what changes when a file is written to."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
