"""Which image format a file is in, by its first bytes: one that is read, or another one.

A file in a format that is not read is an image all the same: a folder that holds one must not be
fused as if it were not there.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from fusionlab.plugins import NO_PLUGIN
from fusionlab.plugins.host import plugins_without
from fusionlab.plugins.offers import ReaderRef, SequenceReaderRef
from fusionlab.plugins.registry import Plugins

RAW = "raw camera"
RAW_SUFFIXES = {".dng", ".nef", ".cr2", ".arw", ".orf", ".rw2", ".pef", ".raf"}
"""Suffixes of raw files, which begin like TIFF and hold a small photo in its place."""

NOT_READ = {
    "JPEG XL": (rb"\xff\x0a|\0\0\0\x0cJXL ", ""),
    "Photoshop": (rb"8BPS\0[\x01\x02]", ""),
    "FITS": (rb"SIMPLE  =", ""),
    "DICOM": (rb".{128}DICM", "fusionlab-dicom"),
}
"""Name of a format that nothing here reads -> its first bytes, and the plugin that reads it."""


@dataclass(frozen=True)
class ImageFormat:
    """The format of a file."""

    name: str
    """Empty: it is not an image."""
    reader: ReaderRef | None = None
    """None: it is not read."""
    requires: str = ""
    """What would have to be installed to read it, where that is known."""

    @property
    def refusal(self) -> str:
        """What it is and why it is not read; continues "it is"."""
        plugin = f" without {self.requires}" if self.requires else ""
        return f"a {self.name} image, a format that is not read{plugin}"


def _plugins() -> Plugins:
    """Return the plugins of this process."""
    return plugins_without(os.environ.get(NO_PLUGIN, ""))


def suffixes() -> frozenset[str]:
    """Return the suffixes of files that are taken for images when a folder is searched."""
    return _plugins().image_suffixes


def any_format() -> str:
    """Return the formats that are read, as a sentence says them: `PNG, JPEG or TIFF`."""
    names = [ref.name for ref in _plugins().readers_in_order if not ref.requires]
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "image"


def first_bytes() -> int:
    """Return how much of a file is needed to recognize it."""
    plugins = _plugins()
    refs = [*plugins.readers_in_order, *plugins.sequence_readers_in_order]
    return max((ref.within for ref in refs), default=0)


def has_image_suffix(path: Path) -> bool:
    """Return whether a file is taken for an image when a folder is searched."""
    return path.suffix.lower() in suffixes()


def readers_of(content: bytes, suffix: str) -> list[ReaderRef]:
    """Return the readers that may read a file, in the order in which they are to be asked.

    Args:
        content: of the file, or as many of its first bytes as `first_bytes` says.
        suffix: of its name.
    """
    readers = _plugins().readers_in_order
    return [ref for ref in readers if ref.recognizes(content, suffix.lower())]


def sequence_readers_of(content: bytes, suffix: str) -> list[SequenceReaderRef]:
    """Return the readers of videos that may read a file, likewise."""
    readers = _plugins().sequence_readers_in_order
    return [ref for ref in readers if ref.recognizes(content, suffix.lower())]


def image_format(content: bytes, suffix: str) -> ImageFormat:
    """Return the format of a file, by its first bytes where these tell.

    Args:
        content: as `readers_of`.
        suffix: of its name.
    """
    readers = readers_of(content, suffix)
    raw = suffix.lower() in RAW_SUFFIXES
    if readers and not (raw and suffix.lower() not in readers[0].suffixes):
        return ImageFormat(readers[0].name, readers[0])
    if raw:
        return ImageFormat(RAW)
    for name, (mark, requires) in NOT_READ.items():
        if re.match(mark, content, re.DOTALL):
            return ImageFormat(name, None, requires)
    return ImageFormat("")


def recognize(path: Path) -> ImageFormat:
    """Return the format of a file.

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        return image_format(file.read(first_bytes()), path.suffix)
