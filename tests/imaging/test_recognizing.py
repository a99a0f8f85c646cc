"""Formats by content: what other programs write is recognized, also where it is not read."""

import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from fusionlab.imaging.recognizing import first_bytes, image_format, recognize

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
        ("PNM", by_pillow("PPM"), True),
        ("PNM", by_pillow("PPM", RGB), True),
        ("JPEG2000", by_pillow("JPEG2000"), True),
        ("JPEG2000", imagecodecs.jpeg2k_encode(GRAY, codecformat="j2k"), True),
        ("AVIF", imagecodecs.avif_encode(RGB), True),
        ("AVIF", b"\0\0\0\x20ftypmif1\0\0\0\0mif1miafavif", True),
        ("Radiance", imagecodecs.rgbe_encode(RGB.astype(np.float32)), True),
        ("TGA", by_pillow("TGA"), True),
        ("OpenEXR", b"\x76\x2f\x31\x01\2\0\0\0", True),
        ("HEIC", b"\0\0\0\x1cftypheic\0\0\0\0mif1heic", True),
        ("HEIC", b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic", True),
        ("JPEG XL", imagecodecs.jpegxl_encode(GRAY), False),
        ("DICOM", b"\0" * 128 + b"DICM", False),
        ("", b"", False),
        ("", b"BM is how this text begins", False),
        ("", b"RIFF\x10\0\0\0AVI LIST", False),
        ("", b"\0\0\0\x20ftypisom and so on, a video", False),
    ],
)
def test_files_are_recognized(tmp_path, only_what_ships, name, content, readable):
    path = tmp_path / ("image.TGA" if name == "TGA" else "image")
    path.write_bytes(content)
    found = recognize(path)
    assert (found.name, found.reader is not None) == (name, readable)
    assert image_format(content[: first_bytes()], path.suffix) == found
    assert found.requires == ("fusionlab-dicom" if name == "DICOM" else "")
    if name == "TGA":  # whose first bytes are no mark
        assert image_format(content, "").name == ""
