"""Size and depth of image files, by their headers: for lists of files that are not decoded yet."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionlab.errors import FusionlabError
from fusionlab.imaging.metadata import ORIENTATION
from fusionlab.imaging.reading import read_contents
from fusionlab.imaging.selecting import Selection, channel_numbers, page_number

PILLOW_NAMES = {
    "PNG": "PNG",
    "JPEG": "JPEG",
    "BMP": "BMP",
    "GIF": "GIF",
    "WebP": "WEBP",
    "TGA": "TGA",
    "PNM": "PPM",
    "JPEG2000": "JPEG2000",
}
"""Name of a reader -> what Pillow, which reads no more than the header at first, calls the format.
A file of a plugin may begin like a JPEG and hold another image than Pillow finds, so others are
opened by their readers, which tell sizes and not bits."""
DEEP_MODES = {"I": 16, "I;16": 16, "I;16B": 16, "I;16L": 16, "F": 32}
"""Modes of Pillow with more than 8 bits; `I` is that of deep PNM files."""
PNG_BITS = 24
"""Where a PNG has its bits per sample; Pillow tells 8 for 16-bit color."""
TURNED = 5
"""Orientations from this one on change the places of width and height when the image is read."""


@dataclass(frozen=True)
class Header:
    """What is known of an image before its pixels are read."""

    width: int
    height: int
    """As it is shown, in pixels."""
    bits: int | None
    """Per sample, where this is known; those of fewer than 8 count as 8, as they are read."""

    @property
    def size(self) -> str:
        """Width and height, as messages say them: `640x480`."""
        return f"{self.width}x{self.height}"


def read_headers(path: Path, reader: str, selections: Sequence[Selection]) -> list[Header | None]:
    """Return size and depth of sources in one image file; None for what is damaged.

    Args:
        path: the file.
        reader: the name of the reader that recognizes it.
        selections: the sources.

    Raises:
        FusionlabError: the file has no such page (code `no-page`) or channels (`no-channels`).
    """
    header = _read_header(path, reader)
    if header and not any(map(str, selections)):
        return [header] * len(selections)
    try:
        contents = read_contents(path)
    except FusionlabError:  # who reads the file says what it is
        return [None] * len(selections)
    pages = []
    for selection in selections:
        number = page_number(selection, contents.pages, contents.default, str(path))
        if selection.channels:
            channel_numbers(selection.channels, contents.pages[number].channels, str(path))
        pages.append(contents.pages[number])
    first = contents.pages[0]
    bits = header.bits if header else None
    return [
        header if header and page.size == first.size else Header(page.width, page.height, bits)
        for page in pages
    ]


def _read_header(path: Path, reader: str) -> Header | None:
    try:
        if reader == "TIFF":
            return _tiff(path)
        return _by_pillow(path, PILLOW_NAMES[reader]) if reader in PILLOW_NAMES else None
    except Exception:  # decoders raise anything; who reads the file says what it is
        return None


def _by_pillow(path: Path, name: str) -> Header:
    import PIL.Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large images: no pixels are read
        with PIL.Image.open(path, formats=[name]) as image:
            bits = DEEP_MODES.get(image.mode, 8)
            turned = image.getexif().get(ORIENTATION, 1) >= TURNED
            width, height = reversed(image.size) if turned else image.size
    if name == "PNG":
        with path.open("rb") as file:
            bits = max(8, file.read(PNG_BITS + 1)[PNG_BITS])
    return Header(width, height, bits)


def _tiff(path: Path) -> Header:
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        turned = page.tags.valueof(ORIENTATION, default=1) >= TURNED
        size = (
            (page.imagelength, page.imagewidth) if turned else (page.imagewidth, page.imagelength)
        )
        return Header(*size, max(8, page.bitspersample))
