"""OpenEXR, with the library of that name: half and single floats, of any channels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import OpenEXR

from fusionlab.imaging.contents import Contents, Page
from fusionlab.imaging.decoding import Decoded, SizeCheck
from fusionlab.imaging.muting import muted

NAMES = {"R": "red", "G": "green", "B": "blue", "Y": "gray", "A": "alpha"}
"""Channels of color, luminance and coverage, in the order of an image; others follow."""

_PRINTED = rb"<python_buffer>: |<Python Stream>: "
"""How lines begin that the library prints about damaged files."""


def open_image(content: bytes, check_size: SizeCheck) -> Contents:
    """Open a file; its parts are its pages.

    Raises:
        Exception: anything that the library raises at damaged files.
    """
    with muted(_PRINTED):
        header = OpenEXR.File(io.BytesIO(content), header_only=True)
    pages = [_page(part, number) for number, part in enumerate(header.parts, 1)]
    check_size(pages[0].width, pages[0].height)

    def decode(index: int) -> Decoded:
        page = pages[index]
        check_size(page.width, page.height)
        with muted(_PRINTED):
            parts = OpenEXR.File(io.BytesIO(content), separate_channels=True).parts
        if len(parts) <= index:  # what can be read of a damaged file
            raise ValueError("it is truncated")
        channels = parts[index].channels
        return Decoded(np.dstack([channels[name].pixels for name in _ordered(header.parts[index])]))

    return Contents(pages, decode)


def _ordered(part: Any) -> list[str]:
    """Return the names of the channels of a part: those of an image first, in their order."""
    names = [channel.name for channel in part.header["channels"]]
    return [name for name in NAMES if name in names] + [name for name in names if name not in NAMES]


def _page(part: Any, number: int) -> Page:
    (left, top), (right, bottom) = part.header["dataWindow"]
    return Page(
        part.name() or str(number),
        int(right - left + 1),
        int(bottom - top + 1),
        tuple(NAMES.get(name, name) for name in _ordered(part)),
    )
