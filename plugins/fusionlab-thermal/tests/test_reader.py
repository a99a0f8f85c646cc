"""Radiometric files as fusionlab opens them."""

import struct
import zlib

import numpy as np
import pytest

from fusionlab_thermal import fusionlab_readers
from fusionlab_thermal.flir import radiometric
from fusionlab_thermal.planck import Radiometry
from fusionlab_thermal.reader import open_dji, open_flir


def any_size(width, height):
    """Stand in for the limit on the number of pixels."""


def pages(contents):
    return {page.name: number for number, page in enumerate(contents.pages)}


def decoded(contents, name):
    number = pages(contents)[name]
    found, page = contents.decode(number), contents.pages[number]
    assert found.pixels.shape[:2] == (page.height, page.width)
    assert len(page.channels) == (found.pixels.shape[2] if found.pixels.ndim == 3 else 1)
    return found


def test_a_flir_file_has_four_pages_and_the_first_is_in_degrees(made):
    contents = open_flir(made.flir_file(), any_size)
    assert list(pages(contents)) == ["thermal", "view", "photo", "counts"]
    assert [page.name for page in contents.pages if page.variant] == ["photo", "counts"]
    assert contents.default == 0
    thermal = decoded(contents, "thermal")
    assert (thermal.pixels.dtype, thermal.unit) == (np.float32, "C")
    expected = Radiometry(**made.CAMERA).celsius(made.scene())
    np.testing.assert_allclose(thermal.pixels, expected, rtol=1e-5)  # single precision
    counts = decoded(contents, "counts")
    assert counts.unit == "counts"
    np.testing.assert_array_equal(counts.pixels, made.scene())


def test_the_view_is_a_part_of_the_photo(made):
    contents = open_flir(made.flir_file(), any_size)
    left, top, right, bottom = radiometric(made.flir_file()).view.box((128, 96), (64, 48))
    whole = decoded(contents, "photo").pixels
    np.testing.assert_array_equal(decoded(contents, "view").pixels, whole[top:bottom, left:right])


def test_without_a_field_of_view_the_photo_is_no_variant(made):
    contents = open_flir(made.flir_file(view=()), any_size)
    assert [page.name for page in contents.pages if not page.variant] == ["thermal", "photo"]


def test_a_file_without_constants_is_in_counts_and_says_so_by_its_unit(made):
    contents = open_flir(made.flir_jpeg(made.container(made.scene(), camera=None)), any_size)
    assert list(pages(contents)) == ["thermal"]
    thermal = decoded(contents, "thermal")
    assert (thermal.pixels.dtype, thermal.unit) == (np.uint16, "counts")


def test_a_photo_in_another_format_is_no_page(made):
    contents = open_flir(made.flir_file(photo=b"raw"), any_size)
    assert list(pages(contents)) == ["thermal", "counts"]


def test_the_orientation_of_the_file_turns_all_pages(made):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    shown = made.jpeg(made.photo(), exif=exif)
    data = made.container(made.scene(), photo=made.jpeg(made.photo()), photo_size=(128, 96))
    contents = open_flir(made.flir_jpeg(data, shown), any_size)
    assert {contents.decode(number).orientation for number in range(3)} == {6}


def test_a_dji_file_is_in_counts_and_says_why(made):
    contents = open_dji(made.dji_jpeg(made.scene(640, 512)), any_size)
    thermal = decoded(contents, "thermal")
    np.testing.assert_array_equal(thermal.pixels, made.scene(640, 512))
    assert thermal.unit == "counts"
    (note,) = thermal.notes
    assert "DJI Thermal SDK" in note


@pytest.mark.parametrize("open_file", [open_flir, open_dji])
def test_images_like_others_are_left_to_the_next_reader(made, open_file):
    assert open_file(made.jpeg(made.photo()), any_size) is None


def test_app3_segments_of_other_makers_are_not_taken_for_counts(made):
    assert open_dji(made.dji_jpeg(made.scene(), maker="Else"), any_size) is None


@pytest.mark.parametrize("make", ["flir", "dji"])
def test_too_many_pixels_are_refused_before_they_are_decoded(made, make):
    class TooManyError(Exception):
        pass

    def refuse(width, height):
        assert (width, height) == (64, 48)
        raise TooManyError

    content = made.flir_file() if make == "flir" else made.dji_jpeg(made.scene())
    with pytest.raises(TooManyError):
        (open_flir if make == "flir" else open_dji)(content, refuse)


def test_files_are_recognized_without_importing_the_reader(made):
    flir, dji = fusionlab_readers()
    assert flir.recognizes(made.flir_file(), ".jpg")
    assert flir.recognizes(made.container(made.scene()), ".fff")
    assert dji.recognizes(made.dji_jpeg(made.scene()), ".jpg")
    plain = made.jpeg(made.photo())
    assert not flir.recognizes(plain, ".jpg")
    assert not dji.recognizes(plain, ".jpg")
    assert flir.load() is open_flir
    assert dji.load() is open_dji


def test_a_photo_and_counts_that_lack_a_part_are_refused(made):
    whole = made.jpeg(made.photo())
    scan = whole.index(b"\xff\xda")
    half = whole[: scan + (len(whole) - scan) // 2] + b"\xff\xd9"
    contents = open_flir(made.flir_file(photo=half), any_size)
    with pytest.raises(ValueError, match="incomplete"):
        decoded(contents, "photo")

    container = made.container(made.scene(), png="right", camera=None)
    place = container.index(b"IDAT")
    end = place + 4 + int.from_bytes(container[place - 4 : place], "big")
    rows = zlib.decompress(container[place + 4 : end])
    short = zlib.compress(rows[: len(rows) // 2])
    chunk = b"IDAT" + short
    chunk = struct.pack(">I", len(short)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    contents = open_flir(
        container[: place - 4] + chunk + container[end + 4 :].ljust(9999, b"\0"), any_size
    )
    with pytest.raises(ValueError, match="of its pixels"):
        decoded(contents, "thermal")
