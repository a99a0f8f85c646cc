"""Formats by content: what other programs write is recognized, also where it is not read."""

import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from fusionlab.imaging.reading import recognize
from fusionlab.imaging.recognizing import FIRST_BYTES, image_format

GRAY = np.arange(64, dtype=np.uint8).reshape(8, 8)
RGB = np.dstack([GRAY] * 3)


def by_pillow(name, image=GRAY):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, name)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "readable"),
    [
        ("PNG", by_pillow("PNG"), True),
        ("JPEG", by_pillow("JPEG"), True),
        ("BMP", by_pillow("BMP"), True),
        ("GIF", by_pillow("GIF"), True),
        ("WebP", by_pillow("WEBP", RGB), True),
        ("TIFF", by_pillow("TIFF"), True),
        ("PNM", by_pillow("PPM"), False),
        ("PNM", by_pillow("PPM", RGB), False),
        ("JPEG 2000", by_pillow("JPEG2000"), False),
        ("JPEG 2000", imagecodecs.jpeg2k_encode(GRAY, codecformat="j2k"), False),
        ("JPEG XL", imagecodecs.jpegxl_encode(GRAY), False),
        ("HEIC or AVIF", imagecodecs.avif_encode(RGB), False),
        ("TGA", by_pillow("TGA"), False),
        ("", b"", False),
        ("", b"BM is how this text begins", False),
        ("", b"RIFF\x10\0\0\0AVI LIST", False),
        ("", b"\0\0\0\x20ftypisom and so on, a video", False),
    ],
)
def test_files_are_recognized(tmp_path, name, content, readable):
    path = tmp_path / ("image.tga" if name == "TGA" else "image")
    path.write_bytes(content)
    assert recognize(path) == (name, readable)
    if name != "TGA":
        assert image_format(content[:FIRST_BYTES]) == name
