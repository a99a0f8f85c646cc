"""Why one folder is not an image set, and what was probably meant: a folder in it, or its files."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from fusionlab.errors import FusionlabError, PairingError
from fusionlab.imaging.reading import read_image
from fusionlab.runs.pairing.folder_search import list_folder
from fusionlab.runs.pairing.subfolders import scene_templates

LOOKED_INTO = 200
"""At most so many folders below the one that was given are searched for images."""
READ = 5
"""So many of the images of a folder are read, to see whether one file holds several sources."""


def not_an_image_set(folder: Path) -> PairingError:
    """Return the error that the sources of an image set are not found in a folder.

    Raises:
        OSError: the folder cannot be read.
    """
    if meant := wrong_level(folder):
        return meant
    if further := _sources_in_files(folder):
        return PairingError(
            f"{folder} is not an image set by the names of its files, but one of them may hold "
            f"all sources of a fusion: {further}",
            code="not-an-image-set",
            path=folder,
        )
    return PairingError(
        f"{folder} is not an image set: expected subfolders a/ b/ c/ ... with one source of each "
        "fusion, or names of sources in its subfolders or files, such as ir/ vis/ and 1_ir.png "
        "1_vis.png; or give several folders or templates, one for each source",
        scene_templates(folder),
        code="not-an-image-set",
        path=folder,
    )


def wrong_level(folder: Path, options: Mapping[str, str] | None = None) -> PairingError | None:
    """Return the error about a folder without images that are read, if it is clear what is meant.

    Args:
        folder: where images were expected.
        options: keyword arguments that were given with the folder, and are kept.

    Returns:
        None if the folder has images, or if no or several folders in it do.

    Raises:
        OSError: the folder cannot be read.
    """
    listing = list_folder(folder)
    if listing.images:
        return None
    if not_read := next((entry for entry in listing.left_out if entry.is_image), None):
        return PairingError(
            f"{folder} holds no images in a format that is read: {not_read.path} {not_read.reason}",
            code="not-an-image-set",
            path=folder,
        )
    inner = list(islice((path for path in _folders_in(folder) if _has_images(path)), 2))
    if len(inner) != 1:
        return None
    return PairingError(
        f"{folder} holds no images, but {inner[0]} does; give that folder",
        [(str(inner[0]),)],
        options=options,
        code="not-an-image-set",
        path=folder,
    )


def _folders_in(folder: Path) -> Iterator[Path]:
    """Yield the folders in a folder and in those, the upper ones first, up to `LOOKED_INTO`."""
    waiting, count = deque([folder]), 0
    while waiting and count < LOOKED_INTO:
        for path in sorted(waiting.popleft().iterdir()):
            if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                waiting.append(path)
                count += 1
                yield path


def _has_images(folder: Path) -> bool:
    listing = list_folder(folder)
    return bool(listing.images) or any(entry.is_image for entry in listing.left_out)


def _sources_in_files(folder: Path) -> str:
    """Return what an image of the folder holds beside what is read of it; empty if nothing."""
    for path in list_folder(folder).images[:READ]:
        try:
            image = read_image(path)
        except FusionlabError as error:
            if error.option == "channels":  # the error says which channels there are
                return str(error)
            continue
        if image.further:
            return f"{path}: {'; '.join(image.further)}"
    return ""
