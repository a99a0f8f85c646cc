"""AVIF, with imagecodecs, in full depth: Pillow narrows it to 8 bits."""

from __future__ import annotations

import io

import imagecodecs
import numpy as np
import PIL.Image

from fusionlab.imaging.contents import Contents, Page, channel_names
from fusionlab.imaging.decoding import Decoded, SizeCheck
from fusionlab.imaging.metadata import ORIENTATION, Metadata


def open_image(content: bytes, check_size: SizeCheck) -> Contents:
    """Open a file; of a sequence, the first image counts.

    Raises:
        Exception: anything that the decoder raises at damaged files.
    """
    with PIL.Image.open(io.BytesIO(content), formats=["AVIF"]) as header:
        check_size(header.width, header.height)
        page = Page("1", header.width, header.height, channel_names(len(header.getbands())))
        orientation = header.getexif().get(ORIENTATION, 1)  # of its boxes irot and imir, too
        metadata = Metadata.of_pillow(header.info)

    def decode(_: int) -> Decoded:
        pixels = np.asarray(imagecodecs.avif_decode(content, index=0))
        deep = pixels.dtype.itemsize > 1
        bits = _bits(content) if deep else None
        return Decoded(pixels, orientation, bits=bits, metadata=metadata)

    return Contents([page], decode)


def _bits(content: bytes) -> int:
    """Return the depth of an image of more than 8 bits, from its box av1C (AV1-ISOBMFF, 2.3.3)."""
    start = content.index(b"av1C") + 4
    return 12 if content[start + 2] & 0x20 else 10
