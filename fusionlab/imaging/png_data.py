"""Whether a PNG holds all the pixels that its header claims.

Pillow leaves those black that are missing. Nothing is decoded here: the compressed pixels are
counted, in little memory.

Reference: PNG (W3C, third edition), 5.3 (chunks), 8.1 (interlace),
10 (compression), 13.10 (frames).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_EXPANSION = 1032
"""Most bytes that deflate makes of one: 258 by two codes of one bit (RFC 1951, 3.2.5)."""
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Color type -> samples per pixel."""
PASSES = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
)  # fmt: skip  # a table
"""Of an interlaced image: first column, first row, and the steps to the next ones."""
PIECE = 2**18
"""Bytes that are decompressed at a time, at most."""


@dataclass
class PngFrame:
    """The compressed pixels of one image of a file."""

    width: int
    height: int
    row_bits: int
    """Bits of a pixel."""
    interlaced: bool
    pieces: list[memoryview] = field(default_factory=list)

    @property
    def expected(self) -> int:
        """How many bytes the pixels take, with the byte before each row."""
        passes = PASSES if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for left, top, across, down in passes:
            width, height = -(-(self.width - left) // across), -(-(self.height - top) // down)
            if width > 0 and height > 0:
                total += height * (1 + -(-width * self.row_bits // 8))
        return total

    def check_claim(self) -> None:
        """Refuse a size that no stream of these bytes can fill.

        Raises:
            ValueError: the image is incomplete.
        """
        held = sum(map(len, self.pieces))
        if self.expected > held * MAX_EXPANSION:
            raise ValueError(
                f"its header claims {self.width}x{self.height} pixels, and it holds {held} bytes "
                "of them"
            )

    def check_complete(self) -> None:
        """Count the pixels.

        Raises:
            ValueError: the image is incomplete, or its compressed data are damaged.
        """
        self.check_claim()
        inflate, count = zlib.decompressobj(), 0
        try:
            for piece in self.pieces:
                rest: bytes | memoryview = piece
                while rest and count < self.expected and not inflate.eof:
                    count += len(inflate.decompress(rest, PIECE))
                    rest = inflate.unconsumed_tail
                while not rest and count < self.expected:  # what is buffered
                    if not (more := len(inflate.decompress(b"", PIECE))):
                        break
                    count += more
        except zlib.error as error:
            raise ValueError(f"its compressed pixels are damaged: {error}") from error
        if count < self.expected:
            raise ValueError(f"it holds {count} of the {self.expected} bytes of its pixels")


def chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the type and the data of each chunk; the last one may be cut off.

    Raises:
        ValueError: the checksum of pixels is wrong.
    """
    view, place = memoryview(content), len(SIGNATURE)
    while place + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        kind = content[place + 4 : place + 8]
        end = place + 8 + length
        if kind in (b"IDAT", b"fdAT") and zlib.crc32(view[place + 4 : end]).to_bytes(4) != bytes(
            view[end : end + 4]
        ):
            raise ValueError("the checksum of its pixels is wrong")
        yield kind, view[place + 8 : end]
        place = end + 4


def frames(content: bytes) -> list[PngFrame]:
    """Return the images of a file: that of the header, and those of an animation.

    Raises:
        ValueError: the file is damaged.
    """
    found: list[PngFrame] = []
    for kind, data in chunks(content):
        if kind == b"IHDR" and len(data) >= 13:
            width, height, bits, color, _, _, interlaced = struct.unpack_from(">IIBBBBB", data)
            header = PngFrame(width, height, bits * CHANNELS.get(color, 4), interlaced == 1)
            found.append(header)
        elif kind == b"fcTL" and found and len(data) >= 12:
            if found[0].pieces:  # else it is about the image of the header
                width, height = struct.unpack_from(">II", data, 4)
                found.append(PngFrame(width, height, header.row_bits, header.interlaced))
        elif kind == b"IDAT" and found:
            found[0].pieces.append(data)
        elif kind == b"fdAT" and len(found) > 1:
            found[-1].pieces.append(data[4:])
    if not found:
        raise ValueError("its header is damaged")
    return found


def without_extras(content: bytes) -> bytes:
    """Return a file with no more than its pixels, about which libpng prints no warnings."""
    kept = [SIGNATURE]
    for kind, data in chunks(content):
        if kind[:1].isupper() or kind == b"tRNS":  # critical
            checksum = zlib.crc32(data, zlib.crc32(kind))
            kept.append(struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", checksum))
    return b"".join(kept)
