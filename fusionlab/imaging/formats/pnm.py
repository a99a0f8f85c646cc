"""PNM: PBM, PGM, PPM, PAM and PFM, with netpbmfile, in full depth.

Pillow narrows 16-bit PPM to 8 bits, and spreads the values of other depths.
"""

from __future__ import annotations

import io

import netpbmfile
import numpy as np

from fusionlab.imaging.contents import Contents, Page, channel_names
from fusionlab.imaging.decoding import Decoded, SizeCheck


def open_image(content: bytes, check_size: SizeCheck) -> Contents:
    """Open a file; of several images in a row, the first counts.

    Raises:
        Exception: anything that netpbmfile raises at damaged files.
    """
    file = netpbmfile.NetpbmFile(io.BytesIO(content))
    check_size(file.width, file.height)
    page = Page("1", file.width, file.height, channel_names(file.depth))
    return Contents([page], lambda _: _decode(file))


def _decode(file: netpbmfile.NetpbmFile) -> Decoded:
    shape = (-1, file.height, file.width, file.depth)
    pixels = np.asarray(file.asarray()).reshape(shape)[0]  # further bytes look like images
    if pixels.dtype == bool and file.magicnumber in {"P1", "P4"}:
        return Decoded(~pixels)  # of a bitmap, 1 is black
    if pixels.dtype.kind == "f":
        return Decoded(pixels[::-1])  # stored from bottom to top
    bits = int(file.maxval).bit_length()
    if file.maxval == 2**bits - 1:
        return Decoded(pixels, bits=bits)
    return Decoded(pixels, window=(0, file.maxval))
