"""Readers: the formats that ship keep every value, and those of plugins are asked by content."""

import io
import json
import os
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import fusionlab
from fusionlab import FusionlabError, read_image
from fusionlab.cli import main
from fusionlab.imaging.reading import decode_image
from fusionlab.imaging.recognizing import suffixes
from fusionlab.plugins.host import installed

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (20, 30, 3), dtype=np.uint16)
FLOATS = RNG.random((20, 30), np.float32) * 900


def by_pillow(name, pixels, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, name, **options)
    return stream.getvalue()


def big_endian(pixels):
    return pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()


TEN = DEEP >> 6
TWELVE = DEEP >> 4
BITMAP = GRAY > 100
TEXT = "P2\n# by hand\n30 20\n255\n" + "\n".join(" ".join(map(str, row)) for row in GRAY)


@pytest.mark.parametrize(
    ("name", "content", "pixels", "bits"),
    [
        ("x.pgm", by_pillow("PPM", GRAY), GRAY, None),
        ("x.ppm", by_pillow("PPM", RGB), RGB, None),
        ("x.pgm", TEXT.encode(), GRAY, None),
        ("x.pbm", by_pillow("PPM", BITMAP), BITMAP * np.uint8(255), None),
        ("x.ppm", b"P6 30 20 65535\n" + big_endian(DEEP), DEEP, None),
        ("x.pgm", b"P5 30 20 1023\n" + big_endian(TEN[..., 0]), TEN[..., 0], 10),
        ("x.pfm", by_pillow("PPM", FLOATS), FLOATS, None),
        ("x.jp2", imagecodecs.jpeg2k_encode(RGB, level=0), RGB, None),
        ("x.j2k", imagecodecs.jpeg2k_encode(DEEP, level=0, codecformat="j2k"), DEEP, None),
        ("x.jp2", imagecodecs.jpeg2k_encode(TWELVE, level=0, bitspersample=12), TWELVE, 12),
        ("x.tga", by_pillow("TGA", RGB), RGB, None),
        ("x.tga", by_pillow("TGA", GRAY, compression="tga_rle"), GRAY, None),
    ],
)
def test_formats_without_loss_keep_every_value(name, content, pixels, bits):
    found = decode_image(content, name)
    assert found.pixels.dtype == pixels.dtype
    assert np.array_equal(found.pixels, pixels)
    assert found.bits == bits
    assert found.notes == ()


def test_a_radiance_file_keeps_floats_beyond_1():
    pixels = np.dstack([FLOATS, FLOATS + 1, FLOATS / 2])
    found = decode_image(imagecodecs.rgbe_encode(pixels), "x.hdr").pixels
    # a pixel shares an exponent: the mantissa of its largest channel has 8 bits, cut off
    assert np.all(np.abs(found - pixels).max(axis=2) <= pixels.max(axis=2) / 128)
    assert found.max() > 500


@pytest.mark.parametrize(("bits", "deep"), [(8, False), (10, True), (12, True)])
def test_avif_keeps_its_depth(bits, deep):
    pixels = (DEEP[:4, :4].repeat(8, 0).repeat(8, 1) >> (16 - bits)).astype("u2" if deep else "u1")
    content = imagecodecs.avif_encode(pixels, level=100, bitspersample=bits)
    found = decode_image(content, "x.avif")
    assert found.bits == (bits if deep else None)
    assert found.pixels.dtype == pixels.dtype
    error = np.abs(found.pixels.astype(int) - pixels)  # color is stored as YCbCr, rounded
    assert error.max() <= 4


def test_openexr_and_heic_are_read_where_they_are_installed(tmp_path):
    OpenEXR = pytest.importorskip("OpenEXR")  # noqa: N806  # its name
    half = np.dstack([FLOATS, FLOATS / 2, FLOATS / 4]).astype(np.float16)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"RGB": half}).write(str(tmp_path / "x.exr"))
    assert np.array_equal(read_image(tmp_path / "x.exr").pixels, half)

    heif = pytest.importorskip("pillow_heif")
    smooth = Image.fromarray(RGB[:2, :2]).resize((64, 48), Image.Resampling.BILINEAR)
    heif.from_pillow(smooth).save(tmp_path / "x.heic", quality=100)
    found = read_image(tmp_path / "x.heic").pixels
    error = np.abs(found.astype(int) - np.asarray(smooth))  # colors of half the resolution
    assert found.shape == (48, 64, 3)
    assert error.mean() < 4


@pytest.mark.parametrize("name", ["x.pgm", "x.jp2", "x.avif", "x.hdr"])
def test_cut_files_of_every_format_are_one_sentence(name):
    content = {
        "x.pgm": by_pillow("PPM", GRAY),
        "x.jp2": imagecodecs.jpeg2k_encode(RGB, level=0),
        "x.avif": imagecodecs.avif_encode(RGB),
        "x.hdr": imagecodecs.rgbe_encode(RGB.astype(np.float32)),
    }[name]
    for length in (len(content) // 2, 40, 12):
        with pytest.raises(FusionlabError) as refused:
            decode_image(content[:length], name)
        assert refused.value.code in ("unreadable", "unsupported-image")


def test_claims_are_checked_before_pixels_are_decoded():
    huge = [
        b"P5 60000 60000 255\n",
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 60000 +X 60000\n",
        b"\xff\x4f\xff\x51" + struct.pack(">HH8IHB", 41, 0, 60000, 60000, *[0] * 6, 1, 7),
    ]
    for content in huge:
        with pytest.raises(FusionlabError, match="60000x60000") as refused:
            decode_image(content, "x")
        assert refused.value.code == "too-many-pixels"


MINE = """
    import numpy as np
    from fusionlab import Contents, Decoded, Page, ReaderRef, hookimpl

    @hookimpl
    def fusionlab_readers():
        return [
            ReaderRef("LAB", __name__ + ":open_lab", "Of the lab.", (".lab",), rb"LAB"),
            ReaderRef("LOST", "lab_nowhere:open_it", "", (".lost",), rb"LOST",
                      requires="lab-nowhere"),
            ReaderRef("COUNTS", __name__ + ":open_counts", "Counts in a PNG.", (".png",),
                      rb"\\x89PNG", contains=(b"counts",), priority=1),
        ]

    def open_lab(content, check_size):
        check_size(2, 1)
        pages = [Page("photo", 2, 1, ("gray",)), Page("thermal", 2, 1, ("gray",))]
        values = np.array([[20, 40]], np.float32)
        return Contents(pages, lambda page: Decoded(values + page, unit="C"), default=1)

    def open_counts(content, check_size):
        if b"declined" in content:
            return None
        return Contents([Page("1", 1, 1, ("gray",))], lambda page: Decoded(np.ones((1, 1))))
"""


def test_a_plugin_reads_a_format_of_its_own(install, tmp_path):
    install("lab-reader", MINE)
    assert "LAB" in fusionlab.list_readers()
    assert ".lab" in suffixes()
    path = tmp_path / "x.anything"
    path.write_bytes(b"LAB...")
    found = read_image(path)
    assert found.unit == "C"
    assert np.array_equal(found.pixels, [[21, 41]])  # the page that is the default
    with pytest.raises(FusionlabError) as refused:
        read_image(path, max_pixels=1)
    assert refused.value.code == "too-many-pixels"


def test_a_reader_of_a_format_inside_another_one_is_asked_first_and_may_decline(install):
    install("lab-reader", MINE)
    assert decode_image(imagecodecs.png_encode(GRAY), "x").pixels.shape == GRAY.shape
    mine = imagecodecs.png_encode(GRAY)[:33] + b"counts"
    assert decode_image(mine, "x").pixels.shape == (1, 1)
    png = imagecodecs.png_encode(GRAY)
    text = b"tEXtcounts\0declined"
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    assert np.array_equal(decode_image(png[:33] + chunk + png[33:], "x").pixels, GRAY)


def test_what_is_missing_is_named(install):
    install("lab-reader", MINE)
    with pytest.raises(FusionlabError, match="pip install 'lab-nowhere'") as refused:
        decode_image(b"LOST", "x")
    assert refused.value.code == "missing-extra"


def test_a_blocked_plugin_reads_nothing(install, monkeypatch):
    install("lab-reader", MINE)
    monkeypatch.setenv("FUSIONLAB_NO_PLUGIN", "lab-reader")
    with pytest.raises(FusionlabError) as refused:
        decode_image(b"LAB...", "x")
    assert refused.value.code == "unreadable"


def test_the_command_leaves_out_the_readers_of_a_plugin(install, tmp_path):
    install("lab-reader", MINE)
    (tmp_path / "x.lab").write_bytes(b"LAB...")
    args = ["pairs", str(tmp_path / "{}.lab"), "--pages", "all", "--json"]
    with_it = CliRunner().invoke(main, args)
    assert with_it.exit_code == 0, with_it.output
    assert len(json.loads(with_it.stdout)["items"][0]["sources"]) == 2
    without = CliRunner().invoke(main, ["--no-plugin", "lab-reader", *args])
    assert without.exit_code == 2
    assert "not in a known image format" in without.stdout
    assert "FUSIONLAB_NO_PLUGIN" not in os.environ


def test_every_reader_that_ships_can_be_loaded():
    for registration in installed().readers.registrations:
        if not registration.ref.requires:
            assert callable(registration.ref.load())


@pytest.mark.parametrize(
    "change",
    [{"magic": b""}, {"magic": "LAB"}, {"suffixes": ("lab",)}, {"suffixes": (".LAB",)}],
)
def test_a_description_that_is_wrong_is_refused(change):
    right = {"suffixes": (".lab",), "magic": b"LAB"}
    with pytest.raises(ValueError, match="LAB"):
        fusionlab.ReaderRef("LAB", "lab:open", "Of the lab.", **{**right, **change})


@pytest.mark.parametrize("white", [1000, 15])
def test_the_white_of_a_pgm_need_not_be_a_power_of_2(white):
    pixels = (DEEP[..., 0] % (white + 1)).astype(">u2" if white > 255 else "u1")
    found = decode_image(f"P5 30 20 {white}\n".encode() + pixels.tobytes(), "x.pgm")
    assert np.array_equal(found.pixels, pixels)
    assert found.stated_range == (0, white)
