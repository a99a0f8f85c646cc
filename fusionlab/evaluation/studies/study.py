"""Run a study: plan it, compute what is missing, write its tables."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

from fusionlab.errors import FusionlabError
from fusionlab.evaluation.comparisons import Comparison, compare_families
from fusionlab.evaluation.effects import MatchedRows, effects
from fusionlab.evaluation.executors import ExecutorChoice
from fusionlab.evaluation.gray_levels import SCORED_BY
from fusionlab.evaluation.reporting.files import report_files
from fusionlab.evaluation.reporting.report import Report
from fusionlab.evaluation.run import ENOUGH_ROWS, ScoringRun
from fusionlab.evaluation.saved_images import SavedImages
from fusionlab.evaluation.score_journal import ScoreJournal
from fusionlab.evaluation.scores import ScoreRow, Scores, in_order
from fusionlab.evaluation.studies.plan import SetPlan, StudyPlan
from fusionlab.evaluation.studies.results import StudyResults
from fusionlab.storage.atomic import atomic_write_all
from fusionlab.storage.locking import is_locked, run_folder_lock
from fusionlab.storage.own_files import check_own_file
from fusionlab.storage.schema import Count, Finite, NotOurs, Within, parse_json
from fusionlab.storage.versions import library_versions

STATUS = "status.json"
"""The file that says how far a study is."""
STATUS_SECONDS = 1.0
"""How often it is written."""
LIBRARIES = ("fusionlab-imaging", "torch", "numpy", "scipy")


@dataclass
class Progress:
    """How far a study is."""

    total: int
    """Rows: methods times samples, over all sets."""
    done: int = 0
    reused: int = 0
    """Of those done: how many an earlier run had."""
    failed: int = 0
    """Of those done: how many lack values."""
    workers: int = 0
    """How many rows are computed at the same time; 0 before they have started."""
    started: float = field(default_factory=time.time)
    """Seconds since 1970."""

    @property
    def kept(self) -> int:
        """How many rows a later run need not compute."""
        return self.done - self.failed

    @property
    def rate(self) -> float:
        """Computed rows per second; 0 before the first one."""
        seconds = time.time() - self.started
        computed = self.done - self.reused
        return computed / seconds if computed and seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take; None before `ENOUGH_ROWS` have been computed."""
        enough = self.done - self.reused >= ENOUGH_ROWS
        return (self.total - self.done) / self.rate if enough and self.rate else None

    def as_json(self, state: str) -> dict[str, Any]:
        """Return the progress as plain JSON."""
        left = self.left
        return {
            "state": state,
            "total": self.total,
            "done": self.done,
            "reused": self.reused,
            "failed": self.failed,
            "workers": self.workers,
            "rows_per_second": round(self.rate, 3),
            "seconds_left": None if left is None else round(left, 1),
            "started": self.started,
            "updated": time.time(),
            "pid": os.getpid(),
        }


def run_study(
    plan: StudyPlan,
    output: Path,
    *,
    executor: str | None = None,
    overwrite: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
    on_problem: Callable[[str], None] = lambda _: None,
    facts: Mapping[str, str] | None = None,
) -> StudyResults:
    """Compute what is missing of a study, and write its tables.

    What an earlier run in `output` has computed is used where nothing that it depends on has
    changed. A sample, method or metric that fails costs its own rows; their problems say why.

    Args:
        plan: see `plan_study`.
        output: the folder of the study; two runs cannot use it at the same time.
        executor: where to compute, see `ExecutorChoice`; None: as the file says.
        overwrite: compute everything anew.
        progress: called when the workers have started and it is known what an earlier run has,
            then after each row, and every second.
        on_problem: called with each new problem, a sentence.
        facts: what is written with the results: how they were made.

    Raises:
        FusionlabError: the folder cannot be used, or another run uses it (code `locked`), or there
            is no such executor.
    """
    choice = ExecutorChoice.parse(executor or plan.file.executor)
    with run_folder_lock(output):
        journal = ScoreJournal(output, resume=not overwrite)
        images = SavedImages(output, resume=not overwrite) if plan.file.save_images else None
        counts = Progress(plan.cells)
        status = _Status(output, counts, plan.file.path)
        scored: dict[str, list[ScoreRow]] = {}
        unsaved = ""
        try:
            with choice.open(plan.file.device) as workers:
                runs = [_scoring_run(plan, entry, journal, images) for entry in plan.sets]
                pairs = zip(plan.sets, runs, strict=True)
                work = [run.look_up(entry.items) for entry, run in pairs]
                counts.workers = workers.workers
                counts.reused = sum(len(sample.known) for samples in work for sample in samples)
                counts.done = counts.reused
                status.update()
                progress(counts)
                for entry, run, samples in zip(plan.sets, runs, work, strict=True):
                    with closing(run.run(samples, workers)) as batches:
                        rows = scored[entry.name] = list(next(batches))  # counted above
                        for batch in _distinct_problems(batches, on_problem):
                            rows += batch
                            counts.done += len(batch)
                            counts.failed += sum(bool(row.problem) for row in batch)
                            status.update()
                            progress(counts)
                    unsaved = unsaved or run.unsaved
        except BaseException:
            status.update("stopped")
            raise
        results = _results(plan, scored, output, facts or {}, unsaved)
        write_results(results, output)
        status.update("complete")
    return results


def known_results(
    plan: StudyPlan, output: Path, facts: Mapping[str, str] | None = None
) -> StudyResults:
    """Return the results that a study has so far; nothing is computed.

    Args:
        plan: the plan of the study.
        output: its folder, which a run may be using.
        facts: how they were made.

    Raises:
        FusionlabError: the folder cannot be read.
    """
    journal = ScoreJournal(output, resume=True)
    scored = {
        entry.name: [
            scored.row
            for sample in _scoring_run(plan, entry, journal, None).look_up(entry.items)
            for scored in sample.known
        ]
        for entry in plan.sets
    }
    return _results(plan, scored, output, facts or {}, "")


def read_status(output: Path) -> dict[str, Any]:
    """Return what `Progress.as_json` wrote last, and the `file`; a killed run is `stopped`.

    Raises:
        FusionlabError: there is no study in the folder (code `no-study`), or its status is damaged
            (code `bad-status`).
    """
    path = output / STATUS
    check_own_file(path, reading=True)
    try:
        status: dict[str, Any] = parse_json(path.read_bytes(), _StatusFile)
    except OSError as error:
        raise FusionlabError(
            f"there is no study in {output}; run one first", code="no-study", path=output
        ) from error
    except NotOurs as error:
        raise FusionlabError(
            f"{path} is damaged: {error}; the next run writes it again",
            code="bad-status",
            path=path,
        ) from error
    if status.get("state") == "running":
        status["state"] = "running" if is_locked(output) else "stopped"
    return status


def write_results(results: StudyResults, output: Path) -> None:
    """Write the tables of a study, all of them or none.

    Raises:
        FusionlabError: the folder cannot be written.
    """
    with atomic_write_all(
        report_files(
            results.reports, output, {"name": results.name, **results.facts}, results.effects
        )
    ):
        pass


def _scoring_run(
    plan: StudyPlan, entry: SetPlan, journal: ScoreJournal, images: SavedImages | None
) -> ScoringRun:
    return ScoringRun(
        entry.methods,
        entry.metrics,
        journal,
        entry.settings,
        images,
        entry.name,
        blocked=plan.blocked,
    )


def _distinct_problems(
    batches: Iterator[list[ScoreRow]], on_problem: Callable[[str], None]
) -> Iterator[list[ScoreRow]]:
    """Yield batches of rows, and report each problem once."""
    reported: set[str] = set()
    for batch in batches:
        for row in batch:
            if row.problem and row.problem not in reported:
                reported.add(row.problem)
                on_problem(row.problem)
        yield batch


def _results(
    plan: StudyPlan,
    scored: Mapping[str, Sequence[ScoreRow]],
    output: Path,
    facts: Mapping[str, str],
    unsaved: str,
) -> StudyResults:
    """Return a report for each set; p-values are corrected for all tests of a kind in the study."""
    scored = {
        entry.name: in_order(
            scored[entry.name],
            [item.stem for item in entry.items],
            [row.label for row in entry.methods],
        )
        for entry in plan.sets
    }
    scores = {
        entry.name: Scores(
            [row.label for row in entry.methods],
            [item.stem for item in entry.items],
            entry.metrics,
            scored[entry.name],
        )
        for entry in plan.sets
    }
    kinds = list(dict.fromkeys(kind for entry in plan.sets for kind in entry.pairs))
    families = compare_families(
        [[(scores[e.name], e.pairs.get(kind, ())) for e in plan.sets] for kind in kinds]
    )
    comparisons: dict[str, dict[str, Sequence[Comparison]]] = {e.name: {} for e in plan.sets}
    for kind, tables in zip(kinds, families, strict=True):
        for entry, table in zip(plan.sets, tables, strict=True):
            comparisons[entry.name][kind] = table
    reports = {
        entry.name: Report(
            entry.methods,
            scores[entry.name],
            scored[entry.name],
            {
                "set": entry.name,
                "samples": str(len(entry.items)),
                "preset": plan.file.preset or "none",
                "scale": " ".join(map(str, entry.settings.scale)),
                "scored": "the images as written, in gray levels 0..255, by "
                f"{SCORED_BY[entry.settings.score_color]}",
                **({"registered": str(moved)} if (moved := entry.settings.registrar) else {}),
            },
            published=entry.published.rows,
            published_labels=entry.published_labels,
            published_note=entry.published_note,
            explanations=entry.published.notes,
            left_out=entry.left_out,
            against=plan.file.against,
            comparisons=comparisons[entry.name],
            digits=plan.file.digits,
            unsaved=unsaved,
            name=entry.name,
            deviations=plan.file.deviations,
        )
        for entry in plan.sets
    }
    versions = ", ".join(f"{name} {v}" for name, v in library_versions(LIBRARIES).items())
    return StudyResults(
        plan.file.name,
        reports,
        {entry.name: entry.items for entry in plan.sets},
        output,
        {**facts, "versions": versions},
        effects(
            [
                MatchedRows(
                    entry.name,
                    scores[entry.name],
                    [item.sources or (entry.name, item.stem) for item in entry.items],
                    entry.contrasts,
                )
                for entry in plan.sets
            ]
        ),
        {
            entry.name: entry.settings.registrar
            for entry in plan.sets
            if entry.settings.registrar is not None
        },
    )


class _StatusFile(TypedDict):
    state: str
    total: Count
    done: Count
    reused: Count
    failed: Count
    rows_per_second: Finite
    seconds_left: Annotated[float, Within(0, 1e12)] | None
    file: NotRequired[str | None]


class _Status:
    """Writes how far a run is, not more often than every second."""

    def __init__(self, output: Path, progress: Progress, file: Path | None) -> None:
        self._path = output / STATUS
        self._file = None if file is None else str(file)
        self._progress = progress
        self._written = 0.0
        self.update()

    def update(self, state: str = "running") -> None:
        """Write the file if it is old, or the state is another one."""
        now = time.monotonic()
        if state == "running" and self._written and now - self._written < STATUS_SECONDS:
            return
        self._written = now
        content = json.dumps({**self._progress.as_json(state), "file": self._file}, indent=1) + "\n"
        with atomic_write_all({self._path: content.encode()}, own=True):
            pass
