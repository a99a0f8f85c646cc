"""Score methods on image sets: find what is missing, have it computed, keep what comes back.

One process, the coordinator, decides and writes; any executor computes. A worker that dies costs
another try, and in the end one row with a reason, never the run.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
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
from fusionlab.imaging.reading import identity_of
from fusionlab.runs.image_sets import ImageSetItem

MAX_DEATHS = 3
"""How many workers may die over a single row before it fails."""
JOB_SECONDS = 10.0
"""After how long a job returns what it has: this much work is lost if a worker dies."""
WAIT_SECONDS = 1.0
"""After how long a run yields although no row has come; its caller can say how far it is."""
ENOUGH_ROWS = 10
"""How many rows have to be computed before the time that is left can be told."""


@dataclass(frozen=True)
class SampleWork:
    """What an earlier run has of a sample, and what is missing."""

    item: ImageSetItem
    known: Sequence[ScoredRow]
    cells: Sequence[Cell]


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
        progress: called with (rows done, rows in all): first with the number of rows that an
            earlier run has, then after each row that is computed.
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

    def look_up(self, items: Sequence[ImageSetItem]) -> list[SampleWork]:
        """Find what the journal has of every sample, and what is missing; computes nothing."""
        hashes = [method_key(method, self.settings) for method in self.methods]
        return [self._missing(item, hashes) for item in items]

    def run(
        self, samples: Sequence[SampleWork], workers: RunningExecutor
    ) -> Generator[list[ScoreRow], None, None]:
        """Score every method on every sample.

        If the folder of the journal cannot be written, the run continues, and `unsaved` says so.

        Args:
            samples: the samples, see `look_up`.
            workers: compute the jobs.

        Yields:
            Rows as they come, those of the earlier run first. They have been kept before. An empty
            list when none has come for `WAIT_SECONDS`.
        """
        done = sum(len(sample.known) for sample in samples)
        total = len(samples) * len(self.methods)
        self.progress(done, total)
        yield [scored.row for sample in samples for scored in sample.known]
        try:
            for rows in self._computed(samples, workers):
                self._keep(rows)
                for _ in rows:
                    done += 1
                    self.progress(done, total)
                yield [scored.row for scored in rows]
        finally:  # also after Ctrl-C: what has been saved stays
            self._stopping.set()
            if self.images is not None:
                self.unsaved = self.unsaved or self.images.problem

    def _computed(
        self, samples: Sequence[SampleWork], workers: RunningExecutor
    ) -> Iterator[list[ScoredRow]]:
        """Yield the rows that jobs return, as they come; an empty list when none has for long."""
        parts = max(1, math.ceil(2 * workers.workers / max(1, len(samples))))
        jobs = (job for sample in samples for job in self._jobs(sample, parts))
        again: deque[Job] = deque()
        running: dict[Future[list[ScoredRow]], Job] = {}
        while True:
            while len(running) < 2 * workers.workers:
                job = again.popleft() if again else next(jobs, None)
                if job is None:
                    break
                running[self._submit(job, workers)] = job
            if not running:
                return
            finished = wait(running, WAIT_SECONDS, FIRST_COMPLETED).done
            if not finished:
                yield []
            for future in finished:
                job = running.pop(future)
                rows, more = self._finished(future, job, workers)
                again.extendleft(reversed(more))
                if rows:
                    yield rows

    def _missing(self, item: ImageSetItem, hashes: Sequence[str]) -> SampleWork:
        """Split the methods into the rows that an earlier run has for a sample, and the others.

        A row whose image is to be kept and is not there is missing, too.
        """
        known_rows: list[ScoredRow] = []
        cells: list[Cell] = []
        try:
            sources = [] if item.problem else [identity_of(path) for path in item.sources]
            settings = self.settings
            truth = settings.truth.sha256(item.stem) if settings.truth is not None else ""
        except OSError:  # the job that reads them says why
            every = [Cell(*pair) for pair in zip(self.methods, hashes, strict=True)]
            return SampleWork(item, [], every)
        for method, method_hash in zip(self.methods, hashes, strict=True):
            key, known = "", KnownRow()
            try:
                key = row_key(method_hash, sources, method.fingerprint(item.stem))
                known = self.journal.known.get((key, item.stem), known)
            except FusionlabError:  # there is no such result; the job says why
                pass
            save = not self._has_image(method.label, item.stem, key)
            values = known_values(known, self.metrics, truth)
            if len(values) == len(self.metrics) and not save:
                row = ScoreRow(item.stem, method.label, values, "", True, truth, known.outside)
                known_rows.append(ScoredRow(row, key))
            else:
                cells.append(Cell(method, method_hash, key, known, save))
        return SampleWork(item, known_rows, cells)

    def _jobs(self, sample: SampleWork, parts: int) -> Iterator[Job]:
        """Split what is missing of a sample into jobs, so that all workers are busy."""
        size = max(1, math.ceil(len(sample.cells) / parts))
        for start in range(0, len(sample.cells), size):
            yield Job(
                sample.item,
                tuple(sample.cells[start : start + size]),
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


def _failed(job: Job, cell: Cell, reason: str) -> ScoredRow:
    """Return a row without values."""
    label = cell.method.label
    problem = f"{job.item.stem}, {label}: {reason}"
    return ScoredRow(ScoreRow(job.item.stem, label, {}, problem), "")
