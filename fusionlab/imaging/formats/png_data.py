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

    def check_complete(self) -> bool:
        """Count the pixels, and return whether the compressed data end with them.

        Raises:
            ValueError: the image is incomplete, or its compressed data are damaged.
        """
        self.check_claim()
        inflate, count, held = zlib.decompressobj(), 0, False  # held: the last piece is looked at
        try:
            for number, piece in enumerate(self.pieces, 1):
                if inflate.eof:
                    break
                held = number == len(self.pieces)
                rest: bytes | memoryview = piece
                while rest and count <= self.expected and not inflate.eof:
                    count += len(inflate.decompress(rest, PIECE))
                    rest = inflate.unconsumed_tail
            while count <= self.expected and (more := len(inflate.decompress(b"", PIECE))):
                count += more  # what is buffered
        except zlib.error as error:
            if count < self.expected:
                raise ValueError(f"its compressed pixels are damaged: {error}") from error
            return False
        if count < self.expected:
            raise ValueError(f"it holds {count} of the {self.expected} bytes of its pixels")
        return held and count == self.expected and inflate.eof and not inflate.unused_data


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


def only_pixels(content: bytes, frame: PngFrame) -> bytes:
    """Return a file with no more than the pixels of a frame, and its transparent color.

    libpng prints a warning about much of what else a file may hold.
    """
    parts = [(b"IHDR", content[16:29]), (b"IDAT", b"".join(frame.pieces)), (b"IEND", b"")]
    size = {0: 2, 2: 6}.get(content[25])
    parts[1:1] = [(b"tRNS", bytes(data)) for kind, data in chunks(content)
                  if kind == b"tRNS" and len(data) == size][:1]  # fmt: skip
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def texts_after_pixels(content: bytes) -> bool:
    """Return whether text, which may be metadata, stands behind the pixels."""
    kinds = [kind for kind, _ in chunks(content)]
    return bool({b"tEXt", b"zTXt", b"iTXt"} & set(kinds[kinds.index(b"IDAT") :]))


def exif(content: bytes) -> bytes:
    """Return EXIF, wherever it stands; empty: there is none."""
    return next((bytes(data) for kind, data in chunks(content) if kind == b"eXIf"), b"")
