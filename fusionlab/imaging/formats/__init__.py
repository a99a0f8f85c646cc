"""The formats that fusionlab reads and writes itself, a file each, and how complete files are.

This module registers them as a plugin registers its own; it imports no decoder. `pillow_formats`
has those that Pillow decodes, `tiff` and `tiff_rows` TIFF as a whole and by rows, `png_data` and
`jpeg_data` what a file must hold to be complete.
"""

from __future__ import annotations

from collections.abc import Sequence

from fusionlab.hookspecs import hookimpl
from fusionlab.plugins.offers import ReaderRef

PILLOW = f"{__name__}.pillow_formats:open_image"
TIFF = f"{__name__}.tiff:open_image"


@hookimpl
def fusionlab_readers() -> Sequence[ReaderRef]:
    """List the formats that fusionlab reads itself."""
    return [
        ReaderRef(
            "PNG", PILLOW, "Gray and color, up to 16 bits.", (".png",), rb"\x89PNG\r\n\x1a\n"
        ),
        ReaderRef("JPEG", PILLOW, "8 bits.", (".jpg", ".jpeg", ".mpo"), rb"\xff\xd8\xff"),
        ReaderRef(
            "BMP",
            PILLOW,
            "8 bits.",
            (".bmp",),
            rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}",  # with the size of its header
        ),
        ReaderRef("GIF", PILLOW, "8 bits, of a palette.", (".gif",), rb"GIF8[79]a"),
        ReaderRef("WebP", PILLOW, "8 bits.", (".webp",), rb"RIFF.{4}WEBP"),
        ReaderRef(
            "TIFF",
            TIFF,
            "Integers and floats of any depth; large files by rows.",
            (".tif", ".tiff"),
            rb"II[*+]\0|MM\0[*+]",
        ),
        ReaderRef(
            "PNM",
            f"{__name__}.pnm:open_image",
            "PBM, PGM, PPM, PAM and PFM: up to 16 bits, and floats.",
            (".pgm", ".ppm", ".pbm", ".pnm", ".pam", ".pfm"),
            rb"P[1-7]\s|P[Ff]\s",
        ),
        ReaderRef(
            "JPEG2000",
            f"{__name__}.jpeg2000:open_image",
            "Up to 16 bits.",
            (".jp2", ".j2k", ".jpx"),
            rb"\0\0\0\x0cjP  \r\n|\xff\x4f\xff\x51",
        ),
        ReaderRef(
            "AVIF",
            f"{__name__}.avif:open_image",
            "8, 10 or 12 bits.",
            (".avif",),
            rb".{4}ftyp(avi[fs]|mi(f1|af).{,60}?avi[fs])",
        ),
        ReaderRef(
            "Radiance",
            f"{__name__}.radiance:open_image",
            "Radiance HDR: floats.",
            (".hdr",),
            rb"#\?(RADIANCE|RGBE)",
        ),
        ReaderRef(
            "TGA",
            PILLOW,
            "8 bits.",
            (".tga",),
            rb".[\0\1][\1\2\3\x09\x0a\x0b]",
            needs_suffix=True,  # its first bytes are no mark
        ),
        ReaderRef(
            "OpenEXR",
            f"{__name__}.exr:open_image",
            "Half and single floats, of any channels.",
            (".exr",),
            rb"\x76\x2f\x31\x01",
            requires="fusionlab-imaging[exr]",
        ),
        ReaderRef(
            "HEIC",
            f"{__name__}.heic:open_image",
            "Photos of phones, up to 12 bits.",
            (".heic", ".heif"),
            rb".{4}ftyp(hei[cmsx]|hev[cx]|m[is]f1.{,60}?he[iv][cx])",
            requires="fusionlab-imaging[heic]",
        ),
    ]
