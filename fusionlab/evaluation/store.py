"""The scores of an output folder, so that an interrupted evaluation can go on.

A line of JSON for each method and image, appended as soon as it is known. It counts for a later
run if its key is that of the same method, settings, sources and versions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from fusionlab.errors import FusionlabError
from fusionlab.evaluation.measures import Measure
from fusionlab.evaluation.scores import Outcome
from fusionlab.storage.atomic import make_folder

NAME = "scores.jsonl"
REPORTS = (
    "table.md",
    "table.tex",
    "means.csv",
    "comparisons.csv",
    "images.csv",
    "evaluation.json",
)
"""What is written beside the scores in the end."""


def check_folder(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Raise `FusionlabError` if an earlier run has left its scores, and nobody says what to do."""
    if resume and overwrite:
        raise FusionlabError("--resume goes on with a run, --overwrite replaces it; choose one")
    taken = [name for name in (NAME, *REPORTS) if (folder / name).exists()]
    if taken and not (resume or overwrite):
        raise FusionlabError(
            f"{folder} holds {taken[0]} of an earlier run; use --resume to go on with it, "
            "--overwrite to replace it"
        )


class ScoreStore:
    """Scores in a folder, or nowhere.

    Args:
        folder: where the file lies; None keeps nothing.
        resume: take over what an earlier run has left; otherwise it is replaced.

    Raises:
        FusionlabError: the folder cannot be used.
    """

    def __init__(self, folder: Path | None, *, resume: bool = False) -> None:
        self._path = None if folder is None else folder / NAME
        self._known: dict[tuple[str, str], dict[str, tuple[str, float]]] = {}
        self._lock = Lock()
        if self._path is None or folder is None:
            return
        make_folder(folder)
        try:
            content = self._path.read_bytes() if resume and self._path.exists() else b""
            self._known = _read(content)
            with self._path.open("a" if resume else "w") as file:
                if content and not content.endswith(b"\n"):  # the last line was cut off
                    file.write("\n")
            if not resume:  # tables beside other scores would be taken for theirs
                for name in REPORTS:
                    (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise FusionlabError(f"cannot write {self._path}: {error.strerror}") from error

    def find(self, key: str, stem: str, measures: Sequence[Measure]) -> dict[str, float]:
        """Return the values that are known for a method (its key), an image, and these measures."""
        known = self._known.get((key, stem), {})
        return {
            measure.name: known[measure.name][1]
            for measure in measures
            if measure.name in known and known[measure.name][0] == measure.identity
        }

    def note(self, key: str, outcome: Outcome, measures: Sequence[Measure]) -> None:
        """Keep the values of an outcome; called from several threads.

        Raises:
            OSError: it cannot be written.
        """
        if self._path is None:
            return
        values = {
            one.name: [one.identity, outcome.values[one.name]]
            for one in measures
            if one.name in outcome.values
        }
        line = {"key": key, "image": outcome.stem, "method": outcome.method, "values": values}
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")  # nan and infinity as Python spells them


def _read(content: bytes) -> dict[tuple[str, str], dict[str, tuple[str, float]]]:
    """Return (key, image) -> measure -> identity and value; what is no line is left out."""
    known: dict[tuple[str, str], dict[str, tuple[str, float]]] = {}
    for row in content.splitlines():
        try:
            line = json.loads(row)
        except (ValueError, RecursionError):  # cut off
            continue
        match line:
            case {"key": str(key), "image": str(image), "values": dict(values)}:
                for name, value in values.items():
                    match value:
                        case [str(identity), int() | float() as number]:
                            known.setdefault((key, image), {})[name] = identity, float(number)
    return known
