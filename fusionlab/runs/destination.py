"""The destination of one fused image: its format, and every file that belongs to it."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fusionlab.errors import FusionlabError
from fusionlab.imaging.selecting import file_of
from fusionlab.imaging.writing import WEIGHTS, Format, format_of
from fusionlab.storage.hashing import sha256_of_bytes
from fusionlab.storage.own_files import check_own_file

MAX_NAME = 255
"""Bytes of the longest file name on the usual file systems."""


@dataclass(frozen=True)
class Destination:
    """The files of one fused image; `plan` makes one from the name of the image."""

    image: Path
    format: Format
    record: Path | None = None
    """The record next to the image, if one is written."""
    weight_maps: tuple[Path, ...] = ()
    """A PNG for each source, in their order, or none; all in one folder."""
    weights: Path | None = None
    """One file with the weight maps of all sources instead."""
    index: Path | None = None
    """The PNG of the index map, if one is written."""
    overlay: Path | None = None
    """The PNG that shows how sources were registered, if one is written."""
    folders: tuple[Path, ...] = ()
    """The folders that are made when they are missing."""

    @classmethod
    def plan(
        cls,
        image: Path,
        sources: Sequence[Path],
        *,
        record: bool = False,
        weights: Path | None = None,
        index: Path | None = None,
        overlay: Path | None = None,
        make_folder: bool = False,
    ) -> Self:
        """Return the destination of fusing sources into an image.

        Args:
            image: the file of the image; its suffix selects the format.
            sources: the files of the sources, after which the weight maps are named.
            record: whether to write a record next to the image.
            weights: where to write the weight maps; None: nowhere. A folder, for a PNG of each
                source; or one .tif or .npz, in whose name `{}` stands for the stem of the image.
            index: where to write the index map, a .png; None: nowhere.
            overlay: where to write an image that shows how sources were registered, likewise.
            make_folder: whether the folder of the image is made when it is missing.

        Raises:
            FusionlabError: no format with this suffix can be written, or an index map or an overlay
                is no PNG (code `output-format`).
        """
        for path, content in ((index, "an index map"), (overlay, "an overlay")):
            if path is not None and path.suffix.lower() != ".png":
                raise FusionlabError(
                    f"cannot write {path}: the name of {content} must end in .png",
                    code="output-format",
                    path=path,
                )
        maps: list[Path] = []
        file = None
        folders = {image.parent} if make_folder else set()
        if weights is not None and is_weights_file(weights):
            start, braces, end = weights.name.partition("{}")
            file = weights.with_name(fitting_name(start + image.stem, end) if braces else start)
            folders.add(file.parent)
        elif weights is not None:
            maps = [
                weights / _name_of_map(image.stem, number, file_of(path).stem)
                for number, path in enumerate(sources, start=1)
            ]
            folders.add(weights)
        return cls(
            image,
            format_of(image),
            record_path(image) if record else None,
            tuple(maps),
            file,
            index,
            overlay,
            tuple(sorted(folders)),
        )

    @property
    def files(self) -> list[Path]:
        """Every file that will be written, the image first."""
        single = (self.image, self.record, self.index, self.overlay)
        return [*(path for path in single if path is not None), *self.weight_files]

    @property
    def weight_files(self) -> list[Path]:
        """The files of the weight maps: one for each source, one for all, or none."""
        return [*self.weight_maps] if self.weights is None else [self.weights]

    @property
    def needs_weights(self) -> bool:
        """Whether the weights of the sources are written in some form."""
        return bool(self.weight_files) or self.index is not None

    def check(self, sources: Sequence[Path], *, overwrite: bool) -> None:
        """Check before any work that the files can be written.

        Args:
            sources: the files of the sources, which must not be overwritten.
            overwrite: whether the files may exist already.

        Raises:
            FusionlabError: a file exists, is one of the sources, or cannot be written.
        """
        for path in self.files:
            if path.parent not in self.folders or path.parent.exists():
                check_writable(path, overwrite=overwrite)
            if path == self.record:
                check_own_file(path)
            for source in map(file_of, sources):
                if path.exists() and source.exists() and path.samefile(source):
                    raise FusionlabError(
                        f"{path} is the source {source} itself; choose another name for the output",
                        code="output-is-source",
                        path=path,
                    )


def record_path(image: Path) -> Path:
    """Return the path of the record next to an image: `fused.png` -> `fused.png.json`."""
    return image.with_name(fitting_name(image.name, ".json"))


def is_weights_file(path: Path) -> bool:
    """Return whether a path names one file for all weight maps, not a folder."""
    return path.suffix.lower() in WEIGHTS and not path.is_dir()


def fitting_name(start: str, end: str) -> str:
    """Return a file name, whose start is shortened where file systems refuse it as too long.

    A hash takes the place of what is left out, so that names stay different.
    """
    length = len(os.fsencode(start + end))
    if length <= MAX_NAME:
        return start + end
    digest = f"-{sha256_of_bytes(os.fsencode(start))[:8]}"
    room = MAX_NAME - len(os.fsencode(digest + end))
    return os.fsencode(start)[:room].decode(errors="ignore") + digest + end


def _name_of_map(stem: str, number: int, source: str) -> str:
    name = f"{stem}-weights-{number}-{source}.png"
    if len(os.fsencode(name)) > MAX_NAME:
        name = fitting_name(stem, f"-weights-{number}.png")
    return name


def is_record_path(path: Path) -> bool:
    """Return whether a path is that of a record, not of an image."""
    return path.suffix.lower() == ".json"


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Check that a file can be written at a path.

    Args:
        path: the file to be written.
        overwrite: whether it may exist already.

    Raises:
        FusionlabError: the file exists (code `exists`), or cannot be written (code `unwritable`).
    """
    exists = _is_regular(path) or _is_replaceable(path)
    if exists and not overwrite:
        raise FusionlabError(
            f"{path} already exists; choose another name or allow overwriting",
            code="exists",
            option="overwrite",
            path=path,
        )


def _is_regular(path: Path) -> bool:
    """Return whether there is a regular file: fast, for runs that ask it of many."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _is_replaceable(path: Path) -> bool:
    """Return whether there is a link to a file; refuse what cannot be written for other reasons."""
    try:
        exists = path.is_symlink() or path.exists()
        if exists and not path.resolve().is_file():
            kind = "a folder" if path.is_dir() else "not a file"
            raise _unwritable(path, f"it is {kind}; choose another name")
        if not path.parent.is_dir():
            raise _unwritable(path, f"the folder {path.parent} does not exist; make it first")
    except (OSError, RuntimeError) as error:  # a name too long, a symlink loop
        raise _unwritable(path, getattr(error, "strerror", None) or str(error)) from error
    return exists


def _unwritable(path: Path, reason: str) -> FusionlabError:
    return FusionlabError(f"cannot write {path}: {reason}", code="unwritable", path=path)
