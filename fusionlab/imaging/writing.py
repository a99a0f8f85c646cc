"""Writing image files: all of a file or nothing, and nothing overwritten unasked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio.v3 as iio
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError
from fusionlab.files import written_beside

FORMATS: dict[str, dict[str, Any]] = {
    ".png": {},
    ".jpg": {"quality": 95},
    ".jpeg": {"quality": 95},
    ".bmp": {},
    ".tif": {"compression": "tiff_adobe_deflate"},
    ".tiff": {"compression": "tiff_adobe_deflate"},
}
"""Suffix -> what the encoder is told."""


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Raise `FusionlabError` if `path` cannot be written: asked before the work, not after it.

    Args:
        path: the file to be written.
        overwrite: whether it may exist already.
    """
    if path.suffix.lower() not in FORMATS:
        raise FusionlabError(
            f"cannot write {path}: the name must end in one of {', '.join(FORMATS)}"
        )
    try:
        there = path.is_symlink() or path.exists()
        if there and not path.resolve().is_file():
            raise FusionlabError(f"cannot write {path}: it is there and not a file")
        if not path.parent.is_dir():
            raise FusionlabError(f"cannot write {path}: the folder {path.parent} does not exist")
    except OSError as error:  # a name too long, a folder that may not be entered
        raise FusionlabError(f"cannot write {path}: {error.strerror}") from error
    if there and not overwrite:
        raise FusionlabError(f"{path} exists already; choose another name or use --overwrite")


def write_image(path: Path, pixels: NDArray[Any]) -> None:
    """Write uint8 pixels `(H, W)` or `(H, W, 3)` in the format of the suffix.

    Raises:
        FusionlabError: the folder is read-only, the disk is full, ...; `path` is then untouched.
    """
    try:
        with written_beside(path) as beside:
            options = FORMATS[path.suffix.lower()]
            iio.imwrite(beside, pixels, plugin="pillow", **options)
    except OSError as error:
        raise FusionlabError(f"cannot write {path}: {error.strerror or error}") from error
