"""Fuse sets of files as they arrive, and write an image for each.

A thread looks for files (`arrivals`), and puts complete sets into a short queue. Where fusing is
slower than the cameras, the oldest set in the queue is dropped for the newest, so that what is
written is recent. Reading the next set and writing the last one overlap with fusing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from os.path import realpath
from pathlib import Path
from threading import Condition, Event, Lock, Thread
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from fusionlab.errors import FusionlabError
from fusionlab.imaging.color import Color
from fusionlab.imaging.reading import LoadedImage
from fusionlab.imaging.writing import format_of
from fusionlab.plugins.failures import translated
from fusionlab.runs.destination import check_writable
from fusionlab.runs.file_fusion import FileFusion, Product
from fusionlab.runs.folder_run import ERRORS_OF_ONE_FILE
from fusionlab.runs.record import remove_stale_record
from fusionlab.sequences.arrivals import Arrivals, ArrivedSet, signature_of
from fusionlab.sequences.latencies import Latencies
from fusionlab.sequences.outcome import SecondsSpent
from fusionlab.storage.atomic import atomic_write_all, make_folder
from fusionlab.storage.locking import exclusive_lock

if TYPE_CHECKING:
    from fusionlab.temporal import TemporalConsistency

LOOK_SECONDS = 0.02
"""How often the folders are listed. Where that takes long, less often: for a tenth of the time."""

WAKE_SECONDS = 0.05
"""How often to look whether the run is to end, while nothing comes."""

GRACE = 2.0
"""So many seconds after it has changed, a file that cannot be read is a failure; before, it may be
incomplete."""

FIRST_DELAY = 0.1
"""After so many seconds a file that was incomplete is read again; then after twice as many."""

WRITERS = 2
"""So many images are written at once, and as many may wait for it."""

MAX_TOLD = 1000
"""So many dropped sets may wait to be told about by name."""

Status = Literal["fused", "failed", "dropped", "incomplete"]


@dataclass(frozen=True)
class WatchOutcome:
    """What became of a set of files."""

    name: str
    status: Status
    """`dropped`: newer sets came faster than sets are fused. `incomplete`: the other files of the
    set did not come."""
    output: Path | None = None
    problem: str = ""
    """Why it failed, a sentence that begins with the name."""
    option: str = ""
    """The setting that the problem is about, as `FusionlabError` spells it."""
    notes: tuple[str, ...] = ()
    color: Color | None = None
    latency: float | None = None
    """Seconds from when its last file was written until its image was; None: it was there before
    the start, or has no image."""


class LatestSets:
    """A queue between two threads, which drops its oldest set when it is full.

    Args:
        size: how many sets may wait. Those that were there at the start may be more, and wait for
            none of the others.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._backlog: deque[ArrivedSet] = deque()
        self._waiting: deque[ArrivedSet] = deque()
        self._changed = Condition()
        self.dropped: deque[ArrivedSet] = deque(maxlen=MAX_TOLD)
        """Whoever reads them takes them out."""
        self.drops = 0

    def __len__(self) -> int:
        return len(self._backlog) + len(self._waiting)

    def put(self, arrived: ArrivedSet) -> None:
        """Add a set, and drop the oldest one if there are too many."""
        with self._changed:
            if arrived.existing:
                self._backlog.append(arrived)
            else:
                self._waiting.append(arrived)
            if len(self._waiting) > self._size:
                self.dropped.append(self._waiting.popleft())
                self.drops += 1
            self._changed.notify()

    def take(self, seconds: float = 0) -> ArrivedSet | None:
        """Take out the oldest set; None if there is none within so many seconds."""
        with self._changed:
            if seconds and not len(self):
                self._changed.wait(seconds)
            for sets in (self._backlog, self._waiting):
                if sets:
                    return sets.popleft()
        return None


@dataclass
class WatchRun:
    """Fuses the sets that arrive, each into a file with its name.

    A set that cannot be read or fused fails by itself; a folder that cannot be written ends the
    run.

    Args:
        arrivals: finds the sets.
        load: reads the sources of a set.
        choose: returns what fuses all sets; called once, with the files of the first set that can
            be read.
        folder: where the images go; made if it does not exist.
        suffix: their format, for example `.png`.
        temporal: what carries over from one set to the next; None: nothing does.
        overwrite: replace existing files.
        queue: how many sets may wait, besides the one that is read and the one that is fused.
        look_seconds: how often to look for files.
        idle: end when no set has come for so many seconds; None: never.
        duration: look for no more files after so many seconds; None: never.
    """

    arrivals: Arrivals
    load: Callable[[Sequence[Path]], list[LoadedImage]]
    choose: Callable[[Sequence[Path]], FileFusion]
    folder: Path
    suffix: str = ".png"
    temporal: TemporalConsistency | None = None
    overwrite: bool = False
    queue: int = 2
    look_seconds: float = LOOK_SECONDS
    idle: float | None = None
    duration: float | None = None
    latencies: Latencies = field(default_factory=Latencies)
    _stop: Event = field(default_factory=Event, init=False)
    _looking: Lock = field(default_factory=Lock, init=False)
    _writes: deque[Future[WatchOutcome]] = field(default_factory=deque, init=False)

    def __post_init__(self) -> None:
        self._sets = LatestSets(self.queue)
        self._fusion: FileFusion | None = None
        self._failure: BaseException | None = None
        self._last_set = self.arrivals.clock()
        self._started = self._last_set
        self.spent = SecondsSpent()

    @property
    def counts(self) -> dict[str, int]:
        """How many sets were dropped, are incomplete, and wait."""
        return {
            "dropped": self._sets.drops,
            "incomplete": self.arrivals.incomplete,
            "waiting": len(self._sets),
        }

    def run(self) -> Generator[WatchOutcome | None, None, None]:
        """Fuse what arrives; yield what becomes of each set, and None now and then if nothing does.

        Close the iterator to stop at once; `rest` then yields what was being written.

        Raises:
            FusionlabError: the folder cannot be written or another run is writing into it, no image
                can have the suffix, or it is not clear what the sources are.
        """
        format_of(Path(f"x{self.suffix}"))  # else this would be the problem of each set
        self._check_folder()
        make_folder(self.folder)
        watcher = Thread(target=self._watch, name="watch", daemon=True)
        with (
            exclusive_lock(self.folder),
            ThreadPoolExecutor(1, "read") as reader,
            ThreadPoolExecutor(WRITERS, "write") as writer,
        ):
            watcher.start()
            try:
                yield from self._outcomes(reader, writer)
            finally:
                self._stop.set()
                reader.shutdown(wait=False, cancel_futures=True)
                watcher.join()

    def rest(self) -> Iterator[WatchOutcome]:
        """Yield what became of the sets that were being written when the run was stopped."""
        while self._writes:
            yield self._writes.popleft().result()
        yield from self._told()

    # ------------------------------------------------------------------ looking

    def _watch(self) -> None:
        """Put the sets that arrive into the queue, until the run ends."""
        try:
            while not self._stop.is_set():
                started = perf_counter()
                with self._looking:
                    for arrived in self.arrivals.look(for_new=not self._is_over()):
                        self._last_set = self.arrivals.clock()
                        self._sets.put(arrived)
                spent = perf_counter() - started
                self._stop.wait(max(self.look_seconds, 9 * spent))
        except BaseException as error:
            self._failure = error

    def _is_done(self) -> bool:
        """Return whether no more files are looked for, and all that came are fused or forgotten."""
        if not self._is_over() or self._writes:
            return False
        with self._looking:
            if self.arrivals.is_busy or len(self._sets):
                return False
            self.arrivals.give_up()
        return True

    def _is_over(self) -> bool:
        """Return whether no more files are looked for."""
        now = self.arrivals.clock()
        return (self.duration is not None and now - self._started >= self.duration) or (
            self.idle is not None and now - self._last_set >= self.idle
        )

    # ------------------------------------------------------------------ fusing

    def _outcomes(
        self, reader: ThreadPoolExecutor, writer: ThreadPoolExecutor
    ) -> Iterator[WatchOutcome | None]:
        reading: tuple[ArrivedSet, Future[list[LoadedImage] | WatchOutcome | None]] | None = None
        while True:
            yield from self._told()
            while self._writes and (self._writes[0].done() or len(self._writes) > WRITERS):
                yield self._writes.popleft().result()
            if reading is None:
                arrived = self._sets.take(WAKE_SECONDS)
                if arrived is None:
                    if self._failure is not None:
                        raise self._failure
                    if self._is_done():
                        yield from self._told()
                        return
                    yield None
                    continue
                reading = arrived, reader.submit(self._read, arrived)
            arrived, future = reading
            loaded = future.result()
            following = self._sets.take()
            reading = (
                None if following is None else (following, reader.submit(self._read, following))
            )
            if isinstance(loaded, WatchOutcome):
                yield loaded
            elif loaded is not None:
                result = self._fuse(arrived, loaded)
                if isinstance(result, WatchOutcome):
                    yield result
                else:
                    self._writes.append(writer.submit(self._write, arrived, result))

    def _told(self) -> Iterator[WatchOutcome]:
        """Yield the sets that were dropped or forgotten since the last call."""
        while self._sets.dropped:
            yield WatchOutcome(self._sets.dropped.popleft().name, "dropped")
        while self.arrivals.forgotten:
            name, files = self.arrivals.forgotten.popleft()
            there = " and ".join(map(str, files))
            problem = f"{name} is incomplete: only {there} came; the set is left out"
            yield WatchOutcome(name, "incomplete", problem=problem)

    def _read(self, arrived: ArrivedSet) -> list[LoadedImage] | WatchOutcome | None:
        """Read the sources of a set; None if they are not complete yet."""
        if self._fusion is None:
            self._check_folder()  # at the start it may not have been clear what is watched
        started = perf_counter()
        try:
            check_writable(self._output(arrived), overwrite=self.overwrite)
            with translated("reading", "reading-failed"):
                loaded = self.load(arrived.files)
        except FusionlabError as error:
            if error.code in ("exists", "unwritable") or not self._may_grow(arrived):
                return self._failed(arrived, error)
            self.arrivals.try_again(arrived, FIRST_DELAY * 2**arrived.attempts)
            return None
        finally:
            self.spent.add("read", perf_counter() - started)
        if tuple(map(signature_of, arrived.files)) != arrived.signatures:
            self.arrivals.try_again(arrived, 0)
            return None
        return loaded

    def _may_grow(self, arrived: ArrivedSet) -> bool:
        """Return whether files that cannot be read may be incomplete."""
        changed = tuple(map(signature_of, arrived.files)) != arrived.signatures
        return changed or self.arrivals.clock() - arrived.changed < GRACE

    def _fuse(self, arrived: ArrivedSet, sources: list[LoadedImage]) -> Product | WatchOutcome:
        if self._fusion is None:
            self._fusion = self.choose(arrived.files)
        started = perf_counter()
        try:
            destination = self._fusion.plan(self._output(arrived), arrived.files)
            destination.check(arrived.files, overwrite=self.overwrite)
            with translated("fusing", "fusion-failed"):
                return self._fusion.fuse(sources, destination, temporal=self.temporal)
        except FusionlabError as error:
            return self._failed(arrived, error)
        finally:
            self.spent.add("fuse", perf_counter() - started)

    def _write(self, arrived: ArrivedSet, product: Product) -> WatchOutcome:
        """Write the files of a set.

        Raises:
            FusionlabError: the folder cannot be written, so that no other set could, either.
        """
        assert self._fusion is not None
        started = perf_counter()
        try:
            with translated("writing", "writing-failed"):
                with atomic_write_all(self._fusion.encode(product), sync_names=False):
                    pass
                remove_stale_record(product.destination)
        except FusionlabError as error:
            if error.code == "unwritable" and not _is_of_one_file(error):
                raise
            return self._failed(arrived, error, product.notes)
        self.spent.add("write", perf_counter() - started)
        latency = None if arrived.existing else self.arrivals.clock() - arrived.arrived
        if latency is not None:
            self.latencies.add(latency)
        return WatchOutcome(
            arrived.name,
            "fused",
            product.destination.image,
            notes=product.notes,
            color=product.fused.colors[0],
            latency=latency,
        )

    def _output(self, arrived: ArrivedSet) -> Path:
        return self.folder / f"{arrived.name}{self.suffix}"

    def _failed(
        self, arrived: ArrivedSet, error: FusionlabError, notes: tuple[str, ...] = ()
    ) -> WatchOutcome:
        return WatchOutcome(
            arrived.name,
            "failed",
            self._output(arrived),
            f"{arrived.name}: {error}",
            error.option,
            notes,
        )

    def _check_folder(self) -> None:
        """Refuse to write into a folder that is watched: a result would be taken for a source."""
        if any(realpath(self.folder) == realpath(folder) for folder in self.arrivals.folders):
            raise FusionlabError(
                f"{self.folder} is watched; choose another folder for the results",
                code="output-is-source",
                path=self.folder,
            )


def _is_of_one_file(error: FusionlabError) -> bool:
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in ERRORS_OF_ONE_FILE
