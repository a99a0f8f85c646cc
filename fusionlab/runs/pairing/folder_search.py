"""Search a folder for images: what is one by its name, and what is left out, with the reason."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fusionlab.imaging.recognizing import has_image_suffix, recognize
from fusionlab.runs.destination import is_record_path
from fusionlab.runs.manifest import MANIFEST_NAME, SEQUENCE_JOURNAL_NAME

SIDE_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", MANIFEST_NAME, SEQUENCE_JOURNAL_NAME}
"""Files that other programs and earlier runs leave in a folder, in lower case. They are left out
without a word, as are hidden files and records."""


@dataclass(frozen=True)
class LeftOut:
    """A file that is not taken as an image, and why."""

    path: Path
    reason: str
    """Continues a sentence that begins with the path."""
    is_image: bool = False
    """Whether it is an image by its content, so that somebody may miss it."""


@dataclass(frozen=True)
class Listing:
    """What a folder holds."""

    images: tuple[Path, ...]
    """Files with the suffix of an image, sorted, and links that lead nowhere."""
    left_out: tuple[LeftOut, ...]


def list_folder(folder: Path) -> Listing:
    """List the images of a folder, and the files that are none; sub-folders are not searched.

    Raises:
        OSError: the folder cannot be read.
    """
    files = list(_files(folder))
    images = [path for path in files if has_image_suffix(path)]
    return Listing(
        tuple(images), tuple(_left_out(path) for path in files if not has_image_suffix(path))
    )


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        not_a_file = path.exists() and not path.is_file()  # but keep broken links
        if not (is_side_file(path) or not_a_file):
            yield path


def is_side_file(path: Path) -> bool:
    """Return whether a file was put there by a file browser, an operating system or fusionlab."""
    hidden = path.name.startswith(".")
    record = is_record_path(path) and has_image_suffix(path.with_suffix(""))
    return hidden or record or path.name.lower() in SIDE_FILES


def images_by_stem(folder: Path) -> dict[str, list[Path]]:
    """Return stem -> image files of a folder with this stem, whatever their suffix.

    Raises:
        OSError: the folder cannot be read.
    """
    files: dict[str, list[Path]] = {}
    for path in filter(has_image_suffix, _files(folder)):
        files.setdefault(normal_form(path.stem), []).append(path)
    return files


def normal_form(name: str) -> str:
    """Return a name in the one Unicode form in which names are compared.

    Unicode names have several spellings, and file systems differ in which they store.
    """
    return unicodedata.normalize("NFC", name)


def stems_of(path: Path) -> Iterator[str]:
    """Yield the stems that a file without the suffix of an image may have: `1.png.bak` has two."""
    yield normal_form(path.stem)
    if has_image_suffix(path.with_suffix("")):
        yield normal_form(path.with_suffix("").stem)


def _left_out(path: Path) -> LeftOut:
    try:
        found = recognize(path)
    except OSError as error:
        return LeftOut(path, f"cannot be read: {error.strerror}")
    if not found.name:
        return LeftOut(path, "is not an image")
    if found.reader is not None:
        suffix = found.reader.suffixes[0]
        return LeftOut(
            path,
            f"is a {found.name} image, but its name does not say so; rename it to "
            f"{path.with_suffix(suffix).name}, or give a template with its suffix",
            is_image=True,
        )
    install = f"install {found.requires}, or " if found.requires else ""
    return LeftOut(
        path,
        f"is {found.refusal}; {install}convert it to PNG or TIFF first",
        is_image=True,
    )
