"""Files are judged by their content, never narrowed, and refused in one sentence.

TIFF has a file of its own: test_tiff.py.
"""

import hashlib
import io
import os
import re
import struct
import sys
import threading
import zlib
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import PIL.Image
import pytest
from PIL import ImageOps
from refusals import refused

from fusionlab import FusionlabError
from fusionlab.imaging.reading import decode_image, read_image

ALPHA = "its alpha channel is ignored"
FIRST = "of which the first is used; pages=all takes all of them as sources"
HOLES = "it is transparent at ... of ... pixels, which are no data"
REST = "; the rest of its alpha channel is ignored"


def random_pixels(dtype=np.uint8, channels=None, height=11, width=13, seed=0):
    """Random pixels over the whole range of an integer type."""
    shape = (height, width) if channels is None else (height, width, channels)
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


GRAY = random_pixels(seed=1)
RGB = random_pixels(channels=3, seed=2)
PALETTE = PIL.Image.fromarray(RGB).quantize(16)
ONE_BIT = PIL.Image.fromarray(GRAY > 100)


def by_pillow(image, kind="PNG", **options):
    """Return the content of a file; `image` is an array or an image of Pillow."""
    if isinstance(image, np.ndarray):
        image = PIL.Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(pixels, *before, after=(), interlaced=False):
    """Write a PNG by hand: an oracle that shares no code with libpng.

    Args:
        pixels: uint8 or uint16, `(H, W)` or `(H, W, C)`.
        before: chunks between the header and the pixels.
        after: chunks behind the pixels.
        interlaced: in the seven passes of Adam7.
    """
    height, width = pixels.shape[:2]
    color = {(): 0, (2,): 4, (3,): 2, (4,): 6}[pixels.shape[2:]]
    bits = 8 * pixels.dtype.itemsize
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlaced)
    passes = [(0, 0, 1, 1)]
    if interlaced:  # (top, left, step down, step right)
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2)]
        passes += [(0, 1, 2, 2), (1, 0, 2, 1)]
    rows = [
        b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes()  # filter 0: as they stand
        for top, left, down, right in passes
        for row in pixels[top::down, left::right]
        if row.size
    ]
    body = chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *before, body, *after, chunk(b"IEND", b"")]
    )


def exif(orientation):
    tags = PIL.Image.Exif()
    tags[0x0112] = orientation
    return tags


def check(content, expected, *notes):
    """Read it; compare pixels, shape, dtype and notes, each exactly."""
    found = decode_image(content, "x.png")
    said = tuple(re.sub(r"at \d+ of \d+", "at ... of ...", note) for note in found.notes)
    assert said == tuple(f"x.png: {note}" for note in notes)
    assert found.pixels.dtype == expected.dtype
    assert found.pixels.shape == expected.shape
    assert np.array_equal(found.pixels, expected)
    assert found.pixels.flags.c_contiguous
    return found


# ---------------------------------------------------------------- kinds


@pytest.mark.parametrize(
    ("content", "expected", "notes"),
    [
        (by_pillow(GRAY), GRAY, []),
        (by_pillow(RGB), RGB, []),
        (by_pillow(np.dstack([GRAY] * 3)), np.dstack([GRAY] * 3), []),
        (by_pillow(np.dstack([GRAY, GRAY[::-1]])), GRAY, [ALPHA]),
        (by_pillow(np.dstack([RGB, GRAY])), RGB, [ALPHA]),
        (by_pillow(GRAY, transparency=int(GRAY[0, 0])), GRAY, [HOLES]),
        (by_pillow(RGB, transparency=tuple(map(int, RGB[0, 0]))), RGB, [HOLES]),
    ],
    ids=["gray", "rgb", "gray as rgb", "gray+alpha", "rgba", "gray+key", "rgb+key"],
)
def test_8_bit_png_comes_back_bit_for_bit(content, expected, notes):
    check(content, expected, *notes)


@pytest.mark.parametrize(
    ("transparency", "notes"),
    [(None, []), (3, [HOLES]), (bytes([0, 128, 255]), [HOLES + REST])],
    ids=["opaque", "one entry", "half-transparent entries"],
)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_palette_is_looked_up_whatever_it_says_of_transparency(bits, transparency, notes):
    """Half-transparent entries make Pillow warn, which is an error in these tests."""
    image = PIL.Image.fromarray(RGB).quantize(2**bits)
    options = {} if transparency is None else {"transparency": transparency}
    check(by_pillow(image, bits=bits, **options), np.asarray(image.convert("RGB")), *notes)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF"])
def test_two_level_images_become_black_and_white(kind):
    check(by_pillow(ONE_BIT, kind), (GRAY > 100).astype(np.uint8) * np.uint8(255))


def test_png_of_2_and_4_bits_fills_the_range_of_8():
    for bits in (2, 4):
        top = 2**bits - 1
        levels = np.random.default_rng(3).integers(0, top, (3, 8), endpoint=True)
        spread = (levels[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in spread.reshape(3, -1))
        content = b"".join(
            [
                b"\x89PNG\r\n\x1a\n",
                chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 3, bits, 0, 0, 0, 0)),
                chunk(b"IDAT", zlib.compress(rows)),
                chunk(b"IEND", b""),
            ]
        )
        check(content, (levels * (255 // top)).astype(np.uint8))


@pytest.mark.parametrize(
    ("kind", "image"),
    [
        ("BMP", GRAY),
        ("BMP", RGB),
        ("BMP", PALETTE),
        ("GIF", PALETTE),
        ("WEBP", RGB),
    ],
)
def test_other_lossless_formats_come_back_bit_for_bit(kind, image):
    expected = np.asarray(image.convert("RGB")) if image is PALETTE else image
    check(by_pillow(image, kind, **({"lossless": True} if kind == "WEBP" else {})), expected)


def test_webp_with_alpha_keeps_the_colors_behind_it():
    rgba = np.dstack([RGB, GRAY])
    check(by_pillow(rgba, "WEBP", lossless=True, exact=True), RGB, ALPHA)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpeg_is_read_as_other_programs_read_it(progressive, subsampling):
    """Bit for bit as Pillow alone; and near the original, where that is smooth."""
    ramp = np.tile(np.arange(0, 160, 5, dtype=np.uint8), (32, 1))
    for smooth in (ramp, np.dstack([ramp, ramp.T, 255 - ramp])):
        content = by_pillow(
            smooth, "JPEG", quality=95, progressive=progressive, subsampling=subsampling
        )
        with PIL.Image.open(io.BytesIO(content)) as file:
            found = check(content, np.asarray(file))
        # quality 95 quantizes by up to 10 levels in one coefficient; on a ramp few are not 0
        assert np.abs(found.pixels.astype(int) - smooth).max() < 10


# ---------------------------------------------------------------- 16-bit PNG


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("channels", "kept", "notes"),
    [(None, None, []), (2, 1, [ALPHA]), (3, 3, []), (4, 3, [ALPHA])],
    ids=["gray", "gray+alpha", "rgb", "rgba"],
)
def test_16_bit_png_comes_back_bit_for_bit(channels, kept, notes, interlaced, capfd):
    """(libpng remarks on stderr that it was not asked for interlacing; it does it all the same.)"""
    pixels = random_pixels(np.uint16, channels, seed=4)
    expected = pixels if kept is None else pixels[..., :kept]
    check(png(pixels, interlaced=interlaced), expected.squeeze(), *notes)


def test_16_bit_color_png_is_the_trap_that_it_was():
    """Pillow, and with it imageio, narrows it to 8 bits without a word."""
    deep = random_pixels(np.uint16, 3, seed=5)
    with PIL.Image.open(io.BytesIO(png(deep))) as file:
        assert np.array_equal(np.asarray(file), deep >> 8)
    check(png(deep), deep)


def test_16_bit_gray_png_is_what_pillow_makes_of_it():
    deep = random_pixels(np.uint16, seed=6)
    with PIL.Image.open(io.BytesIO(png(deep))) as file:
        check(png(deep), np.asarray(file))


def test_what_else_stands_in_a_16_bit_png_changes_no_pixel():
    """Neither gamma nor significant bits nor a background are applied; a key is noted."""
    deep = random_pixels(np.uint16, 3, seed=7)
    for extra in (
        chunk(b"gAMA", struct.pack(">I", 100_000)),
        chunk(b"sBIT", b"\x0c\x0c\x0c"),
        chunk(b"bKGD", struct.pack(">HHH", 1, 2, 3)),
        chunk(b"pHYs", struct.pack(">IIB", 1, 2, 0)),
        chunk(b"tEXt", b"Orientation\x006"),
    ):
        check(png(deep, extra), deep)
    check(png(deep, chunk(b"tRNS", struct.pack(">HHH", *deep[0, 0]))), deep, HOLES)


def test_8_bit_gamma_is_not_applied_either():
    check(png(RGB, chunk(b"gAMA", struct.pack(">I", 22_000))), RGB)


# ---------------------------------------------------------------- orientation, frames


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_camera_may_have_been_held_in_eight_ways(kind, orientation):
    """As PIL.ImageOps.exif_transpose has it; 0 and 9 mean nothing."""
    content = by_pillow(RGB, kind, exif=exif(orientation))
    with PIL.Image.open(io.BytesIO(content)) as file:
        check(content, np.asarray(ImageOps.exif_transpose(file)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bit_png_is_turned_upright_wherever_its_exif_stands(orientation):
    deep = random_pixels(np.uint16, seed=8)
    extra = chunk(b"eXIf", exif(orientation).tobytes().removeprefix(b"Exif\0\0"))
    for content in (png(deep, extra), png(deep, after=[extra])):
        with PIL.Image.open(io.BytesIO(content)) as file:
            check(content, np.asarray(ImageOps.exif_transpose(file)))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "MPO"])
def test_of_many_frames_the_first_is_used_and_it_is_said(kind):
    """WebP without loss; MPO holds JPEGs, as cameras with two lenses write them."""
    flat = np.full((16, 16, 3), 200, dtype=np.uint8)
    rest = [PIL.Image.fromarray(flat // 2), PIL.Image.fromarray(flat // 4)]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = by_pillow(flat, kind, save_all=True, append_images=rest, **options)
    check(content, flat, f"it holds 3 pages of 16x16, {FIRST}")


def test_the_first_frame_of_a_gif_is_read_though_the_others_have_palettes_of_their_own():
    other = PIL.Image.fromarray(255 - RGB).quantize(16)
    content = by_pillow(PALETTE, "GIF", save_all=True, append_images=[other], disposal=2)
    check(content, np.asarray(PALETTE.convert("RGB")), f"it holds 2 pages of 13x11, {FIRST}")


# ---------------------------------------------------------------- what an image says of itself


def test_a_image_knows_its_name_and_the_hash_of_its_file(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(by_pillow(np.dstack([RGB, GRAY])))
    found = read_image(path)
    assert found.name == str(path)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.notes == (f"{path}: {ALPHA}",)


def test_the_name_of_a_file_does_not_matter(tmp_path):
    path = tmp_path / "really-a-bitmap.png"
    path.write_bytes(by_pillow(RGB, "BMP"))
    assert np.array_equal(read_image(path).pixels, RGB)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_pipe_is_read_once_from_its_beginning_to_its_end(tmp_path, kind):
    """As shells make them: `fusionlab fuse <(...)`. There is no way back to its first bytes."""
    content = by_pillow(RGB, kind)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[content])
    writer.start()
    found = read_image(tmp_path / "pipe")
    writer.join()
    assert np.array_equal(found.pixels, RGB)
    assert found.sha256 == hashlib.sha256(content).hexdigest()


def test_the_wrong_extensions_of_the_wild_are_read(shared):
    for path in (shared / "data/eval/odd_wrong_extension").rglob("*.png"):
        assert read_image(path).pixels.shape == (270, 360)


# ---------------------------------------------------------------- refused


def test_a_path_without_a_readable_file_is_refused(tmp_path):
    for path, code, reason in [
        (tmp_path / "nowhere.png", "missing-file", "does not exist"),
        (tmp_path, "unreadable", "got a folder"),
        (Path("/dev/zero"), "unreadable", "got a device"),
        (tmp_path / ("y" * 300), "unreadable", "File name too long"),
    ]:
        with pytest.raises(FusionlabError, match=reason, check=refused(code, path)):
            read_image(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"no image", "it is not in a known image format"),
        (b"BM, and then the text is longer than any header has", "it is not in a known"),
        (b"\n <!doctype html>", "it is a web page or other text, not an image"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), "it is not in a known image format"),
        (b"\x89PNG\r\n\x1a\n", "its header is damaged"),
        (b"GIF89a", "its header is damaged"),
        (b"\xff\xd8\xff", "its header is damaged"),
        (b"BM", "it is not in a known image format"),
    ],
)
def test_what_is_not_an_image_is_refused_with_the_reason(content, message):
    with pytest.raises(FusionlabError, match=rf"cannot read x: {message}.*; expected a complete"):
        decode_image(content, "x")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "16-bit PNG"])
def test_a_file_that_is_cut_off_is_refused_wherever_the_cut_is(kind):
    """Nothing is filled in with gray; the last bytes of PNG, JPEG and GIF are mere marks."""
    pixels = random_pixels(height=48, width=40, channels=3, seed=9)
    content = (
        png(random_pixels(np.uint16, 3, 48, 40, seed=9))
        if kind == "16-bit PNG"
        else by_pillow(pixels, kind, **({"lossless": True} if kind == "WEBP" else {}))
    )
    for percent in (1, 2, 5, 10, 25, 50, 75, 90, 98):
        with pytest.raises(FusionlabError, match="^cannot read x: ", check=refused("unreadable")):
            decode_image(content[: len(content) * percent // 100], "x")


def test_a_damaged_byte_of_a_png_is_noticed():
    for pixels in (RGB, random_pixels(np.uint16, 3, seed=10)):
        content = bytearray(png(pixels))
        content[70] ^= 255  # within IDAT
        with pytest.raises(FusionlabError, check=refused("unreadable")):
            decode_image(bytes(content), "x")


def test_cmyk_is_refused():
    cmyk = by_pillow(PIL.Image.fromarray(RGB).convert("CMYK"), "JPEG")
    with pytest.raises(FusionlabError, match="CMYK", check=refused("unsupported-image")):
        decode_image(cmyk, "x")


# ---------------------------------------------------------------- limits on size


def claims():
    """Every format, complete and with the second half of its data lost."""
    pixels = random_pixels(height=64, width=50, channels=3, seed=11)
    contents = {"16-bit PNG": png(random_pixels(np.uint16, 3, 64, 50, seed=11))}
    for kind in ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        contents[kind] = by_pillow(pixels, kind, **options)
    return contents


@pytest.mark.parametrize(("kind", "content"), claims().items(), ids=claims())
def test_more_pixels_than_the_limit_are_refused_before_they_are_decoded(kind, content):
    """Half of the data is not there: who looked at it would complain of that."""
    # Pillow indexes WebP as a whole when it opens a file, and a TIFF ends with its directory
    half = content if kind in ("WEBP", "TIFF") else content[: len(content) // 2]
    with pytest.raises(FusionlabError, match="50x64 .* 3199", check=refused("too-many-pixels")):
        decode_image(half, "x", max_pixels=50 * 64 - 1)
    assert decode_image(content, "x", max_pixels=50 * 64).pixels.shape == (64, 50, 3)
    assert decode_image(content, "x", max_pixels=None).pixels.shape == (64, 50, 3)


def test_a_few_bytes_that_claim_gigabytes_are_refused_by_default():
    for bits, color in ((8, 0), (16, 2)):
        header = struct.pack(">IIBBBBB", 100_000, 100_000, bits, color, 0, 0, 0)
        content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")
        with pytest.raises(FusionlabError, match="claims 100000x100000 pixels") as caught:
            decode_image(content, "x")
        assert (caught.value.code, caught.value.option) == ("too-many-pixels", "max_pixels")


def test_large_scans_are_read_without_a_warning(monkeypatch):
    """Pillow takes an image of more than MAX_IMAGE_PIXELS for an attack."""
    second = PIL.Image.fromarray(255 - RGB)
    frames = {"save_all": True, "append_images": [second.quantize(16)]}
    contents = {
        **{kind: by_pillow(RGB, kind) for kind in ("PNG", "JPEG", "BMP", "WEBP", "TIFF")},
        "GIF": by_pillow(PALETTE, "GIF", **frames, disposal=2),  # asks again at every frame
        "APNG": by_pillow(RGB, "PNG", save_all=True, append_images=[second]),
        "MPO": by_pillow(RGB, "MPO", save_all=True, append_images=[second]),
        "16-bit PNG": png(random_pixels(np.uint16, 3, seed=12)),
    }
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)
    for content in contents.values():
        assert decode_image(content, "x").pixels.shape == RGB.shape
    assert PIL.Image.MAX_IMAGE_PIXELS == 10


def test_many_threads_read_at_once_and_leave_the_host_its_limit(monkeypatch):
    """A limit restored by one while another has lifted it would stay lifted for ever."""
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)
    contents = [by_pillow(random_pixels(seed=seed)) for seed in range(4)]
    contents.append(by_pillow(PALETTE, "GIF", save_all=True, append_images=[ONE_BIT], disposal=2))
    expected = [decode_image(content, "x").pixels for content in contents]
    start = threading.Barrier(8)
    wrong = []

    def work(number):
        start.wait()
        for turn in range(25):
            which = (number + turn) % len(contents)
            try:
                found = decode_image(contents[which], "x").pixels
                wrong.extend([which] * (not np.array_equal(found, expected[which])))
            except Exception as error:
                wrong.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # many more changes of thread than there would be
    try:
        threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert PIL.Image.MAX_IMAGE_PIXELS == 10


def test_a_damaged_file_gives_the_host_its_limit_back_too(monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(FusionlabError):
        decode_image(b"\x89PNG\r\n\x1a\n", "x")
    assert PIL.Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_files_that_imageio_wrote_come_back_bit_for_bit(tmp_path, suffix):
    for pixels in (GRAY, RGB):
        iio.imwrite(tmp_path / f"x{suffix}", pixels)
        assert np.array_equal(read_image(tmp_path / f"x{suffix}").pixels, pixels)
