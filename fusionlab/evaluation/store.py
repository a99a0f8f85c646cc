"""The scores of an output folder, so that an interrupted evaluation can go on.

A line of JSON for each method and image, appended as soon as it is known. It counts for a later
run if its key is that of the same method, settings, sources and versions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from fusionlab.errors import FusionlabError
from fusionlab.evaluation.scores import Outcome
from fusionlab.files import make_folder

NAME = "scores.jsonl"


def check_folder(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Raise `FusionlabError` if an earlier run has left its scores, and nobody says what to do."""
    if (folder / NAME).exists() and not (resume or overwrite):
        raise FusionlabError(
            f"{folder} holds the scores of an earlier run; use --resume to go on with it, "
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
        self._known: dict[tuple[str, str], dict[str, float]] = {}
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
        except OSError as error:
            raise FusionlabError(f"cannot write {self._path}: {error.strerror}") from error

    def find(self, key: str, stem: str) -> dict[str, float]:
        """Return the values that are known for a method (its key) and an image."""
        return self._known.get((key, stem), {})

    def note(self, key: str, outcome: Outcome) -> None:
        """Keep the values of an outcome; called from several threads.

        Raises:
            FusionlabError: it cannot be written.
        """
        if self._path is None:
            return
        values = {name: None if math.isnan(v) else v for name, v in outcome.values.items()}
        line = {"key": key, "image": outcome.stem, "method": outcome.method, "values": values}
        try:
            with self._lock, self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise FusionlabError(f"cannot write {self._path}: {error.strerror}") from error


def _read(content: bytes) -> dict[tuple[str, str], dict[str, float]]:
    """Return (key, image) -> values; what is no line, such as one cut off, is left out."""
    known: dict[tuple[str, str], dict[str, float]] = {}
    for row in content.splitlines():
        try:
            line = json.loads(row)
        except (ValueError, RecursionError):
            continue
        match line:
            case {"key": str(key), "image": str(image), "values": dict(values)}:
                known.setdefault((key, image), {}).update(_numbers(values))
    return known


def _numbers(values: Mapping[str, object]) -> dict[str, float]:
    return {
        name: math.nan if value is None else float(value)
        for name, value in values.items()
        if value is None or isinstance(value, int | float)
    }
