"""PNG, JPEG, BMP, GIF, TGA and WebP: decoded by Pillow through imageio, with two exceptions.

Pillow silently reduces 16-bit RGB PNG to 8 bits and cannot write it, so the depth in the header
of the file selects the decoder: libpng for 16 bits. Pillow also fills in what is missing at the
end of a PNG or a JPEG without a word; `png_data` and `jpeg_data` tell. The decoders of the other
formats refuse what is incomplete.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import Any

import imagecodecs
import imageio.v3 as iio
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fusionlab.imaging.contents import Contents, Page, channel_names, numbered
from fusionlab.imaging.decoding import Decoded, SizeCheck, UnsupportedImage
from fusionlab.imaging.formats import jpeg_data, png_data
from fusionlab.imaging.metadata import NOTHING, ORIENTATION, Metadata, upright_exif
from fusionlab.imaging.muting import muted
from fusionlab.imaging.rows import Rows

PNG_SIGNATURE = png_data.SIGNATURE
JPEG_START = b"\xff\xd8\xff"
PNG_BITS = 24
"""Offset of the bits per sample in a PNG (in IHDR, its first chunk)."""
PNG_INTERLACE = 28
"""Offset of the byte that says whether a PNG is interlaced."""
USUAL_PNG = {bytes([color, 0, 0, 0]) for color in (0, 2, 4, 6)}
LIBPNG_EDGE = 10**6
"""What of a header libpng prints no warnings about: color type, compression, filter and interlace;
and width and height below this."""
PNG_AFTER_HEADER = 33
"""Offset of the second chunk of a PNG."""
_MULTI_PICTURE = re.compile(rb"\xff\xe2..MPF\0", re.DOTALL)
"""How the segment of a JPEG begins that says where further photos are, relative to its end."""
MP_ENTRIES = 0xB002
"""The tag with the places of the photos in a file of several."""
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
    is_png, is_jpeg = content.startswith(PNG_SIGNATURE), content.startswith(JPEG_START)
    if is_png:
        png_data.frames(content)[0].check_claim()
    if is_jpeg:
        jpeg_data.check_claim(content)
    with _without_pillow_limit():
        frames = file.properties(index=...).n_images or 1
    if is_jpeg:  # of several photos, which may differ in size
        pages += [_page(file, index) for index in range(1, frames)]
    else:
        first = pages[0]
        pages = list(numbered(frames, first.width, first.height, first.channels))

    def decode(index: int) -> Decoded:
        if len(pages) > 1:
            page = _page(file, index)  # goes to the frame, and asks Pillow's limit again
            check_size(page.width, page.height)
            if is_png:  # each frame is drawn on those before
                for frame in png_data.frames(content):
                    frame.check_complete()
        photo = _photo(content, index) if is_jpeg and index else content
        return _decode(file, photo, index)

    further: tuple[str, ...] = ()
    if is_jpeg and _THERMAL.search(content, 0, _BEFORE_IMAGE):
        further = ("its colors are used, not its thermal data, which fusionlab-thermal reads",)
    return Contents(pages, decode, further=further)


def _page(file: Any, index: int) -> Page:
    with _without_pillow_limit():
        shape = file.properties(index=index).shape
    channels = channel_names(shape[2] if len(shape) == 3 else 1)
    return Page(str(index + 1), shape[1], shape[0], channels)


def _photo(content: bytes, index: int) -> bytes:
    """Return a JPEG of several in a file, from its start on (CIPA DC-007)."""
    mark = _MULTI_PICTURE.search(content)
    if mark is None:
        raise ValueError("its header is damaged")
    with PIL.Image.open(io.BytesIO(content), formats=["JPEG"]) as file:
        entry = file.mpinfo[MP_ENTRIES][index]  # type: ignore[attr-defined]  # not in its base
    return content[mark.end() + entry["DataOffset"] :]


def _decode(file: Any, content: bytes, index: int) -> Decoded:
    """Decode a frame of an open file, which is at this frame.

    Args:
        file: of imageio.
        content: of the file, from this frame on where it is a JPEG.
        index: of the frame.

    Raises:
        UnsupportedImage: it is not a gray or RGB image.
        ValueError: it is incomplete.
    """
    if content.startswith(b"BM"):  # else the palette of Pillow < 13 is too raw for `metadata`
        file.read(index=0)
    if index == 0 and content.startswith(PNG_SIGNATURE) and content[PNG_BITS] == 16:
        return _decode_deep_png(content)
    meta = file.metadata(index=index, exclude_applied=False)  # decodes a PNG
    orientation = meta.get("Orientation", 1)
    metadata = Metadata.of_pillow(meta)
    if meta["mode"] not in MODES:
        raise UnsupportedImage(f"pixels of the mode {meta['mode']}")
    if content.startswith(JPEG_START):
        photo = jpeg_data.decode(content, color=meta["mode"] == "RGB")
        if photo is None:
            photo = file.read(index=index)
            jpeg_data.check_filled(photo)
        return Decoded(photo, orientation, metadata=metadata)
    transparent = "transparency" in meta  # a value or palette entries instead of a channel
    if transparent and meta["mode"] != "1":
        pixels = file.read(index=index, mode="LA" if meta["mode"] == "L" else "RGBA")
    else:
        pixels = file.read(index=index)
    if content.startswith(PNG_SIGNATURE) and _may_be_incomplete(pixels, content):
        png_data.frames(content)[0].check_complete()
    return Decoded(pixels, orientation, metadata=metadata)


def _decode_deep_png(content: bytes) -> Decoded:
    """Decode a PNG of 16 bits; Pillow reads its metadata.

    Raises:
        ValueError: it is incomplete.
    """
    frame = png_data.frames(content)[0]
    exact = frame.check_complete()
    usual = content[PNG_BITS + 1 : PNG_INTERLACE + 1] in USUAL_PNG
    small = max(frame.width, frame.height) < LIBPNG_EDGE
    with nullcontext() if exact and usual and small else muted(rb"PNG warning: "):
        pixels = imagecodecs.png_decode(png_data.only_pixels(content, frame))
    with _without_pillow_limit(), PIL.Image.open(io.BytesIO(content), formats=["PNG"]) as file:
        if png_data.texts_after_pixels(content):
            file.load()  # else it need not be decoded a second time
        elif "Raw profile type exif" not in file.info:
            file.info.setdefault("exif", png_data.exif(content))
        orientation = file.getexif().get(ORIENTATION, 1)
        return Decoded(pixels, orientation, metadata=Metadata.of_pillow(file.info))


def _may_be_incomplete(pixels: NDArray[Any], content: bytes) -> bool:
    """Return whether the last row of a PNG may be one that is missing: all zero, as Pillow left it.

    Counting the pixels of each file would take a third of the time of reading it.
    """
    return content[PNG_INTERLACE] != 0 or bool((pixels[-1] == pixels[-1, :1]).all())


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
