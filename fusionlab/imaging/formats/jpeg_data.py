"""Whether a JPEG holds all the pixels that its header claims, and the pixels.

libjpeg fills in what is missing, with a warning that Pillow does not pass on; simplejpeg does.

Reference: ITU-T T.81, annexes B (markers), F and G (sequential and progressive scans).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker behind entropy-coded data, in which 0xFF is followed by zero or by a restart number."""
_ALONE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a length."""
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN, _END, _EOI = 0xDA, 0xD9, b"\xff\xd9"
_HUFFMAN, _PROGRESSIVE = {0xC0, 0xC1, 0xC2}, 0xC2
_COMPLETE = re.compile(r"\d+ extraneous bytes before marker")
"""A warning of libjpeg that is about bytes too many."""
_SAMPLING = "subsampling"
"""In the refusal of simplejpeg to decode what libjpeg can decode: unusual subsampling."""
_MISSING = re.compile(
    r"premature end|bad Huffman code|found marker .* instead of|invalid SOS", re.IGNORECASE
)
"""The warnings of libjpeg that are about bytes too few, or a scan that is none."""
_FILLED = 128
"""The gray in which libjpeg leaves the blocks that are missing."""


class _Frame(NamedTuple):
    """The header of a frame."""

    kind: int
    precision: int
    width: int
    height: int
    components: dict[int, tuple[int, int]]
    """Number -> sampling factors, across and down."""

    @property
    def blocks(self) -> int:
        """The number of blocks of 8x8 samples."""
        across, down = map(max, zip(*self.components.values(), strict=True))
        return sum(
            -(-self.width * h // (8 * max(across, 1))) * -(-self.height * v // (8 * max(down, 1)))
            for h, v in self.components.values()
        )


def check_claim(content: bytes) -> None:
    """Refuse a size that this many bytes cannot fill, and scans that are missing.

    A block takes at least a bit: the code of its mean, in the first scan of a component.

    Raises:
        ValueError: the image is incomplete.
    """
    frame = None
    rest: dict[int, set[int]] = {}  # component -> coefficients that no scan has brought to the end
    for marker, data in _segments(content):
        if marker in _FRAMES and frame is None:
            frame = _frame(marker, data)
            if frame.kind in _HUFFMAN and frame.blocks > 8 * len(content):
                raise ValueError(
                    f"its header claims {frame.width}x{frame.height} pixels, and it holds "
                    f"{len(content)} bytes"
                )
            lossy = range(64 if frame.kind == _PROGRESSIVE else 1)
            rest = {number: set(lossy) for number in frame.components}
        elif marker == _START_OF_SCAN and frame and data:
            count = data[0]
            first, last, precision = data[1 + 2 * count : 4 + 2 * count]
            if frame.kind != _PROGRESSIVE:
                first = last = precision = 0
            for number in data[1 : 1 + 2 * count : 2]:
                if precision & 0x0F == 0:
                    rest.get(number, set()).difference_update(range(first, last + 1))
    if frame is None:
        raise ValueError("its header is damaged")
    if any(rest.values()):
        raise ValueError("some of its scans are missing")


def check_complete(content: bytes, tables: bytes = b"") -> None:
    """Refuse a JPEG in another file, such as a strip of a TIFF, if it is incomplete.

    Those that simplejpeg does not decode, of 12 bits or with arithmetic codes, count as complete
    if no scan is missing. The mark of the end may be missing: the other file says where it is.

    Args:
        content: the JPEG.
        tables: those that it lacks, as a JPEG of their own.

    Raises:
        ValueError: the image is incomplete.
    """
    if tables:
        content = tables.removesuffix(_EOI) + content[2:]
    content += _EOI
    check_claim(content)
    frame = next(_frame(marker, data) for marker, data in _segments(content) if marker in _FRAMES)
    colors = "CMYK" if len(frame.components) == 4 else "GRAY"
    try:  # at an eighth of the size, which takes little more than reading the codes
        simplejpeg.decode_jpeg(content, colors, min_height=1, min_width=1, min_factor=8)
    except ValueError as error:
        if _MISSING.search(str(error)):
            raise ValueError(f"it is incomplete: {error}") from error


def decode(content: bytes, *, color: bool) -> NDArray[np.uint8] | None:
    """Decode a JPEG of 8 bits.

    Args:
        content: the JPEG; what follows its end is ignored.
        color: whether it has three components.

    Returns:
        `(H, W)` or `(H, W, 3)`; None where its subsampling is too unusual, see `check_filled`.

    Raises:
        ValueError: the image is incomplete or damaged.
    """
    colors = "RGB" if color else "GRAY"
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(content, colors)
    except ValueError as error:
        if _SAMPLING in str(error):
            return None
        if not _COMPLETE.search(str(error)):
            raise
        pixels = simplejpeg.decode_jpeg(content, colors, strict=False)
    return pixels if color else pixels[..., 0]


def check_filled(pixels: NDArray[Any]) -> None:
    """Refuse pixels of another decoder whose last block was filled in.

    Raises:
        ValueError: the image is incomplete.
    """
    if (pixels[-8:, -8:] == _FILLED).all():
        raise ValueError("its last pixels are missing")


def _frame(marker: int, data: bytes) -> _Frame:
    precision, height, width, count = struct.unpack_from(">BHHB", data)
    components = {
        data[place]: (data[place + 1] >> 4, data[place + 1] & 0x0F)
        for place in range(6, 6 + 3 * count, 3)
    }
    if not components:
        raise ValueError("its header is damaged")
    return _Frame(marker, precision, width, height, components)


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and payload of each segment up to the end of the image."""
    place = 2
    while match := _MARKER.search(content, place):
        marker, place = content[match.start() + 1], match.end()
        if marker == _END:
            return
        if marker in _ALONE:
            continue
        length = int.from_bytes(content[place : place + 2])
        yield marker, content[place + 2 : place + length]
        place += max(2, length)
