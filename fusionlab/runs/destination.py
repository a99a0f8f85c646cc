"""The destination of one fused image: its format, and every file that belongs to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fusionlab.errors import FusionlabError
from fusionlab.imaging.writing import Format, format_of


@dataclass(frozen=True)
class Destination:
    """The files of one fused image; `plan` makes one from the name of the image."""

    image: Path
    format: Format
    record: Path | None = None
    """The record next to the image, if one is written."""
    weight_maps: tuple[Path, ...] = ()
    """A PNG for each source, in their order, or none; all in one folder."""
    index: Path | None = None
    """The PNG of the index map, if one is written."""

    @classmethod
    def plan(
        cls,
        image: Path,
        sources: Sequence[Path],
        *,
        record: bool = False,
        weights_folder: Path | None = None,
        index: Path | None = None,
    ) -> Self:
        """Return the destination of fusing sources into an image.

        Args:
            image: the file of the image; its suffix selects the format.
            sources: the files of the sources, after which the weight maps are named.
            record: whether to write a record next to the image.
            weights_folder: where to write the weight maps; None: nowhere.
            index: where to write the index map, a .png; None: nowhere.

        Raises:
            FusionlabError: no format with this suffix can be written, or the index map is no PNG
                (code `output-format`).
        """
        if index is not None and index.suffix.lower() != ".png":
            raise FusionlabError(
                f"cannot write {index}: the name of an index map must end in .png",
                code="output-format",
                path=index,
            )
        maps = [
            weights_folder / f"{image.stem}-weights-{number}-{path.stem}.png"
            for number, path in enumerate(sources, start=1)
            if weights_folder is not None
        ]
        stored_record = record_path(image) if record else None
        return cls(image, format_of(image), stored_record, tuple(maps), index)

    @property
    def files(self) -> list[Path]:
        """Every file that will be written, the image first."""
        single = [path for path in (self.image, self.record, self.index) if path is not None]
        return [*single, *self.weight_maps]

    @property
    def needs_weights(self) -> bool:
        """Whether the weights of the sources are written in some form."""
        return bool(self.weight_maps) or self.index is not None

    def check(self, sources: Sequence[Path], *, overwrite: bool) -> None:
        """Check before any work that the files can be written.

        Args:
            sources: the files of the sources, which must not be overwritten.
            overwrite: whether the files may exist already.

        Raises:
            FusionlabError: a file exists, is one of the sources, or cannot be written.
        """
        folder = self.weight_maps[0].parent if self.weight_maps else None  # made when missing
        for path in self.files:
            if path.parent != folder or folder.exists():
                check_writable(path, overwrite=overwrite)
            for source in sources:
                if path.exists() and source.exists() and path.samefile(source):
                    raise FusionlabError(
                        f"{path} is the source {source} itself; choose another name for the output",
                        code="output-is-source",
                        path=path,
                    )


def record_path(image: Path) -> Path:
    """Return the path of the record next to an image: `fused.png` -> `fused.png.json`."""
    return image.with_name(f"{image.name}.json")


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
    try:
        exists = path.is_symlink() or path.exists()
        if exists and not path.resolve().is_file():
            kind = "a folder" if path.is_dir() else "not a file"
            raise _unwritable(path, f"it is {kind}; choose another name")
        if not path.parent.is_dir():
            raise _unwritable(path, f"the folder {path.parent} does not exist; make it first")
    except (OSError, RuntimeError) as error:  # a name too long, a symlink loop
        raise _unwritable(path, getattr(error, "strerror", None) or str(error)) from error
    if exists and not overwrite:
        raise FusionlabError(
            f"{path} already exists; choose another name or allow overwriting",
            code="exists",
            option="overwrite",
            path=path,
        )


def _unwritable(path: Path, reason: str) -> FusionlabError:
    return FusionlabError(f"cannot write {path}: {reason}", code="unwritable", path=path)
