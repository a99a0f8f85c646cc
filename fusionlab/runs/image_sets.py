"""Image sets: which files in which folders make up the sources of one fusion.

Either one folder with sub-folders `a/ b/ c/ ...` (single letters; other folders are ignored),
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
    """The sources of one fusion, or why there is none."""

    stem: str
    sources: tuple[Path, ...]
    problem: str = ""
    """A sentence that begins with the stem; empty if all is well."""


def find_image_set(folders: Sequence[Path]) -> list[ImageSetItem]:
    """Pair the images of an image set by stem, across suffixes, in the order of their stems.

    Args:
        folders: one folder with sub-folders a/ b/ c/ ..., or two and more with one source each.

    Raises:
        FusionlabError: a folder cannot be read, or there is nothing to pair.
    """
    try:
        places = _letters(folders[0]) if len(folders) == 1 else list(folders)
        found = [images_by_stem(place) for place in places]
    except OSError as error:
        raise FusionlabError(f"cannot read {error.filename}: {error.strerror}") from error
    stems = sorted(set().union(*found))
    if not stems:
        raise FusionlabError(
            f"no images in {', '.join(map(str, places))}; expected files that end in one of "
            f"{', '.join(sorted(SUFFIXES))}"
        )
    whole = len(folders) > 1  # otherwise k may differ from stem to stem
    return [_entry(stem, places, found, whole=whole) for stem in stems]


def _letters(folder: Path) -> list[Path]:
    places = sorted(p for p in folder.iterdir() if re.fullmatch("[a-z]", p.name) and p.is_dir())
    if len(places) < 2:
        raise FusionlabError(
            f"{folder} is no image set: expected sub-folders a/ b/ c/ ... with one source of "
            "each fusion; or name two and more folders, one for each source"
        )
    return places


def images_by_stem(place: Path) -> dict[str, list[Path]]:
    """Return the image files of a folder: stem -> those of this stem, whatever their suffix."""
    files: dict[str, list[Path]] = {}
    for path in sorted(place.iterdir()):
        hidden = path.name.startswith(".")
        other = path.exists() and not path.is_file()  # a folder, a pipe; a broken link is missed
        if path.suffix.lower() in SUFFIXES and not hidden and not other:
            # one name can be spelled in two ways, and file systems differ in which they keep
            files.setdefault(unicodedata.normalize("NFC", path.stem), []).append(path)
    return files


def _entry(
    stem: str, places: list[Path], found: list[dict[str, list[Path]]], *, whole: bool
) -> ImageSetItem:
    there = [place for place, files in zip(places, found, strict=True) if stem in files]
    sources = [files[stem] for files in found if stem in files]
    problem = ""
    if twice := next((paths for paths in sources if len(paths) > 1), None):
        names = ", ".join(path.name for path in twice)
        problem = f"{stem} has several files in {twice[0].parent}: {names}; keep one of them"
    expected = places if whole else _contiguous(there[-1])
    if missing := [place for place in expected if place not in there]:
        problem = f"{stem} is missing in {missing[0]}; add it there, or leave it out everywhere"
    elif len(there) < 2:
        problem = f"{stem} is only in {there[0]}; a fusion needs at least two sources"
    return ImageSetItem(stem, tuple(paths[0] for paths in sources), problem)


def _contiguous(last: Path) -> list[Path]:
    """Return the folders from a/ to the last one that has a file."""
    letters = range(ord("a"), ord(last.name) + 1)
    return [last.with_name(chr(letter)) for letter in letters]
