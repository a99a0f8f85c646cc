"""Find damaged frames of FFV1, whose decoder repeats a part of an earlier frame in their place.

A frame is a sequence of slices, each of which ends in its size and, since version 3, in a byte and
a parity (RFC 9043, 4.9: slice_size, error_status, slice_crc_parity).
"""

from __future__ import annotations

import zlib

FOOTER = 8
"""Bytes behind a slice: 3 of its size, 1 of its state, 4 of its parity."""
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Byte -> the byte of its bits from the last to the first: the polynomial of zlib is the reverse of
that of FFV1."""


def has_intact_slices(packet: bytes) -> bool:
    """Return whether the slices of a packet fill it, and their parities are right.

    Versions before 3, and those written without parities, have none, so that this is False.
    """
    end = len(packet)
    while end >= FOOTER:
        start = end - FOOTER - int.from_bytes(packet[end - FOOTER : end - FOOTER + 3], "big")
        if start < 0 or _remainder(packet[start:end]) != 0:
            return False
        end = start
    return end == 0


def _remainder(data: bytes) -> int:
    """Return the CRC-32 of data, which begins with 0 and is not inverted; with its parity, 0."""
    return zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
