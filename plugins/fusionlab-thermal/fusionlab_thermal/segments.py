"""The segments of a JPEG: what comes before its compressed image."""

from __future__ import annotations

from collections.abc import Iterator

APP1 = 0xE1
APP3 = 0xE3
_SCAN = 0xDA
_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length


def segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and payload of each segment before the first scan (ITU-T T.81, annex B).

    A file that is damaged before ends there: what it lacks is missed by who looks for it.
    """
    position = 2
    while position + 1 < len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == _SCAN:
            return
        if marker == 0xFF or marker in _ALONE:  # bytes that fill
            position += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        payload = content[position + 4 : position + 2 + length]
        if length < 2 or len(payload) != length - 2:
            return
        yield marker, payload
        position += 2 + length
