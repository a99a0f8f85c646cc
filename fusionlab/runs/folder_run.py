"""Fuse an image set into a folder: reading, fusing and writing overlap, and runs can be resumed."""

from __future__ import annotations

import errno
import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Literal

from fusionlab.errors import FusionlabError
from fusionlab.imaging.color import Color
from fusionlab.imaging.reading import LoadedImage, identity_of
from fusionlab.imaging.selecting import file_of
from fusionlab.imaging.writing import format_of
from fusionlab.plugins.failures import translated
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
from fusionlab.runs.record import remove_stale_record
from fusionlab.storage.atomic import atomic_write_all, make_folder, sync_folder
from fusionlab.storage.hashing import sha256_of_json
from fusionlab.storage.locking import LOCK_NAME, exclusive_lock
from fusionlab.storage.own_files import check_own_file
from fusionlab.storage.real_paths import RealPaths

MIN_READ_AHEAD = 3
"""At least this many items are read ahead, and as many may wait to be written."""

MAX_READ_AHEAD = 64
"""At most this many items are read ahead, so that outcomes keep coming for tiny images, too."""


MAX_TOGETHER = 64
"""At most this many images are fused at the same time."""


WRITERS = 4
"""So many images are written at once: disks synchronize several files as fast as one."""


ERRORS_OF_ONE_FILE = {
    errno.EEXIST,
    errno.EFBIG,
    errno.EILSEQ,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTEMPTY,
    errno.EOVERFLOW,
}
"""What file systems answer where a name or a size does not suit them, or another program has put
something there; others, such as a full disk, would come for every image."""


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
    """Seconds per activity, over all threads. Reading and writing happen while others fuse."""

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
_Results = list[tuple[_Task, ItemOutcome | Product]]


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
    _adding_seconds: Lock = field(default_factory=Lock, init=False)

    def run(self, items: Sequence[ImageSetItem]) -> Iterator[ItemOutcome]:
        """Fuse all items, in order.

        Raises:
            FusionlabError: files exist already, the folder cannot be written, another run is
                writing into it (code `locked`), or no image can have the suffix.
        """
        format_of(Path(f"x{self.suffix}"))  # else this would be the problem of each item
        tasks = [self._task(item) for item in items]
        with self._prepared(tasks) as manifest:
            yield from self._outcomes(tasks, manifest)
            for folder in self._folders:
                sync_folder(folder)
            manifest.tidy()

    def _outcomes(self, tasks: Sequence[_Task], manifest: RunManifest) -> Iterator[ItemOutcome]:
        settings = sha256_of_json(
            {
                **self.file_fusion.settings,
                "depth": self.file_fusion.depth,
                "code": self.file_fusion.code(),
            }
        )
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
        try:
            with translated("planning its files", "planning-failed"):
                return _Task(item, self.file_fusion.plan(output, item.sources))
        except FusionlabError as error:
            problem = item.problem or f"{item.stem}: {error}"
            item = replace(item, problem=problem, option=item.option or error.option)
            return _Task(item, Destination(output, format_of(output)))

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
            self._check_folders(tasks)
            self._check_files(tasks, manifest)
            for folder in missing:
                make_folder(folder)
            with exclusive_lock(*missing):
                if missing:  # another run may have used them in the meantime
                    manifest = RunManifest(self.folder)
                    self._check_files(tasks, manifest)
                yield manifest

    def _check_folders(self, tasks: Sequence[_Task]) -> None:
        """Refuse folders that hold sources, and two images with one name."""
        real_path = RealPaths()
        source_folders = set(map(real_path.of_folder, _sources(tasks)))
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

    def _check_files(self, tasks: Sequence[_Task], manifest: RunManifest) -> None:
        """Refuse to replace sources, and files that earlier runs have not written."""
        if not any(map(_holds_something, self._folders)):
            return  # nothing is in the way
        real_path = RealPaths()
        real_sources = set(map(real_path, _sources(tasks)))
        unknown = []
        for task in tasks:
            for path in task.destination.files:
                if task.item.problem or not os.path.lexists(path):
                    continue
                if real_path(path) in real_sources:
                    raise FusionlabError(
                        f"{path} is a link to a source; remove it first",
                        code="output-is-source",
                        path=path,
                    )
                check_writable(path, overwrite=True)
                if path == task.destination.record:
                    check_own_file(path)
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
        with translated("reading its sources", "reading-failed"):
            if self.resume:
                hashes = [_identity_of(path) for path in item.sources]
                if manifest.is_finished(item.stem, _key(settings, hashes), task.destination.files):
                    return None, perf_counter() - started
            return self.file_fusion.load(item.sources), perf_counter() - started

    def _grouped(
        self, reads: Iterator[tuple[_Task, Future[tuple[_Loaded | None, float]]]]
    ) -> Iterator[_Group | tuple[_Task, ItemOutcome]]:
        """Collect consecutive small images of the same layout, which are fused in one batch.

        Items that have failed or are finished are yielded in between, in their order.
        """
        group: _Group = []
        for task, future in reads:
            result = self._wait_for(task, future)
            fits, batch_size = False, 1
            if not isinstance(result, ItemOutcome):
                try:
                    with translated("planning its fusion", "planning-failed"):
                        fits = bool(group) and self.file_fusion.fit_together(group[0][1], result)
                        batch_size = self.file_fusion.batch_size(result)
                except FusionlabError as error:
                    result = task.outcome("failed", error)
            if group and (isinstance(result, ItemOutcome) or not fits):
                yield group
                group = []
            if isinstance(result, ItemOutcome):
                yield task, result
                continue
            group.append((task, result))
            self._read_at_least(2 * batch_size)
            if len(group) >= batch_size:
                yield group
                group = []
        if group:
            yield group

    def _read_at_least(self, count: int) -> None:
        """Read so many items ahead from now on, within limits."""
        self._read_ahead = min(max(self._read_ahead, count), MAX_READ_AHEAD)

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
        """Fuse all groups, small images at the same time; yield the results in order."""
        running: deque[Future[_Results]] = deque()
        with ThreadPoolExecutor(MAX_TOGETHER, "fuse") as threads:  # they start as needed
            try:
                for group in groups:
                    together = 1
                    if not isinstance(group, tuple):
                        _, sources = group[0]
                        together = min(MAX_TOGETHER, self.file_fusion.together(sources))
                        self._read_at_least(2 * together * len(group))
                    while running and (together == 1 or len(running) >= together):
                        yield from running.popleft().result()
                    if isinstance(group, tuple):
                        yield group
                    elif together > 1:
                        running.append(threads.submit(self._fuse_one_of_several, group))
                    else:
                        yield from self._fuse_group(group)
                while running:
                    yield from running.popleft().result()
            finally:
                for future in running:
                    future.cancel()

    def _fuse_one_of_several(self, group: _Group) -> _Results:
        with self.file_fusion.fusion.one_of_several():
            return self._fuse_group(group)

    def _fuse_group(self, group: _Group) -> _Results:
        """Fuse a group; if it fails, fuse its items one by one."""
        started = perf_counter()
        tasks, batch = zip(*group, strict=True)
        results: list[ItemOutcome | Product] = []
        if len(group) > 1:
            # raised again for the item that causes it
            with suppress(FusionlabError), translated("fusing", "fusion-failed"):
                destinations = [task.destination for task in tasks]
                results += self.file_fusion.fuse_batch(batch, destinations)
        if not results:
            results += [self._fuse_one(task, sources) for task, sources in group]
        with self._adding_seconds:
            self.seconds.fuse += perf_counter() - started
        return list(zip(tasks, results, strict=True))

    def _fuse_one(self, task: _Task, sources: _Loaded) -> ItemOutcome | Product:
        try:
            with translated("fusing", "fusion-failed"):
                return self.file_fusion.fuse(sources, task.destination)
        except FusionlabError as error:
            return task.outcome("failed", error)

    def _write(
        self, task: _Task, product: Product, manifest: RunManifest, settings: str
    ) -> ItemOutcome:
        """Write the files of an item.

        Raises:
            FusionlabError: the folder cannot be written, so that no other item could, either.
        """
        started = perf_counter()
        try:
            with translated("writing", "writing-failed"):
                files = self.file_fusion.encode(product)
                key = _key(settings, [image.identity for image in product.sources])
                with atomic_write_all(files, sync_names=False) as written:
                    manifest.add(task.item.stem, key, written)
                remove_stale_record(task.destination)
        except FusionlabError as error:  # such as too large for its format
            if _ends_the_run(error, manifest):
                raise
            return task.outcome("failed", error, product.notes)
        with self._adding_seconds:
            self.seconds.write += perf_counter() - started
        return task.outcome("fused", notes=product.notes, color=product.fused.colors[0])


def _sources(tasks: Sequence[_Task]) -> Iterator[Path]:
    return (file_of(source) for task in tasks for source in task.item.sources)


def _holds_something(folder: Path) -> bool:
    """Return whether a folder may hold more than the lock of this run."""
    try:
        with os.scandir(folder) as entries:
            return any(entry.name != LOCK_NAME for entry in entries)
    except FileNotFoundError:
        return False
    except OSError:  # who writes into it says what is wrong
        return True


def _check_distinct(tasks: Sequence[_Task]) -> None:
    """Refuse two images of one name."""
    images = Counter(task.destination.image for task in tasks)
    if twice := next((path for path, count in images.items() if count > 1), None):
        raise FusionlabError(
            f"two images would be written to {twice}; give them names that differ",
            code="same-result",
            path=twice,
        )


def _ends_the_run(error: FusionlabError, manifest: RunManifest) -> bool:
    """Return whether what kept an item from being written keeps the others from it as well."""
    if error.code != "unwritable":
        return False
    cause = error.__cause__
    of_item = isinstance(cause, OSError) and cause.errno in ERRORS_OF_ONE_FILE
    return not of_item or error.path == manifest.path


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
