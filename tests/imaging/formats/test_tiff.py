"""TIFF in all its kinds: read as libtiff (through Pillow) reads it, or declined, never guessed."""

import io
import os
import struct

import imagecodecs
import numpy as np
import PIL.Image
import pytest
import tifffile
from PIL import ImageOps
from refusals import refused

from fusionlab import FusionlabError
from fusionlab.imaging.formats import tiff
from fusionlab.imaging.reading import decode_image, read_image

OTHERS = "its alpha channel is ignored"
FIRST = "of which the first is used; pages=all takes all of them as sources"
RGB_SHAPE = (37, 45, 3)
GRAY_SHAPE = (37, 45)


def random_pixels(dtype=np.uint8, shape=GRAY_SHAPE, seed=0):
    """Random pixels: integers over the whole range of their type, floats beyond 0..1."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return (rng.standard_normal(shape) * 1000).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def by_tifffile(pixels, **options):
    file = io.BytesIO()
    options.setdefault("photometric", "rgb" if pixels.shape[2:] == (3,) else "minisblack")
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def by_pillow(image, **options):
    file = io.BytesIO()
    image.save(file, "TIFF", **options)
    return file.getvalue()


def as_pillow_has_it(content):
    """Read it with libtiff, a decoder that shares no code with tifffile."""
    with PIL.Image.open(io.BytesIO(content)) as file:
        return np.asarray(file)


def by_hand(tags, data):
    """Write a little-endian TIFF of one strip, with exactly these tags: {number: SHORTs}.

    StripOffsets (273) is filled in.
    """
    tags = {273: [0], **tags}
    start = 8 + 2 + 12 * len(tags) + 4
    beside = b"".join(struct.pack(f"<{len(v)}H", *v) for v in tags.values() if len(v) > 2)
    tags[273] = [start + len(beside)]
    content = b"II*\0" + struct.pack("<IH", 8, len(tags))
    for number, values in sorted(tags.items()):
        content += struct.pack("<HHI", number, 3, len(values))
        if len(values) <= 2:
            content += struct.pack(f"<{len(values)}H", *values).ljust(4, b"\0")
        else:
            content += struct.pack("<I", start)
            start += 2 * len(values)
    return content + bytes(4) + beside + data


def strip(width, height, bits, photometric, data, **more):
    """Return the tags of an uncompressed image, and more of them; `None` leaves one out."""
    tags = {256: [width], 257: [height], 258: [bits], 259: [1], 262: [photometric]}
    tags |= {277: [1], 278: [height], 279: [len(data)]}
    tags |= {int(number.removeprefix("tag")): value for number, value in more.items()}
    return by_hand({n: value for n, value in tags.items() if value is not None}, data)


def packed(values, bits):
    """Pack numbers `(H, W)` of some bits, each row to whole bytes, the highest bit first."""
    spread = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(spread.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


def check(content, expected, *notes):
    """Read it; compare pixels, shape, dtype and notes, each exactly."""
    found = decode_image(content, "x.tif")
    assert found.notes == tuple(f"x.tif: {note}" for note in notes)
    assert found.pixels.dtype == expected.dtype
    assert found.pixels.dtype.isnative
    assert found.pixels.shape == expected.shape
    assert np.array_equal(found.pixels, expected)


# ---------------------------------------------------------------- depths and layouts


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("shape", [GRAY_SHAPE, RGB_SHAPE], ids=["gray", "rgb"])
@pytest.mark.parametrize(
    "dtype",
    ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"],
)
def test_every_depth_comes_back_bit_for_bit_in_both_byte_orders(dtype, shape, order):
    pixels = random_pixels(dtype, shape, seed=1)
    check(by_tifffile(pixels, byteorder=order), pixels)


@pytest.mark.parametrize(
    "pixels",
    [
        random_pixels(seed=2),
        random_pixels(shape=RGB_SHAPE, seed=2),
        random_pixels(np.uint16, seed=2),
        random_pixels(np.float32, seed=2),
        random_pixels(np.int32, seed=2),
    ],
    ids=["gray", "rgb", "gray16", "float", "int32"],
)
def test_what_pillow_writes_is_read_and_what_tifffile_writes_too(pixels):
    check(by_pillow(PIL.Image.fromarray(pixels)), pixels)
    assert np.array_equal(as_pillow_has_it(by_tifffile(pixels)), pixels)


@pytest.mark.parametrize(
    "options",
    [
        {"tile": (16, 16)},
        {"rowsperstrip": 5},
        {"bigtiff": True},
        {"byteorder": ">", "bigtiff": True},
        {"compression": "lzw"},
        {"compression": "lzw", "predictor": True},
        {"compression": "zlib"},
        {"compression": "adobe_deflate", "predictor": True, "tile": (32, 16)},
        {"compression": "packbits"},
        {"compression": "zstd"},
        {"compression": "lzma"},
        {"compression": "jpegxl"},
        {"compression": "jpeg2000"},
    ],
    ids=lambda options: ",".join(f"{k}={v}" for k, v in options.items()),
)
def test_every_layout_and_lossless_compression_comes_back_bit_for_bit(options):
    for dtype in (np.uint8, np.uint16):
        for shape in (GRAY_SHAPE, RGB_SHAPE):
            pixels = random_pixels(dtype, shape, seed=3)
            check(by_tifffile(pixels, **options), pixels)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", None])
def test_compressions_written_by_libtiff_are_read_bit_for_bit(compression):
    for pixels in (
        random_pixels(seed=4),
        random_pixels(shape=RGB_SHAPE, seed=4),
        random_pixels(np.uint16, seed=4),
    ):
        check(by_pillow(PIL.Image.fromarray(pixels), compression=compression), pixels)


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_jpeg_within_tiff_is_read_as_libtiff_reads_it(photometric):
    ramp = np.tile(np.arange(0, 192, 4, dtype=np.uint8), (48, 1))
    smooth = np.dstack([ramp, ramp.T, 255 - ramp])
    stored = smooth
    if photometric == "ycbcr":
        stored = np.asarray(PIL.Image.fromarray(smooth).convert("YCbCr"))
    options = {"compression": "jpeg", "compressionargs": {"level": 95}}
    content = by_tifffile(stored, photometric=photometric, **options)
    found = decode_image(content, "x.tif").pixels.astype(int)
    # two builds of libjpeg may round differently, by one level
    assert np.abs(found - as_pillow_has_it(content)).max() <= 1
    # quality 95 quantizes by up to 10 levels in one coefficient; on a ramp few are not 0
    assert np.abs(found - smooth).max() < 10


def test_channels_in_planes_of_their_own_are_put_together():
    pixels = random_pixels(np.uint16, (37, 45, 4), seed=5) | 1  # nowhere transparent
    planes = np.moveaxis(pixels, -1, 0)
    content = by_tifffile(planes[:3], photometric="rgb", planarconfig="separate")
    check(content, pixels[..., :3])
    content = by_tifffile(
        planes, photometric="rgb", planarconfig="separate", extrasamples=["unassalpha"]
    )
    check(content, pixels[..., :3], OTHERS)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (3, 5), (5, 3), (5, 4)])
def test_images_as_thin_as_colors_are_not_taken_for_them(shape):
    """A height or width of 3 or 4 looks like a number of channels."""
    for size in (shape, (*shape, 3)):
        for dtype in (np.uint8, np.uint16, np.float32):
            pixels = random_pixels(dtype, size, seed=6)
            check(tiff.encode(pixels), pixels)


# ---------------------------------------------------------------- kinds


def test_alpha_is_left_out_with_a_note():
    pixels = random_pixels(shape=(37, 45, 4), seed=7) | 1  # nowhere transparent
    check(by_pillow(PIL.Image.fromarray(pixels)), pixels[..., :3], OTHERS)
    check(by_pillow(PIL.Image.fromarray(pixels[..., :2])), pixels[..., 0], OTHERS)


GROUP4 = pytest.param(
    "group4",
    marks=pytest.mark.skipif(
        4 not in tifffile.TIFF.DECOMPRESSORS, reason="imagecodecs before 2026.3.6 cannot decode it"
    ),
)


@pytest.mark.parametrize("compression", [None, GROUP4, "tiff_lzw"])
def test_two_level_images_become_black_and_white_whichever_of_them_is_zero(compression):
    white = random_pixels(seed=8) > 100
    content = by_pillow(PIL.Image.fromarray(white), compression=compression)
    check(content, white * np.uint8(255))
    content = strip(45, 37, 1, 0, packed(white.astype(int), 1))  # 0: white is zero
    check(content, ~white * np.uint8(255))
    assert np.array_equal(as_pillow_has_it(content), ~white)


def test_bits_per_sample_may_be_left_out_and_mean_one():
    white = random_pixels(seed=9) > 100
    content = strip(45, 37, 1, 1, packed(white.astype(int), 1), tag258=None, tag277=None)
    check(content, white * np.uint8(255))
    assert np.array_equal(as_pillow_has_it(content), white)


def test_where_white_is_zero_the_levels_are_turned_round():
    gray = random_pixels(seed=10)
    content = by_tifffile(gray, photometric="miniswhite")
    check(content, as_pillow_has_it(content))
    check(content, 255 - gray)
    deep = random_pixels(np.uint16, seed=10)
    check(by_tifffile(deep, photometric="miniswhite"), 65535 - deep)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_where_white_is_zero_and_no_type_says_what_is_black_it_is_refused(dtype):
    content = by_tifffile(random_pixels(dtype, seed=11), photometric="miniswhite")
    with pytest.raises(FusionlabError, match="white is zero", check=refused("unsupported-image")):
        decode_image(content, "x.tif")


def test_12_bits_count_as_they_stand_and_their_white_is_known():
    levels = np.random.default_rng(12).integers(0, 4095, (9, 10), np.uint16, endpoint=True)
    for photometric, expected in ((1, levels), (0, 4095 - levels)):
        content = strip(10, 9, 12, photometric, packed(levels, 12))
        check(content, expected)
        assert decode_image(content, "x.tif").stated_range == (0, 4095)


def test_a_palette_is_looked_up_as_libtiff_does_it():
    image = PIL.Image.fromarray(random_pixels(shape=RGB_SHAPE, seed=13)).quantize(32)
    content = by_pillow(image)
    check(content, np.asarray(image.convert("RGB")))
    with PIL.Image.open(io.BytesIO(content)) as file:
        check(content, np.asarray(file.convert("RGB")))


@pytest.mark.parametrize("step", [257, 256], ids=["65535 is white", "65280 is white"])
def test_a_palette_of_8_bits_becomes_8_bits_however_it_was_widened(step):
    indices = random_pixels(seed=14)
    palette = np.random.default_rng(14).integers(0, 255, (3, 256), np.uint16, endpoint=True)
    content = by_tifffile(indices, photometric="palette", colormap=palette * np.uint16(step))
    check(content, palette.T.astype(np.uint8)[indices])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_palette_of_16_bits_keeps_them(dtype):
    indices = random_pixels(dtype, seed=15)
    palette = random_pixels(np.uint16, (3, np.iinfo(dtype).max + 1), seed=15)
    content = by_tifffile(indices, photometric="palette", colormap=palette)
    check(content, palette.T[indices])


def test_a_palette_of_two_colors_is_looked_up_too():
    which = random_pixels(seed=16) > 100
    palette = [0, 10 * 257, 1 * 257, 11 * 257, 2 * 257, 12 * 257]  # reds, greens, blues
    content = strip(45, 37, 1, 3, packed(which.astype(int), 1), tag320=palette)
    check(content, np.where(which[..., None], [10, 11, 12], [0, 1, 2]).astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_image_is_turned_upright(orientation):
    """As PIL.ImageOps.exif_transpose has it."""
    for pixels in (random_pixels(seed=17), random_pixels(np.uint16, seed=17)):
        content = by_tifffile(pixels, extratags=[(274, 3, 1, orientation, True)])
        with PIL.Image.open(io.BytesIO(content)) as file:
            check(content, np.asarray(ImageOps.exif_transpose(file)))


@pytest.mark.parametrize("options", [{}, {"ome": True}, {"imagej": True}, {"bigtiff": True}])
def test_of_many_pages_the_first_is_used_and_it_is_said(options):
    pages = random_pixels(np.uint16, (3, *GRAY_SHAPE), seed=18)
    if "imagej" in options:
        options = {**options, "photometric": None}
    named = " (c=1, c=2, c=3)" if {"ome", "imagej"} & options.keys() else ""
    note = f"it holds 3 pages{named} of 45x37, {FIRST}"
    check(by_tifffile(pages, **options), pages[0], note)


# ---------------------------------------------------------------- refused


def kinds_that_are_not_gray_or_rgb():
    image = PIL.Image.fromarray(random_pixels(shape=RGB_SHAPE, seed=19))
    many = np.dstack([random_pixels(seed=19)] * 5)
    data = bytes(37 * 45)
    volume = np.stack([random_pixels(seed=19)] * 16)
    return {
        "CMYK": (by_pillow(image.convert("CMYK")), "pixels of the type SEPARATED"),
        "LAB": (by_pillow(image.convert("LAB")), "pixels of the type CIELAB"),
        "YCbCr": (by_pillow(image.convert("YCbCr")), "YCbCr pixels"),
        "complex": (by_tifffile(many[..., 0].astype(complex)), "samples of 128 bits"),
        "volume": (by_tifffile(volume, volumetric=True, tile=(16, 16, 16)), "a volume"),
        "4 bits": (strip(90, 37, 4, 1, data), "4 bits per sample"),
        "thumbnail": (strip(45, 37, 8, 1, data, tag254=[1]), "the thumbnail of another image"),
    }


@pytest.mark.parametrize(
    ("content", "got"),
    kinds_that_are_not_gray_or_rgb().values(),
    ids=kinds_that_are_not_gray_or_rgb(),
)
def test_what_is_neither_gray_nor_rgb_is_refused_with_its_kind(content, got):
    message = f"^x.tif must be a gray or RGB image, got .*{got}.*; convert it to one first$"
    with pytest.raises(FusionlabError, match=message):
        decode_image(content, "x.tif")


def test_a_palette_with_an_alpha_channel_is_refused():
    pixels = bytes(2 * 37 * 45)
    content = strip(45, 37, 8, 3, pixels, tag258=[8, 8], tag277=[2], tag320=[0] * 768)
    with pytest.raises(FusionlabError, check=refused("unsupported-image")):
        decode_image(content, "x.tif")


@pytest.mark.parametrize("compression", [None, "lzw", "adobe_deflate", "packbits", "jpeg"])
def test_a_file_that_is_cut_off_is_refused_wherever_the_cut_is(compression):
    """Nothing is filled in with black, and no tag that was lost is guessed."""
    pixels = random_pixels(shape=(96, 96, 3), seed=20)
    content = by_tifffile(pixels, compression=compression, rowsperstrip=16)
    for percent in (1, 2, 5, 10, 25, 50, 75, 90, 99):
        with pytest.raises(FusionlabError, check=refused("unreadable")):
            decode_image(content[: len(content) * percent // 100], "x.tif")


@pytest.mark.parametrize("number", [5, 8, 32773], ids=["lzw", "deflate", "packbits"])
def test_a_strip_that_unpacks_to_less_than_the_image_is_refused(number):
    encode = {
        5: imagecodecs.lzw_encode,
        8: imagecodecs.zlib_encode,
        32773: imagecodecs.packbits_encode,
    }[number]
    pixels = random_pixels(shape=(9, 10), seed=21)
    whole = bytes(encode(pixels.tobytes()))
    check(strip(10, 9, 8, 1, whole, tag259=[number]), pixels)
    for data in (bytes(encode(pixels[:5].tobytes())), whole[: len(whole) // 2]):
        with pytest.raises(FusionlabError, check=refused("unreadable")):
            decode_image(strip(10, 9, 8, 1, data, tag259=[number]), "x.tif")


def test_a_strip_of_no_bytes_is_refused_rather_than_black():
    with pytest.raises(FusionlabError, match="truncated", check=refused("unreadable")):
        decode_image(strip(10, 9, 8, 1, b""), "x.tif")


@pytest.mark.parametrize("tag", [256, 257, 262])
def test_a_tag_without_which_nothing_is_known_is_missed(tag):
    content = strip(10, 9, 8, 1, bytes(90), **{f"tag{tag}": None})
    with pytest.raises(FusionlabError, check=refused("unreadable")):
        decode_image(content, "x.tif")


def test_a_claim_of_gigabytes_is_refused_before_they_are_taken():
    content = strip(60000, 60000, 8, 1, bytes(90))
    with pytest.raises(FusionlabError, match="60000x60000", check=refused("too-many-pixels")):
        decode_image(content, "x.tif")
    with pytest.raises(FusionlabError, check=refused("unreadable")):
        decode_image(content, "x.tif", max_pixels=None)


# ---------------------------------------------------------------- written


@pytest.mark.parametrize("shape", [GRAY_SHAPE, RGB_SHAPE], ids=["gray", "rgb"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_what_is_encoded_is_a_plain_tiff_that_others_read(dtype, shape):
    pixels = random_pixels(dtype, shape, seed=22)
    content = tiff.encode(pixels)
    check(content, pixels)
    if dtype == np.uint8 or (shape == GRAY_SHAPE and dtype != np.float64):  # what Pillow can hold
        assert np.array_equal(as_pillow_has_it(content), pixels)


@pytest.mark.parametrize("text", ["", "text"])
@pytest.mark.parametrize(
    "shape", [(1, 1), (5, 4), (3, 5, 3), (500, 700), (300, 400, 3), (2, 300_000)]
)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", ">u2", ">f4"])
def test_the_file_is_the_one_that_tifffile_writes_by_itself(dtype, shape, text):
    """It compresses and predicts strips as well; here they come compressed, so as not to wait."""
    pixels = random_pixels(np.dtype(dtype).newbyteorder("="), shape, seed=27).astype(dtype)
    expected = by_tifffile(
        pixels,
        byteorder="<",
        photometric="rgb" if pixels.ndim == 3 else "minisblack",
        compression="adobe_deflate",
        predictor=True,
        description=text or None,
        metadata=None,
        software=False,
    )
    assert tiff.encode(pixels, text) == expected


@pytest.mark.parametrize("shape", [GRAY_SHAPE, RGB_SHAPE], ids=["gray", "rgb"])
def test_beyond_four_gigabytes_it_becomes_a_bigtiff(shape, monkeypatch):
    pixels = random_pixels(np.uint16, shape, seed=28)
    monkeypatch.setattr(tiff, "CLASSIC_BYTES", pixels.nbytes)
    assert tiff.encode(pixels).startswith(b"II*\0")
    monkeypatch.setattr(tiff, "CLASSIC_BYTES", pixels.nbytes - 1)
    content = tiff.encode(pixels, "text")
    assert content.startswith(b"II+\0")
    assert tiff.record(content) == "text"
    check(content, pixels)


def test_what_deflate_makes_longer_fits_between_the_limits():
    """Noise grows by a few bytes per strip; the offsets must still reach its end."""
    noise = random_pixels(np.uint8, (4096, 4096), seed=29)
    room = 2**32 - tiff.CLASSIC_BYTES
    assert (len(tiff.encode(noise)) - noise.nbytes) * 256 < room


def test_floats_beyond_the_range_and_not_finite_are_kept():
    pixels = np.array([[np.nan, np.inf, -np.inf], [-0.0, 1e-45, 3e38]], dtype=np.float32)
    found = decode_image(tiff.encode(pixels), "x.tif").pixels
    assert found.tobytes() == pixels.tobytes()


def test_a_view_that_is_turned_round_is_encoded_as_it_looks():
    pixels = random_pixels(np.uint16, RGB_SHAPE, seed=23)[::-1, ::2]
    check(tiff.encode(pixels), np.ascontiguousarray(pixels))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("text", ['{"method": "a/b", "x": [1, 2.5]}', "x" * 100_000])
def test_a_record_travels_in_the_file_and_changes_no_pixel(dtype, text):
    pixels = random_pixels(dtype, RGB_SHAPE, seed=24)
    content = tiff.encode(pixels, text)
    assert tiff.record(content) == text
    check(content, pixels)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        assert file.pages.first.description == text
    with PIL.Image.open(io.BytesIO(tiff.encode(random_pixels(seed=24), text))) as image:
        assert image.tag_v2[270] == text


def test_without_a_record_there_is_none():
    assert tiff.record(tiff.encode(random_pixels(seed=25))) is None


def test_the_same_pixels_give_the_same_bytes_without_a_date_or_a_program():
    pixels = random_pixels(np.uint16, RGB_SHAPE, seed=26)
    content = tiff.encode(pixels, "text")
    assert content == tiff.encode(pixels, "text")
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        assert not {"DateTime", "Software"} & {tag.name for tag in file.pages.first.tags}


# --- hostile structures


def pages_that_lead_back(count, to):
    """A file of `count` pages whose last one is followed by page `to`, from 0."""
    file = io.BytesIO()
    tifffile.imwrite(file, random_pixels(shape=(count, 4, 5)), photometric="minisblack")
    content = bytearray(file.getvalue())
    file.seek(0)
    offsets = [page.offset for page in tifffile.TiffFile(file).pages]
    (tags,) = struct.unpack_from("<H", content, offsets[-1])
    struct.pack_into("<I", content, offsets[-1] + 2 + 12 * tags, offsets[to])
    return bytes(content)


@pytest.mark.parametrize(("count", "to"), [(1, 0), (2, 0), (130, 5)])
def test_pages_in_a_loop_are_refused(count, to):
    with pytest.raises(FusionlabError, match=f"form a loop behind page {count};"):
        decode_image(pages_that_lead_back(count, to), "x.tif")


def ome(pixels, data=""):
    """Two pages, and OME-XML about them."""
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="5" '
        f'SizeY="4" {pixels}>{data}</Pixels></Image></OME>'
    )
    file = io.BytesIO()
    options = {"photometric": "minisblack", "metadata": None, "description": xml}
    tifffile.imwrite(file, random_pixels(shape=(2, 4, 5)), **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("pixels", "data"),
    [
        ('SizeZ="2000000000" SizeC="1" SizeT="1"', '<TiffData IFD="0" NumPlanes="2000000000"/>'),
        ('SizeZ="99999" SizeC="99999" SizeT="1"', '<TiffData FirstZ="99998" FirstC="99998"/>'),
        ('SizeZ="2" SizeC="1" SizeT="1"', '<TiffData IFD="2000000000"/>'),
    ],
)
def test_numbers_of_planes_that_cannot_be_are_not_made_into_lists(pixels, data, monkeypatch):
    monkeypatch.setattr(tifffile.TiffFile, "series", None)
    decode_image(ome(pixels, data), "x.tif")


def test_no_file_is_opened_that_ome_xml_names(tmp_path, monkeypatch):
    """Large files are read by rows from the disk, beside which tifffile looks for others."""
    monkeypatch.setattr(tiff, "LARGE_PIXELS", 0)
    other = '<TiffData FirstZ="1" IFD="0"><UUID FileName="other.tif">urn:uuid:1</UUID></TiffData>'
    path = tmp_path / "x.tif"
    path.write_bytes(ome('SizeZ="2" SizeC="1" SizeT="1"', f'<TiffData IFD="0"/>{other}'))
    os.mkfifo(tmp_path / "other.tif")  # opening it would wait for ever
    assert read_image(path).pixels.shape == (4, 5)
