"""JPEG 2000, with imagecodecs, in full depth: Pillow narrows color to 8 bits."""

from __future__ import annotations

import struct
from collections import Counter

import imagecodecs

from fusionlab.imaging.contents import Contents, Page, channel_names
from fusionlab.imaging.decoding import Decoded, SizeCheck

SIZE_MARKER = b"\xff\x4f\xff\x51"
"""The markers of start and size, with which a codestream begins (ISO/IEC 15444-1, A.4.1, A.5.1)."""

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
        return Decoded(imagecodecs.jpeg2k_decode(content), bits=(depth & 0x7F) + 1)

    return Contents([page], decode)


def check_tiles(codestream: bytes) -> None:
    """Refuse a codestream that lacks a tile or a part of one, which decoders leave black.

    Reference: ISO/IEC 15444-1, A.4.2 (start of tile-part), A.5.1 (size).

    Raises:
        ValueError: the image is incomplete.
    """
    right, bottom, *_, width, height, left, top = struct.unpack_from(">8I", codestream, 8)
    count = -(-(right - left) // width) * -(-(bottom - top) // height)
    place = len(SIZE_MARKER) - 2
    while codestream[place : place + 2] != START_OF_TILE:  # the segments of the main header
        place += 2 + int.from_bytes(codestream[place + 2 : place + 4])
        if place > len(codestream):
            raise ValueError("it holds no tiles")
    parts: Counter[int] = Counter()
    wanted: dict[int, int] = {}
    while codestream[place : place + 2] == START_OF_TILE:
        tile, length, _, of = struct.unpack_from(">HIBB", codestream, place + 4)
        parts[tile] += 1
        wanted[tile] = max(of, wanted.get(tile, 1))  # zero where the part does not say
        place += length or len(codestream)  # zero: to the end of the codestream
    if len(parts) < count or any(parts[tile] < number for tile, number in wanted.items()):
        raise ValueError(f"it holds {len(parts)} of its {count} tiles, or not all parts of them")
