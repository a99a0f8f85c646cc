"""Bad and odd input: every row of docs/odd-inputs.md, as the command behaves today.

A row is a case below; its texts are a row of the table of the docs, and a test compares the two.
"""

import errno
import hashlib
import json
import os
import re
import runpy
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import imagecodecs
import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import videos
from click.testing import CliRunner
from faulty_files import FaultyFiles
from PIL import Image, ImageCms

from fusionlab import Card
from fusionlab.cli import main
from fusionlab.plugins.host import installed

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "odd-inputs.md"
RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
OTHER = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (20, 30, 3), dtype=np.uint16)
WORKS, WARNS, FAILS = "works", "works with a warning", "error"


@dataclass(frozen=True)
class Case:
    """One row: what is given, what happens, and how the command puts it."""

    given: str
    outcome: str
    says: str = ""
    """What the error or the warning says, or what is printed about pairs; `...` is anything."""
    args: str = "odd b.png"
    """The arguments; `odd` stands for the files that `make` returns, `*` for each of them."""
    make: object = None
    """(folder) -> name, or names to be tried one after the other."""
    code: int | None = None
    backbone: str = "identity"
    plugin: str = ""
    """A package of plugins/ that is installed, such as `dicom`."""


def png(pixels, name="odd.png"):
    def make(folder):
        (folder / name).write_bytes(imagecodecs.png_encode(pixels))
        return name

    return make


def pair(pixels):
    """An image, and next to it `odd2.png`, which differs."""

    def make(folder):
        png(255 - pixels, "odd2.png")(folder)
        return png(pixels)(folder)

    return make


def tiff(pixels, **options):
    def make(folder):
        tifffile.imwrite(folder / "odd.tif", pixels, **options)
        return "odd.tif"

    return make


def pillow(image, name="odd.png", **options):
    def make(folder):
        image.save(folder / name, **options)
        return name

    return make


def raw(content, name="odd.png"):
    def make(folder):
        (folder / name).write_bytes(content)
        return name

    return make


def frames(name, numbers=range(6), **options):
    """Write a video of gray frames without loss."""
    options = {"g": 1, **options}
    return lambda folder: videos.write(
        folder / name,
        "ffv1",
        "gray",
        [videos.GRAY[number] for number in numbers],
        "gray",
        **options,
    )


VIDEO, OTHER_VIDEO = frames("odd.mkv"), frames("b.mkv", range(5, 11))


def with_video(make=VIDEO, other=OTHER_VIDEO):
    """A video, or what is taken for one, beside the video `b.mkv`."""

    def both(folder):
        other(folder)
        return make(folder).name

    return both


def beside_a_file(name):
    """A video beside a file of that name."""

    def both(folder):
        (folder / name).write_bytes(b"mine")
        return VIDEO(folder)

    return both


def damaged_video(folder):
    path = frames("odd.mkv")(folder)
    videos.damage(path, 3)
    return path


def cut_video(folder):
    path = frames("odd.mkv")(folder)
    path.write_bytes(path.read_bytes()[: videos.packets(path)[4][0] + 20])
    return path


def changing_video(folder):
    parts = [
        videos.write(folder / f"{n}.mkv", "mjpeg", "yuvj444p", [videos.COLOR[n][:height]])
        for n, height in enumerate((48, 32, 48))
    ]
    return videos.joined(folder / "odd.mkv", *parts)


def gray_frames(folder, name, numbers):
    (folder / name).mkdir()
    for number in numbers:
        iio.imwrite(folder / name / f"{number}.png", videos.GRAY[number + len(name)])
    return folder / name


def cut_stack(folder):
    with tifffile.TiffWriter(folder / "odd.tif") as file:
        for frame in videos.GRAY[:6]:
            file.write(frame, metadata=None)
    content = (folder / "odd.tif").read_bytes()
    (folder / "odd.tif").write_bytes(content[: len(content) * 2 // 3])
    return folder / "odd.tif"


def folders_of_frames(first, second):
    def make(folder):
        gray_frames(folder, "vis", second)
        return gray_frames(folder, "ir", first).name

    return make


def written(content, name):
    def make(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return make


def onnx_model(further=b""):
    """A graph that returns what it is given."""
    from onnx import TensorProto, helper

    given, result = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")
    )
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [given], [result])
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 18)])
    return raw(model.SerializeToString() + further, "x.onnx")


def renamed(make, name):
    return lambda folder: (folder / make(folder)).rename(folder / name).name


def truncated(make_whole):
    """Cut a file off at ten places."""

    def make(folder):
        whole = folder / make_whole(folder)
        content, names = whole.read_bytes(), []
        for tenth in range(10):
            names.append(f"cut-{tenth}{whole.suffix}")
            (folder / names[-1]).write_bytes(content[: max(1, len(content) * tenth // 10)])
        whole.unlink()
        return names

    return make


def png_chunk(kind, data):
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png_header(width, height):
    """A PNG that claims a size and holds no pixels."""

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = png_chunk(b"IDAT", zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + data + png_chunk(b"IEND", b"")


def half_a_png(folder):
    """PNGs whose streams are complete, and hold half of the rows: one of each depth."""
    names = []
    for bits in (8, 16):
        name = f"cut-{bits}.png"
        header = struct.pack(">IIBBBBB", 30, 20, bits, 2, 0, 0, 0)
        rows = zlib.compress(bytes(10 * (1 + 90 * bits // 8)))
        parts = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
        raw(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts), name)(folder)
        names.append(name)
    return names


def half_a_jpeg(folder):
    """JPEGs that end in the middle of a scan, with the mark of an end."""
    names = []
    for progressive in (False, True):
        name = f"cut-{progressive}.jpg"
        pillow(Image.fromarray(RGB), name, progressive=progressive)(folder)
        content = (folder / name).read_bytes()
        scan = content.rindex(b"\xff\xda")
        raw(content[: scan + (len(content) - scan) // 2] + b"\xff\xd9", name)(folder)
        names.append(name)
    return names


def tall_png(folder):
    return raw(png_header(53, 200000))(folder)


def one_color(folder):
    return pillow(Image.new("RGB", (5800, 5800)), "odd.webp", lossless=True)(folder)


def deep_pair(folder):
    png(DEEP[::-1].copy(), "odd2.png")(folder)
    return png(DEEP)(folder)


def misnamed(folder):
    return raw((folder / pillow(Image.fromarray(RGB), "x.bmp")(folder)).read_bytes())(folder)


def trailing(folder):
    whole = folder / pillow(Image.fromarray(GRAY), "x.jpg")(folder)
    return raw(whole.read_bytes() + b"trailer")(folder)


def copied(folder):
    return shutil.copy(folder / "a.png", folder / "odd.png").name


def file_in_the_way(folder):
    (folder / "there").write_bytes(b"precious")
    return image_set(folder)


def folder_in_the_way(folder):
    (folder / "full.png").mkdir()
    return "a.png"


def upright(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GRAY.T.copy()[:, ::-1]).save(folder / "odd.png", exif=exif)
    return "odd.png"


def shipped_dicom(name):
    """A file that pydicom ships."""

    def make(folder):
        from pydicom.data import get_testdata_file

        shutil.copy(get_testdata_file(name), folder / "odd.dcm")
        return "odd.dcm"

    return make


def palette(folder):
    Image.fromarray(RGB).quantize(16).save(folder / "odd.png")
    return "odd.png"


def see_through(folder):
    Image.fromarray(RGB).quantize(16).save(folder / "odd.png", transparency=3)
    return "odd.png"


def twelve_bits(folder):
    """Pack two 12-bit samples into three bytes, as TIFF does."""
    pairs = (GRAY.astype(np.uint32) * 16).reshape(-1, 2)
    words = pairs[:, 0] << 12 | pairs[:, 1]
    packed = np.stack([words >> 16, words >> 8 & 255, words & 255], axis=1).astype(np.uint8)
    data = packed.tobytes()
    entries = [(256, 30), (257, 20), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 20)]
    tags = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    tags += struct.pack("<HHII", 279, 4, 1, len(data))
    directory = struct.pack("<H", len(entries) + 1) + tags + struct.pack("<I", 0)
    return raw(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory, "odd.tif")(folder)


def two_frames(folder):
    frames = [Image.fromarray(frame) for frame in (GRAY, OTHER)]
    frames[0].save(folder / "odd.gif", save_all=True, append_images=frames[1:])
    return "odd.gif"


def existing(folder):
    (folder / "fused.png").write_bytes(b"precious")
    return "a.png"


def loop(folder):
    (folder / "odd.png").symlink_to("odd.png")
    return "odd.png"


def unicode_name(folder):
    name = "Wärme bild 熱 (1).png"
    shutil.copy(folder / "a.png", folder / name)
    return name


def fifty(folder):
    (folder / "many").mkdir()
    for number in range(50):
        image = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
        iio.imwrite(folder / "many" / f"{number}.png", image)
    return " ".join(f"many/{number}.png" for number in range(50))


def in_place_of(name, make):
    """An image set, and something in the place of a file that fusionlab writes."""

    def put(folder):
        image_set(folder)
        (folder / name).parent.mkdir(exist_ok=True)
        make(folder / name)

    return put


def link_to_a_source(path):
    path.symlink_to(Path("a.png").resolve())


def unpaired(folder):
    image_set(folder)
    (folder / "vis" / "3.png").unlink()
    return "ir"


def image_set(folder):
    for place in ("ir", "vis"):
        (folder / place).mkdir()
        for stem in range(1, 5):
            image = RNG.integers(0, 256, (20, 30 + stem), dtype=np.uint8)  # no two in one go
            iio.imwrite(folder / place / f"{stem}.png", image)
    return "ir"


def named(*names):
    """Images with these names, in the folder `set`; only the names matter."""

    def make(folder):
        for number, name in enumerate(names):
            path = folder / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(imagecodecs.png_encode(np.roll(GRAY, number)))
        return "set"

    return make


def sizes(folder):
    """The pair `set/ir/1.png set/vis/1.png`, of different sizes."""
    beside(imagecodecs.png_encode(np.pad(GRAY, ((0, 0), (0, 1)))), "vis/1.png")(folder)


def beside(content, *names):
    """The pair `set/ir/1.png set/vis/1.png`, and other files with this content."""

    def make(folder):
        named("ir/1.png", "vis/1.png")(folder)
        for name in names:
            (folder / "set" / name).write_bytes(content)
        return "set"

    return make


PLANES = np.stack([np.roll(GRAY, 7 * number) for number in range(5)])
BANDS = np.moveaxis(PLANES, 0, -1).copy()
RGBT = np.dstack([RGB, np.add.outer(5 * np.arange(20), 3 * np.arange(1, 31)).astype(np.uint8)])


def imagej_stack(folder):
    """Five planes behind a single page, as ImageJ writes large stacks."""
    text = "ImageJ=1.54f\nimages=5\nslices=5\n"
    pages = {"description": text, "metadata": None, "photometric": "minisblack"}
    tifffile.imwrite(folder / "odd.tif", GRAY, **pages)  # whose pixels are the end of the file
    with (folder / "odd.tif").open("ab") as file:
        file.write(PLANES[1:].tobytes())
    return "odd.tif"


def folder_of(*images):
    """The folder `set` with these images, 0.png, 1.png, ..."""

    def make(folder):
        (folder / "set").mkdir()
        for number, pixels in enumerate(images):
            png(np.ascontiguousarray(pixels), f"set/{number}.png")(folder)
        return "set"

    return make


GEO = [
    (33550, 12, 3, (0.5, 0.5, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 5e5, 4.6e6, 0.0), True),
]
CAMERA = Image.Exif()
CAMERA[0x0110] = "a camera"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
BUILT_IN = "sRGB built-in".encode("utf-16-be")


def two_places(folder):
    moved = (33922, 12, 6, (0.0, 0.0, 0.0, 6e5, 4.6e6, 0.0), True)
    tifffile.imwrite(folder / "odd2.tif", OTHER, extratags=[GEO[0], moved])
    return tiff(GRAY, extratags=GEO)(folder)


def two_profiles(folder):
    pillow(Image.fromarray(RGB[::-1]), "odd2.png", icc_profile=SRGB)(folder)
    named = SRGB.replace(BUILT_IN, "Display P3   ".encode("utf-16-be"))
    return pillow(Image.fromarray(RGB), icc_profile=named)(folder)


PGM = b"P5 30 20 255\n" + GRAY.tobytes()
PNG = imagecodecs.png_encode(GRAY)
JXL = imagecodecs.jpegxl_encode(GRAY)
BY_SUFFIX = "set/{}_ir.* set/{}_vis.*"


def no_images(folder):
    for place in ("ir", "vis"):
        (folder / place).mkdir()
        (folder / place / "notes.txt").write_text("no image")
    return "ir"


def weights(change):
    """Copy the shipped weights with their card, and change them."""

    def make(folder):
        from safetensors.torch import load, save

        shipped = installed().backbones.find("densefuse").ref.checkpoints["1e2"]
        card = json.loads(Card.path_of(shipped).read_text())
        content = change(shipped.read_bytes(), load, save)
        if change is not bit_flip:
            card["sha256"] = hashlib.sha256(content).hexdigest()
        (folder / "odd.safetensors").write_bytes(content)
        (folder / "odd.json").write_text(json.dumps(card))
        return "a.png"

    return make


def bit_flip(content, load, save):
    return content[:-1] + bytes([content[-1] ^ 1])


def cropped(content, load, save):
    return save({name: tensor[..., :1].contiguous() for name, tensor in load(content).items()})


def not_finite(content, load, save):
    return save({name: tensor / 0 for name, tensor in load(content).items()})


def integers(content, load, save):
    return save({name: tensor.int() for name, tensor in load(content).items()})


def numbered(content, load, save):
    return save({f"layer.{n}": tensor for n, tensor in enumerate(load(content).values())})


FLOATS = (GRAY / 255).astype(np.float32)
HOLES = np.where(GRAY < 9, np.nan, FLOATS).astype(np.float32)
INFINITE = np.where(GRAY < 9, np.inf, FLOATS).astype(np.float32)
LA = Image.fromarray(np.dstack([GRAY, OTHER | 1]), "LA")
RGBA = np.dstack([RGB, OTHER | 1])
FRAME = np.where(GRAY < 99, 0, GRAY)  # 0: as around a warped image
HARD = np.where(FRAME, 255, 0).astype(np.uint8)
NODATA = {"extratags": [(42113, "s", 0, "0", True)], "metadata": None}  # GDAL_NODATA
FLAT = np.full((20, 30), 77, np.uint8)
CUT = "cannot read cut-...; expected a complete"
OWN = "--backbone densefuse@odd.safetensors"

DICOM, THERMAL = (
    SimpleNamespace(
        **runpy.run_path(ROOT / "plugins" / f"fusionlab-{name}" / "tests" / "make_files.py")
    )
    for name in ("dicom", "thermal")
)
"""What makes files of these formats."""


def scan(folder):
    """A CT and an MR image."""
    (folder / "ct.dcm").write_bytes(DICOM.ct())
    (folder / "mr.dcm").write_bytes(DICOM.mr())


def scans(folder):
    """The folder `set` with a CT and an MR image of one patient."""
    (folder / "set").mkdir()
    (folder / "set" / "1_CT.dcm").write_bytes(DICOM.ct())
    (folder / "set" / "1_MR.dcm").write_bytes(DICOM.mr())
    return "set"


def thermal(content, name="odd.jpg"):
    """A radiometric file, and a visible image of its size."""

    def make(folder):
        (folder / name).write_bytes(content)
        Image.fromarray(THERMAL.photo(64, 48)).save(folder / "vis.png")
        return name

    return make


def thermal_folder(folder):
    """The folder `set` with a radiometric JPEG."""
    (folder / "set").mkdir()
    shown = THERMAL.jpeg(THERMAL.photo(64, 48))
    (folder / "set" / "odd.jpg").write_bytes(THERMAL.flir_file(shown=shown))


CASES = [
    # ---------------------------------------------------------------- files that are no image
    Case("a file that is not there", FAILS, "gone.png does not exist", "gone.png b.png"),
    Case("an empty file", FAILS, "cannot read odd.png: it is empty", make=raw(b"")),
    Case("a PNG cut off at ten places", FAILS, CUT, "*", truncated(png(RGB))),
    Case("a 16-bit PNG cut off at ten places", FAILS, CUT, "*", truncated(png(DEEP))),
    Case("a JPEG cut off at ten places", FAILS, CUT, "*", truncated(pillow(Image.fromarray(RGB), "odd.jpg"))),
    Case("a TIFF cut off at ten places", FAILS, CUT, "*", truncated(tiff(DEEP, photometric="rgb"))),
    Case("a BMP cut off at ten places", FAILS, CUT, "*", truncated(pillow(Image.fromarray(RGB), "odd.bmp"))),
    Case("a text file", FAILS, "cannot read odd.png: it is not in a known image format", make=raw(b"no image")),
    Case("a web page named .png", FAILS, "cannot read odd.png: it is a web page", make=raw(b"<!DOCTYPE html><html>")),
    Case("a PGM", WORKS, args="odd b.png", make=raw(PGM, "odd.pgm")),
    Case("a PGM of 10 bits", WORKS, make=raw(b"P5 30 20 1023\n" + (GRAY.astype(">u2") << 2).tobytes(), "odd.pgm")),
    Case("a PGM whose white is 1000", WARNS, "odd.pgm is scaled to the window in its file, 0,1000", make=raw(b"P5 30 20 1000\n" + (GRAY.astype(">u2") * 3).tobytes(), "odd.pgm")),
    Case("a PNG that ends well, and holds half of the rows that its header says", FAILS, CUT, "*", half_a_png),
    Case("a JPEG that ends well after half a scan", FAILS, CUT, "*", half_a_jpeg),
    Case("a PNG that claims more rows than its bytes can hold", FAILS, "cannot read odd.png: its header claims 53x200000 pixels, and it holds 9 bytes of them; expected a complete PNG", "odd b.png", tall_png),
    Case("an image of one color in so few bytes that it may be a bomb", FAILS, "odd.webp claims 5800x5800 pixels in ... bytes, so few as only an image of one color takes; if it is one, lift the limit (--max-pixels)", "odd b.png", one_color),
    Case("a PGM cut off at ten places", FAILS, CUT, "*", truncated(raw(PGM, "odd.pgm"))),
    Case("JPEG 2000, 12 bits", WORKS, make=raw(imagecodecs.jpeg2k_encode(GRAY.astype(np.uint16) << 4, level=0, bitspersample=12), "odd.jp2")),
    Case("AVIF", WORKS, make=raw(imagecodecs.avif_encode(GRAY), "odd.avif")),
    Case("TGA", WORKS, make=pillow(Image.fromarray(GRAY), "odd.tga")),
    Case("TGA with another suffix", FAILS, "cannot read odd.png: it is not in a known image format", make=renamed(pillow(Image.fromarray(GRAY), "odd.tga"), "odd.png")),
    Case("Radiance HDR, whose floats go beyond 1", FAILS, "odd.hdr must hold floats in 0..1, got values from ... choose a scale", make=raw(imagecodecs.rgbe_encode(RGB.astype(np.float32)), "odd.hdr")),
    Case("JPEG XL", FAILS, "cannot read odd.jxl: it is a JPEG XL image, a format that is not read", make=raw(imagecodecs.jpegxl_encode(GRAY), "odd.jxl")),
    Case("a PDF", FAILS, "it is not in a known image format; expected a complete PNG", make=raw(b"%PDF-1.7 ...")),
    Case("a device instead of a file", FAILS, "cannot read /dev/zero: expected an image file, got a device", "a.png /dev/zero"),
    Case("a loop of symbolic links", FAILS, "cannot read odd.png: Too many levels of symbolic links", make=loop),
    # ---------------------------------------------------------------- names
    Case("a BMP named .png", WORKS, make=misnamed),
    Case("spaces and Unicode in a name", WORKS, make=unicode_name),
    Case("a JPEG with bytes behind its end", WORKS, make=trailing),
    # ---------------------------------------------------------------- sizes
    Case("an image of 0x0 pixels", FAILS, "cannot read odd.png: ...", make=raw(png_header(0, 0))),
    Case("1x1", WORKS, args="odd odd2.png", make=pair(GRAY[:1, :1]), backbone="densefuse"),
    Case("1x1, with identity", WORKS, args="odd odd2.png", make=pair(GRAY[:1, :1])),
    Case("1x1, with `--border reflect`", FAILS, "a mirrored window of r = 1 needs an image larger than 1 pixels, got 1x1; choose a smaller r or border=inside", "odd odd2.png --border reflect", pair(GRAY[:1, :1]), backbone="densefuse"),
    Case("2x2", WORKS, args="odd odd2.png", make=pair(GRAY[:2, :2]), backbone="densefuse"),
    Case("1x500", WORKS, args="odd odd2.png", make=pair(np.tile(GRAY[:1], 17)[:, :500]), backbone="densefuse"),
    Case("500x1", WORKS, args="odd odd2.png", make=pair(np.tile(GRAY[:1], 17)[:, :500].T.copy()), backbone="densefuse"),
    Case("sources of different sizes", FAILS, "the sources must have the same size, got 30x10, 30x20 ...(--resize)", make=png(GRAY[:10])),
    Case("the same, with `--resize first`", WARNS, "b.png is resized from 30x20 to 30x10; its aspect ratio changes by 100.0%", "odd b.png --resize first", png(GRAY[:10])),
    Case("a decompression bomb", FAILS, "odd.png claims 60000x60000 pixels, more than the limit of 268435456; if that is correct, raise the limit (--max-pixels)", make=raw(png_header(60000, 60000))),
    Case("more pixels than `--max-pixels`", FAILS, "a.png claims 30x20 pixels, more than the limit of 599", "a.png b.png --max-pixels 599"),
    Case("the same, with the limit lifted", WORKS, args="a.png b.png --max-pixels 0"),
    # ---------------------------------------------------------------- numbers of sources
    Case("one source", FAILS, "a fusion needs at least two sources, got 1, a.png: it holds one image; give a second source", "a.png"),
    Case("the same, with `--pages all`", FAILS, "got 1, a.png: it holds one image; give a second source", "a.png --pages all"),
    Case("50 sources", WORKS, args="odd", make=fifty),
    Case("the same file twice", WARNS, "a.png is the same image as a.png", "a.png a.png"),
    Case("a copy of a file next to it", WARNS, "odd.png is the same image as a.png", "a.png odd", copied),
    # ---------------------------------------------------------------- values
    Case("all pixels alike", WORKS, args="odd b.png", make=png(FLAT)),
    Case("all pixels alike, with `--scale minmax`", WARNS, "odd.png has only one value, 77, and will contribute nothing", "odd b.png --scale minmax", png(FLAT)),
    Case("NaN, which is no data", WARNS, "odd.tif holds NaN at ... of 600 pixels, which are no data", make=tiff(HOLES)),
    Case("nothing but NaN", FAILS, "odd.tif has no pixel that is data; leave it out, or correct its mask", make=tiff(HOLES * np.float32("nan"))),
    Case("infinity", FAILS, "odd.tif holds NaN or infinity at ... of 600 values; replace them by numbers first", make=tiff(INFINITE)),
    Case("negative floats", FAILS, "odd.tif must hold floats in 0..1, got values from -1 to 0; choose a scale: minmax, percentile or LO,HI (--scale)", make=tiff(FLOATS - FLOATS.max())),
    Case("negative floats, with `--scale minmax`", WARNS, "fused.png is written with 16 bits instead of 32-bit floats", "odd b.png --scale minmax", tiff(FLOATS - 1)),
    Case("floats beyond 1", FAILS, "odd.tif must hold floats in 0..1, got values from 0 to 255", make=tiff(GRAY.astype(np.float32))),
    Case("signed 16-bit numbers", FAILS, "odd.tif has values of the type int16, which has no white by convention; choose a scale: minmax, percentile or LO,HI (--scale)", make=tiff(GRAY.astype(np.int16))),
    *(Case(f"{name} numbers", FAILS, f"odd.tif has values of the type {name}, which has no white by convention; choose a scale: minmax, percentile or LO,HI (--scale)", make=tiff(GRAY.astype(name))) for name in ("uint32", "uint64", "int64")),
    Case("uint64 numbers, with `--scale 0,255`", WORKS, args="odd b.png --scale 0,255 -o fused.tif --record", make=tiff(GRAY.astype(np.uint64))),
    Case("uint64 numbers in another byte order", WORKS, args="odd b.png --scale minmax -o fused.tif", make=tiff(GRAY.astype(">u8"), byteorder=">")),
    Case("half floats", WORKS, args="odd b.png -o fused.tif", make=tiff(FLOATS.astype(np.float16))),
    Case("complex numbers", FAILS, "odd.tif must be a gray or RGB image, got samples of 64 bits in the format 6", make=tiff(GRAY.astype(np.complex64))),
    Case("floats that rounding moved beyond 1", WORKS, args="odd b.png -o fused.tif", make=tiff(FLOATS * np.float32(1 + 4e-7) - np.float32(2e-7))),
    Case("floats beyond 1 by little", FAILS, "odd.tif must hold floats in 0..1, got values from 0 to 1.000002; choose a scale", make=tiff(np.where(GRAY.max() == GRAY, np.float32(1.000002), FLOATS * (GRAY.min() < GRAY)).astype(np.float32))),
    Case("counts that fill a corner of 16 bits", WARNS, "odd.tif uses 0.4% of its 16 bits, 6700 to 6955; give it the scale percentile to see more of it, or full if that is meant", make=tiff(6700 + GRAY.astype(np.uint16))),
    Case("12-bit counts in 16 bits", WARNS, "odd.tif has values that fit 12 bits, in 16 bits; give it the scale 0,4095 to see more of it, or full if that is meant", make=tiff(16 * GRAY.astype(np.uint16))),
    Case("12-bit counts in 16 bits, with `--scale full`", WORKS, args="odd b.png --scale full", make=tiff(16 * GRAY.astype(np.uint16))),
    Case("a scale that leaves nothing of a source", WARNS, "a.png is all black: its values, 0 to 255, lie outside its scale, 6700 to 7100", "a.png b.png --scale 6700,7100 --scale full"),
    Case("signed 16-bit numbers, with `--scale minmax`", WORKS, args="odd b.png --scale minmax", make=tiff(GRAY.astype(np.int16) - 40)),
    # ---------------------------------------------------------------- kinds of pixels
    Case("gray and RGB together", WORKS, args="odd b.png", make=png(RGB)),
    Case("gray stored as RGB", WORKS, make=png(np.dstack([GRAY] * 3))),
    Case("8 and 16 bits together", WORKS, make=png(DEEP)),
    Case("16-bit RGB PNG", WORKS, args="odd odd2.png", make=deep_pair),
    Case("a palette", WORKS, make=palette),
    Case("a palette with a transparent entry", WARNS, "odd.png: it is transparent at ... of 600 pixels, which are no data", make=see_through),
    Case("1 bit per pixel", WORKS, make=pillow(Image.fromarray(GRAY > 100))),
    Case("a TIFF of three planes of one bit", WORKS, args="odd b.png", make=tiff(np.moveaxis(RGB > 100, -1, 0), photometric="rgb", planarconfig="separate", compression="zlib")),
    Case("the same, with its colors side by side and without the tag of the bits", FAILS, "cannot read odd.tif: its header says nothing of the bits per sample of a color image", make=tiff(RGB > 100, photometric="rgb")),
    Case("RGB, transparent in places", WARNS, "odd.png: it is transparent at ... of 600 pixels, which are no data", make=png(np.dstack([RGB, HARD]))),
    Case("RGB, transparent in places, of soft alpha", WARNS, "pixels, which are no data; the rest of its alpha channel is ignored", make=png(np.dstack([RGB, HARD // 2]))),
    Case("a transparent image", FAILS, "odd.png has no pixel that is data; leave it out, or correct its mask", make=png(np.dstack([RGB, 0 * GRAY]))),
    Case("a TIFF that calls a value no data", WORKS, "", make=tiff(FRAME, **NODATA)),
    Case("a frame that `--nodata 0` calls no data", WORKS, "", args="odd b.png --nodata 0", make=png(FRAME)),
    Case("the same for each source", WORKS, "", args="b.png odd --nodata none --nodata 0", make=png(FRAME)),
    Case("`--nodata` for three of two sources", FAILS, "expected one value of no data for all 2 sources or one for each, got 3 (--nodata)", args="odd b.png --nodata 0 --nodata 1 --nodata 2", make=png(FRAME)),
    Case("`--nodata black`", FAILS, "the value of no data must be a number or none, got 'black' (--nodata)", args="odd b.png --nodata black", make=png(FRAME)),
    Case("no data in both sources, as JPEG", WARNS, "fused.jpg is black where no source is data: .jpg cannot say so, .png and .tif can", args="odd odd2.png --nodata 0 --nodata 255 -o fused.jpg", make=pair(FRAME)),
    Case("gray with alpha", WARNS, "odd.png: its alpha channel is ignored", make=pillow(LA)),
    Case("RGB with alpha", WARNS, "odd.png: its alpha channel is ignored", make=png(RGBA)),
    Case("16-bit RGB with alpha", WARNS, "odd.png: its alpha channel is ignored", make=png(np.dstack([DEEP, DEEP[..., 0]]))),
    Case("a camera held upright (EXIF orientation)", WORKS, make=upright),
    Case("CMYK", FAILS, "odd.jpg must be a gray or RGB image, got pixels of the mode CMYK; convert it to one first", make=pillow(Image.fromarray(RGB).convert("CMYK"), "odd.jpg")),
    Case("CIE L*a*b*", FAILS, "odd.tif must be a gray or RGB image, got pixels of the type CIELAB", make=pillow(Image.fromarray(RGB).convert("LAB"), "odd.tif")),
    Case("12 bits per sample", WORKS, make=twelve_bits),
    Case("DICOM, without the package fusionlab-dicom", FAILS, "cannot read ct.dcm: it is a DICOM image, a format that is not read without fusionlab-dicom", "ct.dcm mr.dcm", scan),
    Case("DICOM, with it: CT and MRI", WARNS, "ct.dcm is scaled to the window in its file, -0.5HU,79.5HU", "ct.dcm mr.dcm", scan, plugin="dicom"),
    Case("the same, with `--scale -160HU,240HU --scale 0,1600`", WORKS, "", "ct.dcm mr.dcm --scale -160HU,240HU --scale 0,1600 -o fused.tif", scan, plugin="dicom"),
    Case("the same, with `--scale 20C,40C`", FAILS, "the scale 20C,40C is in C, but the values of ct.dcm are in HU; give limits in its own values, LO,HI (--scale)", "ct.dcm mr.dcm --scale 20C,40C", scan, plugin="dicom"),
    Case("a CT without a window", FAILS, "odd.dcm must hold floats in 0..1, got values from -1000 to 900; choose a scale", "odd odd", raw(DICOM.ct(WindowWidth=0), "odd.dcm"), plugin="dicom"),
    Case("DICOM without its preamble, named .dcm", WARNS, "odd.dcm is the same image as odd.dcm", "odd odd --scale 0HU,80HU -o fused.tif", raw(DICOM.ct()[132:], "odd.dcm"), plugin="dicom"),
    Case("a DICOM file without pixels", FAILS, "odd.dcm must be a gray or RGB image, got no pixels, but a DICOM object of the class RT Plan Storage", make=shipped_dicom("rtplan.dcm"), plugin="dicom"),
    Case("DICOM cut off at ten places", FAILS, CUT, "*", truncated(raw(DICOM.mr(), "odd.dcm")), plugin="dicom"),
    Case("a radiometric JPEG, without the package fusionlab-thermal", WARNS, "odd.jpg: its colors are used, not its thermal data, which fusionlab-thermal reads", "odd vis.png", thermal(THERMAL.flir_file(shown=THERMAL.jpeg(THERMAL.photo(64, 48))))),
    Case("a folder of such files, without it", FAILS, "set is not an image set by the names of its files, but one of them may hold all sources of a fusion: set/odd.jpg: its colors are used, not its thermal data, which fusionlab-thermal reads", "set", thermal_folder),
    Case("the same, with `--pages all`", FAILS, "odd: a fusion needs at least two sources, got 1, set/odd.jpg: its colors are used, not its thermal data, which fusionlab-thermal reads", "set --pages all", thermal_folder, code=2),
    Case("a radiometric JPEG of FLIR, with it", FAILS, "odd.jpg must hold floats in 0..1, got values from 26.3333 to 44.3264; choose a scale", "odd vis.png", thermal(THERMAL.flir_file()), plugin="thermal"),
    Case("the same, with `--scale 20C,50C --scale full`", WARNS, "odd.jpg: it holds 2 pages (thermal, view) of 64x48 and 102x77, of which the first is used; pages=all takes all of them as sources", "odd vis.png --scale 20C,50C --scale full -o fused.tif", thermal(THERMAL.flir_file()), plugin="thermal"),
    Case("the same, with `--scale 68F,122F --scale full`", WARNS, "odd.jpg: it holds 2 pages (thermal, view) of 64x48 and 102x77, of which the first is used; pages=all takes all of them as sources", "odd vis.png --scale 68F,122F --scale full -o fused.tif", thermal(THERMAL.flir_file()), plugin="thermal"),
    Case("one radiometric JPEG, with `--pages all --resize first`", WARNS, "odd.jpg[page=view] is resized from 102x77 to 64x48", "odd --pages all --resize first --scale 20C,50C --scale full -o fused.tif", thermal(THERMAL.flir_file()), plugin="thermal"),
    Case("a radiometric JPEG as the only source", FAILS, "got 1, odd.jpg: it holds 2 pages (thermal, view) of 64x48 and 102x77, of which the first is used; pages=all takes all of them as sources", "odd", thermal(THERMAL.flir_file()), plugin="thermal"),
    Case("one without a photo, with `--pages all`", FAILS, "got 1, odd.fff: it holds one image; give a second source", "odd --pages all", raw(THERMAL.container(THERMAL.scene()), "odd.fff"), plugin="thermal"),
    Case("its counts, which are a variant of the first page", WORKS, "", "odd.jpg[page=counts] vis.png --scale minmax --scale full -o fused.tif", thermal(THERMAL.flir_file()), plugin="thermal"),
    Case("thermal data of FLIR cut off at ten places", FAILS, CUT, "*", truncated(raw(THERMAL.container(THERMAL.scene()), "odd.fff")), plugin="thermal"),
    Case("a radiometric JPEG of DJI", WARNS, "odd.jpg: its values are counts: what degrees they are is known to the DJI Thermal SDK alone", "odd vis.png --scale minmax --scale full", thermal(THERMAL.dji_jpeg(THERMAL.scene())), plugin="thermal"),
    Case("the same, with `--scale 20C,50C`", FAILS, "the scale 20C,50C is in C, but the values of odd.jpg are in counts; give limits in its own values", "odd vis.png --scale 20C,50C --scale full", thermal(THERMAL.dji_jpeg(THERMAL.scene())), plugin="thermal"),
    Case("limits with a unit for a source without one", FAILS, "the scale 20C,40C is in C, but the values of a.png have no unit that is known", "a.png b.png --scale 20C,40C"),
    Case("limits with two units", FAILS, "or LO,HI with LO below HI, with a unit (20C,40C) or without; got '20C,40F'", "a.png b.png --scale 20C,40F"),
    # ---------------------------------------------------------------- several sources in one file
    Case("an animated GIF", WARNS, "odd.gif: it holds 2 pages of 30x20, of which the first is used; pages=all takes all of them as sources", make=two_frames),
    Case("an animated GIF, with `--pages all`", WORKS, args="odd --pages all", make=two_frames),
    Case("a TIFF of several pages", WARNS, "odd.tif: it holds 2 pages of 30x20, of which the first is used", make=tiff(PLANES[:2], photometric="minisblack")),
    Case("a TIFF of several pages as the only source", FAILS, "a fusion needs at least two sources, got 1, odd.tif: it holds 5 pages of 30x20, of which the first is used; pages=all takes all of them as sources", "odd", tiff(PLANES, photometric="minisblack")),
    Case("the same, with `--pages all`", WORKS, args="odd --pages all", make=tiff(PLANES, photometric="minisblack")),
    Case("the same, with `--pages 1,3-5`", WORKS, args="odd --pages 1,3-5", make=tiff(PLANES, photometric="minisblack")),
    Case("one of its pages by name", WORKS, args="odd.tif[page=2] b.png", make=tiff(PLANES, photometric="minisblack")),
    Case("a page that is not there", FAILS, "odd.tif holds 5 pages of 30x20; there is no page 9 (--pages)", "odd --pages 1,9", tiff(PLANES, photometric="minisblack")),
    Case("pages that cannot be read", FAILS, "pages must be all, 1,3-5 or names, got '1,,3' (--pages)", "odd --pages 1,,3", tiff(PLANES, photometric="minisblack")),
    Case("an OME z-stack", WORKS, args="odd --pages z=1,z=5", make=tiff(PLANES, ome=True, metadata={"axes": "ZYX"})),
    Case("an ImageJ stack behind a single page", WARNS, "it holds 5 pages (z=1, z=2, z=3, z=4, ...) of 30x20, of which the first is used", make=imagej_stack),
    Case("the same as a source each", WORKS, args="odd --pages all", make=imagej_stack),
    Case("an ImageJ stack cut off at ten places", FAILS, CUT, "*", truncated(imagej_stack)),
    Case("two photos in one file (MPO)", WORKS, args="odd --pages all", make=pillow(Image.fromarray(RGB), "odd.mpo", save_all=True, append_images=[Image.fromarray(RGB[::-1])])),
    Case("a radiometric JPEG of FLIR, with `--pages thermal,photo --resize first`", WARNS, "odd.jpg[page=photo] is resized from 128x96 to 64x48", "odd --pages thermal,photo --resize first --scale 20C,50C --scale full -o fused.tif", thermal(THERMAL.flir_file(shown=THERMAL.jpeg(THERMAL.photo(64, 48)))), plugin="thermal"),
    Case("a TIFF of 5 bands", FAILS, "odd.tif holds 5 channels, none of which is known to be the image; choose one or three of them for each source, such as channels=1-3,4 (--channels)", make=tiff(BANDS, photometric="minisblack", planarconfig="contig")),
    Case("the same, with `--channels all`", WORKS, args="odd --channels all", make=tiff(BANDS, photometric="minisblack", planarconfig="contig")),
    Case("the same, with `--channels 1-3,5`", WORKS, args="odd --channels 1-3,5", make=tiff(BANDS, photometric="minisblack", planarconfig="contig")),
    Case("a TIFF of 4 bands", WARNS, "it holds 4 channels (gray, 2, 3, 4), of which the first is used; channels=1,2 takes others as sources, too", make=tiff(BANDS[..., :4], photometric="minisblack", planarconfig="contig")),
    Case("color and thermal in one PNG", WARNS, "odd.png: its fourth channel looks like an image; channels=rgb,4 takes it as a source of its own", make=png(RGBT)),
    Case("the same, with `--channels rgb,4`", WORKS, args="odd --channels rgb,4", make=png(RGBT)),
    Case("two channels as one source", FAILS, "odd.png holds 4 channels (red, green, blue, alpha); 1-2 are 2 channels, and a source has one or three; separate them by commas (--channels)", "odd --channels 1-2,4", png(RGBT)),
    Case("a channel that is not there", FAILS, "odd.png holds 4 channels (red, green, blue, alpha); there is no channel 'thermal' (--channels)", "odd --channels rgb,thermal", png(RGBT)),
    Case("a selection that cannot be read", FAILS, "a selection is written [page=2], [channels=1-3] or [page=2,channels=1-3]; got [page=]", "odd.png[page=] b.png", png(RGBT)),
    Case("pages of a file that is selected already", FAILS, "odd.png[page=1] selects a source of odd.png already; give it without the brackets", "odd.png[page=1] --pages all", png(RGBT)),
    Case("a file of one channel, with `--channels all`", FAILS, "got 1, a.png[channels=1]: give a second source", "a.png --channels all"),
    Case("one of them as the only source", FAILS, "got 1, odd.png: its fourth channel looks like an image; channels=rgb,4 takes it as a source of its own", "odd", png(RGBT)),
    Case("a folder of files with one image each, `--pages all`", FAILS, "0: a fusion needs at least two sources, got 1, set/0.png: it holds one image; give a second source", "odd --pages all", folder_of(GRAY), code=2),
    Case("a folder of such files, `--channels rgb,4`", WORKS, "set/, 2 pairs", "odd --channels rgb,4", folder_of(RGBT, RGBT[::-1])),
    Case("the same, one without a fourth channel", FAILS, "failed: 1: set/1.png holds 3 channels (red, green, blue); there are no channels 4", "odd --channels rgb,4", folder_of(RGBT, RGB), code=1),
    Case("the same by templates", WORKS, "set/{}.png[channels=rgb] with set/{}.png[channels=4], 2 pairs", "set/{}.png[channels=rgb] set/{}.png[channels=4]", folder_of(RGBT, RGBT[::-1])),
    Case("a folder that is one stack, with `--stack all`", WORKS, args="odd --stack all", make=folder_of(GRAY, OTHER, GRAY[::-1])),
    Case("brackets, with `--stack 3`", WORKS, "set/, 1 triple", "odd --stack 3", folder_of(GRAY, OTHER, GRAY[::-1])),
    Case("brackets that are not complete", FAILS, "failed: 2 begins the last 1 images of set, of which 2 make a fusion", "odd --stack 2", folder_of(GRAY, OTHER, GRAY[::-1]), code=1),
    Case("`--stack` with files", FAILS, "--stack is for one folder, whose images are the sources", "a.png b.png --stack all"),
    # ---------------------------------------------------------------- metadata
    Case("a georeferenced TIFF", WORKS, args="odd b.png -o fused.tif", make=tiff(GRAY, extratags=GEO)),
    Case("the same, into a PNG", WARNS, "fused.png cannot hold the georeference of odd.tif, .tif can", make=tiff(GRAY, extratags=GEO)),
    Case("two places on the earth", WARNS, "odd2.tif lies elsewhere on the earth than odd.tif, whose georeference is kept", "odd odd2.tif -o fused.tif", two_places),
    Case("a photo with EXIF, a color profile and a resolution", WORKS, args="odd b.png", make=pillow(Image.fromarray(RGB), "odd.jpg", exif=CAMERA, icc_profile=SRGB, dpi=(300, 300))),
    Case("the same, into a TIFF", WARNS, "fused.tif cannot hold the EXIF data of odd.jpg, .png can", "odd b.png -o fused.tif", pillow(Image.fromarray(RGB), "odd.jpg", exif=CAMERA)),
    Case("Display P3 beside sRGB", WARNS, "odd.png is in Display P3 and odd2.png in sRGB; their values are fused as they are, so convert them to one color profile first", "odd odd2.png", two_profiles),
    # ---------------------------------------------------------------- output
    Case("a folder that cannot be written", FAILS, "cannot write /proc/fused.png: ...", "a.png b.png -o /proc/fused.png"),
    Case("a folder that is not there", FAILS, "cannot write no/x.png: the folder no does not exist; make it first", "a.png b.png -o no/x.png"),
    Case("an output that is an input, even with `--overwrite`", FAILS, "a.png is the source a.png itself; choose another name for the output", "a.png b.png -o a.png --overwrite"),
    Case("an output that exists", FAILS, "fused.png already exists; choose another name or allow overwriting (--overwrite)", "odd b.png", existing),
    Case("an output in an unknown format", FAILS, "cannot write x.gif: the name must end in one of .png, .jpg", "a.png b.png -o x.gif"),
    Case("an output that is a folder", FAILS, "cannot write full.png: it is a folder; choose another name", "a.png b.png -o full.png", folder_in_the_way),
    Case("16 bits into a JPEG", WARNS, "fused.jpg is written with 8 bits instead of 16 bits: .jpg can hold no more, .tif can", "odd b.png -o fused.jpg", png(DEEP)),
    Case("floats into a PNG", WARNS, "fused.png is written with 16 bits instead of 32-bit floats: .png can hold no more, .tif can", make=tiff(FLOATS)),
    Case("a folder that is to be made, ending in /", WORKS, args="a.png b.png -o new/er/"),
    Case("a folder that exists", WORKS, args="a.png b.png -o there", make=lambda folder: (folder / "there").mkdir()),
    Case("a folder and `--format`", WORKS, args="a.png b.png -o new/ --format tif"),
    Case("a name too long for its record, map and index", WORKS, args=f"a.png b.png -o {'x' * 251}.png --record --save-weights maps --strategy l1norm"),
    Case("a name too long", FAILS, "cannot write ...: File name too long", f"a.png b.png -o {'x' * 252}.png"),
    Case("a name too long in a folder", FAILS, "the name of its image would have 256 bytes, and file systems take at most 255; shorten the names of its sources", "set/{}/ir.png set/{}/vis.png", named(*(f"{name}/{source}.png" for name in ("1", "x" * 252) for source in ("ir", "vis"))), code=1),
    Case("all weight maps in one file", WORKS, args="a.png b.png --strategy l1norm --save-weights maps/all.tif"),
    Case("one file for the weight maps of several images", FAILS, "all.npz cannot hold the weights of several images; put {} where the name has the stem of each, such as all-{}.npz (--save-weights)", "odd vis --strategy l1norm --save-weights all.npz", image_set),
    # ---------------------------------------------------------------- folders
    Case("a folder that is not there, or a mistyped one", FAILS, "visible does not exist", "odd visible", image_set),
    Case("a folder and a file together", FAILS, "expected files only or folders only, got ir/ and a.png", "odd a.png", image_set),
    Case("a file where the output folder should be", FAILS, "cannot make the folder there: File exists; choose another", "odd vis -o there", file_in_the_way),
    Case("a file name for the output of folders", FAILS, "the sources are folders, so the output must be one, too; got the file name x.png; write -o x/, and choose the format with --format", "odd vis -o x.png", image_set),
    Case("an output folder that holds the sources", FAILS, "ir holds sources; choose another folder for the results", "odd vis -o ir", image_set),
    Case("a folder without subfolders a/ b/", FAILS, "ir is not an image set: expected subfolders a/ b/ c/ ...", "odd", image_set),
    Case("folders of sources of different sizes", FAILS, "failed: 1: the sources must have the same size, got 30x20, 31x20 ...(--resize)", "set/ir set/vis", sizes, code=2),
    Case("a folder two levels above the images", FAILS, "set holds no images, but set/DCIM/100_0001 does; give that folder: fusionlab fuse set/DCIM/100_0001", "odd", named("DCIM/100_0001/1_ir.png", "DCIM/100_0001/1_vis.png")),
    Case("a folder above files that hold all sources, with `--channels rgb,4`", FAILS, "set holds no images, but set/images does; give that folder: fusionlab fuse set/images --channels rgb,4", "odd --channels rgb,4", named("images/1.png")),
    Case("a folder of DICOM files, without the package fusionlab-dicom", FAILS, "set holds no images in a format that is read: set/1_CT.dcm is a DICOM image, a format that is not read without fusionlab-dicom; install fusionlab-dicom, or convert it to PNG or TIFF first", "odd", scans),
    Case("the same, with it", WARNS, "set/1_CT.dcm is scaled to the window in its file", "odd", scans, plugin="dicom"),
    Case("a folder of files that hold all sources", FAILS, "set is not an image set by the names of its files, but one of them may hold all sources of a fusion: set/0.png: its fourth channel looks like an image; channels=rgb,4 takes it as a source of its own", "odd", folder_of(RGBT, RGBT[::-1])),
    # ---------------------------------------------------------------- names of sources in one folder
    Case("`01_ir.png 01_vis.png` in one folder", WORKS, "set/{}_ir.* with set/{}_vis.*, 2 pairs", "odd", named("01_ir.png", "01_vis.png", "02_ir.png", "02_vis.png")),
    Case("`ir-01.tif vis-01.jpg` in one folder", WORKS, "set/ir-{}.* with set/vis-{}.*, 2 pairs", "odd", named("ir-01.tif", "vis-01.jpg", "ir-02.tif", "vis-02.jpg")),
    Case("a drone's `DJI_0001_T.JPG DJI_0001_V.JPG`", WORKS, "set/{}_T.* with set/{}_V.*, 2 pairs", "odd", named("DJI_0001_T.JPG", "DJI_0001_V.JPG", "DJI_0002_T.JPG", "DJI_0002_V.JPG")),
    Case("`DJI_..._0001_T.JPG`, a second before its `_V.JPG`", WORKS, "set/{}_T.* with set/{}_V.*, 1 pair, 1 whose names differ, such as DJI_20230101120000_0001_T.JPG with DJI_20230101120001_0001_V.JPG", "odd", named("DJI_20230101120000_0001_T.JPG", "DJI_20230101120001_0001_V.JPG")),
    Case("`DJI_0001_T.JPG` beside both `_W.JPG` and `_Z.JPG`", FAILS, "set is not clear: its names look like set/{}_T.* with set/{}_W.* or set/{}_T.* with set/{}_Z.*, but 1 of 3 do not fit, such as DJI_0001_Z; give the templates that are meant: fusionlab fuse 'set/{}_T.*' 'set/{}_W.*' or: fusionlab fuse 'set/{}_T.*' 'set/{}_Z.*'", "odd", named("DJI_0001_T.JPG", "DJI_0001_W.JPG", "DJI_0001_Z.JPG")),
    Case("five bands `IMG_0001_1.tif` to `IMG_0001_5.tif`", WORKS, "set/{}_1.* with ... with set/{}_5.*, 1 image of 5 sources", "odd", named(*(f"IMG_0001_{band}.tif" for band in range(1, 6)))),
    Case("`lytro-01-A.jpg lytro-01-B.jpg`", WORKS, "set/{}-A.* with set/{}-B.*, 2 pairs", "odd", named("lytro-01-A.jpg", "lytro-01-B.jpg", "lytro-02-A.jpg", "lytro-02-B.jpg")),
    Case("one of them without its partner", FAILS, "set is not clear: its names look like set/{}_ir.* with set/{}_vis.*, but 02_ir has no partner; give the templates that are meant: fusionlab fuse 'set/{}_ir.*' 'set/{}_vis.*'", "odd", named("01_ir.png", "01_vis.png", "02_ir.png")),
    Case("the same, by templates", FAILS, "failed: 02 is missing: there is no set/02_vis.*", BY_SUFFIX, named("01_ir.png", "01_vis.png", "02_ir.png"), code=1),
    Case("a series of frames", FAILS, "set is not an image set", "odd", named("frame_1.png", "frame_2.png", "frame_3.png")),
    # ---------------------------------------------------------------- sub-folders
    *(
        Case(f"sub-folders `{one}/ {other}/`", WORKS, f"set/{one}/ with set/{other}/, 1 pair", "odd", named(f"{one}/1.png", f"{other}/1.jpg"))
        for one, other in (("ir", "vi"), ("IR", "VIS"), ("infrared", "visible"), ("thermal", "rgb"), ("near", "far"), ("over", "under"), ("CT", "MRI"), ("PET", "MRI"), ("source1", "source2"), ("A", "B"), ("test/ir", "test/vi"))
    ),
    Case("sub-folders `CT/ MRI/ PET/`", FAILS, "the sub-folders of set can be paired in several ways, such as CT with MRI or PET with MRI; give those that belong together: fusionlab fuse set/CT set/MRI or: fusionlab fuse set/PET set/MRI", "odd", named("CT/1.png", "MRI/1.png", "PET/1.png")),
    Case("`test/ir test/vi train/ir train/vi`", FAILS, "set holds several image sets, such as set/test and set/train; give one at a time: fusionlab fuse set/test or: fusionlab fuse set/train", "odd", named("test/ir/1.png", "test/vi/1.png", "train/ir/1.png", "train/vi/1.png")),
    Case("`infrared/test infrared/train visible/test visible/train`", FAILS, "set holds several image sets, in test/ and train/ of each of its sub-folders; give one at a time: fusionlab fuse set/infrared/test set/visible/test or: ...", "odd", named("infrared/test/1.png", "infrared/train/1.png", "visible/test/1.png", "visible/train/1.png")),
    Case("a folder for each fusion, `1/ir.png 1/vis.png`", FAILS, "set is not an image set: ...: fusionlab fuse 'set/{}/ir.*' 'set/{}/vis.*'", "odd", named("1/ir.png", "1/vis.png", "2/ir.png", "2/vis.png")),
    # ---------------------------------------------------------------- names that differ
    Case("`ir/IR_0001.tif vis/VIS_0001.jpg`", WORKS, "set/ir/IR_{}.* with set/vis/VIS_{}.*, 2 pairs", "set/ir set/vis", named("ir/IR_0001.tif", "vis/VIS_0001.jpg", "ir/IR_0002.tif", "vis/VIS_0002.jpg")),
    Case("the same, in one folder", WORKS, "set/ir/IR_{}.* with set/vis/VIS_{}.*, 2 pairs", "odd", named("ir/IR_0001.tif", "vis/VIS_0001.jpg", "ir/IR_0002.tif", "vis/VIS_0002.jpg")),
    Case("`ir/cat_1.png vis/dog_1.png`", FAILS, "the names in set/ir and set/vis differ, such as cat_1.png and dog_1.png; they look like set/ir/cat_{}.* with set/vis/dog_{}.*; give these templates if that is right: fusionlab fuse 'set/ir/cat_{}.*' 'set/vis/dog_{}.*'", "set/ir set/vis", named("ir/cat_1.png", "vis/dog_1.png", "ir/cat_2.png", "vis/dog_2.png")),
    Case("`ir/IR_1.jpg`, whose partner counts on: `vis/DC_2.jpg`", FAILS, "no names agree, such as IR_1 in set/ir/ and DC_2 in set/vis/; give a template for each source", "set/ir set/vis", named("ir/IR_1.jpg", "ir/IR_3.jpg", "vis/DC_2.jpg", "vis/DC_4.jpg")),
    Case("zeros in front: `1.png` and `001.png`", WORKS, "set/a/ with set/b/, 2 pairs, 2 whose names differ, such as 1.png with 001.png", "odd", named("a/1.png", "b/001.png", "a/10.png", "b/010.png")),
    Case("`1.png` and `01.png`, both for `001.png`", FAILS, "001 is ambiguous: both set/a/01.png and set/a/1.png could go with set/b/001.png; rename one", "odd", named("a/1.png", "a/01.png", "b/001.png")),
    Case("upper and lower case: `A.PNG` and `a.png`", WORKS, "1 pair, 1 whose names differ, such as A.PNG with a.png", "odd", named("ir/A.PNG", "vis/a.png")),
    Case("Unicode in two forms", WORKS, "set/ir/ with set/vis/, 1 pair", "odd", named("ir/W\u00e4rme.png", "vis/Wa\u0308rme.png")),
    # ---------------------------------------------------------------- templates
    Case("templates", WORKS, "set/{}_ir.* with set/{}_vis.*, 1 pair", BY_SUFFIX, named("01_ir.png", "01_vis.jpg", "notes.png")),
    Case("templates with folders", WORKS, "set/ir/{}.png with set/vis/{}.jpg, 1 pair", "set/ir/{}.png set/vis/{}.jpg", named("ir/1.png", "ir/1.jpg", "vis/1.jpg")),
    Case("templates of folders, `set/{}/ir.png`", WORKS, "set/{}/ir.png with set/{}/vis.png, 2 pairs", "set/{}/ir.png set/{}/vis.png", named("1/ir.png", "1/vis.png", "2/ir.png", "2/vis.png")),
    Case("`*` and `?` in a template", WORKS, "set/{}_t*.* with set/{}_?is.*, 1 pair", "set/{}_t*.* set/{}_?is.*", named("1_thermal.png", "1_vis.png")),
    Case("a template and a folder", WORKS, "set/ir/{}_ir.* with set/vis/, 1 pair", "set/ir/{}_ir.* set/vis", named("ir/1_ir.png", "vis/1.png")),
    Case("a template without `{}`", FAILS, "set/*_ir.png does not exist; a template needs {} for the part that the names share", "set/*_ir.png set/*_vis.png", named("1_ir.png", "1_vis.png")),
    Case("`{}` twice", FAILS, "a template needs {} once, for the part that the names of all sources of a fusion share, such as set/{}_ir.*; got set/{}/{}_ir.*", "set/{}/{}_ir.* set/{}/{}_vis.*", named("1/1_ir.png", "1/1_vis.png")),
    Case("`{}` next to `*`", FAILS, "set/{}*.* leaves open what {} is in 1_ir: 1_ir or 1; write more of the names in place of *", "set/{}*.* set/{}_vis.*", named("1_ir.png", "1_vis.png")),
    Case("two files for one `{}`", FAILS, "failed: 1 has several files in set: 1_a_ir.png, 1_b_ir.png; keep one of them", "set/{}_?_ir.* set/{}_vis.*", named("1_a_ir.png", "1_b_ir.png", "1_vis.png", "2_a_ir.png", "2_vis.png"), code=1),
    Case("one template", FAILS, "set/{}_ir.* is the template of one source; give one for each source", "set/{}_ir.*", named("1_ir.png", "1_vis.png")),
    Case("a template and a file", FAILS, "expected files only or folders only, got set/{}_ir.* and a.png", "set/{}_ir.* a.png", named("1_ir.png", "1_vis.png")),
    # ---------------------------------------------------------------- files beside the images
    Case("a JPEG XL pair beside a PNG pair", FAILS, "failed: 2 cannot be fused: set/ir/2.jxl is a JPEG XL image, a format that is not read; convert it to PNG or TIFF first", "odd", beside(JXL, "ir/2.jxl", "vis/2.jxl"), code=1),
    Case("a PGM pair beside a PNG pair", WORKS, "set/ir/ with set/vis/, 2 pairs", "odd", named("ir/1.png", "vis/1.png", "ir/2.pgm", "vis/2.pgm")),
    Case("a PNG without a suffix", FAILS, "failed: 2 cannot be fused: set/ir/2 is a PNG image, but its name does not say so; rename it to 2.png, or give a template with its suffix", "odd", beside(PNG, "ir/2", "vis/2.png"), code=1),
    Case("a PNG with an unknown suffix, by a template with it", WORKS, "set/ir/{}.dat with set/vis/{}.png, 1 pair", "set/ir/{}.dat set/vis/{}.png", beside(PNG, "ir/1.dat")),
    Case("a raw file beside each JPEG of a camera", WORKS, "left out  set/vis/1.dng is a raw camera image, a format that is not read", "odd", beside(b"II*\0", "vis/1.dng")),
    Case("a copy, `1.png.bak`", WORKS, "left out  set/ir/1.png.bak is a PNG image, but its name does not say so", "odd", beside(PNG, "ir/1.png.bak")),
    Case("a text file beside the images", WORKS, "left out  1 file that is not an image: set/ir/notes.txt", "odd", beside(b"notes", "ir/notes.txt")),
    Case("Thumbs.db, .DS_Store, desktop.ini, records", WORKS, "", "odd", beside(b"", "ir/Thumbs.db", "ir/.DS_Store", "vis/desktop.ini", "ir/1.png.json")),
    Case("a text file with the suffix of an image", FAILS, "failed: 2: cannot read set/ir/2.png: it is not in a known image format", "odd", beside(b"text", "ir/2.png", "vis/2.png"), code=1),
    Case("folders without images", FAILS, "no images in ir, vis; expected files that end in one of", "odd vis", no_images),
    Case("stems that do not pair", FAILS, "failed: 3 is missing in vis; add it there, or remove it everywhere", "odd vis", unpaired, code=1),
    Case("`--resume` with files", FAILS, "--resume is for folders", "a.png b.png --resume"),
    Case("`--format` with files", FAILS, "--format is for folders; a single image has the format of its -o name", "a.png b.png --format tif"),
    Case("a pipe in the place of the manifest", FAILS, "fused/fusionlab-manifest.jsonl must be a regular file, which fusionlab writes itself, got a pipe", "ir vis --resume", in_place_of("fused/fusionlab-manifest.jsonl", os.mkfifo)),
    Case("a link in the place of the manifest", FAILS, "fused/fusionlab-manifest.jsonl must be a regular file, which fusionlab writes itself, got a symbolic link", "ir vis", in_place_of("fused/fusionlab-manifest.jsonl", link_to_a_source)),
    Case("a link in the place of a record, with `--overwrite`", FAILS, "fused.png.json must be a regular file, which fusionlab writes itself, got a symbolic link", "a.png b.png --record --overwrite", in_place_of("fused.png.json", link_to_a_source)),
    # ---------------------------------------------------------------- names that are odd text
    Case("a name with control sequences", FAILS, r"\x1b[2J\nError: forged does not exist", "odd b.png", lambda _: "\x1b[2J\nError: forged"),
    Case("a name that is not UTF-8", WORKS, "", "odd b.png", png(GRAY, "\udcff.png")),
    Case("control sequences in an option", FAILS, r"there is no strategy '\x1b[2J'", "a.png b.png --strategy \x1b[2J"),
    # ---------------------------------------------------------------- sequences
    Case("two videos", WORKS, "output   fused.mkv", "odd b.mkv", with_video()),
    Case("a video and a stack of pages", WORKS, "output   fused.mkv", "odd b.tif", with_video(other=lambda folder: tifffile.imwrite(folder / "b.tif", np.stack(videos.DEEP[:6]), photometric="minisblack"))),
    Case("videos of one frame", WORKS, "summary  1 fused", "odd b.mkv", with_video(frames("odd.mkv", [0]), frames("b.mkv", [1]))),
    Case("videos of different rates", FAILS, "the rates must be equal where frames are matched by their numbers, got 30 frames per second in odd.mkv and 25 in b.mkv; match them by their times (--sync)", "odd b.mkv", with_video(frames("odd.mkv", rate=30))),
    Case("the same, with `--sync time`", WORKS, "summary  6 fused", "odd b.mkv --sync time", with_video(frames("odd.mkv", rate=15), frames("b.mkv", range(11), rate=30))),
    Case("videos of different lengths", WARNS, "odd.mkv ends after 4 frames; the further ones of b.mkv are left out", "odd b.mkv", with_video(frames("odd.mkv", range(4)))),
    Case("times that do not overlap", FAILS, "no frames of odd.mkv and b.mkv are of the same time; correct the offsets (--offset)", "odd b.mkv --sync time --offset 0 --offset 99", with_video()),
    Case("`--sync time` for frames without times", FAILS, "odd states no times, by which frames could be matched; give its frames per second, or match the frames by their numbers (--rate)", "odd b.mkv --sync time", with_video(lambda folder: gray_frames(folder, "odd", range(6)))),
    Case("the same, with `--rate`", WORKS, "summary  6 fused", "odd b.mkv --sync time --rate 25", with_video(lambda folder: gray_frames(folder, "odd", range(6)))),
    Case("frames that do not come at a constant rate", WARNS, "odd.mkv: its frame 3 is 0.26 s behind its first, that of b.mkv 0.12 s; sync=time matches them by their times", "b.mkv odd", with_video(frames("odd.mkv", times=[0, 40, 80, 260, 300, 340]))),
    Case("the same, with `--sync time`: a gap of one frame", FAILS, "failed: 000003: odd.mkv has no frame near 0.12 s; the nearest is 0.04 s away", "b.mkv odd --sync time", with_video(frames("odd.mkv", times=[0, 40, 80, 160, 200], numbers=range(5))), code=1),
    Case("videos of different sizes", FAILS, "the sources must have the same size, got 64x48, 30x20 ...(--resize)", "odd b.gif", with_video(other=lambda folder: iio.imwrite(folder / "b.gif", np.stack([GRAY, OTHER])))),
    Case("a video that changes its size", FAILS, "failed: 000001: the sources must have the same size, got 64x32, 64x48 ...(--resize)", "odd b.mkv", with_video(changing_video, frames("b.mkv", range(3))), code=1),
    Case("a video of an odd width and height", WARNS, "fused.mp4 has chroma in full resolution (4:4:4) for its odd size 63x47", "odd b.mkv -o fused.mp4", with_video(*(lambda folder, name=name: videos.write(folder / name, "ffv1", "bgr0", [frame[:47, :63] for frame in videos.COLOR[:3]]) for name in ("odd.mkv", "b.mkv")))),
    Case("a video that is to be turned", WORKS, "frames   48x64, color", "odd b.mov", with_video(lambda folder: videos.turned(folder / "odd.mov"), lambda folder: videos.turned(folder / "b.mov"))),
    Case("a video with itself", WARNS, "odd.mkv is given as 2 of the sources", "odd odd", with_video()),
    Case("a damaged frame in the middle", FAILS, "failed: 000003: cannot read odd.mkv: its frame 3 is damaged", "odd b.mkv", with_video(damaged_video), code=1),
    Case("a video that is cut off", WARNS, "odd.mkv: it is damaged or cut off, and ends after 4 frames, before the 0.24 s that its header states", "odd b.mkv", with_video(cut_video)),
    Case("a video without frames", FAILS, "odd.y4m has no frames", "odd b.mkv", with_video(written(b"YUV4MPEG2 W64 H48 F25:1 Cmono\n", "odd.y4m"))),
    Case("the same, with `--sync time`", FAILS, "odd.y4m has no frames", "odd b.mkv --sync time", with_video(written(b"YUV4MPEG2 W64 H48 F25:1 Cmono\n", "odd.y4m"))),
    Case("a stack that is cut off", WARNS, "odd.tif: it is cut off, and ends after 3 frames", "odd b.mkv", with_video(cut_stack)),
    Case("an MP4 that is cut off, whose index is at its end", FAILS, "cannot read odd.mp4: its header is damaged, or it is cut off; expected a complete MP4 video", "odd b.mkv", with_video(lambda folder: videos.without_index(folder / "odd.mp4"))),
    Case("music", FAILS, "cannot read odd.mkv: it holds no video, only audio", "odd b.mkv", with_video(lambda folder: videos.music(folder / "odd.mkv"))),
    Case("a text file named .mp4", FAILS, "cannot read odd.mp4: it is neither a video nor an image in a known format", "odd b.mkv", with_video(written(b"text", "odd.mp4"))),
    Case("a playlist named .mp4", FAILS, "cannot read odd.mp4: it is neither a video nor an image in a known format", "odd b.mkv", with_video(written(b"#EXTM3U\nb.mkv\n", "odd.mp4"))),
    Case("a video of more pixels than `--max-pixels`", FAILS, "odd.mkv claims 64x48 pixels, more than the limit of 3071", "odd b.mkv --max-pixels 3071", with_video()),
    Case("channels of a video", FAILS, "odd.mkv is a video, of whose frames no page or channels can be selected; got [channels=1]", "odd.mkv[channels=1] b.mkv", with_video()),
    Case("numbered frames, one of which is missing in one folder", FAILS, "failed: 3: 3 is missing in ir; add it there, or remove it everywhere", "ir vis --sequence -o out/", folders_of_frames([0, 1, 2, 4], range(5)), code=1),
    Case("the same, with `--sync frame`", WARNS, "ir: its numbers go from 2 to 4; the frames in between are missing; matched by their names (sync=name), the others keep their places", "ir vis --sequence --sync frame -o out/", folders_of_frames([0, 1, 2, 4], range(5))),
    Case("a kind of video that is not written", FAILS, "the frames of a sequence go to a video (.mp4, .mov, .mkv), to the pages of a .tif, or to a folder; got x.avi", "odd b.mkv -o x.avi", with_video()),
    Case("`--register` for a sequence", FAILS, "--register is not for sequences: each frame would get a transform of its own, and the result would shake", "odd b.mkv --register auto", with_video()),
    Case("`--audio` of a video without any", FAILS, "odd.mkv has no audio to copy; leave it out (--audio)", "odd b.mkv -o x.mp4 --audio", with_video()),
    Case("a file in the place of the segments of a sequence", FAILS, "fused.mkv.parts must be a folder, which fusionlab makes itself", "odd b.mkv", with_video(beside_a_file("fused.mkv.parts"))),
    # ---------------------------------------------------------------- names of methods, weights
    Case("an unknown strategy", FAILS, "there is no strategy 'l1nrm'; did you mean 'l1norm'?", "a.png b.png --strategy l1nrm"),
    Case("an unknown task", FAILS, "there is no task 'fokus'; did you mean 'focus'?", "a.png b.png --task fokus"),
    Case("a task and a preset", FAILS, "--task and --preset both set the defaults; give only one of them", "a.png b.png --task focus --preset paper"),
    Case("an unknown option", FAILS, "No such option '--rr'... Options of l1norm: --r, --border", "a.png b.png --rr 1"),
    Case("a strategy as tables name it", WORKS, args="a.png b.png --strategy l1norm,r=2"),
    Case("the same value twice", FAILS, "r is given twice, as --r and in the name l1norm,r=2; give it once", "a.png b.png --strategy l1norm,r=2 --r 1"),
    Case("a value of an unknown name", FAILS, "the strategy 'l1norm' has no parameter 'rr'; it has: r, border", "a.png b.png --strategy l1norm,rr=2"),
    Case("a method in the place of a strategy", FAILS, "'densefuse/l1norm,r=2' is a method, not a strategy; give the strategy as l1norm,r=2, and --backbone densefuse", "a.png b.png --strategy densefuse/l1norm,r=2"),
    Case("an option out of its bounds", FAILS, "99 is not in the range 0<=x<=64", "a.png b.png --r 99"),
    Case("a scale that is none", FAILS, "a scale must be auto, full, minmax, percentile=LOW,HIGH within 0..100, or LO,HI with LO below HI, with a unit (20C,40C) or without; got '9,1'", "a.png b.png --scale 9,1"),
    Case("unknown weights", FAILS, "the backbone 'densefuse' has no weights '9'; known: 1e3-long", "a.png b.png --backbone densefuse@9"),
    Case("weights with another hash than their card", FAILS, "odd.safetensors is not the file its card describes: expected SHA-256 ...", f"odd b.png {OWN}", weights(bit_flip)),
    Case("weights of wrong shapes", FAILS, "odd.safetensors does not hold the weights of DenseFuse: ...", f"odd b.png {OWN}", weights(cropped)),
    Case("weights with other names", FAILS, "odd.safetensors does not hold the weights of DenseFuse: it lacks c1.bias and 15 more", f"odd b.png {OWN}", weights(numbered)),
    Case("weights that are integers", FAILS, "odd.safetensors does not hold the weights of DenseFuse: c1.weight must be of the dtype torch.float32, got I32; and 15 more", f"odd b.png {OWN}", weights(integers)),
    Case("weights that are not finite", FAILS, "odd.safetensors holds values in ... that are not finite; train again, or take another file", f"odd b.png {OWN}", weights(not_finite)),
    Case("weights without a card", FAILS, "x.safetensors has no card: expected x.json next to it", "a.png b.png --backbone densefuse@x.safetensors", raw(b"", "x.safetensors")),
    Case("a text file in the place of a model", FAILS, "x.onnx is not a model that onnxruntime can run:", "a.png b.png --model x.onnx", raw(b"text", "x.onnx")),
    Case("a model that another program has written", FAILS, "x.onnx is not a model that fusionlab has exported: it has no metadata named 'fusionlab'", "a.png b.png --model x.onnx", onnx_model()),
    Case("a model with weights in another file", FAILS, "x.onnx takes weights from other files, which is refused; export the method again", "a.png b.png --model x.onnx", onnx_model(b"\x0a\x08location\x12\x05x.bin")),
    Case("a model that is not there", FAILS, "x.onnx does not exist", "a.png b.png --model x.onnx"),
    Case("a model and a strategy", FAILS, "--strategy does not go with --model: the model decides it; leave one of them out", "a.png b.png --model x.onnx --strategy mean"),
    Case("weights in a pickle", FAILS, "x.pt was not read: loading a pickle can run programs; use a .safetensors file with its card", "a.png b.png --backbone densefuse@x.pt", raw(b"\x80\x04", "x.pt")),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    iio.imwrite("a.png", GRAY)
    iio.imwrite("b.png", OTHER)
    return tmp_path


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def arguments(case, folder):
    """Return the argument lists of a case: one, or one for each file to be tried."""
    names = case.make(folder) if case.make else ""
    if isinstance(names, list):
        return [[name, "b.png"] for name in names]
    split = names.split() if case.given == "50 sources" else [names]
    words = [split if word == "odd" else [word] for word in case.args.split()]
    return [[word for group in words for word in group]]


def pattern(case):
    return ".*".join(map(re.escape, case.says.split("...")))


@pytest.mark.parametrize("case", CASES, ids=[case.given for case in CASES])
def test_each_row_behaves_as_the_table_says(folder, case, only_what_ships, install):
    if case.plugin:  # under another name, since a developer may have installed it, too
        install(f"lab-{case.plugin}", "", entries=f"{case.plugin} = fusionlab_{case.plugin}")
    for args in arguments(case, folder):
        before = snapshot(folder)
        given = {"--backbone", "--model"} & {*args}
        backbone = [] if given else ["--backbone", case.backbone]
        result = CliRunner().invoke(main, ["fuse", *args, *backbone])
        after = snapshot(folder)
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert not [path for path in after if "partial" in path.name]
        assert {path: after.get(path) for path in before} == before  # nothing lost
        said = [
            line for line in result.stderr.splitlines() if not line.startswith(("Usage", "Try"))
        ]
        if case.outcome == FAILS:
            assert result.exit_code == (case.code or 2), result.output
            (sentence,) = filter(None, said)
            assert re.search(pattern(case), sentence), sentence
            if case.code is None:
                assert after == before  # nothing half-written
        else:
            assert result.exit_code == 0, result.output
            assert len(after) > len(before)
            warnings = [line for line in said if line.startswith("warning: ")]
            assert bool(warnings) == (case.outcome == WARNS), said
            printed = warnings if case.outcome == WARNS else result.stdout.splitlines()
            assert any(re.search(pattern(case), line) for line in [*printed, ""]), printed


def test_16_bits_stay_16_bits(folder):
    args = arguments(next(c for c in CASES if c.given == "16-bit RGB PNG"), folder)[0]
    assert CliRunner().invoke(main, ["fuse", *args, "--strategy", "max"]).exit_code == 0
    assert imagecodecs.png_decode(Path("fused.png").read_bytes()).dtype == np.uint16


RUNNING = [
    Case("a full disk", FAILS, "cannot write fused.png: No space left on device"),
    Case("a full disk in a folder run", FAILS, "cannot write out/...: No space left on device"),
    Case("Ctrl-C in a folder run", FAILS, "stopped after ... of 4; the files written are complete, continue with --resume"),
    Case("SIGKILL in a folder run, then `--resume`", WORKS),
    Case("SIGTERM in a folder run", FAILS, "stopped after ... of 4; the files written are complete, continue with --resume"),
    Case("a working folder that is gone", FAILS, "the working folder does not exist any more; change to one that does"),
]  # fmt: skip
"""Rows that take a process of their own."""

KILLER = """
    from dataclasses import dataclass
    import os, signal
    from fusionlab import Strategy, StrategyRef, hookimpl

    @hookimpl
    def fusionlab_strategies(): return [StrategyRef("deadly", __name__ + ":Deadly", "Ends it.")]

    @dataclass(frozen=True)
    class Deadly(Strategy):
        "Ends it."
        calls = []
        def fuse(self, features, scene):
            self.calls.append(1)
            if len(self.calls) == 3 and os.environ.get("SIGNAL"):
                os.kill(os.getpid(), int(os.environ["SIGNAL"]))
            return features[0]
"""


def fuse(*args):
    return CliRunner().invoke(main, ["fuse", "--backbone", "identity", *args])


def fuse_apart(python, *args, signaled):
    """Run the command in a process of its own, which gets a signal while it fuses."""
    path = os.pathsep.join(sys.path)
    return subprocess.run(
        [python, "-m", "fusionlab", "fuse", "--backbone", "identity", *args],
        capture_output=True,
        check=False,
        text=True,
        # ignored where tests run in the background
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env={**os.environ, "PYTHONPATH": path, "SIGNAL": str(int(signaled))},
    )


def test_a_full_disk_leaves_nothing_behind(folder):
    image_set(folder)
    before = snapshot(folder)
    for case, args in zip(
        RUNNING[:2], (("a.png", "b.png"), ("ir", "vis", "-o", "out")), strict=True
    ):
        with FaultyFiles(folder, 2, errno.ENOSPC, stays=True):  # once a file is open
            result = fuse(*args)
        assert result.exit_code == 2
        (sentence,) = result.stderr.splitlines()
        assert re.search(pattern(case), sentence)
    assert {p: c for p, c in snapshot(folder).items() if c} == before  # but for empty manifests


def test_a_stopped_run_says_so_and_a_killed_one_goes_on(folder, install, python):
    install("lab-deadly", KILLER)
    image_set(folder)
    args = ("ir", "vis", "--strategy", "deadly", "-o")
    stopped = fuse_apart(python, *args, "stopped", signaled=signal.SIGINT)
    assert stopped.returncode == 130
    (sentence,) = stopped.stderr.splitlines()
    assert re.search(pattern(RUNNING[2]), sentence)
    terminated = fuse_apart(python, *args, "terminated", signaled=signal.SIGTERM)
    assert terminated.returncode == 143
    assert re.search(pattern(RUNNING[4]), terminated.stderr)
    killed = fuse_apart(python, *args, "killed", signaled=signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    whole = fuse(*args, "whole")
    assert whole.exit_code == 0, whole.output
    expected = {path.name: content for path, content in snapshot(folder / "whole").items()}
    for name in ("stopped", "terminated", "killed"):
        found = snapshot(folder / name)
        assert {p.name for p in found if p.suffix == ".png" and "partial" not in p.name} < set(
            expected
        )
        again = fuse(*args, name, "--resume")
        assert again.exit_code == 0, again.output
        assert {p.name: content for p, content in snapshot(folder / name).items()} == expected


@pytest.mark.skipif(sys.platform != "linux", reason="a folder that is in use can be removed")
def test_a_working_folder_that_is_gone_costs_a_sentence(folder, monkeypatch):
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()
    result = fuse(str(folder / "a.png"), str(folder / "b.png"), "-o", str(folder / "c.png"))
    assert (result.exit_code, result.stderr) == (2, f"Error: {RUNNING[5].says}\n")


def test_the_docs_hold_exactly_these_rows():
    text = DOCS.read_text(encoding="utf-8").partition("## In Python")[0]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[2:] == table()


def table():
    return [
        f"| {case.given} | {case.outcome} | {case.says.replace('...', ' ... ').strip()} |".replace(
            "  ", " "
        )
        for case in [*CASES, *RUNNING]
    ]


if __name__ == "__main__":  # writes the table into the docs
    text = DOCS.read_text(encoding="utf-8")
    intro = text.partition("| what is given")[0]
    _, heading, python = text.partition("\n## In Python")  # test_odd_python_inputs writes it
    head = ["| what is given | what happens | what the command says |", "|---|---|---|"]
    rows = "\n".join([*head, *table()]) + "\n"
    DOCS.write_text(intro + rows + heading + python, encoding="utf-8")
