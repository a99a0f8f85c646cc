"""Score methods on image sets: find what is missing, have it computed, keep what comes back.

One process, the coordinator, decides and writes; any executor computes. A worker that dies costs
another try, and in the end one row with a reason, never the run.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from threading import Event

from fusionlab.errors import FusionlabError, one_line
from fusionlab.evaluation.executors import RunningExecutor
from fusionlab.evaluation.jobs import Job, run_job
from fusionlab.evaluation.methods import Method
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.saved_images import SavedImages
from fusionlab.evaluation.score_journal import KnownRow, ScoreJournal, known_values
from fusionlab.evaluation.scores import ScoreRow
from fusionlab.evaluation.scoring import (
    Cell,
    ScoredRow,
    ScoringSettings,
    method_key,
    row_key,
)
from fusionlab.runs.image_sets import ImageSetItem
from fusionlab.storage.hashing import sha256_of_file

MAX_DEATHS = 3
"""How many workers may die over a single row before it fails."""
JOB_SECONDS = 10.0
"""After how long a job returns what it has: this much work is lost if a worker dies."""


@dataclass
class ScoringRun:
    """Score methods on all samples of an image set.

    Args:
        methods: the rows, see `fusionlab.evaluation.methods`.
        metrics: the columns.
        journal: has the scores of an earlier run, which are reused where nothing has changed, and
            keeps those of this run as they come.
        settings: what is shared by all samples.
        images: keeps the images that are scored; None: they are not kept.
        image_set: name of the folder of these images, if there is one for each set.
        progress: called with (rows done, rows in all) after each row.
        blocked: plugins that workers must not load.
    """

    methods: Sequence[Method]
    metrics: Sequence[Metric]
    journal: ScoreJournal = field(default_factory=lambda: ScoreJournal(None))
    settings: ScoringSettings = field(default_factory=ScoringSettings)
    images: SavedImages | None = None
    image_set: str = ""
    progress: Callable[[int, int], None] = lambda *_: None
    blocked: tuple[str, ...] = ()
    unsaved: str = field(default="", init=False)
    """A sentence that says why scores or images could not be kept any more; empty if they could."""
    _stopping: Event = field(default_factory=Event, init=False, repr=False)

    def run(self, items: Sequence[ImageSetItem], workers: RunningExecutor) -> Iterator[ScoreRow]:
        """Score every method on every sample, samples in their order.

        If the folder of the journal cannot be written, the run continues, and `unsaved` says so.

        Args:
            items: the samples.
            workers: compute the jobs.
        """
        done = 0
        samples = _InOrder(items, [method.label for method in self.methods])
        try:
            for rows in self._rows(items, workers):
                self._keep(rows)
                for _ in rows:
                    done += 1
                    self.progress(done, len(items) * len(self.methods))
                yield from samples.add([scored.row for scored in rows])
        finally:  # also after Ctrl-C: what has been saved stays
            self._stopping.set()
            if self.images is not None:
                self.unsaved = self.unsaved or self.images.problem

    def known_rows(self, items: Sequence[ImageSetItem]) -> Iterator[ScoreRow]:
        """Return the rows that the journal has already; nothing is computed."""
        hashes = [method_key(method, self.settings) for method in self.methods]
        for item in items:
            yield from (scored.row for scored in self._missing(item, hashes, images=False)[0])

    def _rows(
        self, items: Sequence[ImageSetItem], workers: RunningExecutor
    ) -> Iterator[list[ScoredRow]]:
        """Yield the rows of the earlier run, and those that jobs return, as they come."""
        hashes = [method_key(method, self.settings) for method in self.methods]
        parts = max(1, math.ceil(2 * workers.workers / max(1, len(items))))
        samples = iter(items)
        waiting: deque[Job] = deque()
        running: dict[Future[list[ScoredRow]], Job] = {}
        while True:
            while len(running) < 2 * workers.workers:
                while not waiting:
                    item = next(samples, None)
                    if item is None:
                        break
                    known, cells = self._missing(item, hashes, images=True)
                    if known:
                        yield known
                    waiting.extend(self._jobs(item, cells, parts))
                if not waiting:
                    break
                job = waiting.popleft()
                running[self._submit(job, workers)] = job
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                rows, more = self._finished(future, job, workers)
                waiting.extendleft(reversed(more))
                if rows:
                    yield rows

    def _missing(
        self, item: ImageSetItem, hashes: Sequence[str], *, images: bool
    ) -> tuple[list[ScoredRow], list[Cell]]:
        """Split the methods into the rows that an earlier run has for a sample, and the others.

        With `images`, a row whose image is to be kept and is not there is missing, too.
        """
        known_rows: list[ScoredRow] = []
        cells: list[Cell] = []
        try:
            sources = [] if item.problem else [sha256_of_file(path) for path in item.sources]
            settings = self.settings
            truth = settings.truth.sha256(item.stem) if settings.truth is not None else ""
        except OSError:  # the job that reads them says why
            return [], [Cell(*pair) for pair in zip(self.methods, hashes, strict=True)]
        for method, method_hash in zip(self.methods, hashes, strict=True):
            key, known = "", KnownRow()
            try:
                key = row_key(method_hash, sources, method.fingerprint(item.stem))
                known = self.journal.known.get((key, item.stem), known)
            except FusionlabError:  # there is no such result; the job says why
                pass
            save = images and not self._has_image(method.label, item.stem, key)
            values = known_values(known, self.metrics, truth)
            if len(values) == len(self.metrics) and not save:
                row = ScoreRow(item.stem, method.label, values, "", True, truth, known.outside)
                known_rows.append(ScoredRow(row, key))
            else:
                cells.append(Cell(method, method_hash, key, known, save))
        return known_rows, cells

    def _jobs(self, item: ImageSetItem, cells: Sequence[Cell], parts: int) -> Iterator[Job]:
        """Split what is missing of a sample into jobs, so that all workers are busy."""
        # workers may have another working directory
        item = replace(item, sources=tuple(path.absolute() for path in item.sources))
        size = max(1, math.ceil(len(cells) / parts))
        for start in range(0, len(cells), size):
            yield Job(
                item,
                tuple(cells[start : start + size]),
                tuple(self.metrics),
                self.settings,
                self.blocked,
                JOB_SECONDS,
            )

    def _submit(self, job: Job, workers: RunningExecutor) -> Future[list[ScoredRow]]:
        if workers.in_process:
            return workers.submit(run_job, job, self._stopping.is_set)
        return workers.submit(run_job, job.portable)

    def _finished(
        self, future: Future[list[ScoredRow]], job: Job, workers: RunningExecutor
    ) -> tuple[list[ScoredRow], list[Job]]:
        """Return the rows of a job that has ended, and the jobs that are left of it.

        If its worker died, each of its methods becomes a job of its own: the one that kills workers
        fails, the others do not.
        """
        error = future.exception()
        if error is None:
            rows = future.result()
            left = job.cells[len(rows) :]
            return rows, [replace(job, cells=left)] if left and not self._stopping.is_set() else []
        if not isinstance(error, workers.deaths):
            return [_failed(job, cell, one_line(error)) for cell in job.cells], []
        if job.attempts + 1 < MAX_DEATHS or len(job.cells) > 1:
            attempts = job.attempts + 1 if len(job.cells) == 1 else 0
            return [], [replace(job, cells=(cell,), attempts=attempts) for cell in job.cells]
        reason = f"{MAX_DEATHS} worker processes died over it; the last: {one_line(error)}"
        return [_failed(job, cell, reason) for cell in job.cells], []

    def _keep(self, rows: Sequence[ScoredRow]) -> None:
        """Write rows and images into the folder; continue without it if the disk is full."""
        for scored in rows:
            if scored.image is not None and self.images is not None:
                label = self._image_label(scored.row.method)
                self.images.save(label, scored.row.sample, scored.key, scored.image)
        new = [(scored.key, scored.row) for scored in rows if not scored.row.reused]
        try:
            self.journal.append(
                [(key, row) for key, row in new if key and row.values], self.metrics
            )
        except FusionlabError as error:
            self.unsaved = str(error)

    def _has_image(self, label: str, sample: str, key: str) -> bool:
        """Return whether the image of a row is there, or is not to be kept."""
        return self.images is None or self.images.has(self._image_label(label), sample, key)

    def _image_label(self, label: str) -> str:
        return f"{self.image_set}/{label}" if self.image_set else label


class _InOrder:
    """Returns rows sample by sample, as soon as all rows of the next sample are there."""

    def __init__(self, items: Sequence[ImageSetItem], labels: Sequence[str]) -> None:
        self._samples = deque(item.stem for item in items)
        self._labels = labels
        self._rows: dict[str, dict[str, ScoreRow]] = {}

    def add(self, rows: Sequence[ScoreRow]) -> list[ScoreRow]:
        """Add rows; return those whose turn it is, methods in their order."""
        for row in rows:
            self._rows.setdefault(row.sample, {})[row.method] = row
        ready: list[ScoreRow] = []
        while self._samples:
            complete = self._rows.get(self._samples[0], {})
            if len(complete) < len(self._labels):
                break
            ready += [complete[label] for label in self._labels]
            del self._rows[self._samples.popleft()]
        return ready


def _failed(job: Job, cell: Cell, reason: str) -> ScoredRow:
    """Return a row without values."""
    label = cell.method.label
    problem = f"{job.item.stem}, {label}: {reason}"
    return ScoredRow(ScoreRow(job.item.stem, label, {}, problem), "")
