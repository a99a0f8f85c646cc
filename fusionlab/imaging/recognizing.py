"""Which image format a file is in, by its first bytes: one that is read, or another one.

A file in a format that is not read is an image all the same: a folder that holds one must not be
fused as if it were not there.
"""

from __future__ import annotations

import re

FIRST_BYTES = 132
"""How much of a file `image_format` needs: DICOM has its mark there."""

_FORMATS = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "BMP": rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}",  # with the size of its header
    "GIF": rb"GIF8[79]a",
    "WebP": rb"RIFF.{4}WEBP",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "PNM": rb"P[1-7]\s|P[Ff]\s",
    "JPEG 2000": rb"\0\0\0\x0cjP  \r\n|\xff\x4f\xff\x51",
    "OpenEXR": rb"\x76\x2f\x31\x01",
    "Radiance HDR": rb"#\?(RADIANCE|RGBE)",
    "HEIC or AVIF": rb".{4}ftyp(heic|heix|heim|heis|mif1|msf1|avif|avis)",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "Photoshop": rb"8BPS\0[\x01\x02]",
    "FITS": rb"SIMPLE  =",
    "DICOM": rb".{128}DICM",
}
"""Name of a format -> its first bytes, a regular expression."""

NOT_READ = {".tga": "TGA"} | dict.fromkeys(
    (".dng", ".nef", ".cr2", ".arw", ".orf", ".rw2", ".pef", ".raf"), "raw camera"
)
"""Suffix -> name of a format that is not read, and that the first bytes do not tell: TGA has no
mark, and raw files begin like TIFF."""

_COMPILED = {name: re.compile(mark, re.DOTALL) for name, mark in _FORMATS.items()}


def image_format(start: bytes) -> str:
    """Return the name of the image format of a file, by its first bytes; empty if it has none.

    Args:
        start: the first `FIRST_BYTES` bytes of the file, or fewer if it is shorter.
    """
    return next((name for name, mark in _COMPILED.items() if mark.match(start)), "")
