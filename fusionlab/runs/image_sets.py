"""Image sets: which files in which folders make up the sources of one fusion.

Either one folder with subfolders `a/ b/ c/ ...` (single letters; other folders are ignored),
where every stem has as many sources as there are letters with a file of that stem:

    set/a/house.png  set/b/house.png  set/c/house.tif        k = 3
    set/a/street.jpg set/b/street.png                        k = 2

or several folders, where every stem has one file in each of them: `infrared/ visible/`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionlab.errors import FusionlabError
from fusionlab.imaging.reading import SUFFIXES


@dataclass(frozen=True)
class ImageSetItem:
    """The sources of one fusion, or the reason why they cannot be fused."""

    stem: str
    sources: tuple[Path, ...]
    problem: str = ""
    """A sentence that begins with the stem; empty if the item is complete."""


def find_image_set(folders: str | Path | Sequence[str | Path]) -> list[ImageSetItem]:
    """Pair the images of an image set by stem, across suffixes, sorted by stem.

    Args:
        folders: one folder with subfolders a/ b/ c/ ..., or several with one source each.

    Raises:
        FusionlabError: a folder cannot be read (code `unreadable`), is not an image set (code
            `not-an-image-set`), the folders are several sets (code `several-sets`), or there are
            no images (code `no-images`).
    """
    paths = [Path(folders)] if isinstance(folders, str | Path) else [Path(f) for f in folders]
    try:
        source_folders = _letter_folders(paths[0]) if len(paths) == 1 else paths
        files_by_stem = [images_by_stem(folder) for folder in source_folders]
    except OSError as error:
        raise FusionlabError(
            f"cannot read {error.filename}: {error.strerror}", code="unreadable"
        ) from error
    stems = sorted(set().union(*files_by_stem))
    if not stems and len(paths) > 1 and all(map(_is_image_set, paths)):
        raise FusionlabError(
            f"{paths[0]} and {paths[1]} are image sets of their own, with a/ b/ ...; several "
            "folders are the sources of one set: give one set at a time, or write a study",
            code="several-sets",
            path=paths[0],
        )
    if not stems:
        raise FusionlabError(
            f"no images in {', '.join(map(str, source_folders))}; expected files that end in one "
            f"of {', '.join(sorted(SUFFIXES))}",
            code="no-images",
        )
    same_k = len(paths) > 1  # otherwise k may differ from stem to stem
    return [_item(stem, source_folders, files_by_stem, same_k=same_k) for stem in stems]


def _is_image_set(folder: Path) -> bool:
    return all((folder / letter).is_dir() for letter in "ab")


def _letter_folders(folder: Path) -> list[Path]:
    subfolders = sorted(p for p in folder.iterdir() if re.fullmatch("[a-z]", p.name) and p.is_dir())
    if len(subfolders) < 2:
        raise FusionlabError(
            f"{folder} is not an image set: expected subfolders a/ b/ c/ ... with one source of "
            "each fusion; or give several folders, one for each source",
            code="not-an-image-set",
            path=folder,
        )
    return subfolders


def images_by_stem(folder: Path) -> dict[str, list[Path]]:
    """Return stem -> image files of a folder with this stem, whatever their suffix."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".")
        not_a_file = path.exists() and not path.is_file()  # but include broken links
        if path.suffix.lower() in SUFFIXES and not hidden and not not_a_file:
            # Unicode names have several spellings, and file systems differ in which they store
            files.setdefault(unicodedata.normalize("NFC", path.stem), []).append(path)
    return files


def _item(
    stem: str, folders: list[Path], files_by_stem: list[dict[str, list[Path]]], *, same_k: bool
) -> ImageSetItem:
    """Return the item of a stem; without `same_k`, later folders may lack it."""
    folders_with_stem = [
        f for f, files in zip(folders, files_by_stem, strict=True) if stem in files
    ]
    sources = [files[stem] for files in files_by_stem if stem in files]
    problem = ""
    if duplicates := next((paths for paths in sources if len(paths) > 1), None):
        names = ", ".join(path.name for path in duplicates)
        problem = f"{stem} has several files in {duplicates[0].parent}: {names}; keep one of them"
    expected = folders if same_k else _folders_up_to(folders_with_stem[-1])
    if missing := [folder for folder in expected if folder not in folders_with_stem]:
        problem = f"{stem} is missing in {missing[0]}; add it there, or remove it everywhere"
    elif len(folders_with_stem) < 2:
        problem = f"{stem} is only in {folders_with_stem[0]}; a fusion needs at least two sources"
    return ImageSetItem(stem, tuple(paths[0] for paths in sources), problem)


def _folders_up_to(last: Path) -> list[Path]:
    """Return the folders from a/ to the last one that has a file."""
    letters = range(ord("a"), ord(last.name) + 1)
    return [last.with_name(chr(letter)) for letter in letters]
