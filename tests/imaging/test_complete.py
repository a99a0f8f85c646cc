"""A file that holds fewer pixels than its header claims is refused, in each format.

The samples are whole but for that: the streams end as they should, checksums and lengths are right.
"""

import io
import struct
import zlib
from contextlib import suppress

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from fusionlab import FusionlabError
from fusionlab.imaging import reading
from fusionlab.imaging.formats import jpeg_data, png_data, tiff
from fusionlab.imaging.reading import decode_image, read_image
from fusionlab.imaging.selecting import EVERYTHING, Selection

WIDTH, HEIGHT = 64, 48
Y, X = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.stack([4 * X, 5 * Y, 2 * (X + Y)], axis=-1).astype(np.uint8)


def png_chunk(kind, data):
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png(bits, color, rows, *, interlaced=False, height=HEIGHT, surplus=b""):
    """A PNG of `height` rows by its header, whose complete stream holds `rows` of them.

    Of an interlaced one, the same part of its bytes.
    """
    frame = png_data.PngFrame(WIDTH, HEIGHT, bits * png_data.CHANNELS[color], interlaced)
    row = 1 + WIDTH * frame.row_bits // 8
    pixels = (b"\0" + bytes(range(1, 256)) * 3)[:row].ljust(row, b"\x55") * HEIGHT
    pixels = bytes(frame.expected) if interlaced else pixels
    held = pixels[: frame.expected * rows // HEIGHT]
    header = struct.pack(">IIBBBBB", WIDTH, height, bits, color, 0, 0, interlaced)
    palette = png_chunk(b"PLTE", bytes(3 * 2**bits)) if color == 3 else b""
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(held + surplus)), (b"IEND", b"")]
    first, *rest = [png_chunk(*part) for part in parts]
    return png_data.SIGNATURE + first + palette + b"".join(rest)


def jpeg(pixels=RGB, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def half_a_scan(content):
    """End a JPEG in the middle of its last scan."""
    scan = content.rindex(b"\xff\xda")
    return content[: scan + (len(content) - scan) // 2] + b"\xff\xd9"


def with_sof(content, offset, value):
    """Change bytes in the frame header of a JPEG: 3 is the place of the height."""
    place = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2")) + 2 + offset
    return content[:place] + value + content[place + len(value) :]


def assert_refused(content, name="x", selection=EVERYTHING):
    with pytest.raises(FusionlabError, match=r"^cannot read x.*; expected a complete") as caught:
        decode_image(content, name, selection=selection)
    assert caught.value.code == "unreadable"


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("bits", "color"),
    [(1, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (1, 3), (8, 3), (8, 4), (8, 6), (16, 6)],
)
def test_a_png_whose_stream_holds_fewer_rows_is_refused(bits, color, interlaced, capfd):
    whole = png(bits, color, HEIGHT, interlaced=interlaced)
    more = png(bits, color, HEIGHT, interlaced=interlaced, surplus=b"more")
    for content in (whole, whole + b"trailer", more):
        assert decode_image(content, "x").pixels.shape[:2] == (HEIGHT, WIDTH)
    for rows in (0, 1, 24, 47):
        assert_refused(png(bits, color, rows, interlaced=interlaced))
    assert capfd.readouterr() == ("", "")  # libpng prints what it thinks of such files


def test_a_png_with_a_wrong_checksum_of_its_pixels_is_refused():
    content = bytearray(png(8, 2, HEIGHT))
    content[content.index(b"IEND") - 6] ^= 1
    assert_refused(bytes(content))


def test_no_frame_of_an_animated_png_may_lack_rows():
    file = io.BytesIO()
    image = Image.fromarray(RGB)
    image.save(file, "PNG", save_all=True, append_images=[image.rotate(180)])
    content = file.getvalue()
    second = decode_image(content, "x", selection=Selection("2"))
    assert second.pixels.shape == RGB.shape
    place = content.index(b"fdAT")
    (length,) = struct.unpack_from(">I", content, place - 4)
    data = content[place + 4 : place + 4 + length]
    pixels = zlib.decompress(data[4:])
    short = png_chunk(b"fdAT", data[:4] + zlib.compress(pixels[: len(pixels) // 2]))
    cut = content[: place - 4] + short + content[place + 8 + length :]
    assert_refused(cut, selection=Selection("2"))


@pytest.mark.parametrize("pixels", [RGB, RGB[..., 0]], ids=["color", "gray"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"subsampling": 0}]
)
def test_a_jpeg_that_lacks_a_part_of_a_scan_is_refused(pixels, options):
    whole = jpeg(pixels, **options)
    expected = np.asarray(Image.open(io.BytesIO(whole)))
    for content in (whole, whole + b"trailer", whole[:-2] + b"\1\2\3\4" + whole[-2:]):
        assert np.array_equal(decode_image(content, "x").pixels, expected)
    assert_refused(half_a_scan(whole))
    assert_refused(with_sof(whole, 3, struct.pack(">H", 2 * HEIGHT)))


def test_a_progressive_jpeg_that_lacks_scans_is_refused():
    content = jpeg(progressive=True)
    assert content.count(b"\xff\xda") > 2
    assert_refused(content[: content.rindex(b"\xff\xc4")] + b"\xff\xd9")


def test_a_jpeg_of_unusual_subsampling_is_read_if_it_is_complete():
    """simplejpeg does not decode it, so Pillow does: chroma at twice the rate of luma."""
    content = with_sof(jpeg(np.full((64, 64, 3), 77, np.uint8), subsampling=0), 12, b"\x21")
    assert jpeg_data.decode(content, color=True) is None
    assert decode_image(content, "x").pixels.shape == (64, 64, 3)
    assert_refused(with_sof(content, 3, struct.pack(">H", 128)))


def test_a_further_photo_in_a_jpeg_must_be_complete():
    file = io.BytesIO()
    image = Image.fromarray(RGB)
    image.save(file, "MPO", save_all=True, append_images=[image.rotate(180)])
    content = file.getvalue()
    assert decode_image(content, "x", selection=Selection("2")).pixels.shape == RGB.shape
    assert_refused(half_a_scan(content), selection=Selection("2"))
    assert decode_image(half_a_scan(content), "x").pixels.shape == RGB.shape


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize(("compression", "photometric"), [("jpeg", "ycbcr"), ("jpeg2000", "rgb")])
def test_a_tiff_with_an_incomplete_tile_is_refused_both_ways(
    compression, photometric, by_rows, tmp_path, monkeypatch
):
    if by_rows:
        monkeypatch.setattr(tiff, "LARGE_PIXELS", 0)
    path = tmp_path / "x.tif"
    options = {"tile": (48, 64), "compression": compression, "photometric": photometric}
    tifffile.imwrite(path, RGB, metadata=None, **options)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        place, length = page.dataoffsets[0], page.databytecounts[0]
    assert np.asarray(read_image(path).pixels).shape == RGB.shape
    content = path.read_bytes()
    tile = content[place : place + length]
    if compression == "jpeg":
        short = half_a_scan(tile)
    else:  # two tiles of 48 rows by its header, of which it holds one
        size = tile.index(b"\xff\x4f\xff\x51") + 12
        short = tile[:size] + struct.pack(">I", 2 * HEIGHT) + tile[size + 4 :]
    path.write_bytes(content[:place] + short.ljust(length, b"\0") + content[place + length :])
    with pytest.raises(FusionlabError) as caught:
        np.asarray(read_image(path).pixels)
    assert caught.value.code == "unreadable"


@pytest.mark.parametrize("codec", ["j2k", "jp2"])
def test_a_jpeg2000_that_lacks_packets_at_its_end_is_refused(codec):
    """Where a packet ends, a decoder does not miss the others."""
    content = imagecodecs.jpeg2k_encode(RGB, level=40, codecformat=codec)
    place = content.index(b"\xff\x90")
    whole = decode_image(content, "x").pixels
    found = 0
    for length in range(14, len(content) - place - 2):
        held = content[: place + 6] + struct.pack(">I", length) + content[place + 10 :]
        held = held[: place + length] + b"\xff\xd9"
        try:
            imagecodecs.jpeg2k_decode(held)
        except imagecodecs.Jpeg2kError:
            continue
        found += 1
        with suppress(FusionlabError):
            assert np.array_equal(decode_image(held, "x").pixels, whole)
    assert found > 5


def test_a_jpeg2000_that_lacks_a_tile_is_refused():
    content = imagecodecs.jpeg2k_encode(RGB, level=0, codecformat="j2k")
    assert decode_image(content, "x").pixels.shape == RGB.shape
    assert_refused(content[:12] + struct.pack(">I", 2 * HEIGHT) + content[16:])


@pytest.mark.parametrize(
    "content",
    [
        png(8, 2, HEIGHT, height=2818085),
        with_sof(jpeg(), 3, struct.pack(">HH", 16000, 16000)),
        with_sof(jpeg(progressive=True), 3, struct.pack(">HH", 16000, 16000)),
    ],
    ids=["png", "jpeg", "progressive"],
)
def test_a_size_that_the_bytes_of_a_file_cannot_fill_is_refused_before_decoding(
    content, monkeypatch
):
    monkeypatch.setattr(jpeg_data, "decode", None)
    monkeypatch.setattr(png_data.PngFrame, "check_complete", None)
    with pytest.raises(FusionlabError, match="its header claims"):
        decode_image(content, "x", max_pixels=None)


def test_an_image_of_one_color_in_very_few_bytes_needs_the_limit_lifted():
    """60 bytes of WebP can hold 16383x16383 pixels, which take a gigabyte."""
    file = io.BytesIO()
    Image.new("RGB", (5800, 5800), (9, 9, 9)).save(file, "WEBP", lossless=True)
    with pytest.raises(FusionlabError, match="5800x5800 pixels in .* bytes") as caught:
        decode_image(file.getvalue(), "x")
    assert (caught.value.code, caught.value.option) == ("too-many-pixels", "max_pixels")


def test_bands_count_as_pixels_where_there_are_few_bytes(monkeypatch):
    monkeypatch.setattr(reading, "FREE_PIXELS", 1000)
    monkeypatch.setattr(reading, "PIXELS_PER_BYTE", 1)
    file = io.BytesIO()
    options = {"planarconfig": "contig", "compression": "zlib", "metadata": None}
    tifffile.imwrite(file, np.zeros((30, 30, 99), np.uint8), photometric="minisblack", **options)
    with pytest.raises(FusionlabError, match="30x30 pixels of 99 channels in") as caught:
        decode_image(file.getvalue(), "x", selection=Selection(channels="1"))
    assert caught.value.code == "too-many-pixels"


def test_what_the_library_of_openexr_prints_about_a_damaged_file_is_not_seen(tmp_path, capfd):
    OpenEXR = pytest.importorskip("OpenEXR")  # noqa: N806  # its name
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"RGB": RGB / np.float32(255)}).write(str(tmp_path / "x.exr"))
    content = (tmp_path / "x.exr").read_bytes()
    capfd.readouterr()
    assert_refused(content[: len(content) * 2 // 3].ljust(len(content), b"\0"))
    assert capfd.readouterr() == ("", "")
