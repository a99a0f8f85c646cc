"""Writing image files: in full depth, all of a file or nothing, nothing overwritten unasked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import imageio.v3 as iio
import numpy as np

from fusionlab.errors import FusionlabError
from fusionlab.imaging import raster, tiff
from fusionlab.imaging.depth import Depth
from fusionlab.imaging.rows import Rows


@dataclass(frozen=True)
class Format:
    """What a file format can hold, and who encodes it."""

    depths: tuple[Depth, ...]
    encode: Callable[[Rows, str], bytes]
    """(pixels, record) -> content. A format without room for a record ignores it."""
    write: Callable[[BinaryIO, Rows, str], None] | None = None
    """(file, pixels, record): writes the same content, and holds a few rows at a time; None where
    the format is encoded as a whole."""
    lossless: bool = True

    def nearest(self, depth: Depth) -> Depth:
        """Return the depth that keeps most of `depth`."""
        return min(self.depths, key=lambda held: (held < depth, abs(held - depth)))


def _by_pillow(pixels: Rows, _: str, extension: str, **options: Any) -> bytes:
    content: Any = iio.imwrite(
        "<bytes>", np.asarray(pixels), extension=extension, plugin="pillow", **options
    )
    return bytes(content)


_PNG = Format((8, 16), raster.encode_png)
_JPEG = Format(
    (8,), partial(_by_pillow, extension=".jpg", quality=95, subsampling=0), lossless=False
)
_BMP = Format((8,), partial(_by_pillow, extension=".bmp"))
_TIFF = Format((8, 16, 32), tiff.encode, tiff.write)

FORMATS = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".bmp": _BMP,
    ".tif": _TIFF,
    ".tiff": _TIFF,
}
"""Suffix -> format. To read is more: see `fusionlab.imaging.reading`."""


def format_of(path: Path) -> Format:
    """Return the format that a name asks for.

    Raises:
        FusionlabError: its suffix is none that can be written.
    """
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise FusionlabError(
            f"cannot write {path}: the name must end in one of {', '.join(FORMATS)}"
        ) from None


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Raise `FusionlabError` if `path` cannot be written: asked before the work, not after it.

    Args:
        path: the file to be written.
        overwrite: whether it may exist already.
    """
    try:
        there = path.is_symlink() or path.exists()
        if there and not path.resolve().is_file():
            kind = "a folder" if path.is_dir() else "not a file"
            raise FusionlabError(f"cannot write {path}: it is {kind}; choose another name")
        if not path.parent.is_dir():
            raise FusionlabError(
                f"cannot write {path}: the folder {path.parent} does not exist; make it first"
            )
    except (OSError, RuntimeError) as error:  # a name too long, a loop of links
        reason = getattr(error, "strerror", None) or error
        raise FusionlabError(f"cannot write {path}: {reason}") from error
    if there and not overwrite:
        raise FusionlabError(f"{path} exists already; choose another name or use --overwrite")
