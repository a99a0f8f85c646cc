"""TIFF, by tifffile: every depth, and nothing interpreted in silence."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import COMPRESSION, PHOTOMETRIC, PREDICTOR, TIFF

from fusionlab.imaging.decoding import Decoded, SizeCheck, UnsupportedImage, frames_left_out
from fusionlab.imaging.rows import Rows, bands
from fusionlab.imaging.tiff_rows import TiffRows, is_plain

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
LARGE = 2**25
"""From how many pixels on an image is read by rows: 5792 x 5792.

Below, the whole takes 400 MB at most (three channels of 32 bits), less than fusing it does."""
STRIP_BYTES = 2**18
"""Of a strip that is written: the default of tifffile."""
CLASSIC_BYTES = 2**32 - 2**25
"""Up to how many bytes of pixels the offsets of a classic TIFF suffice, of 32 bits each: beyond,
it becomes a BigTIFF. 32 MiB are left to the header, and to pixels that deflate makes longer."""


def decode(content: bytes, check_size: SizeCheck) -> Decoded:
    """Decode the first page of a file.

    Raises:
        UnsupportedImage: it is no gray or RGB image.
        Exception: whatever the decoder raises at damaged files.
    """
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages.first
        check_size(page.imagewidth, page.imagelength)
        colors = _colors(page)
        _check_complete(page, len(content))
        pixels = page.asarray()
        if page.axes.startswith("S"):  # channels in planes of their own
            pixels = np.moveaxis(pixels, 0, -1)
        notes = []
        if page.photometric == PHOTOMETRIC.PALETTE:
            pixels = _colored(pixels, page)
        elif pixels.ndim == 3 and pixels.shape[2] > colors:
            notes.append("its alpha or further channels are left out")
            pixels = pixels[..., :colors]
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


def open_large(
    file: io.BufferedReader, name: str, check_size: SizeCheck
) -> tuple[Rows, tuple[str, ...]] | None:
    """Open the first page of a file without reading it, if it is large and plainly laid out.

    Args:
        file: the open file, which the rows keep and close.
        name: what errors of the rows call it.
        check_size: as for `decode`.

    Returns:
        The rows, and what is left out, as in `Decoded`; None for a file that `decode` must read.

    Raises:
        Exception: as `decode`.
    """
    file.seek(0)
    tif = tifffile.TiffFile(file)
    page = tif.pages.first
    if page.imagewidth * page.imagelength <= LARGE:
        return None
    check_size(page.imagewidth, page.imagelength)
    _colors(page)
    _check_complete(page, tif.filehandle.size)
    if page.tags.valueof(ORIENTATION, default=1) != 1 or not is_plain(page):
        return None
    rows = TiffRows(file, page, name)
    rows[:1]  # a compression that nobody knows is refused here; what is decoded is kept
    return rows, frames_left_out(len(tif.pages))


def _check_complete(page: tifffile.TiffPage, size: int) -> None:
    """Refuse what tifffile would fill in: lost tags with defaults, lost strips with black."""
    required = REQUIRED if page.samplesperpixel == 1 else (*REQUIRED, BITS)
    if any(page.tags.get(tag) is None for tag in required):
        raise ValueError("its header is damaged")
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    whole = len(segments) == prod(page.chunked) and all(map(all, segments))
    ends = [*map(sum, segments)]
    if page.is_final and whole:  # then the whole image is read from there, whatever its strip says
        ends.append(page.dataoffsets[0] + page.nbytes)
    if not whole or max(ends, default=0) > size:
        raise ValueError("it is truncated")


def _colors(page: tifffile.TiffPage) -> int:
    """Return the samples a pixel needs, or decline what is neither gray nor RGB."""
    kind = page.photometric
    if kind not in SAMPLES:
        raise UnsupportedImage(f"pixels of the kind {getattr(kind, 'name', kind)}")
    if kind == PHOTOMETRIC.YCBCR and page.compression not in (6, 7):  # JPEG decodes to RGB
        raise UnsupportedImage("YCbCr pixels")
    if page.imagedepth != 1:
        raise UnsupportedImage("a volume")
    if page.is_reduced:  # what raw files of cameras begin with
        raise UnsupportedImage("the thumbnail of another image")
    if page.dtype is None or page.dtype.kind not in "buif":
        raise UnsupportedImage(
            f"samples of {page.bitspersample} bits in the format {page.sampleformat}"
        )
    if page.dtype.itemsize == 1 and page.bitspersample not in (1, 8):
        raise UnsupportedImage(f"{page.bitspersample} bits per sample")
    if page.samplesperpixel < SAMPLES[kind] or page.samplesperpixel > 4:
        raise UnsupportedImage(f"{page.samplesperpixel} channels")
    return SAMPLES[kind]


def _colored(indices: NDArray[Any], page: tifffile.TiffPage) -> NDArray[Any]:
    """Look up a palette, whose entries have 16 bits by definition but mostly mean 8."""
    if page.colormap is None:
        raise ValueError("its palette is missing")
    palette = np.moveaxis(page.colormap, 0, -1)  # (entries, 3)
    for step in (257, 256):  # 255 is written as 65535, or by some programs as 65280
        if not (palette % step).any():
            palette = (palette // step).astype(np.uint8)
            break
    colored: NDArray[Any] = palette.take(indices, axis=0)  # indices of one bit are booleans
    return colored


def _inverted(pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    if pixels.dtype == bool:
        return ~pixels
    if pixels.dtype.kind != "u":
        raise UnsupportedImage(f"{pixels.dtype} pixels whose white is zero")
    inverted: NDArray[Any] = pixels.dtype.type(2**bits - 1) - pixels
    return inverted


def write(file: BinaryIO, pixels: Rows, record: str = "") -> None:
    """Write pixels of any depth, without loss; a record becomes the ImageDescription.

    A few strips at a time, each a few rows: neither the image nor the file is ever held whole,
    whereas tiles would have to wait for as many rows as they are high.

    Args:
        file: written from its beginning; it must be able to seek.
        pixels: the image.
        record: in ASCII.
    """
    size, row = (prod(shape) * pixels.dtype.itemsize for shape in (pixels.shape, pixels.shape[1:]))
    height = min(max(1, STRIP_BYTES // row), pixels.shape[0])
    with tifffile.TiffWriter(file, bigtiff=size > CLASSIC_BYTES) as writer:
        writer.write(
            _strips(pixels, height),
            shape=pixels.shape,
            dtype=pixels.dtype.newbyteorder("="),
            photometric="rgb" if pixels.ndim == 3 else "minisblack",
            rowsperstrip=height,
            compression=COMPRESSION.ADOBE_DEFLATE,
            predictor=_predictor(pixels.dtype),
            description=record or None,
            metadata=None,
            software=False,
        )


def _strips(pixels: Rows, height: int) -> Iterator[bytes]:
    """Compress strips of so many rows, as tifffile does it: that takes strips only compressed."""
    predict, compress = (
        TIFF.PREDICTORS[_predictor(pixels.dtype)],
        TIFF.COMPRESSORS[COMPRESSION.ADOBE_DEFLATE],
    )
    dtype = pixels.dtype.newbyteorder("=")

    def compressed(strip: NDArray[Any]) -> bytes:
        samples = strip.reshape(*strip.shape[:2], -1)
        return bytes(compress(predict(np.ascontiguousarray(samples, dtype), axis=-2)))

    with ThreadPoolExecutor(TIFF.MAXWORKERS) as pool:
        for band in bands(pixels, height):
            yield from pool.map(compressed, np.split(band, range(height, len(band), height)))


def _predictor(dtype: np.dtype[Any]) -> PREDICTOR:
    return PREDICTOR.FLOATINGPOINT if dtype.kind == "f" else PREDICTOR.HORIZONTAL


def encode(pixels: Rows, record: str = "") -> bytes:
    """Return what `write` writes."""
    file = io.BytesIO()
    write(file, pixels, record)
    return file.getvalue()


def record(content: bytes) -> str | None:
    """Return the ImageDescription of a file."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        return file.pages.first.description or None
