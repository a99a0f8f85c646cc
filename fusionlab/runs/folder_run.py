"""Fuse an image set into a folder: reading, fusing and writing overlap, and runs can be resumed."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Literal

from fusionlab.errors import FusionlabError
from fusionlab.imaging.color import Color
from fusionlab.imaging.reading import LoadedImage, identity_of
from fusionlab.imaging.selecting import file_of
from fusionlab.runs.destination import (
    MAX_NAME,
    Destination,
    check_writable,
    is_weights_file,
)
from fusionlab.runs.file_fusion import FileFusion, Product
from fusionlab.runs.image_sets import ImageSetItem
from fusionlab.runs.manifest import RunManifest
from fusionlab.runs.read_ahead import read_ahead
from fusionlab.storage.atomic import atomic_write_all, make_folder, sync_folder
from fusionlab.storage.hashing import sha256_of_json
from fusionlab.storage.locking import exclusive_lock

MIN_READ_AHEAD = 3
"""At least this many items are read ahead, and as many may wait to be written."""

MAX_READ_AHEAD = 64
"""At most this many items are read ahead, so that outcomes keep coming for tiny images, too."""


WRITERS = 4
"""So many images are written at once: disks synchronize several files as fast as one."""


@dataclass(frozen=True)
class ItemOutcome:
    """What became of one item of an image set."""

    stem: str
    status: Literal["fused", "skipped", "failed"]
    output: Path
    problem: str = ""
    """Why it failed, a sentence that begins with the stem."""
    option: str = ""
    """The setting that the problem is about, as `FusionlabError` spells it."""
    notes: tuple[str, ...] = ()
    color: Color | None = None
    """The color mode in which it was fused; None if it was not."""


@dataclass
class Timings:
    """Seconds per activity. Reading and writing happen while the fusion computes."""

    read: float = 0
    fuse: float = 0
    write: float = 0
    waited: float = 0
    """For reading, where it did not overlap with fusing."""


@dataclass(frozen=True)
class _Task:
    """An item of the image set, and where its files go."""

    item: ImageSetItem
    destination: Destination

    def outcome(
        self,
        status: Literal["fused", "skipped", "failed"],
        error: FusionlabError | None = None,
        notes: tuple[str, ...] = (),
        color: Color | None = None,
    ) -> ItemOutcome:
        """Return the outcome of the item; an error is prefixed with the stem."""
        problem = self.item.problem or (f"{self.item.stem}: {error}" if error else "")
        return ItemOutcome(
            self.item.stem,
            status,
            self.destination.image,
            problem,
            self.item.option or (error.option if error else ""),
            notes,
            color,
        )


_Loaded = list[LoadedImage]
_Group = list[tuple[_Task, _Loaded]]


@dataclass
class FolderRun:
    """Fuses the items of an image set, each into a file named after its stem.

    An item that cannot be read or fused fails by itself; an output folder that cannot be written
    ends the run.

    Args:
        file_fusion: fuses each item.
        folder: where the images go; made if it does not exist.
        suffix: their format, for example `.png`.
        resume: skip the items that an earlier run with these settings and sources has finished.
        overwrite: replace existing files.
    """

    file_fusion: FileFusion
    folder: Path
    suffix: str = ".png"
    resume: bool = False
    overwrite: bool = False
    seconds: Timings = field(default_factory=Timings)
    _read_ahead: int = field(default=MIN_READ_AHEAD, init=False)

    def run(self, items: Sequence[ImageSetItem]) -> Iterator[ItemOutcome]:
        """Fuse all items, in order.

        Raises:
            FusionlabError: files exist already, or the folder cannot be written.
        """
        tasks = [self._task(item) for item in items]
        with self._prepared(tasks) as manifest:
            manifest.tidy()
            yield from self._outcomes(tasks, manifest)
            for folder in self._folders:
                sync_folder(folder)
            manifest.tidy()

    def _outcomes(self, tasks: Sequence[_Task], manifest: RunManifest) -> Iterator[ItemOutcome]:
        settings = sha256_of_json({**self.file_fusion.settings, "depth": self.file_fusion.depth})
        reader = ThreadPoolExecutor(2, "read")
        writer = ThreadPoolExecutor(WRITERS, "write")
        writes: deque[Future[ItemOutcome]] = deque()
        try:
            reads = read_ahead(
                tasks,
                lambda task: reader.submit(self._read, task, manifest, settings),
                lambda: self._read_ahead,
            )
            for task, result in self._fused(self._grouped(reads)):
                if isinstance(result, ItemOutcome):
                    while writes:  # keep the order of the items
                        yield writes.popleft().result()
                    yield result
                    continue
                writes.append(writer.submit(self._write, task, result, manifest, settings))
                if len(writes) > self._read_ahead:
                    yield writes.popleft().result()
            while writes:
                yield writes.popleft().result()
        except KeyboardInterrupt:  # writing what has been fused takes only milliseconds
            while writes:
                yield writes.popleft().result()
            raise
        finally:  # also when the caller stops iterating, and at Ctrl-C
            reader.shutdown(cancel_futures=True)
            writer.shutdown(cancel_futures=True)

    def _task(self, item: ImageSetItem) -> _Task:
        """Return the task of an item; it fails if no file can have its name.

        The name is not shortened: results are found by it, and paired with their sources.
        """
        output = self.folder / f"{item.stem}{self.suffix}"
        length = len(os.fsencode(output.name))
        if length > MAX_NAME and not item.problem:
            problem = (
                f"{item.stem}: the name of its image would have {length} bytes, and file systems "
                f"take at most {MAX_NAME}; shorten the names of its sources"
            )
            item = replace(item, problem=problem)
        return _Task(item, self.file_fusion.plan(output, item.sources))

    @property
    def _folders(self) -> list[Path]:
        weights = self.file_fusion.weights
        if weights is not None and is_weights_file(weights):
            weights = weights.parent
        folders = (
            self.folder,
            weights,
            self.file_fusion.index_folder,
            self.file_fusion.overlay_folder,
        )
        return [folder for folder in folders if folder is not None]

    @contextmanager
    def _prepared(self, tasks: Sequence[_Task]) -> Iterator[RunManifest]:
        """Make the folders and lock them for the length of the block; a refused run makes none."""
        existing = [folder for folder in self._folders if folder.is_dir()]
        missing = [folder for folder in self._folders if folder not in existing]
        with exclusive_lock(*existing):
            manifest = RunManifest(self.folder)
            self._check(tasks, manifest)
            for folder in missing:
                make_folder(folder)
            with exclusive_lock(*missing):
                if missing:  # another run may have used them in the meantime
                    manifest = RunManifest(self.folder)
                    self._check(tasks, manifest)
                yield manifest

    def _check(self, tasks: Sequence[_Task], manifest: RunManifest) -> None:
        """Refuse to replace sources, and files that earlier runs have not written."""
        sources = [file_of(source) for task in tasks for source in task.item.sources]
        source_folders = {os.path.realpath(source.parent) for source in sources}
        for folder in self._folders:
            if os.path.realpath(folder) in source_folders:
                raise FusionlabError(
                    f"{folder} holds sources; choose another folder for the results",
                    code="output-is-source",
                    path=folder,
                )
        weights = self.file_fusion.weights
        if weights is not None and is_weights_file(weights) and "{}" not in weights.name:
            stem, suffix = weights.stem, weights.suffix
            raise FusionlabError(
                f"{weights} cannot hold the weights of several images; put {{}} where the name "
                f"has the stem of each, such as {stem}-{{}}{suffix}",
                code="one-file",
                option="save_weights",
                path=weights,
            )
        _check_distinct(tasks)
        real_sources = set(map(os.path.realpath, sources))
        unknown = []
        for task in tasks:
            for path in task.destination.files:
                if task.item.problem or not os.path.lexists(path):
                    continue
                if os.path.realpath(path) in real_sources:
                    raise FusionlabError(
                        f"{path} is a link to a source; remove it first",
                        code="output-is-source",
                        path=path,
                    )
                check_writable(path, overwrite=True)
                if not (self.resume and manifest.has_file(task.item.stem, path)):
                    unknown.append(path)
        if unknown and not self.overwrite:
            raise self._existing_files_error(unknown)

    def _existing_files_error(self, files: Sequence[Path]) -> FusionlabError:
        existing = (
            f"{self.folder} already contains {len(files)} of the files to be written, such as "
            f"{files[0].name}"
        )
        if self.resume:
            return FusionlabError(
                f"{existing}, which no earlier run has recorded; choose another folder, or allow "
                "overwriting as well",
                code="exists",
                option="overwrite",
                path=files[0],
            )
        return FusionlabError(
            f"{existing}; allow overwriting to replace them, or resume an interrupted run",
            code="exists",
            option="resume",
            path=files[0],
        )

    def _read(
        self, task: _Task, manifest: RunManifest, settings: str
    ) -> tuple[_Loaded | None, float]:
        """Return the sources of an item, or None if it is finished, and the seconds taken."""
        item = task.item
        if item.problem:
            raise FusionlabError(item.problem)
        started = perf_counter()
        if self.resume:
            hashes = [_identity_of(path) for path in item.sources]
            if manifest.is_finished(item.stem, _key(settings, hashes), task.destination.files):
                return None, perf_counter() - started
        sources = self.file_fusion.load(item.sources)
        return sources, perf_counter() - started

    def _grouped(
        self, reads: Iterator[tuple[_Task, Future[tuple[_Loaded | None, float]]]]
    ) -> Iterator[_Group | tuple[_Task, ItemOutcome]]:
        """Collect consecutive small images of the same layout, which are fused in one batch.

        Items that have failed or are finished are yielded in between, in their order.
        """
        group: _Group = []
        fits = self.file_fusion.fit_together
        for task, future in reads:
            result = self._wait_for(task, future)
            if group and (isinstance(result, ItemOutcome) or not fits(group[0][1], result)):
                yield group
                group = []
            if isinstance(result, ItemOutcome):
                yield task, result
                continue
            group.append((task, result))
            batch_size = self.file_fusion.batch_size(result)
            self._read_ahead = min(max(self._read_ahead, 2 * batch_size), MAX_READ_AHEAD)
            if len(group) >= batch_size:
                yield group
                group = []
        if group:
            yield group

    def _wait_for(
        self, task: _Task, future: Future[tuple[_Loaded | None, float]]
    ) -> _Loaded | ItemOutcome:
        """Wait for the sources of an item."""
        started = perf_counter()
        try:
            sources, seconds = future.result()
        except FusionlabError as error:
            return task.outcome("failed", error)
        self.seconds.read += seconds
        self.seconds.waited += perf_counter() - started
        return task.outcome("skipped") if sources is None else sources

    def _fused(
        self, groups: Iterator[_Group | tuple[_Task, ItemOutcome]]
    ) -> Iterator[tuple[_Task, ItemOutcome | Product]]:
        """Fuse group by group; if a group fails, fuse its items one by one."""
        for group in groups:
            if isinstance(group, tuple):
                yield group
                continue
            started = perf_counter()
            tasks, batch = zip(*group, strict=True)
            results: list[ItemOutcome | Product] = []
            if len(group) > 1:
                with suppress(FusionlabError):  # raised again for the item that causes it
                    destinations = [task.destination for task in tasks]
                    results += self.file_fusion.fuse_batch(batch, destinations)
            if not results:
                results += [self._fuse_one(task, sources) for task, sources in group]
            self.seconds.fuse += perf_counter() - started
            yield from zip(tasks, results, strict=True)

    def _fuse_one(self, task: _Task, sources: _Loaded) -> ItemOutcome | Product:
        try:
            return self.file_fusion.fuse(sources, task.destination)
        except FusionlabError as error:
            return task.outcome("failed", error)

    def _write(
        self, task: _Task, product: Product, manifest: RunManifest, settings: str
    ) -> ItemOutcome:
        started = perf_counter()
        try:
            files = self.file_fusion.encode(product)
        except FusionlabError as error:  # too large for its format; the next item may not be
            return task.outcome("failed", error, product.notes)
        key = _key(settings, [image.identity for image in product.sources])
        with atomic_write_all(files, sync_names=False) as written:
            manifest.add(task.item.stem, key, written)
        self.seconds.write += perf_counter() - started
        return task.outcome("fused", notes=product.notes, color=product.fused.colors[0])


def _check_distinct(tasks: Sequence[_Task]) -> None:
    """Refuse two images of one name."""
    images = Counter(task.destination.image for task in tasks)
    if twice := next((path for path, count in images.items() if count > 1), None):
        raise FusionlabError(
            f"two images would be written to {twice}; give them names that differ",
            code="same-result",
            path=twice,
        )


def _key(settings: str, hashes: Sequence[str]) -> str:
    """Return a hash of everything that determines an image: its settings and sources."""
    return sha256_of_json({"settings": settings, "sources": list(hashes)})


def _identity_of(path: Path) -> str:
    try:
        return identity_of(path)
    except OSError as error:
        raise FusionlabError(
            f"cannot read {path}: {error.strerror}", code="unreadable", path=path
        ) from error
