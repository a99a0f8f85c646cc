"""Results that are one file: segments are files of their own in a folder beside it, until then."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from fusionlab.errors import FusionlabError
from fusionlab.imaging.writing import Format
from fusionlab.plugins.failures import translated
from fusionlab.runs.destination import Destination, check_writable, record_path
from fusionlab.runs.record import remove_stale_record
from fusionlab.sequences.writing.output import (
    Layout,
    MadeBy,
    SegmentContent,
    SegmentWriter,
    SequenceOutput,
)
from fusionlab.storage.atomic import Content, atomic_write_all, remove_partial, sync_folder
from fusionlab.storage.hashing import sha256_of_file
from fusionlab.storage.own_files import check_own_file

if TYPE_CHECKING:
    from fusionlab.imaging.reading import LoadedImage


class SingleFileOutput(SequenceOutput):
    """A result that is one file, made of the files of its segments.

    Args:
        path: the file.
    """

    suffixes: ClassVar[tuple[str, ...]]
    """Of the files of this kind."""

    format: Format
    """What a frame may be, and what a file of it alone would be; there are none."""

    def __init__(self, path: Path) -> None:
        parts = path.with_name(f"{path.name}.parts")
        super().__init__(path, parts, parts / "segments.jsonl", self.format.depths)

    def destination(self, name: str, sources: Sequence[LoadedImage]) -> Destination:  # noqa: ARG002
        """Return the file of the result, which is that of each frame."""
        return Destination(self.path, self.format)

    def check(self, sources: Sequence[Path], *, overwrite: bool, record: bool) -> None:
        """Refuse to replace a source, or a file without leave; see `SequenceOutput`."""
        for source in sources:
            if self.path.exists() and source.exists() and self.path.samefile(source):
                raise FusionlabError(
                    f"{self.path} is the source {source} itself; choose another name for the "
                    "output",
                    code="output-is-source",
                    path=self.path,
                )
        check_writable(self.path, overwrite=overwrite)
        if record:
            check_writable(record_path(self.path), overwrite=overwrite)
            check_own_file(record_path(self.path))  # before hours of work
        if os.path.lexists(self.parts) and not (
            self.parts.is_dir() and not self.parts.is_symlink()
        ):
            raise FusionlabError(
                f"{self.parts} must be a folder, which fusionlab makes itself; remove it, or "
                "choose another name for the output",
                code="unwritable",
                path=self.parts,
            )

    def remove_partial(self) -> None:
        """Remove what killed runs have left in the folder of the result."""
        remove_partial(self.path.parent)

    def made_by(self) -> MadeBy | None:
        """Return which run has made the file that is there; None: none, or it does not say."""
        if not self.path.is_file():
            return None
        try:
            with translated(f"reading {self.path}", "reading-failed"):
                return MadeBy.parse(self.comment())
        except FusionlabError:  # it is another file
            return None

    def join(
        self,
        contents: Sequence[SegmentContent],
        layout: Layout,
        record: bytes | None,
        made_by: MadeBy,
    ) -> None:
        """Copy the segments into the result, without decoding a frame."""

        def write(file: BinaryIO) -> None:
            with written(self.path):
                self.write(file, contents, layout, str(made_by))

        files: dict[Path, Content] = {self.path: write}
        if record is not None:
            check_own_file(record_path(self.path))
            files[record_path(self.path)] = record
        with atomic_write_all(files):
            pass
        if record is None:
            remove_stale_record(Destination(self.path, self.format))

    @abstractmethod
    def comment(self) -> str:
        """Return the comment in the file that is there, whatever it is; empty: none.

        Raises:
            Exception: it is another file.
        """

    @abstractmethod
    def write(
        self, file: BinaryIO, contents: Sequence[SegmentContent], layout: Layout, comment: str
    ) -> None:
        """Write the result.

        Args:
            file: empty and seekable.
            contents: of the segments, in their order.
            layout: of the frames.
            comment: a text that is stored in the file.
        """


class SegmentFile(SegmentWriter):
    """The file of one segment.

    Args:
        folder: of the segments.
        name: of the file.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        check_own_file(self.path)
        with written(self.path):
            self.file = self.path.open("wb")
            try:
                self.begin()
            except BaseException:
                self.file.close()
                raise

    def close(self) -> SegmentContent:
        """Complete the file; see `SegmentWriter`."""
        with written(self.path):
            self.finish()
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
            sync_folder(self.path.parent)
            return {"files": {self.path.name: sha256_of_file(self.path)}}

    def discard(self) -> None:
        """Close the file without completing it, and remove it."""
        with suppress(Exception):  # of the encoder, which has no use any more
            self.finish()
        with suppress(OSError):
            self.file.close()
            self.path.unlink()

    @abstractmethod
    def begin(self) -> None:
        """Begin to write to the open file."""

    @abstractmethod
    def finish(self) -> None:
        """Write what the encoder still holds, and the end of the file."""


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Name a file in what the block raises: a full disk, or whatever an encoder says."""
    with translated(f"writing {path}", "writing-failed"):
        try:
            yield
        except OSError as error:
            raise FusionlabError(
                f"cannot write {path}: {error.strerror or error}", code="unwritable", path=path
            ) from error
