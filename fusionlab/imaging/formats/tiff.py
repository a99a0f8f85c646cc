"""TIFF, with tifffile: every depth, and no silent interpretation of pixels."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from math import isnan, prod
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import COMPRESSION, PHOTOMETRIC, PLANARCONFIG, PREDICTOR, TIFF

from fusionlab.imaging.contents import CHANNELS, Contents, Page, PagesOnDemand
from fusionlab.imaging.decoding import Decoded, SizeCheck, UnsupportedImage
from fusionlab.imaging.formats.tiff_rows import (
    JPEG,
    JPEG2000,
    PLAIN,
    TiffRows,
    check_segment,
    is_plain,
)
from fusionlab.imaging.metadata import GEO_TAGS, NOTHING, ORIENTATION, Metadata
from fusionlab.imaging.nodata import PresentRows, has_value
from fusionlab.imaging.rows import Rows, bands

REQUIRED = (256, 257, 262)
"""Tags that every image needs: width, length, photometric."""
SUBFILE_TYPE, PAGE_NAME = 254, 285
RESOLUTION, RESOLUTION_UNIT = (282, 283), 296
UNITS_PER_INCH = {2: 1.0, 3: 2.54}
"""Value of ResolutionUnit -> how many of the unit are an inch; the unit may also be none."""
ICC = 34675
BITS = 258
"""Bits per sample; may be missing, and means 1 then, if that is how long the pixels are."""
SAMPLES: dict[int, int] = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.YCBCR: 3,
}
"""Supported photometric interpretations -> samples per pixel; further samples are others."""
GDAL_NODATA = 42113
"""The tag for the value of pixels that are no data, a text (https://gdal.org/drivers/raster/gtiff.html)."""
ALPHA = (1, 2)
"""Values of the tag ExtraSamples for alpha, associated and unassociated."""
_OME_ELEMENTS = re.compile(r"<(?:\w+:)?(?:Pixels|TiffData)\b[^>]*>")
_OME_NUMBERS = re.compile(
    r"""\b(?:Size[ZCT]|First[ZCT]|IFD|NumPlanes|PlaneCount)\s*=\s*["'](\d{1,400})["']"""
)
"""What OME-XML says about how many planes there are and where they begin."""
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
    _check_kind(first)
    if (planes := planes_in_one(file)) is not None:
        names, offset = planes
        _check_complete(first, len(content))
        page, size = _page(first, "1"), first.nbytes

        def decode_plane(index: int) -> Decoded:
            return _plane(content[offset + index * size :][:size], first)

        return Contents([replace(page, name=name) for name in names], decode_plane)
    tiff_pages = pages_of(file)

    def decode(index: int) -> Decoded:
        page = tiff_pages[index]
        check_size(page.imagewidth, page.imagelength)
        return _decode(page, len(content))

    names = _names_of_planes(file, len(tiff_pages))
    return Contents([_page(p, name) for p, name in zip(tiff_pages, names, strict=True)], decode)


def open_on_demand(file: BinaryIO, check_size: SizeCheck) -> PagesOnDemand:
    """Open a file of any size whose pages are decoded on request; one is in memory at a time.

    Args:
        file: seekable, and open as long as pages are decoded.
        check_size: as for `open_image`.

    Raises:
        Exception: as `open_image`.
    """
    tif = tifffile.TiffFile(file, _multifile=False)  # OME-XML may name files, of anybody
    size, first = tif.filehandle.size, tif.pages.first
    check_size(first.imagewidth, first.imagelength)
    if (planes := planes_in_one(tif)) is not None:
        names, offset = planes

        def decode_plane(index: int) -> tuple[Decoded, tuple[str, ...]]:
            tif.filehandle.seek(offset + index * first.nbytes)
            return _plane(tif.filehandle.read(first.nbytes), first), _channels(first)

        return PagesOnDemand(len(names), decode_plane, is_truncated=False)
    chain = _chain(tif)
    numbers = chain.images

    def decode(index: int) -> tuple[Decoded, tuple[str, ...]]:
        page = tif.pages[numbers[index]].aspage()
        check_size(page.imagewidth, page.imagelength)
        return _decode(page, size), _channels(page)

    return PagesOnDemand(len(numbers), decode, chain.is_truncated)


def pages_of(file: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """Return the images of a file, without the reduced versions of one that follow it."""
    return [file.pages[number].aspage() for number in _chain(file).images]


class _Chain(NamedTuple):
    """The pages of a file, which are linked with each other."""

    images: list[int]
    """Their numbers, without those of reduced versions of one that follow it."""
    is_truncated: bool
    """Whether it ends behind the end of the file."""


def _chain(file: tifffile.TiffFile) -> _Chain:
    """Follow the chain of pages, and refuse one that leads back to one of them.

    tifffile would follow it without end. Nothing but the tags is read, so that stacks of many pages
    take little time and memory.

    Raises:
        ValueError: it does, or the pages share their tags, so that there may be very many.
    """
    stored, kind, place = file.filehandle, file.tiff, file.pages.first.offset
    one_tag = struct.Struct(f"{kind.byteorder}HH{kind.tagsize - 4}s")
    seen: set[int] = set()
    images: list[int] = []
    total = 0
    while 0 < place < stored.size:
        seen.add(place)
        stored.seek(place)
        number = stored.read(kind.tagnosize)
        if len(number) < kind.tagnosize:
            return _Chain(images, is_truncated=True)  # tifffile ends there, too
        (count,) = struct.unpack(kind.tagnoformat, number)
        total += count * kind.tagsize
        tags = stored.read(min(count * kind.tagsize, stored.size))
        following = stored.read(kind.offsetsize)
        if not images or not _is_reduced(one_tag.iter_unpack(tags), kind.byteorder):
            images.append(len(seen) - 1)
        if len(following) < kind.offsetsize:
            return _Chain(images, is_truncated=True)
        (place,) = struct.unpack(kind.offsetformat, following)
        if place in seen or total > stored.size:
            raise ValueError(f"its pages form a loop behind page {len(seen)}")
    return _Chain(images, is_truncated=place != 0)


def _is_reduced(tags: Iterator[tuple[int, int, bytes]], byteorder: str) -> bool:
    """Return whether the tags of a page say that it is a reduced version of another one."""
    order: Any = "little" if byteorder == "<" else "big"
    for code, kind, rest in tags:
        if code == SUBFILE_TYPE:
            size = {3: 2, 4: 4}.get(kind, 0)  # SHORT, LONG
            value = rest[4 if len(rest) == 8 else 8 :][:size]  # behind the number of values
            return bool(int.from_bytes(value, order) & 1)
    return False


def planes_in_one(file: tifffile.TiffFile) -> tuple[list[str], int] | None:
    """Return the names and the offset of the images that ImageJ stores behind a single page.

    Large stacks have one page, whose description gives their number; other programs see an image
    (https://imagej.net/ij/docs/guide/146-18.html). None: the file is not such a stack.

    Raises:
        ValueError: the file is shorter than its stack.
    """
    if not file.is_imagej:
        return None
    if len(_chain(file).images) != 1 or len(file.pages) != 1:
        return None
    first, count = file.pages.first, (file.imagej_metadata or {}).get("images", 1)
    if count < 2 or not first.is_final or first.photometric not in PLAIN:
        return None
    offset = first.dataoffsets[0]
    if offset + count * first.nbytes <= file.filehandle.size:
        names = _names_of_axes(file.series[0], count)
        if names is not None:
            return names, offset
    raise ValueError("it is truncated")


def _plane(data: bytes, page: tifffile.TiffPage) -> Decoded:
    """Return an image that ImageJ stores behind a page, which describes all of them."""
    dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    return Decoded(np.frombuffer(data, dtype).reshape(page.shape), metadata=_metadata(page))


def _names_of_planes(file: tifffile.TiffFile, count: int) -> list[str]:
    """Return the names of the pages of a file: `z=3` where a microscope has numbered them."""
    named = file.is_imagej or (file.is_ome and _are_plausible(file.pages.first.description, count))
    if count > 1 and named and file.series:
        names = _names_of_axes(file.series[0], count)
        if names is not None:
            return names
    return [str(number) for number in range(1, count + 1)]


def _are_plausible(description: str, count: int) -> bool:
    """Return whether the numbers of planes in OME-XML are not far from those of the pages.

    tifffile makes lists of as many items as they say.
    """
    limit = 1000 + 100 * count
    for element in _OME_ELEMENTS.findall(description):
        numbers = [int(number) for number in _OME_NUMBERS.findall(element)]
        most = prod(numbers) if "Pixels" in element else max(numbers, default=0)
        if most > limit:
            return False
    return True


def _names_of_axes(series: tifffile.TiffPageSeries, count: int) -> list[str] | None:
    """Return the names of the planes of a series: `z=1`, or `t=1_z=1`, in their order.

    None: there are not `count` of them.
    """
    axes = [
        (axis.lower(), size)
        for axis, size in zip(series.axes, series.shape, strict=True)
        if axis not in "YXS" and size > 1
    ]
    if prod(size for _, size in axes) != count:
        return None
    ranges = [[f"{axis}={number}" for number in range(1, size + 1)] for axis, size in axes]
    return ["_".join(parts) for parts in product(*ranges)]


def _page(page: tifffile.TiffPage, name: str) -> Page:
    return Page(name, page.imagewidth, page.imagelength, _channels(page))


def _channels(page: tifffile.TiffPage) -> tuple[str, ...]:
    """Return the names of the channels of a page: alpha where it says so, else numbers."""
    count, colors = page.samplesperpixel, SAMPLES.get(page.photometric, 0)
    if page.photometric == PHOTOMETRIC.PALETTE:
        return CHANNELS[3]
    if colors == 1 and count > 4:  # bands of a scene, none of which is the image
        return tuple(str(number) for number in range(1, count + 1))
    names = list(CHANNELS.get(colors, ())) + [str(n) for n in range(colors + 1, count + 1)]
    kinds = page.extrasamples
    if len(kinds) == count - colors == 1 and kinds[0] in ALPHA:
        names[-1] = "alpha"
    return tuple(names)


def _decode(page: tifffile.TiffPage, size: int) -> Decoded:
    """Decode a page of a file of `size` bytes."""
    _check_kind(page)
    _check_complete(page, size)
    if page.compression in (*JPEG, *JPEG2000):
        stored = page.parent.filehandle
        segments: Any = stored.read_segments(page.dataoffsets, page.databytecounts)
        for segment, _ in segments:
            check_segment(page, segment)
    pixels = page.asarray()
    if page.axes.startswith("S"):  # channels in separate planes
        pixels = np.moveaxis(pixels, 0, -1)
    notes: list[str] = []
    nodata, valid = _nodata(page), None
    if nodata is not None and page.photometric in (PHOTOMETRIC.PALETTE, PHOTOMETRIC.MINISWHITE):
        valid = ~has_value(pixels, nodata)  # the value is that in the file
        nodata = None
    if page.photometric == PHOTOMETRIC.PALETTE:
        pixels = _apply_palette(pixels, page)
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        pixels = _inverted(pixels, page.bitspersample)
    bits = page.bitspersample if 8 < page.bitspersample < 16 else None
    orientation = page.tags.valueof(ORIENTATION, default=1)
    return Decoded(
        pixels,
        orientation,
        tuple(notes),
        bits,
        valid=valid,
        nodata=nodata,
        metadata=_metadata(page),
    )


def _nodata(page: tifffile.TiffPage) -> float | None:
    """Return the value that means no data, which the library GDAL writes as text."""
    try:
        value = float(str(page.tags.valueof(GDAL_NODATA, default="nan")).strip(" \0"))
    except ValueError:
        return None
    return None if isnan(value) else value


def _metadata(page: tifffile.TiffPage) -> Metadata:
    """Return the metadata of a page, without EXIF, whose parts lie all over the file."""
    tags = page.tags
    per_unit = [_ratio(tags.valueof(tag, default=(0, 1))) for tag in RESOLUTION]
    units_per_inch = UNITS_PER_INCH.get(tags.valueof(RESOLUTION_UNIT, default=2))
    resolution = None
    if units_per_inch and all(per_unit):
        resolution = (per_unit[0] * units_per_inch, per_unit[1] * units_per_inch)
    geo = tuple(
        (tag.code, int(tag.dtype), tag.count, tag.value)
        for tag in tags
        if tag.code in GEO_TAGS and page.photometric in SAMPLES
    )
    return Metadata(bytes(tags.valueof(ICC, default=b"")), b"", resolution, geo)


def _ratio(value: tuple[int, int]) -> float:
    numerator, denominator = value
    return numerator / denominator if denominator else 0.0


class LargeImage(NamedTuple):
    """A page that is read by rows."""

    rows: Rows
    pages: list[Page]
    """Those of the file."""
    valid: Rows | None
    """Where the rows are data; None: everywhere."""
    metadata: Metadata


def open_large(
    file: io.BufferedReader, name: str, check_size: SizeCheck, number: int = 0
) -> LargeImage | None:
    """Open a page of a file without reading it, if it is large and can be read by rows.

    Args:
        file: the open file, which the rows own and close.
        name: of the file, for errors of the rows.
        check_size: as for `open_image`.
        number: of the page, from 0.

    Returns:
        The page; None for a file that `open_image` must read.

    Raises:
        Exception: as `open_image`.
    """
    file.seek(0)
    tif = tifffile.TiffFile(file, _multifile=False)  # OME-XML may name files, of anybody
    page = tif.pages.first
    check_size(page.imagewidth, page.imagelength)
    if page.imagewidth * page.imagelength <= LARGE_PIXELS:
        return None
    pages = pages_of(tif)
    if planes_in_one(tif) is not None or number >= len(pages):
        return None
    page = pages[number]
    check_size(page.imagewidth, page.imagelength)
    _check_kind(page)
    _check_complete(page, tif.filehandle.size)
    if page.tags.valueof(ORIENTATION, default=1) != 1 or not is_plain(page):
        return None
    rows = TiffRows(file, page, name)
    rows[:1]  # an unknown compression is refused here; the decoded rows are cached
    names = _names_of_planes(tif, len(pages))
    nodata = _nodata(page)
    valid = None if nodata is None else PresentRows(rows, nodata)
    found = [_page(page, name) for page, name in zip(pages, names, strict=True)]
    return LargeImage(rows, found, valid, _metadata(page))


def _check_complete(page: tifffile.TiffPage, size: int) -> None:
    """Refuse what tifffile would fill in: missing tags with defaults, missing strips with black."""
    if any(page.tags.get(tag) is None for tag in REQUIRED):
        raise ValueError("its header is damaged")
    if page.tags.get(BITS) is None and page.samplesperpixel > 1 and not _has_one_bit(page):
        raise ValueError("its header says nothing of the bits per sample of a color image")
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    complete = len(segments) == prod(page.chunked) and all(map(all, segments))
    ends = [*map(sum, segments)]
    if page.is_final and complete:  # the image is read from there, whatever size its strip claims
        ends.append(page.dataoffsets[0] + page.nbytes)
    if not complete or max(ends, default=0) > size:
        raise ValueError("it is truncated")


def _has_one_bit(page: tifffile.TiffPage) -> bool:
    """Return whether the planes of a color page hold one bit per sample.

    Where red, green and blue alternate, programs that leave the bits out pack them in an order of
    their own (tifffile 2026.3).
    """
    if page.planarconfig != PLANARCONFIG.SEPARATE:
        return False
    stored = page.parent.filehandle
    stored.seek(page.dataoffsets[0])
    segment = stored.read(page.databytecounts[0])
    if page.compression != COMPRESSION.NONE:
        segment = TIFF.DECOMPRESSORS[page.compression](segment)
    width, rows = page.imagewidth, min(page.rowsperstrip, page.imagelength)
    if page.is_tiled:
        width, rows = page.tilewidth, page.tilelength
    return len(segment) == rows * -(-width // 8)


def _check_kind(page: tifffile.TiffPage) -> None:
    """Refuse what is neither gray, nor RGB, nor channels of one of them."""
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
    if page.samplesperpixel < SAMPLES[kind]:
        raise UnsupportedImage(f"{page.samplesperpixel} channels")


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


def write(file: BinaryIO, pixels: Rows, record: str = "", metadata: Metadata = NOTHING) -> None:
    """Write pixels of any depth, without loss; a record becomes the ImageDescription.

    Writes a few strips at a time, each a few rows, so that neither the image nor the file has to
    fit into memory. Tiles would need as many rows as they are high.

    Args:
        file: a seekable file, written from its beginning.
        pixels: the image, `(H, W)`, or `(H, W, C)` with C up to 4: gray or RGB, and alpha.
        record: in ASCII.
        metadata: of the image; EXIF is left out.
    """
    size = prod(pixels.shape) * pixels.dtype.itemsize
    with tifffile.TiffWriter(file, bigtiff=size > CLASSIC_BYTES) as writer:
        write_page(writer, strips(pixels), pixels.shape, pixels.dtype, record, metadata)


def write_page(
    writer: tifffile.TiffWriter,
    compressed: Iterator[bytes],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    record: str = "",
    metadata: Metadata = NOTHING,
) -> None:
    """Write one page of a file.

    Args:
        writer: of the file.
        compressed: what `strips` yields for the pixels.
        shape: of the pixels.
        dtype: of the pixels.
        record: as for `write`.
        metadata: as for `write`.
    """
    channels = 1 if len(shape) == 2 else shape[2]
    writer.write(
        compressed,
        shape=shape,
        dtype=dtype.newbyteorder("="),
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=("unassalpha",) if channels in (2, 4) else (),
        rowsperstrip=_rows_per_strip(shape, dtype),
        compression=COMPRESSION.ADOBE_DEFLATE,
        predictor=_predictor(dtype),
        description=record or None,
        iccprofile=metadata.icc or None,
        resolution=metadata.resolution,
        resolutionunit=tifffile.RESUNIT.INCH if metadata.resolution else None,
        extratags=[(*tag, True) for tag in metadata.geo],
        metadata=None,
        software=False,
    )


def _rows_per_strip(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return min(max(1, STRIP_BYTES // (prod(shape[1:]) * dtype.itemsize)), shape[0])


def strips(pixels: Rows) -> Iterator[bytes]:
    """Yield the strips of an image, compressed as tifffile does, which accepts only such ones."""
    height = _rows_per_strip(pixels.shape, pixels.dtype)
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


def encode(pixels: Rows, record: str = "", metadata: Metadata = NOTHING) -> bytes:
    """Return what `write` writes."""
    file = io.BytesIO()
    write(file, pixels, record, metadata)
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
