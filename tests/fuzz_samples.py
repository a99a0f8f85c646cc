"""Small whole images of every format that is read, and ways to end them too early.

Used by `fuzz.py`. The pixels vary smoothly, so that what a decoder makes up differs from them.
"""

import io
import runpy
import struct
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from fusionlab.imaging.formats.png_data import SIGNATURE, chunks
from fusionlab.plugins.host import installed

PLUGINS = Path(__file__).parents[1] / "plugins"
Y, X = np.mgrid[:24, :32]
DEEP = np.stack([1800 * X, 2600 * Y, 1100 * (X + Y)], axis=-1).astype(np.uint16)
RGB = (DEEP >> 8).astype(np.uint8)
GRAY = RGB[..., 2]
PILLOW = {
    "png": ("PNG", "RGB", {}),
    "png-gray": ("PNG", "L", {}),
    "png-palette": ("PNG", "P", {"transparency": 3}),
    "png-1bit": ("PNG", "1", {}),
    "apng": ("PNG", "RGB", {"save_all": True}),
    "jpeg": ("JPEG", "RGB", {"quality": 90}),
    "jpeg-gray": ("JPEG", "L", {}),
    "jpeg-progressive": ("JPEG", "RGB", {"progressive": True}),
    "jpeg-restarts": ("JPEG", "RGB", {"restart_marker_blocks": 2}),
    "mpo": ("MPO", "RGB", {"save_all": True}),
    "bmp": ("BMP", "RGB", {}),
    "bmp-palette": ("BMP", "P", {}),
    "tga": ("TGA", "RGB", {}),
    "tga-packed": ("TGA", "RGB", {"compression": "tga_rle"}),
    "gif": ("GIF", "P", {"save_all": True}),
    "webp": ("WEBP", "RGB", {"lossless": True}),
    "webp-lossy": ("WEBP", "RGB", {}),
    "webp-frames": ("WEBP", "RGB", {"save_all": True}),
    "tiff-group3": ("TIFF", "1", {"compression": "group3"}),
    "tiff-group4": ("TIFF", "1", {"compression": "group4"}),
}
TIFF = {
    "tiff": (DEEP, {"photometric": "rgb"}),
    "tiff-strips": (DEEP, {"photometric": "rgb", "rowsperstrip": 5}),
    "tiff-planes": (DEEP.transpose(2, 0, 1), {"photometric": "rgb", "planarconfig": "separate"}),
    "tiff-lzw": (DEEP[..., 0], {"compression": "lzw", "predictor": True}),
    "tiff-zlib": (DEEP, {"photometric": "rgb", "compression": "zlib"}),
    "tiff-packbits": (RGB, {"photometric": "rgb", "compression": "packbits"}),
    "tiff-zstd": (DEEP, {"photometric": "rgb", "compression": "zstd"}),
    "tiff-lzma": (DEEP, {"photometric": "rgb", "compression": "lzma"}),
    "tiff-jpeg": (RGB, {"photometric": "ycbcr", "compression": "jpeg"}),
    "tiff-jpeg2000": (RGB, {"photometric": "rgb", "compression": "jpeg2000"}),
    "tiff-webp": (RGB, {"photometric": "rgb", "compression": "webp"}),
    "tiff-lerc": (DEEP[..., 0].astype(np.float32), {"compression": "lerc"}),
    "tiff-1bit": (GRAY > 40, {"photometric": "minisblack", "compression": "zlib"}),
    "tiff-float": (DEEP / np.float32(65535), {"photometric": "rgb", "tile": (16, 16)}),
    "tiff-tiles": (DEEP, {"photometric": "rgb", "tile": (16, 16), "compression": "zlib"}),
    "tiff-pages": (np.stack([GRAY, GRAY[::-1]]), {"photometric": "minisblack"}),
    "tiff-bands": (np.dstack([DEEP, DEEP]), {"photometric": "minisblack"}),
    "tiff-ome": (DEEP.transpose(2, 0, 1), {"ome": True, "metadata": {"axes": "ZYX"}}),
    "tiff-imagej": (DEEP.transpose(2, 0, 1), {"imagej": True}),
    "tiff-big": (DEEP, {"photometric": "rgb", "bigtiff": True, "byteorder": ">"}),
}


def suffix(kind):
    """Return the suffix with which a file of a kind is read."""
    return ".tga" if kind.startswith("tga") else ".png"


def originals():
    """Make one image of each kind; those of extras and plugins where they are installed."""
    found = {
        "png16": imagecodecs.png_encode(DEEP),
        "png16-gray": imagecodecs.png_encode(DEEP[..., 0].copy()),
        "png-alpha": imagecodecs.png_encode(np.dstack([RGB, GRAY])),
        "png-interlaced": interlaced_png(8),
        "png16-interlaced": interlaced_png(16),
        "pgm-text": b"P2\n32 24\n255\n" + b" ".join(b"%d" % value for value in GRAY.flat) + b" \n",
        "pbm": b"P4\n32 24\n" + np.packbits(GRAY > 40, axis=1).tobytes(),
        "ppm16": b"P6 32 24 65535\n" + DEEP.astype(">u2").tobytes(),
        "pam": b"P7\nWIDTH 32\nHEIGHT 24\nDEPTH 3\nMAXVAL 255\nENDHDR\n" + RGB.tobytes(),
        "pfm": b"Pf\n32 24\n-1.0\n" + GRAY.astype("<f4").tobytes(),
        "jpeg2000": imagecodecs.jpeg2k_encode(DEEP, level=0),
        "jpeg2000-stream": imagecodecs.jpeg2k_encode(RGB, level=40, codecformat="j2k"),
        "avif": imagecodecs.avif_encode(RGB),
        "avif10": imagecodecs.avif_encode(DEEP >> 6, bitspersample=10),
        "hdr": imagecodecs.rgbe_encode(RGB.astype(np.float32)),
        **{name: by_pillow(*how) for name, how in PILLOW.items()},
        **{name: by_tifffile(pixels, **options) for name, (pixels, options) in TIFF.items()},
    }
    readers = {ref.name for ref in installed().readers_in_order}
    with suppress(ImportError):
        found |= of_openexr()
    with suppress(ImportError):
        found["heic"] = of_heif()
    if "DICOM" in readers:
        with suppress(ImportError):
            found |= of_dicom()
    if any(name.startswith("FLIR") for name in readers):
        found |= of_thermal()
    return {name: bytes(content) for name, content in found.items()}


def by_pillow(kind, mode, options):
    image, file = Image.fromarray(RGB), io.BytesIO()
    image = image.quantize(16) if mode == "P" else image.convert(mode)
    if "save_all" in options:
        options = options | {"append_images": [image.rotate(180)]}
    image.save(file, kind, **options)
    return file.getvalue()


def by_tifffile(pixels, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def png_chunk(kind, data):
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def interlaced_png(bits):
    """Pillow and imagecodecs write none."""
    pixels = DEEP.astype(">u2") if bits == 16 else RGB
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
              (1, 0, 2, 1)]  # fmt: skip  # first row and column, and the steps
    rows = [
        b"\0" + row.tobytes()
        for top, left, down, across in passes
        for row in pixels[top::down, left::across]
    ]
    header = struct.pack(">IIBBBBB", 32, 24, bits, 2, 0, 0, 1)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    return SIGNATURE + b"".join(png_chunk(*part) for part in parts)


def of_openexr():
    import OpenEXR

    found = {}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "x.exr")
        for compression in ("NO", "RLE", "ZIP", "PIZ", "PXR24", "B44", "DWAA"):
            kind = getattr(OpenEXR, f"{compression}_COMPRESSION")
            header = {"compression": kind, "type": OpenEXR.scanlineimage}
            OpenEXR.File(header, {"RGB": DEEP / np.float32(65535)}).write(str(path))
            found[f"exr-{compression.lower()}"] = path.read_bytes()
    return found


def of_heif():
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(RGB)).save(file)
    return file.getvalue()


def of_dicom():
    from pydicom import dcmread
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

    dicom = runpy.run_path(str(PLUGINS / "fusionlab-dicom" / "tests" / "make_files.py"))["dicom"]
    found = {
        "dicom": dicom(DEEP[..., 0], 16, WindowCenter=9000, WindowWidth=20000),
        "dicom-color": dicom(RGB),
        "dicom-frames": dicom(DEEP.transpose(2, 0, 1), NumberOfFrames=3),
    }
    gray = by_pillow("JPEG", "L", {})
    tiles = imagecodecs.jpeg2k_encode(GRAY, level=0, codecformat="j2k")
    for syntax, frame in [(RLELossless, b""), (JPEGBaseline8Bit, gray), (JPEG2000Lossless, tiles)]:
        dataset = dcmread(io.BytesIO(dicom(GRAY, 8)))
        if frame:
            dataset.PixelData = encapsulate([frame])
            dataset["PixelData"].VR = "OB"
            dataset.file_meta.TransferSyntaxUID = syntax
        else:
            dataset.compress(syntax)
        file = io.BytesIO()
        dataset.save_as(file)
        found[f"dicom-{syntax.name.split()[0].lower()}-{len(found)}"] = file.getvalue()
    return found


def of_thermal():
    made = runpy.run_path(str(PLUGINS / "fusionlab-thermal" / "tests" / "make_files.py"))
    scene = made["scene"](32, 24)
    photo = {"photo": made["jpeg"](made["photo"](64, 48)), "photo_size": (64, 48)}
    container = made["container"]
    return {
        "flir": made["flir_jpeg"](container(scene, **photo, view=(1.25, 2, -1))),
        "flir-png": made["flir_jpeg"](container(scene, **photo, png="swapped")),
        "fff": container(scene),
        "dji": made["dji_jpeg"](scene),
    }


def cut(content, dice):
    """End a file too early: anywhere, or so that its format does not show it.

    What it holds is right as far as it goes.
    """
    held = content[: dice.randrange(1, len(content))]
    scan, tile = content.find(b"\xff\xda"), content.find(b"\xff\x90")
    if dice.random() < 0.4:
        return held
    if content.startswith(SIGNATURE):
        return fewer_rows(content, dice)
    if content.startswith(b"\xff\xd8\xff"):
        return held + b"\xff\xd9"
    if content.startswith(b"GIF8"):
        held += dice.choice([b"\0;", b";"])
    elif content.startswith(b"RIFF"):
        held = held[:4] + struct.pack("<I", max(0, len(held) - 8)) + held[8:]
    elif content.startswith((b"\xff\x4f", b"\0\0\0\x0cjP")) and len(held) > tile + 10:
        length = struct.pack(">I", len(held) - tile)
        held = held[: tile + 6] + length + held[tile + 10 :] + b"\xff\xd9"
    elif scan > 0 and (end := content.find(b"\xff\xd9", scan)) > 0:  # a JPEG in another file
        pixels = scan + 2 + int.from_bytes(content[scan + 2 : scan + 4])
        middle = dice.randrange(pixels, end)
        held = content[:middle] + b"\xff\xd9" + bytes(end - middle) + content[end + 2 :]
    return held


def fewer_rows(content, dice):
    """Return a PNG whose stream is complete, and holds fewer bytes of pixels."""
    parts = list(chunks(content))
    pixels = zlib.decompress(b"".join(data for kind, data in parts if kind == b"IDAT"))
    held = zlib.compress(pixels[: dice.randrange(len(pixels))])
    result, done = SIGNATURE, False
    for kind, data in parts:
        if kind != b"IDAT":
            result += png_chunk(kind, bytes(data))
        elif not done:
            result, done = result + png_chunk(kind, held), True
    return result
