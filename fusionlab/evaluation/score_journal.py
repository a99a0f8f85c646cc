"""The scores of an output folder, so that an interrupted evaluation can be resumed.

Each method and sample is a line of JSON, appended as soon as it is scored. A later run reuses it
if its key belongs to the same method, settings, sources and versions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from fusionlab.errors import FusionlabError
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.reporting.files import REPORT_FILES
from fusionlab.evaluation.scores import ScoreRow
from fusionlab.storage.atomic import make_folder
from fusionlab.storage.journal import Journal
from fusionlab.storage.schema import mismatch

NAME = "rows.jsonl"
SYNC_SECONDS = 5.0
"""How much work a power cut may cost."""


@dataclass
class KnownRow:
    """What a journal holds of a method and a sample."""

    values: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Name of a metric -> its identity and value."""
    outside: float = math.nan
    """See `ScoreRow`."""


class _Line(TypedDict):
    key: str
    image: str
    outside: float
    values: Mapping[str, Any]


KnownScores = dict[tuple[str, str], KnownRow]
"""(key, sample) -> what is known of them."""


def check_output_folder(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder with the scores of an earlier run unless it is clear what to do with them.

    Raises:
        FusionlabError: both options are given (code `resume-or-overwrite`), or neither although
            there are files of an earlier run (code `earlier-run`).
    """
    if resume and overwrite:
        raise FusionlabError(
            "resume continues a run, overwrite replaces it; choose one", code="resume-or-overwrite"
        )
    existing = [name for name in (NAME, *REPORT_FILES) if (folder / name).exists()]
    if existing and not (resume or overwrite):
        raise FusionlabError(
            f"{folder} holds {existing[0]} of an earlier run; resume it, or overwrite it",
            code="earlier-run",
            option="resume",
            path=folder,
        )


class ScoreJournal:
    """Scores in a folder, or nowhere.

    Args:
        folder: where the file is; None keeps nothing.
        resume: reuse the scores of an earlier run; otherwise they are replaced, and its tables
            removed, which would not belong to the new scores.

    Raises:
        FusionlabError: the folder cannot be used.
    """

    def __init__(self, folder: Path | None, *, resume: bool = False) -> None:
        self._journal: Journal | None = None
        self._synced = -math.inf
        self.known: KnownScores = {}
        """The scores of the earlier run."""
        if folder is None:
            return
        make_folder(folder)
        self._journal = Journal(folder / NAME)
        if resume:
            self.known = _known(self._journal)
            return
        self._journal.replace([])
        for name in REPORT_FILES:
            (folder / name).unlink(missing_ok=True)

    def append(self, rows: Sequence[tuple[str, ScoreRow]], metrics: Sequence[Metric]) -> None:
        """Append the values of rows, each with its key; they reach the disk every few seconds.

        Raises:
            FusionlabError: they cannot be written.
        """
        if self._journal is None:
            return
        now = time.monotonic()
        sync = now - self._synced > SYNC_SECONDS
        self._synced = now if sync else self._synced
        self._journal.append(*(_line(key, row, metrics) for key, row in rows), sync=sync)


def _line(key: str, row: ScoreRow, metrics: Sequence[Metric]) -> dict[str, Any]:
    values = {
        metric.name: [metric.identity_for(row.truth), row.values[metric.name]]
        for metric in metrics
        if metric.name in row.values
    }
    return {
        "key": key,
        "image": row.sample,
        "method": row.method,
        "outside": row.outside,
        "values": values,
    }


def known_values(row: KnownRow, metrics: Sequence[Metric], truth: str = "") -> dict[str, float]:
    """Return the values of a row that these metrics would have again.

    Those of metrics that compare with a true image are known for an image of this SHA-256.
    """
    return {
        metric.name: row.values[metric.name][1]
        for metric in metrics
        if metric.name in row.values and row.values[metric.name][0] == metric.identity_for(truth)
    }


def _known(journal: Journal) -> KnownScores:
    """Return the scores of a journal; skips lines of another form."""
    known: KnownScores = {}
    for line in journal.read():
        if mismatch(line, _Line):
            continue
        row = known.setdefault((line["key"], line["image"]), KnownRow())
        row.outside = float(line["outside"])
        for name, value in line["values"].items():
            if not mismatch(value, tuple[str, float]):
                row.values[name] = value[0], float(value[1])
    return known
