"""Large TIFFs read by rows: bit for bit what the whole would be, or refused in the same words.

What counts as large is set to nothing here, and a group of strips to a few rows.
"""

import functools
import gc
import hashlib
import io
import os
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
import pytest
import tifffile
from refusals import refused

from fusionlab import FusionlabError
from fusionlab.imaging.formats import tiff, tiff_rows
from fusionlab.imaging.formats.tiff_rows import TiffRows
from fusionlab.imaging.reading import decode_image, read_image
from fusionlab.storage.atomic import atomic_write_all

SHAPES = {"gray": (101, 77), "rgb": (101, 77, 3)}
"""No side divides by 16, which the sides of tiles must."""


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch):
    monkeypatch.setattr(tiff, "LARGE_PIXELS", 0)
    monkeypatch.setattr(tiff_rows, "GROUP_BYTES", 2000)
    monkeypatch.setattr(tiff_rows, "CACHE_BYTES", 0)


def random_pixels(dtype=np.uint16, shape=SHAPES["gray"], seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return (rng.standard_normal(shape) * 1000).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def by_tifffile(pixels, **options):
    file = io.BytesIO()
    options.setdefault("photometric", "rgb" if pixels.shape[2:] == (3,) else "minisblack")
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


@pytest.fixture
def written(tmp_path):
    """Return the path of a file with this content."""

    def write(content):
        path = tmp_path / "x.tif"
        path.write_bytes(content)
        return path

    return write


def slices(height):
    """Downwards with an overlap, all, nothing, one row, beyond the end, and back up again."""
    steps = [slice(max(0, top - 3), top + 16) for top in range(0, height, 13)]
    return [*steps, slice(None), slice(5, 5), slice(height - 1, height + 50), *steps[::-2]]


def check(path, expected):
    """Read it by rows; compare with what was written and with the reader of the whole."""
    found = read_image(path)
    whole = decode_image(path.read_bytes(), str(path))
    assert isinstance(found.pixels, TiffRows)
    assert isinstance(whole.pixels, np.ndarray)
    assert (found.name, found.sha256, found.notes) == (whole.name, whole.sha256, whole.notes)
    assert found.pixels.dtype == whole.pixels.dtype
    assert found.pixels.shape == whole.pixels.shape
    for part in slices(expected.shape[0]):
        assert (
            found.pixels[part].tobytes() == expected[part].tobytes() == whole.pixels[part].tobytes()
        )
        assert found.pixels[part].shape == expected[part].shape
        assert found.pixels[part].dtype.isnative
    assert np.asarray(found.pixels).tobytes() == expected.tobytes()


# ---------------------------------------------------------------- layouts


LAYOUTS = [{"rowsperstrip": 5}, {"tile": (32, 16)}, {"tile": (16, 128)}]
CODECS = [
    {},
    {"compression": "lzw"},
    {"compression": "lzw", "predictor": True},
    {"compression": "adobe_deflate"},
    {"compression": "adobe_deflate", "predictor": True},
    {"compression": "zstd"},
]


@pytest.mark.parametrize("order", [{}, {"byteorder": ">"}, {"bigtiff": True}], ids=str)
@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_rows_are_what_was_written_bit_for_bit(written, layout, codec, order):
    for dtype in (np.uint8, np.uint16, np.float32):
        for shape in SHAPES.values():
            pixels = random_pixels(dtype, shape, seed=1)
            check(written(by_tifffile(pixels, **layout, **codec, **order)), pixels)


@pytest.mark.parametrize("dtype", ["u4", "i2", "f2", "f8"])
def test_other_depths_are_read_by_rows_too(written, dtype):
    for options in ({"rowsperstrip": 5}, {"tile": (16, 16), "compression": "zstd"}):
        pixels = random_pixels(dtype, SHAPES["rgb"], seed=2)
        check(written(by_tifffile(pixels, **options, byteorder=">")), pixels)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_single_strip_that_is_not_compressed_is_read_in_parts(written, shape, order, monkeypatch):
    """However large it is: rows lie one after another."""
    monkeypatch.setattr(tiff_rows, "MAX_SEGMENT_BYTES", 0)
    pixels = random_pixels(np.uint16, shape, seed=3)
    check(written(by_tifffile(pixels, byteorder=order)), pixels)


def test_tiles_as_wide_as_the_image_are_read_as_the_rows_that_they_are(written):
    pixels = random_pixels(np.uint16, (96, 64, 3), seed=16)
    check(written(by_tifffile(pixels, tile=(16, 64))), pixels)


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_jpeg_within_tiff_is_decoded_as_the_whole_is(written, photometric):
    smooth = np.dstack([np.tile(np.arange(77, dtype=np.uint8), (101, 1))] * 3)
    for layout in ({"rowsperstrip": 16}, {"tile": (32, 16)}):
        content = by_tifffile(smooth, photometric=photometric, compression="jpeg", **layout)
        check(written(content), decode_image(content, "x").pixels)


def test_jpeg_whose_tables_stand_in_the_header_is_decoded_with_them(written):
    """As libtiff writes it."""
    file = io.BytesIO()
    image = PIL.Image.fromarray(np.tile(np.arange(250, dtype=np.uint8), (300, 1)))
    image.save(file, "TIFF", compression="jpeg", tiffinfo={278: 64})
    with tifffile.TiffFile(io.BytesIO(file.getvalue())) as tif:
        assert tif.pages.first.jpegtables
        assert len(tif.pages.first.dataoffsets) == 5
    check(written(file.getvalue()), decode_image(file.getvalue(), "x").pixels)


def test_what_we_write_ourselves_is_read_by_rows(written):
    for dtype in (np.uint8, np.uint16, np.float32):
        for shape in SHAPES.values():
            pixels = random_pixels(dtype, shape, seed=4)
            check(written(tiff.encode(pixels, "record")), pixels)


def test_of_many_pages_the_first_is_read_and_it_is_said(written):
    pages = random_pixels(np.uint16, (3, *SHAPES["gray"]), seed=5)
    path = written(by_tifffile(pages, tile=(16, 16)))
    check(path, pages[0])
    (note,) = read_image(path).notes
    assert note.startswith(f"{path}: it holds 3 pages of 77x101, of which the first is used")
    second = read_image(f"{path}[page=2]")
    assert isinstance(second.pixels, TiffRows)
    assert np.array_equal(second.pixels, pages[1])
    assert second.notes == ()


# ---------------------------------------------------------------- read whole, or refused


def nowhere(content):
    """Take from the second tile where it begins."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        second = file.pages.first.tags["TileOffsets"].valueoffset + 4
    return content[:second] + bytes(4) + content[second + 4 :]


def twelve_bits():
    """A file of 12-bit pixels, written as its bytes: older imagecodecs cannot pack bits."""
    height, width = 101, 76
    content = by_tifffile(random_pixels(np.uint8, (height, width * 12 // 8)))
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        tags = file.pages.first.tags
        changes = [(tags["ImageWidth"], width), (tags["BitsPerSample"], 12)]
    for tag, value in changes:
        at = tag.valueoffset
        content = content[:at] + struct.pack("<H", value) + content[at + 2 :]
    return content


def others():
    """What is not plain, or not sound."""
    gray, rgb = random_pixels(np.uint8), random_pixels(np.uint8, SHAPES["rgb"])
    tiles = by_tifffile(rgb, tile=(16, 16), compression="adobe_deflate")
    palette = random_pixels(np.uint16, (3, 256))
    strips = by_tifffile(gray, rowsperstrip=10)
    tiled = by_tifffile(gray, tile=(16, 16))
    unit, predictor = (
        struct.pack("<HHII", tag, 3, 1, value) for tag, value in ((296, 1), (317, 2))
    )
    one, claim = by_tifffile(gray), functools.partial(struct.pack, "<HHII", 279, 4, 1)
    assert unit in tiled
    assert claim(gray.nbytes) in one
    cut = {
        f"cut at {percent}%": tiles[: len(tiles) * percent // 100] for percent in (1, 10, 50, 99)
    }
    return {
        "alpha": by_tifffile(random_pixels(np.uint8, (101, 77, 4)), photometric="rgb"),
        "planes": by_tifffile(np.moveaxis(rgb, -1, 0), photometric="rgb", planarconfig="separate"),
        "palette": by_tifffile(gray, photometric="palette", colormap=palette),
        "white is zero": by_tifffile(gray, photometric="miniswhite"),
        "two levels": by_tifffile(gray > 99),
        "12 bits": twelve_bits(),
        "on its side": by_tifffile(gray, extratags=[(274, 3, 1, 6, True)], tile=(16, 16)),
        "predicted only": tiled.replace(unit, predictor),
        "complex": by_tifffile(gray.astype(complex)),
        "5 channels": by_tifffile(np.dstack([gray] * 5), planarconfig="contig"),
        "a strip short": strips[:-20],
        "a tile nowhere": nowhere(tiles),
        "a strip that claims less": one[:-20].replace(claim(gray.nbytes), claim(99)),
        "no image": b"II*\0" + bytes(90),
        **cut,
    }


@pytest.mark.parametrize("content", others().values(), ids=others())
def test_what_is_not_plain_or_not_sound_is_treated_as_if_it_were_small(written, content):
    path = written(content)

    def outcome(read):
        try:
            found = read()
        except FusionlabError as error:
            return str(error)
        assert isinstance(found.pixels, np.ndarray)
        return found.pixels.tobytes(), found.pixels.dtype, found.notes, found.sha256

    assert outcome(lambda: read_image(path)) == outcome(
        lambda: decode_image(path.read_bytes(), str(path))
    )


def test_small_images_and_giant_strips_are_read_whole(written, monkeypatch):
    path = written(by_tifffile(random_pixels(), compression="zstd"))
    assert isinstance(read_image(path).pixels, TiffRows)
    monkeypatch.setattr(tiff_rows, "MAX_SEGMENT_BYTES", random_pixels().nbytes - 1)
    assert isinstance(read_image(path).pixels, np.ndarray)
    monkeypatch.setattr(tiff_rows, "MAX_SEGMENT_BYTES", random_pixels().nbytes)
    monkeypatch.setattr(tiff, "LARGE_PIXELS", 101 * 77 - 1)
    assert isinstance(read_image(path).pixels, TiffRows)
    monkeypatch.setattr(tiff, "LARGE_PIXELS", 101 * 77)
    assert isinstance(read_image(path).pixels, np.ndarray)


def test_more_pixels_than_the_limit_are_refused(written):
    path = written(by_tifffile(random_pixels(), tile=(16, 16)))
    with pytest.raises(FusionlabError, match="77x101", check=refused("too-many-pixels")):
        read_image(path, max_pixels=9)


def test_an_unknown_compression_is_refused_at_once(written):
    content = by_tifffile(random_pixels(), tile=(16, 16), compression="zstd")
    unknown = content.replace((50000).to_bytes(2, "little"), (50999).to_bytes(2, "little"), 1)
    with pytest.raises(FusionlabError, match="x.tif: .*50999", check=refused("unreadable")):
        read_image(written(unknown))


# ---------------------------------------------------------------- what it costs


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_rows_asked_for_downwards_with_an_overlap_are_decoded_once(written, monkeypatch, layout):
    pixels = random_pixels(seed=6)
    path = written(by_tifffile(pixels, compression="zstd", **layout))
    decoded = []
    zstd = tifffile.TIFF.DECOMPRESSORS[50000]

    def counted(data, **options):
        decoded.append(hashlib.sha256(data).digest())
        return zstd(data, **options)

    monkeypatch.setitem(tifffile.TIFF.DECOMPRESSORS._codecs, 50000, counted)
    rows = read_image(path).pixels
    opened = len(decoded)
    assert opened <= 2000 // (5 * 77 * 2) + 8  # one group of strips, or row of tiles
    for top in range(0, 101, 8):
        rows[max(0, top - 3) : top + 11]
    with tifffile.TiffFile(path) as file:
        assert len(decoded) == len(set(decoded)) == len(file.pages.first.dataoffsets)


def test_no_more_is_kept_than_allowed(written, monkeypatch):
    pixels = random_pixels(seed=7)
    path = written(by_tifffile(pixels, compression="zstd", tile=(16, 16)))
    row = 16 * 77 * 2
    for limit, expected in ((0, 2), (row, 2), (3 * row, 3), (100 * row, 7)):
        monkeypatch.setattr(tiff_rows, "CACHE_BYTES", limit)
        rows = read_image(path).pixels
        for top in range(0, 101, 10):
            assert np.array_equal(rows[top : top + 10], pixels[top : top + 10])
        assert len(rows._cache) == expected


def test_what_was_read_may_be_changed_without_changing_what_is_kept(written):
    pixels = random_pixels(seed=8)
    rows = read_image(written(by_tifffile(pixels, tile=(16, 16)))).pixels
    rows[:20][:] = 0
    assert np.array_equal(rows[:20], pixels[:20])


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16), "compression": "zstd"}], ids=str)
def test_many_threads_read_at_once(written, options):
    pixels = random_pixels(seed=9)
    rows = read_image(written(by_tifffile(pixels, **options))).pixels
    start = threading.Barrier(4)

    def wrong(number):
        start.wait()
        tops = np.random.default_rng(number).integers(0, 90, 50)
        return sum(not np.array_equal(rows[t : t + 10], pixels[t : t + 10]) for t in tops)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(wrong, range(4))) == 0


# ---------------------------------------------------------------- the file meanwhile


def test_the_file_is_closed_with_the_image(written):
    found = read_image(written(by_tifffile(random_pixels(), tile=(16, 16))))
    file = found.pixels._file
    assert not file.closed
    del found
    gc.collect()
    assert file.closed


def test_a_damaged_tile_is_found_while_reading_and_the_file_is_named(written):
    pixels = random_pixels(seed=10)
    content = bytearray(by_tifffile(pixels, tile=(16, 80), compression="adobe_deflate"))
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        offset = file.pages.first.dataoffsets[3]
    content[offset : offset + 20] = bytes(20)
    path = written(bytes(content))
    rows = read_image(path).pixels
    assert np.array_equal(rows[:48], pixels[:48])
    for _ in range(2):
        with pytest.raises(FusionlabError, match=f"^cannot read {path}: rows 40 to 60 cannot be "):
            rows[40:60]
    assert np.array_equal(rows[64:], pixels[64:])


def test_what_is_written_from_a_damaged_file_does_not_appear(written):
    content = by_tifffile(random_pixels(seed=15), tile=(16, 80), compression="adobe_deflate")
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        offset = file.pages.first.dataoffsets[-1]
    path = written(content[:offset] + bytes(20) + content[offset + 20 :])
    rows, output = read_image(path).pixels, path.with_name("out.tif")
    with (
        pytest.raises(FusionlabError, match=f"^cannot read {path}: rows 0 to 101 cannot be "),
        atomic_write_all({output: lambda file: tiff.write(file, rows)}),
    ):
        pytest.fail("half of the image is written, and the block ran")
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16), "compression": "zstd"}], ids=str)
def test_a_file_that_is_replaced_or_deleted_meanwhile_stays_what_it_was(written, options):
    pixels = random_pixels(seed=11)
    path = written(by_tifffile(pixels, **options))
    rows = read_image(path).pixels
    path.with_name("other").write_bytes(by_tifffile(random_pixels(seed=12), **options))
    path.with_name("other").replace(path)
    assert np.array_equal(rows[50:], pixels[50:])
    path.unlink()
    assert np.array_equal(rows, pixels)


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16), "compression": "zstd"}], ids=str)
@pytest.mark.parametrize("change", ["written to", "cut off"])
def test_a_file_that_is_modified_while_open_is_noticed(written, options, change):
    path = written(by_tifffile(random_pixels(seed=13), **options))
    rows = read_image(path).pixels
    if change == "cut off":
        before = path.stat().st_mtime_ns
        os.truncate(path, 3000)
        os.utime(path, ns=(before, before))  # so coarse that it has not moved on
    else:
        path.write_bytes(by_tifffile(random_pixels(seed=14), **options))
        os.utime(path, ns=(0, 0))  # however coarse the clock of the file system is
    with pytest.raises(FusionlabError, match=f"{path}: .* modified", check=refused("unreadable")):
        rows[50:]
