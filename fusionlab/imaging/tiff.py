"""TIFF, by tifffile: every depth, and nothing interpreted in silence."""

from __future__ import annotations

import io
from math import prod
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import PHOTOMETRIC

from fusionlab.imaging.decoded import Decoded, SizeCheck, Unfit

ORIENTATION = 274
REQUIRED = (256, 257, 262)
"""Tags without which nothing is known: width, length, photometric."""
BITS = 258
"""Bits per sample; may be left out where a pixel is one sample, and means 1 then."""
SAMPLES: dict[int, int] = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.YCBCR: 3,
}
"""What a file may say its samples are, and how many make up a pixel; more of them are alpha."""


def decode(content: bytes, check_size: SizeCheck) -> Decoded:
    """Decode the first page of a file.

    Raises:
        Unfit: it is no gray or RGB image.
        Exception: whatever the decoder raises at damaged files.
    """
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages.first
        check_size(page.imagewidth, page.imagelength)
        colours = _colours(page)
        _check_complete(page, len(content))
        pixels = page.asarray()
        if page.axes.startswith("S"):  # channels in planes of their own
            pixels = np.moveaxis(pixels, 0, -1)
        notes = []
        if page.photometric == PHOTOMETRIC.PALETTE:
            pixels = _coloured(pixels, page)
        elif pixels.ndim == 3 and pixels.shape[2] > colours:
            notes.append("its alpha or further channels are left out")
            pixels = pixels[..., :colours]
        if page.photometric == PHOTOMETRIC.MINISWHITE:
            pixels = _inverted(pixels, page.bitspersample)
        bits = page.bitspersample
        if 8 < bits < 16:
            notes.append(
                f"it has {bits} bits per sample, but counts as 16 bits; its white is "
                f"{2**bits - 1}, give that as its scale: 0,{2**bits - 1}"
            )
        orientation = page.tags.valueof(ORIENTATION, default=1)
        return Decoded(pixels, orientation, len(file.pages), tuple(notes))


def _check_complete(page: tifffile.TiffPage, size: int) -> None:
    """Refuse what tifffile would fill in: lost tags with defaults, lost strips with black."""
    required = REQUIRED if page.samplesperpixel == 1 else (*REQUIRED, BITS)
    if any(page.tags.get(tag) is None for tag in required):
        raise ValueError("its header is damaged")
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    whole = len(segments) == prod(page.chunked) and all(count > 0 for _, count in segments)
    if not whole or max(map(sum, segments), default=0) > size:
        raise ValueError("it is truncated")


def _colours(page: tifffile.TiffPage) -> int:
    """Return the samples a pixel needs, or decline what is neither gray nor RGB."""
    kind = page.photometric
    if kind not in SAMPLES:
        raise Unfit(f"pixels of the kind {getattr(kind, 'name', kind)}")
    if kind == PHOTOMETRIC.YCBCR and page.compression not in (6, 7):  # JPEG decodes to RGB
        raise Unfit("YCbCr pixels")
    if page.imagedepth != 1:
        raise Unfit("a volume")
    if page.is_reduced:  # what raw files of cameras begin with
        raise Unfit("the thumbnail of another image")
    if page.dtype is None or page.dtype.kind not in "buif":
        raise Unfit(f"samples of {page.bitspersample} bits in the format {page.sampleformat}")
    if page.dtype.itemsize == 1 and page.bitspersample not in (1, 8):
        raise Unfit(f"{page.bitspersample} bits per sample")
    if page.samplesperpixel < SAMPLES[kind] or page.samplesperpixel > 4:
        raise Unfit(f"{page.samplesperpixel} channels")
    return SAMPLES[kind]


def _coloured(indices: NDArray[Any], page: tifffile.TiffPage) -> NDArray[Any]:
    """Look up a palette, whose entries have 16 bits by definition but mostly mean 8."""
    if page.colormap is None:
        raise ValueError("its palette is missing")
    palette = np.moveaxis(page.colormap, 0, -1)  # (entries, 3)
    for step in (257, 256):  # 255 is written as 65535, or by some programs as 65280
        if not (palette % step).any():
            palette = (palette // step).astype(np.uint8)
            break
    coloured: NDArray[Any] = palette.take(indices, axis=0)  # indices of one bit are booleans
    return coloured


def _inverted(pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    if pixels.dtype == bool:
        return ~pixels
    if pixels.dtype.kind != "u":
        raise Unfit(f"{pixels.dtype} pixels whose white is zero")
    inverted: NDArray[Any] = pixels.dtype.type(2**bits - 1) - pixels
    return inverted


def encode(pixels: NDArray[Any], record: str = "") -> bytes:
    """Encode pixels of any depth, without loss; a record becomes the ImageDescription."""
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        pixels,
        photometric="rgb" if pixels.ndim == 3 else "minisblack",
        compression="adobe_deflate",
        predictor=True,
        description=record or None,
        metadata=None,
        software=False,
    )
    return file.getvalue()


def record(content: bytes) -> str | None:
    """Return the ImageDescription of a file."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        return file.pages.first.description or None
