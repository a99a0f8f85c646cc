"""HEIC, the photos of phones, with pillow-heif: read only."""

from __future__ import annotations

import io

import numpy as np
import pillow_heif

from fusionlab.imaging.contents import Contents, Page, channel_names
from fusionlab.imaging.decoding import Decoded, SizeCheck
from fusionlab.imaging.metadata import Metadata


def open_image(content: bytes, check_size: SizeCheck) -> Contents:
    """Open a file; its photos are its pages, upright.

    Raises:
        Exception: anything that libheif raises at damaged files.
    """
    file = pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=False)
    pages = []
    for number, image in enumerate(file, 1):
        check_size(*image.size)
        channels = channel_names(len(image.mode.split(";")[0]))
        pages.append(Page(str(number), *image.size, channels))

    def decode(index: int) -> Decoded:
        return Decoded(np.asarray(file[index]), metadata=Metadata.of_pillow(file[index].info))

    return Contents(pages, decode, file.primary_index)
