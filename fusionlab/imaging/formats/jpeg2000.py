"""JPEG 2000, with imagecodecs, in full depth: Pillow narrows color to 8 bits."""

from __future__ import annotations

import struct
from collections import Counter

import imagecodecs
import numpy as np

from fusionlab.imaging.contents import Contents, Page, channel_names
from fusionlab.imaging.decoding import Decoded, SizeCheck

SIZE_MARKER = b"\xff\x4f\xff\x51"
"""The markers of start and size, with which a codestream begins (ISO/IEC 15444-1, A.4.1, A.5.1)."""

_SURPLUS, _END = b"\xff\x7f" * 32, b"\xff\xd9"
START_OF_TILE = b"\xff\x90"


def open_image(content: bytes, check_size: SizeCheck) -> Contents:
    """Open a file.

    Raises:
        Exception: anything that the decoder raises at damaged files.
    """
    start = content.index(SIZE_MARKER)
    right, bottom, left, top = struct.unpack_from(">4I", content, start + 8)
    channels, depth = struct.unpack_from(">HB", content, start + 40)
    width, height = right - left, bottom - top
    check_size(width, height)
    page = Page("1", width, height, channel_names(channels))

    check_tiles(content[start:])

    def decode(_: int) -> Decoded:
        pixels = imagecodecs.jpeg2k_decode(content)
        if not np.array_equal(imagecodecs.jpeg2k_decode(_with_surplus(content, start)), pixels):
            raise ValueError("some of its pixels are missing")
        return Decoded(pixels, bits=(depth & 0x7F) + 1)

    return Contents([page], decode)


def check_tiles(codestream: bytes) -> None:
    """Refuse a codestream that lacks a tile or a part of one, which decoders leave black.

    Reference: ISO/IEC 15444-1, A.4.2 (start of tile-part), A.5.1 (size).

    Raises:
        ValueError: the image is incomplete.
    """
    right, bottom, *_, width, height, left, top = struct.unpack_from(">8I", codestream, 8)
    count = -(-(right - left) // width) * -(-(bottom - top) // height)
    place = _first_tile(codestream)
    parts: Counter[int] = Counter()
    wanted: dict[int, int] = {}
    while codestream[place : place + 2] == START_OF_TILE:
        tile, length, _, of = struct.unpack_from(">HIBB", codestream, place + 4)
        parts[tile] += 1
        wanted[tile] = max(of, wanted.get(tile, 1))  # zero where the part does not say
        place += length or len(codestream)  # zero: to the end of the codestream
    if len(parts) < count or any(parts[tile] < number for tile, number in wanted.items()):
        raise ValueError(f"it holds {len(parts)} of its {count} tiles, or not all parts of them")


def _first_tile(codestream: bytes) -> int:
    """Return where the first tile-part begins, behind the segments of the main header."""
    place = len(SIZE_MARKER) - 2
    while codestream[place : place + 2] != START_OF_TILE:
        place += 2 + int.from_bytes(codestream[place + 2 : place + 4])
        if place > len(codestream):
            raise ValueError("it holds no tiles")
    return place


def _with_surplus(content: bytes, start: int) -> bytes:
    """Return an image with more bytes behind its last packet, whose codestream begins at `start`.

    A decoder does not miss the packets of detail that a codestream lacks at its end. It takes these
    bytes for one, and makes other pixels of them or none; of a complete image it leaves them out.
    """
    head, codestream = content[:start], content[start:]
    place = _first_tile(codestream)
    while True:
        (length,) = struct.unpack_from(">I", codestream, place + 6)
        if length == 0 or codestream[place + length :][:2] != START_OF_TILE:
            break
        place += length
    whole = codestream if length == 0 else codestream[: place + length]
    whole = whole.removesuffix(_END) + _SURPLUS
    size = struct.pack(">I", len(whole) - place)
    whole = whole[: place + 6] + size + whole[place + 10 :] + _END
    if head:  # the box of the codestream, which goes to the end of the file now
        head = head[: -8 if head.endswith(b"jp2c") else -16] + b"\0\0\0\0jp2c"
    return head + whole
