"""JPEG 2000, with imagecodecs, in full depth: Pillow narrows color to 8 bits."""

from __future__ import annotations

import struct

import imagecodecs

from fusionlab.imaging.contents import Contents, Page, channel_names
from fusionlab.imaging.decoding import Decoded, SizeCheck

SIZE_MARKER = b"\xff\x4f\xff\x51"
"""The markers of start and size, with which a codestream begins (ISO/IEC 15444-1, A.4.1, A.5.1)."""


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

    def decode(_: int) -> Decoded:
        return Decoded(imagecodecs.jpeg2k_decode(content), bits=(depth & 0x7F) + 1)

    return Contents([page], decode)
