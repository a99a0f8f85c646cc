"""PNG, JPEG, BMP, GIF, TGA and WebP: decoded by Pillow through imageio, 16-bit PNG by libpng.

Pillow silently reduces 16-bit RGB PNG to 8 bits and cannot write it, so the depth in the header
of the file selects the decoder.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import imagecodecs
import imageio.v3 as iio
import numpy as np
import PIL.Image

from fusionlab.imaging.contents import Contents, Page, channel_names, numbered
from fusionlab.imaging.decoding import Decoded, SizeCheck, UnsupportedImage
from fusionlab.imaging.metadata import NOTHING, Metadata, upright_exif
from fusionlab.imaging.rows import Rows

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
PNG_BITS = 24
"""Offset of the bits per sample in a PNG (in IHDR, its first chunk)."""
PNG_AFTER_HEADER = 33
"""Offset of the second chunk of a PNG."""
METERS_PER_INCH = 0.0254
PNG_KEYWORD = "fusionlab"
"""Keyword of the text chunk that stores the record."""

MODES = {"1", "L", "LA", "P", "RGB", "RGBA"}
"""Pillow modes of gray, RGB and palette images of up to 8 bits."""

_THERMAL = re.compile(rb"\xff\xe1..FLIR\0\x01|DJI\0.*\xff\xe3\xff\xfe", re.DOTALL)
"""The marks of thermal data in a JPEG: segments of FLIR, or of DJI (full ones, APP3)."""
_BEFORE_IMAGE = 2**17
"""How many bytes of a JPEG are searched for them; EXIF and XMP, which come first, are shorter."""

_pillow_limit_lock = Lock()


def open_image(content: bytes, check_size: SizeCheck) -> Contents:
    """Open a file; its frames are decoded on request.

    Raises:
        Exception: anything that the decoder raises at damaged files.
    """
    file: Any  # the type hints of imageio omit what its plugins add
    try:
        with _without_pillow_limit():
            file = iio.imopen(io.BytesIO(content), "r", plugin="pillow")
    except OSError as error:  # its message is about plugins
        raise ValueError("its header is damaged") from error
    pages = [_page(file, 0)]
    check_size(pages[0].width, pages[0].height)
    with _without_pillow_limit():
        frames = file.properties(index=...).n_images or 1
    if content.startswith(JPEG_START):  # of several photos, which may differ in size
        pages += [_page(file, index) for index in range(1, frames)]
    else:
        first = pages[0]
        pages = list(numbered(frames, first.width, first.height, first.channels))

    def decode(index: int) -> Decoded:
        if len(pages) > 1:
            page = _page(file, index)  # goes to the frame, and asks Pillow's limit again
            check_size(page.width, page.height)
        return _decode(file, content, index)

    further: tuple[str, ...] = ()
    if content.startswith(JPEG_START) and _THERMAL.search(content, 0, _BEFORE_IMAGE):
        further = ("its colors are used, not its thermal data, which fusionlab-thermal reads",)
    return Contents(pages, decode, further=further)


def _page(file: Any, index: int) -> Page:
    with _without_pillow_limit():
        shape = file.properties(index=index).shape
    channels = channel_names(shape[2] if len(shape) == 3 else 1)
    return Page(str(index + 1), shape[1], shape[0], channels)


def _decode(file: Any, content: bytes, index: int) -> Decoded:
    """Decode a frame of an open file, which is at this frame.

    Raises:
        UnsupportedImage: it is not a gray or RGB image.
    """
    if content.startswith(b"BM"):  # else the palette of Pillow < 13 is too raw for `metadata`
        file.read(index=0)
    meta = file.metadata(index=index, exclude_applied=False)  # decodes a PNG
    orientation = meta.get("Orientation", 1)
    metadata = Metadata.of_pillow(meta)
    if index == 0 and content.startswith(PNG_SIGNATURE) and content[PNG_BITS] == 16:
        return Decoded(imagecodecs.png_decode(content), orientation, metadata=metadata)
    if meta["mode"] not in MODES:
        raise UnsupportedImage(f"pixels of the mode {meta['mode']}")
    transparent = "transparency" in meta  # a value or palette entries instead of a channel
    if transparent and meta["mode"] != "1":
        pixels = file.read(index=index, mode="LA" if meta["mode"] == "L" else "RGBA")
    else:
        pixels = file.read(index=index)
    return Decoded(pixels, orientation, metadata=metadata)


def encode_png(pixels: Rows, record: str = "", metadata: Metadata = NOTHING) -> bytes:
    """Encode uint8 or uint16 pixels; a record becomes an `iTXt` chunk after the header."""
    content = bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))
    chunks = []
    if metadata.icc:  # before the pixels, as the next one
        chunks.append(b"iCCPICC profile\0\0" + zlib.compress(metadata.icc))
    if metadata.resolution:
        per_meter = [round(value / METERS_PER_INCH) for value in metadata.resolution]
        chunks.append(b"pHYs" + struct.pack(">IIB", *per_meter, 1))
    if metadata.exif:
        chunks.append(b"eXIf" + upright_exif(metadata.exif))
    if record:
        chunks.append(b"iTXt" + PNG_KEYWORD.encode() + b"\0\0\0\0\0" + record.encode())
    inserted = b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )
    return content[:PNG_AFTER_HEADER] + inserted + content[PNG_AFTER_HEADER:]


def encode_with_pillow(
    pixels: Rows, _: str = "", metadata: Metadata = NOTHING, *, extension: str, **options: Any
) -> bytes:
    """Encode uint8 pixels in a format that has no room for a record."""
    if metadata.icc:
        options["icc_profile"] = metadata.icc
    if metadata.exif:
        options["exif"] = b"Exif\0\0" + upright_exif(metadata.exif)
    if metadata.resolution:
        options["dpi"] = metadata.resolution
    content: Any = iio.imwrite(
        "<bytes>", np.asarray(pixels), extension=extension, plugin="pillow", **options
    )
    return bytes(content)


def png_record(content: bytes) -> str | None:
    """Return the record in a PNG, without decoding its pixels."""
    with _without_pillow_limit(), PIL.Image.open(io.BytesIO(content), formats=["PNG"]) as file:
        text = file.info.get(PNG_KEYWORD)
    return None if text is None else str(text)


@contextmanager
def _without_pillow_limit() -> Iterator[None]:
    """Disable Pillow's own size limit while a file is opened: `SizeCheck` applies ours.

    Pillow's limit is global to the process, and only used while a file is opened and while its
    frames are sought.
    """
    with _pillow_limit_lock:
        limit = PIL.Image.MAX_IMAGE_PIXELS
        PIL.Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            PIL.Image.MAX_IMAGE_PIXELS = limit
