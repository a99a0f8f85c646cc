"""Sizes and depths from headers, against what reading the same files gives."""

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from fusionlab.imaging.reading import read_image
from fusionlab.imaging.recognizing import recognize
from fusionlab.imaging.selecting import EVERYTHING, Selection
from fusionlab.runs.headers import Header, read_headers

GRAY = np.arange(15, dtype=np.uint8).reshape(3, 5)
RGB = np.dstack([GRAY] * 3)
DEEP = GRAY.astype(np.uint16) * 4000
ROTATED = Image.Exif()
ROTATED[274] = 6


def by_pillow(array, **options):
    return lambda path: Image.fromarray(array).save(path, **options)


def by_bytes(content):
    return lambda path: path.write_bytes(content)


def by_tifffile(array, **options):
    return lambda path: tifffile.imwrite(path, array, **options)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("gray.png", by_pillow(GRAY)),
        ("two-level.png", by_pillow(GRAY > 7)),
        ("palette.png", lambda path: Image.fromarray(RGB).quantize(4).save(path)),
        ("deep.png", by_bytes(imagecodecs.png_encode(DEEP))),
        ("deep-color.png", by_bytes(imagecodecs.png_encode(np.dstack([DEEP] * 3)))),
        ("rotated.jpg", by_pillow(RGB, exif=ROTATED)),
        ("photo.jpg", by_pillow(GRAY)),
        ("image.bmp", by_pillow(RGB)),
        ("image.gif", by_pillow(GRAY)),
        ("image.webp", by_pillow(RGB)),
        ("image.pgm", by_pillow(GRAY)),
        ("deep.pgm", by_bytes(b"P5 5 3 65535\n" + DEEP.astype(">u2").tobytes())),
        ("image.jp2", by_bytes(imagecodecs.jpeg2k_encode(GRAY, level=0))),
        ("deep.jp2", by_bytes(imagecodecs.jpeg2k_encode(DEEP, level=0))),
        ("deep.tif", by_tifffile(DEEP)),
        ("float.tif", by_tifffile(RGB.astype(np.float32), photometric="rgb")),
        ("two-level.tif", by_pillow(GRAY > 7)),
        ("turned.tif", by_tifffile(GRAY, extratags=[(274, "H", 1, 8, True)])),
        ("wrong.png", by_tifffile(DEEP)),
    ],
)
def test_a_header_says_what_reading_finds(tmp_path, name, write):
    path = tmp_path / name
    write(path)
    pixels = np.asarray(read_image(path).pixels)
    (header,) = read_headers(path, recognize(path).reader.name, [EVERYTHING])
    assert (header.height, header.width) == pixels.shape[:2]
    assert header.bits == 8 * pixels.dtype.itemsize


@pytest.mark.parametrize(
    ("content", "reader"),
    [
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"II*\0", "TIFF"),
    ],
)
def test_damaged_files_have_none(tmp_path, content, reader):
    path = tmp_path / "image"
    path.write_bytes(content)
    assert read_headers(path, reader, [EVERYTHING]) == [None]


def test_where_no_header_is_known_the_reader_of_a_format_says_the_size(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(imagecodecs.png_encode(GRAY))
    assert read_headers(path, "Reader of a plugin", [EVERYTHING]) == [Header(5, 3, None)]


def test_the_pages_of_a_file_have_sizes_of_their_own(tmp_path):
    path = tmp_path / "image.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(DEEP)
        file.write(np.zeros((4, 7), np.uint16))
    found = read_headers(path, "TIFF", [Selection("1"), Selection("2"), EVERYTHING])
    assert found == [Header(5, 3, 16), Header(7, 4, 16), Header(5, 3, 16)]
