"""TIFF, with tifffile: every depth, and no silent interpretation of pixels."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import COMPRESSION, PHOTOMETRIC, PREDICTOR, TIFF

from fusionlab.imaging.contents import Contents, Page, channel_names
from fusionlab.imaging.decoding import ORIENTATION, Decoded, SizeCheck, UnsupportedImage
from fusionlab.imaging.rows import Rows, bands
from fusionlab.imaging.tiff_rows import TiffRows, is_plain

REQUIRED = (256, 257, 262)
"""Tags that every image needs: width, length, photometric."""
PAGE_NAME = 285
BITS = 258
"""Bits per sample; may be missing where a pixel is one sample, and means 1 then."""
SAMPLES: dict[int, int] = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.YCBCR: 3,
}
"""Supported photometric interpretations -> samples per pixel; further samples are alpha."""
LARGE_PIXELS = 2**25
"""Images with more pixels are read by rows: 5792 x 5792.

Smaller images take 400 MB at most (three channels of 32 bits), less than fusing them."""
STRIP_BYTES = 2**18
"""Size of a strip that is written: the default of tifffile."""
CLASSIC_BYTES = 2**32 - 2**25
"""More bytes of pixels are written as BigTIFF, because the offsets of a classic TIFF have 32 bits.
32 MiB are reserved for the header, and for pixels that deflate makes longer."""


def open_image(content: bytes, check_size: SizeCheck) -> Contents:
    """Open a file; its pages are decoded on request.

    Raises:
        UnsupportedImage: the first page is not a gray or RGB image.
        Exception: anything that the decoder raises at damaged files.
    """
    file = tifffile.TiffFile(io.BytesIO(content))
    first = file.pages.first
    check_size(first.imagewidth, first.imagelength)

    def decode(index: int) -> Decoded:
        page = file.pages[index].aspage()
        check_size(page.imagewidth, page.imagelength)
        return _decode(page, len(content))

    colors = _colors(first)
    channels = channel_names(1 if colors == 1 else first.samplesperpixel)
    pages = (Page(str(1), first.imagewidth, first.imagelength, channels),) * len(file.pages)
    return Contents(pages, decode)


def _decode(page: tifffile.TiffPage, size: int) -> Decoded:
    """Decode a page of a file of `size` bytes."""
    colors = _colors(page)
    _check_complete(page, size)
    pixels = page.asarray()
    if page.axes.startswith("S"):  # channels in separate planes
        pixels = np.moveaxis(pixels, 0, -1)
    notes = []
    if page.photometric == PHOTOMETRIC.PALETTE:
        pixels = _apply_palette(pixels, page)
    elif pixels.ndim == 3 and pixels.shape[2] > colors:
        notes.append("its alpha or further channels are ignored")
        pixels = pixels[..., :colors]
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        pixels = _inverted(pixels, page.bitspersample)
    bits = page.bitspersample if 8 < page.bitspersample < 16 else None
    orientation = page.tags.valueof(ORIENTATION, default=1)
    return Decoded(pixels, orientation, tuple(notes), bits)


def open_large(
    file: io.BufferedReader, name: str, check_size: SizeCheck
) -> tuple[Rows, int] | None:
    """Open the first page of a file without reading it, if it is large and can be read by rows.

    Args:
        file: the open file, which the rows own and close.
        name: of the file, for errors of the rows.
        check_size: as for `open_image`.

    Returns:
        The rows, and the number of pages; None for a file that `open_image` must read.

    Raises:
        Exception: as `open_image`.
    """
    file.seek(0)
    tif = tifffile.TiffFile(file)
    page = tif.pages.first
    if page.imagewidth * page.imagelength <= LARGE_PIXELS:
        return None
    check_size(page.imagewidth, page.imagelength)
    _colors(page)
    _check_complete(page, tif.filehandle.size)
    if page.tags.valueof(ORIENTATION, default=1) != 1 or not is_plain(page):
        return None
    rows = TiffRows(file, page, name)
    rows[:1]  # an unknown compression is refused here; the decoded rows are cached
    return rows, len(tif.pages)


def _check_complete(page: tifffile.TiffPage, size: int) -> None:
    """Refuse what tifffile would fill in: missing tags with defaults, missing strips with black."""
    required = REQUIRED if page.samplesperpixel == 1 else (*REQUIRED, BITS)
    if any(page.tags.get(tag) is None for tag in required):
        raise ValueError("its header is damaged")
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    complete = len(segments) == prod(page.chunked) and all(map(all, segments))
    ends = [*map(sum, segments)]
    if page.is_final and complete:  # the image is read from there, whatever size its strip claims
        ends.append(page.dataoffsets[0] + page.nbytes)
    if not complete or max(ends, default=0) > size:
        raise ValueError("it is truncated")


def _colors(page: tifffile.TiffPage) -> int:
    """Return the samples per pixel without alpha, or refuse what is neither gray nor RGB."""
    kind = page.photometric
    if kind not in SAMPLES:
        raise UnsupportedImage(f"pixels of the type {getattr(kind, 'name', kind)}")
    if kind == PHOTOMETRIC.YCBCR and page.compression not in (6, 7):  # JPEG decodes to RGB
        raise UnsupportedImage("YCbCr pixels")
    if page.imagedepth != 1:
        raise UnsupportedImage("a volume")
    if page.is_reduced:  # the first page of raw files of cameras
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


def _apply_palette(indices: NDArray[Any], page: tifffile.TiffPage) -> NDArray[Any]:
    """Apply the palette, whose entries have 16 bits by definition but mostly mean 8."""
    if page.colormap is None:
        raise ValueError("its palette is missing")
    palette = np.moveaxis(page.colormap, 0, -1)  # (entries, 3)
    for step in (257, 256):  # 255 is stored as 65535, by some programs as 65280
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

    Writes a few strips at a time, each a few rows, so that neither the image nor the file has to
    fit into memory. Tiles would need as many rows as they are high.

    Args:
        file: a seekable file, written from its beginning.
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
    """Yield strips of `height` rows, compressed as tifffile does, which accepts only such ones."""
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


def encode_pages(images: Sequence[Rows], names: Sequence[str]) -> bytes:
    """Encode images as the pages of one file, float32, with the tag PageName."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for image, name in zip(images, names, strict=True):
            pixels = np.asarray(image, np.float32)
            text = name.encode("ascii", "backslashreplace").decode()  # TIFF allows no other
            writer.write(
                pixels,
                photometric="rgb" if pixels.ndim == 3 else "minisblack",
                compression=COMPRESSION.ADOBE_DEFLATE,
                predictor=_predictor(pixels.dtype),
                extratags=[(PAGE_NAME, "s", 0, text, True)],
                metadata=None,
                software=False,
            )
    return file.getvalue()


def record(content: bytes) -> str | None:
    """Return the ImageDescription of a file."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        return file.pages.first.description or None
