"""Files are judged by their content, and refused in one sentence."""

import imageio.v3 as iio
import numpy as np
import pytest

from fusionlab import FusionlabError
from fusionlab.imaging.reading import read_image

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (7, 5), dtype=np.uint8)
RGB = RNG.integers(0, 256, (7, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize("pixels", [GRAY, RGB], ids=["gray", "rgb"])
def test_lossless_formats_come_back_bit_for_bit(tmp_path, suffix, pixels):
    path = tmp_path / f"image{suffix}"
    iio.imwrite(path, pixels)
    assert np.array_equal(read_image(path), pixels)


def test_jpeg_is_read(tmp_path):
    path = tmp_path / "image.jpg"
    smooth = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (16, 1))
    iio.imwrite(path, smooth, quality=95)
    assert np.abs(read_image(path).astype(int) - smooth).max() < 6


def test_the_name_does_not_matter(tmp_path):
    path = tmp_path / "really-a-bitmap.png"
    iio.imwrite(path, RGB, extension=".bmp")
    assert np.array_equal(read_image(path), RGB)


def test_the_camera_may_have_been_held_upright(tmp_path):
    from PIL import Image

    path, exif = tmp_path / "turned.png", Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(GRAY).save(path, exif=exif)
    assert np.array_equal(read_image(path), np.rot90(GRAY, -1))


def test_a_file_that_is_cut_off_missing_or_no_image_is_refused(tmp_path):
    whole = tmp_path / "whole.png"
    iio.imwrite(whole, RNG.integers(0, 256, (64, 64), dtype=np.uint8))
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(FusionlabError, match=r"cannot read .*cut.png: .*truncated"):
        read_image(cut)
    text = tmp_path / "text.png"
    text.write_text("no image")
    with pytest.raises(FusionlabError, match="in no known image format; expected a complete PNG"):
        read_image(text)
    (tmp_path / "empty.png").touch()
    with pytest.raises(FusionlabError, match=r"cannot read .*empty.png"):
        read_image(tmp_path / "empty.png")
    with pytest.raises(FusionlabError, match=r"nowhere.png does not exist"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(FusionlabError, match="cannot read .*: Is a directory"):
        read_image(tmp_path)


def test_what_would_be_narrowed_is_refused(tmp_path):
    from PIL import Image

    cases = {
        "gray16.png": (Image.fromarray(GRAY.astype(np.uint16) * 257), "16 bits per channel"),
        "gray16.tif": (
            Image.fromarray(GRAY.astype(np.uint16) * 257),
            "uint16 pixels of the kind I;16",
        ),
        "float.tif": (Image.fromarray(GRAY.astype(np.float32)), "float32 pixels of the kind F"),
        "alpha.png": (Image.fromarray(np.dstack([RGB, GRAY])), "uint8 pixels of the kind RGBA"),
        "print.jpg": (Image.fromarray(RGB).convert("CMYK"), "uint8 pixels of the kind CMYK"),
        "lab.tif": (Image.fromarray(RGB).convert("LAB"), "uint8 pixels of the kind LAB"),
        "bilevel.png": (Image.fromarray(GRAY > 100), "bool pixels of the kind 1"),
    }
    for name, (image, message) in cases.items():
        image.save(tmp_path / name)
        with pytest.raises(FusionlabError, match=f"8-bit gray or RGB image, got {message}"):
            read_image(tmp_path / name)


def test_only_the_first_of_many_frames_is_never_taken_in_silence(tmp_path):
    path = tmp_path / "pages.tif"
    iio.imwrite(path, np.stack([GRAY, GRAY]))
    with pytest.raises(FusionlabError, match="got 2 pages or frames in one file"):
        read_image(path)


def test_large_scans_are_read_without_a_warning(tmp_path, monkeypatch):
    """Pillow takes an image of more than MAX_IMAGE_PIXELS for an attack."""
    import PIL.Image

    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)
    iio.imwrite(tmp_path / "large.png", GRAY)
    assert np.array_equal(read_image(tmp_path / "large.png"), GRAY)
    assert PIL.Image.MAX_IMAGE_PIXELS == 10


def test_16_bit_colour_png_is_refused_though_the_decoder_would_narrow_it(tmp_path):
    import struct
    import zlib

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    row = b"\0" + RGB[0].astype(">u2").tobytes()
    header = struct.pack(">IIBBBBB", 5, 1, 16, 2, 0, 0, 0)
    path = tmp_path / "deep.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row))
        + chunk(b"IEND", b"")
    )
    assert iio.imread(path).dtype == np.uint8  # the trap
    with pytest.raises(FusionlabError, match="got 16 bits per channel"):
        read_image(path)


def test_the_wrong_extensions_of_the_wild_are_read(shared):
    for path in (shared / "data/eval/odd_wrong_extension").rglob("*.png"):
        assert read_image(path).shape == (270, 360)
