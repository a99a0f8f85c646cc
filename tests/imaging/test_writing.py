"""In full depth, bit for bit, the same bytes each time; and nothing overwritten unasked."""

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from fusionlab import FusionlabError
from fusionlab.imaging import rows
from fusionlab.imaging.depth import DTYPES
from fusionlab.imaging.formats import pillow_formats, tiff
from fusionlab.imaging.reading import decode_image, read_image
from fusionlab.imaging.rows import OnDiskRows
from fusionlab.imaging.writing import FORMATS, Format, format_of, write_image
from fusionlab.storage.atomic import atomic_write_all

RECORD = '{"method": "densefuse@1e2/mean", "name": "K\\u00f6ln"}'
EVERY = [(suffix, depth) for suffix, format_ in FORMATS.items() for depth in format_.depths]
LOSSLESS = [(suffix, depth) for suffix, depth in EVERY if FORMATS[suffix].lossless]
SHAPES = {"gray": (33, 21), "rgb": (33, 21, 3), "gray, 1x1": (1, 1), "rgb, 3 wide": (5, 3, 3)}
"""An image 3 wide looks like one of 3 channels."""


def random_pixels(depth, shape, seed=0):
    """Random pixels over the whole range of a depth."""
    rng = np.random.default_rng(seed)
    if depth == 32:
        return rng.random(shape, np.float32)
    return rng.integers(0, 2**depth, shape, f"u{depth // 8}")


# ---------------------------------------------------------------- there and back


def test_every_depth_has_a_format():
    assert {depth for _, depth in EVERY} == set(DTYPES)


@pytest.mark.parametrize("record", ["", RECORD], ids=["bare", "record"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("suffix", "depth"), LOSSLESS)
def test_what_a_lossless_format_holds_comes_back_bit_for_bit(suffix, depth, shape, record):
    pixels = random_pixels(depth, shape, seed=1)
    found = decode_image(FORMATS[suffix].encode(pixels, record), "x")
    assert found.notes == ()
    assert found.pixels.dtype == pixels.dtype
    assert found.pixels.shape == pixels.shape
    assert np.array_equal(found.pixels, pixels)


@pytest.mark.parametrize("record", ["", RECORD], ids=["bare", "record"])
@pytest.mark.parametrize("shape", [SHAPES["gray"], SHAPES["rgb"]], ids=["gray", "rgb"])
@pytest.mark.parametrize(("suffix", "depth"), EVERY)
def test_the_same_pixels_give_the_same_bytes(suffix, depth, shape, record):
    pixels = random_pixels(depth, shape, seed=2)
    encode = FORMATS[suffix].encode
    assert encode(pixels, record) == encode(pixels.copy(), record)
    assert isinstance(encode(pixels, record), bytes)


@pytest.mark.parametrize(("suffix", "depth"), LOSSLESS)
def test_views_are_written_as_they_look(suffix, depth):
    """Mirrored, every other column, channels first: whatever the memory looks like."""
    whole = random_pixels(depth, (20, 30, 3), seed=3)
    for view in (whole[::-1], whole[:, ::2], whole.transpose(1, 0, 2), whole[..., 1]):
        found = decode_image(FORMATS[suffix].encode(view, ""), "x")
        assert np.array_equal(found.pixels, view)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg_keeps_color_edges_and_changes_smooth_images_little(suffix):
    """At quality 95 without chroma subsampling, a red edge between two pixels stays one."""
    ramp = np.tile(np.arange(0, 160, 5, dtype=np.uint8), (32, 1))
    for pixels in (ramp, np.dstack([ramp, ramp.T, 255 - ramp])):
        found = decode_image(FORMATS[suffix].encode(pixels, ""), "x").pixels
        assert found.shape == pixels.shape
        # quality 95 quantizes by up to 10 levels in one coefficient; on a ramp few are not 0
        assert np.abs(found.astype(int) - pixels).max() < 10
    content = FORMATS[suffix].encode(np.dstack([ramp] * 3), "")
    with PIL.Image.open(io.BytesIO(content)) as file:
        assert {(h, v) for _, h, v, _ in file.layer} == {(1, 1)}


# ---------------------------------------------------------------- others can read it


@pytest.mark.parametrize("record", ["", RECORD], ids=["bare", "record"])
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_other_programs_read_the_same_8_bit_pixels(suffix, record):
    for shape in SHAPES.values():
        pixels = random_pixels(8, shape, seed=4)
        with PIL.Image.open(io.BytesIO(FORMATS[suffix].encode(pixels, record))) as file:
            assert np.array_equal(np.asarray(file), pixels)


def test_other_programs_read_the_same_16_bits():
    """Pillow reads gray in full, and of color in PNG the upper half of the bits."""
    gray, rgb = random_pixels(16, (33, 21), seed=5), random_pixels(16, (33, 21, 3), seed=5)
    for suffix in (".png", ".tif"):
        with PIL.Image.open(io.BytesIO(FORMATS[suffix].encode(gray, RECORD))) as file:
            assert np.array_equal(np.asarray(file), gray)
    content = FORMATS[".png"].encode(rgb, RECORD)
    with PIL.Image.open(io.BytesIO(content)) as file:
        assert np.array_equal(np.asarray(file), rgb >> 8)
    swapped = FORMATS[".png"].encode(rgb.byteswap(), "")  # which shows the lower half
    with PIL.Image.open(io.BytesIO(swapped)) as file:
        assert np.array_equal(np.asarray(file), rgb & 255)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_with_a_record_is_sound_down_to_its_checksums(depth):
    """Pillow's `verify` reads every chunk and its checksum; `text` is the reader of iTXt."""
    content = pillow_formats.encode_png(random_pixels(depth, (9, 8, 3), seed=6), RECORD)
    with PIL.Image.open(io.BytesIO(content)) as file:
        file.verify()
    with PIL.Image.open(io.BytesIO(content)) as file:
        assert file.text == {pillow_formats.PNG_KEYWORD: RECORD}


# ---------------------------------------------------------------- records


@pytest.mark.parametrize("text", [RECORD, "größer, 更大", "x" * 2_000_000], ids=["a", "b", "c"])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_gives_its_record_back(depth, text):
    content = pillow_formats.encode_png(random_pixels(depth, (9, 8), seed=7), text)
    assert pillow_formats.png_record(content) == text


@pytest.mark.parametrize("depth", [8, 16, 32])
def test_a_tiff_gives_its_record_back(depth):
    assert tiff.record(tiff.encode(random_pixels(depth, (9, 8, 3), seed=8), RECORD)) == RECORD


def test_where_no_record_was_written_there_is_none():
    gray = random_pixels(8, (9, 8), seed=9)
    assert pillow_formats.png_record(pillow_formats.encode_png(gray)) is None
    assert tiff.record(tiff.encode(gray)) is None


def test_a_record_is_found_without_the_limit_of_pillow_and_leaves_it(monkeypatch):
    content = pillow_formats.encode_png(random_pixels(8, (9, 8), seed=10), RECORD)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)
    assert pillow_formats.png_record(content) == RECORD
    assert PIL.Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_a_format_without_room_for_a_record_goes_without(suffix):
    gray = random_pixels(8, (9, 8), seed=11)
    assert FORMATS[suffix].encode(gray, RECORD) == FORMATS[suffix].encode(gray, "")


# ---------------------------------------------------------------- a few rows at a time


@pytest.fixture
def bands_of_few_rows(monkeypatch):
    """So that images of tests have many."""
    monkeypatch.setattr(rows, "BAND_BYTES", 1000)
    monkeypatch.setattr(tiff, "STRIP_BYTES", 300)


def spooled(pixels):
    spool = OnDiskRows(pixels.shape, pixels.dtype)
    spool.append(pixels)
    return spool


@pytest.mark.parametrize("record", ["", RECORD], ids=["bare", "record"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("suffix", "depth"), EVERY)
def test_rows_give_the_bytes_that_arrays_give(suffix, depth, shape, record, bands_of_few_rows):
    pixels = random_pixels(depth, shape, seed=14)
    assert FORMATS[suffix].encode(spooled(pixels), record) == FORMATS[suffix].encode(pixels, record)


@pytest.mark.parametrize("record", ["", RECORD], ids=["bare", "record"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("depth", [8, 16, 32])
def test_a_tiff_written_by_rows_has_the_bytes_of_one_encoded(
    tmp_path, depth, shape, record, bands_of_few_rows
):
    pixels, path = random_pixels(depth, shape, seed=15), tmp_path / "x.tif"
    write = FORMATS[".tif"].write
    with atomic_write_all({path: lambda file: write(file, spooled(pixels), record)}):
        pass
    assert path.read_bytes() == tiff.encode(pixels, record)
    assert np.array_equal(read_image(path).pixels, pixels)


def test_only_formats_that_can_take_rows_say_so():
    assert {suffix for suffix, one in FORMATS.items() if one.write} == {".tif", ".tiff"}


# ---------------------------------------------------------------- formats and depths


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        (".png", {8: 8, 16: 16, 32: 16}),
        (".jpg", {8: 8, 16: 8, 32: 8}),
        (".bmp", {8: 8, 16: 8, 32: 8}),
        (".tif", {8: 8, 16: 16, 32: 32}),
    ],
)
def test_the_nearest_depth_is_the_one_that_keeps_most(suffix, expected):
    assert {depth: FORMATS[suffix].nearest(depth) for depth in expected} == expected


def test_a_deeper_format_is_preferred_to_one_that_loses_bits():
    assert Format((8, 32), tiff.encode).nearest(16) == 32
    assert Format((16, 32), tiff.encode).nearest(8) == 16


def test_the_format_is_that_of_the_suffix_in_any_case():
    content = format_of(Path("image.PNG")).encode(random_pixels(16, (9, 8, 3), seed=12), "")
    assert content.startswith(b"\x89PNG")
    assert content[pillow_formats.PNG_BITS] == 16


@pytest.mark.parametrize("name", ["image.gif", "image.webp", "image", ".png", "image.png.json"])
def test_a_name_without_a_known_suffix_is_refused(name):
    with pytest.raises(FusionlabError, match="must end in one of .png, .jpg, .jpeg") as caught:
        format_of(Path(name))
    assert (caught.value.code, caught.value.path) == ("output-format", Path(name))


@pytest.mark.parametrize(("suffix", "depth"), LOSSLESS)
def test_an_encoded_image_is_a_file_once_it_is_written(tmp_path, suffix, depth):
    path, pixels = tmp_path / f"image{suffix}", random_pixels(depth, (9, 8, 3), seed=13)
    with atomic_write_all({path: format_of(path).encode(pixels, RECORD)}):
        pass
    assert np.array_equal(read_image(path).pixels, pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)], ids=["gray", "color"])
def test_what_is_written_is_read_again(suffix, dtype, shape, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    if image.dtype.kind == "f":
        image = image / image.dtype.type(255)
    path = tmp_path / f"x{suffix}"
    depth = {1: 8, 2: 16}.get(image.dtype.itemsize, 32)
    if depth not in FORMATS[suffix].depths:
        with pytest.raises(FusionlabError, match=r"write a \.tif, or fuse with depth=") as refused:
            write_image(path, image)
        assert refused.value.code == "depth"
        assert not path.exists()
        return
    tensor = torch.from_numpy(image.astype(np.float32) if depth == 32 else image)
    for given in (image, tensor.movedim(-1, 0) if image.ndim == 3 else tensor, image[::-1][::-1]):
        write_image(str(path), given)
        assert np.array_equal(
            read_image(path).pixels, image.astype(np.float32 if depth == 32 else dtype)
        )


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.png"
    write_image(path, np.zeros((4, 4), np.uint8))
    before = path.read_bytes()
    for image in (np.zeros((4, 4), np.int32), np.zeros(4), None):
        with pytest.raises(FusionlabError):
            write_image(path, image)
    assert path.read_bytes() == before
