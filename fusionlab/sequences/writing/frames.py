"""Frames as images in a folder: each is written where it belongs as soon as it is fused."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionlab.errors import FusionlabError
from fusionlab.imaging.selecting import file_of
from fusionlab.imaging.writing import format_of
from fusionlab.runs.destination import MAX_NAME, Destination, check_writable
from fusionlab.runs.manifest import SEQUENCE_JOURNAL_NAME
from fusionlab.runs.record import remove_stale_record
from fusionlab.sequences.writing.output import (
    Layout,
    MadeBy,
    SegmentContent,
    SegmentWriter,
    SequenceOutput,
)
from fusionlab.storage.atomic import atomic_write_all, sync_folder
from fusionlab.storage.hashing import sha256_of_file
from fusionlab.storage.journal import Journal
from fusionlab.storage.own_files import check_own_file

if TYPE_CHECKING:
    from fusionlab.imaging.reading import LoadedImage
    from fusionlab.runs.file_fusion import FileFusion, Product

WRITERS = 4
"""So many frames are written at once: disks synchronize several files as fast as one."""


class FramesOutput(SequenceOutput):
    """A folder of images, each named after its frame.

    Args:
        folder: of the images.
        suffix: their format, for example `.png`.
        file_fusion: encodes the images, and says which files belong to each.
        overwrite: replace files that no earlier run has written.

    Raises:
        FusionlabError: no image can have the suffix (code `output-format`).
    """

    def __init__(
        self, folder: Path, suffix: str, file_fusion: FileFusion, *, overwrite: bool = False
    ) -> None:
        depths = format_of(Path(f"x{suffix}")).depths
        # the journal stays: by it a finished run is known to be finished
        super().__init__(
            folder, folder / "fusionlab-sequence.parts", folder / SEQUENCE_JOURNAL_NAME, depths
        )
        self.suffix = suffix
        self.file_fusion = file_fusion
        self.overwrite = overwrite
        self._own: set[str] = set()

    @property
    def settings(self) -> Mapping[str, Any]:
        """The format, and what is written beside the frames."""
        fusion = self.file_fusion
        beside = [fusion.record, fusion.weights is not None, fusion.index_folder is not None]
        return {"frames": self.suffix, "beside": beside}

    @property
    def folders(self) -> Sequence[Path]:
        """The folders of the frames and of what belongs to them."""
        weights = self.file_fusion.weights
        if weights is not None and weights.suffix:
            weights = weights.parent
        beside = (weights, self.file_fusion.index_folder, self.file_fusion.overlay_folder)
        return [self.path, *(folder for folder in beside if folder is not None)]

    def destination(self, name: str, sources: Sequence[LoadedImage]) -> Destination:
        """Return the files of a frame; see `SequenceOutput`."""
        image = self.path / f"{name}{self.suffix}"
        if len(os.fsencode(image.name)) > MAX_NAME:
            raise FusionlabError(
                f"{name}: the name of its image would have more than {MAX_NAME} bytes, which file "
                "systems refuse; shorten the names of its sources",
                code="unwritable",
                path=image,
            )
        return self.file_fusion.plan(image, [file_of(source.name) for source in sources])

    def check(self, sources: Sequence[Path], *, overwrite: bool, record: bool) -> None:  # noqa: ARG002
        """Refuse a folder of sources; single files are checked when they are written."""
        real = os.path.realpath(self.path)
        if any(real == os.path.realpath(source) for source in sources):
            raise FusionlabError(
                f"{self.path} holds sources; choose another folder for the results",
                code="output-is-source",
                path=self.path,
            )
        if self.path.exists() and not self.path.is_dir():
            raise FusionlabError(
                f"{self.path} is not a folder; choose another for the frames",
                code="unwritable",
                path=self.path,
            )

    def know(self, files: Mapping[str, str]) -> None:
        """Allow to replace files that an earlier run has written: name -> hash, as in a journal."""
        self._own.update(files)

    def segment(self, number: int, layout: Layout) -> SegmentWriter:  # noqa: ARG002
        """Begin a segment."""
        return _Frames(self)

    def is_intact(self, content: SegmentContent) -> bool:
        """Return whether all files of a segment are as they were written."""
        files = content.get("files", {})
        try:
            return all(sha256_of_file(self.path / name) == files[name] for name in files)
        except OSError:
            return False

    def join(
        self,
        contents: Sequence[SegmentContent],  # noqa: ARG002  # the frames are where they belong
        layout: Layout,  # noqa: ARG002
        record: bytes | None,  # noqa: ARG002  # each frame has its own
        made_by: MadeBy,  # noqa: ARG002  # the journal says it
    ) -> None:
        """Wait until the names of all frames are on the disk."""
        self.sync()

    def sync(self) -> None:
        """Wait until the names of all frames are on the disk."""
        for folder in self.folders:
            if folder.is_dir():
                sync_folder(folder)

    def write(self, product: Product) -> Mapping[str, str]:
        """Write the files of a frame; return their names and hashes.

        Raises:
            FusionlabError: a file exists (code `exists`), or cannot be written.
        """
        files = self.file_fusion.encode(product)
        names = {path: self._name(path) for path in files}
        for path, name in names.items():
            check_writable(path, overwrite=self.overwrite or name in self._own)
            if path == product.destination.record:
                check_own_file(path)
        with atomic_write_all(files, sync_names=False) as written:
            hashes = {names[path]: sha256_of_file(content) for path, content in written.items()}
            # before the files get their names, so that a killed run knows them for its own
            Journal(self.journal).append({"files": hashes}, sync=True)
        remove_stale_record(product.destination)
        return hashes

    def _name(self, path: Path) -> str:
        """Return the path of a file from the folder of the frames, with `/`."""
        return Path(os.path.relpath(path, self.path)).as_posix()


class _Frames(SegmentWriter):
    """The frames of one segment, several of which are written at the same time."""

    def __init__(self, output: FramesOutput) -> None:
        self._output = output
        self._threads = ThreadPoolExecutor(WRITERS, "write-frame")
        self._waiting: deque[Future[Mapping[str, str]]] = deque()
        self._files: dict[str, str] = {}

    def add(self, number: int, time: Fraction | None, product: Product) -> None:  # noqa: ARG002
        """Write a frame; what cannot be written is raised here, or by one of the next calls."""
        self._waiting.append(self._threads.submit(self._output.write, product))
        while len(self._waiting) >= 2 * WRITERS:
            self._files.update(self._waiting.popleft().result())

    def close(self) -> SegmentContent:
        """Wait for all frames."""
        while self._waiting:
            self._files.update(self._waiting.popleft().result())
        self._threads.shutdown()
        self._output.sync()
        return {"files": self._files}

    def discard(self) -> None:
        """Wait for the frames that are being written; begin no other."""
        self._threads.shutdown(cancel_futures=True)
