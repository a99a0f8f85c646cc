"""Radiance HDR (RGBE), with imagecodecs: floats without an upper limit."""

from __future__ import annotations

import re

import imagecodecs

from fusionlab.imaging.contents import CHANNELS, Contents, Page
from fusionlab.imaging.decoding import Decoded, SizeCheck, UnsupportedImage


def open_image(content: bytes, check_size: SizeCheck) -> Contents:
    """Open a file.

    Raises:
        UnsupportedImage: its rows or columns are stored in an unusual order.
        Exception: anything that the decoder raises at damaged files.
    """
    size = re.search(rb"\n\n([-+][XY]) (\d+) ([-+][XY]) (\d+)\n", content[: 2**16])
    if size is None:
        raise ValueError("its header is damaged")
    if (size[1], size[3]) != (b"-Y", b"+X"):
        raise UnsupportedImage(f"rows in the order {size[1].decode()} {size[3].decode()}")
    height, width = int(size[2]), int(size[4])
    check_size(width, height)
    page = Page("1", width, height, CHANNELS[3])
    return Contents([page], lambda _: Decoded(imagecodecs.rgbe_decode(content)))
