"""What a folder run has finished, so that an interrupted one can go on.

A line of JSON for each picture, appended when its files are written but not yet renamed into
place: a run that is killed leaves either no picture, or one whose line is there. A picture is
finished if its line has the key of today's settings and sources, and its files have the hashes
of the line.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionlab.errors import FusionlabError
from fusionlab.storage.atomic import atomic_write_all

NAME = "fusionlab-manifest.jsonl"


class RunManifest:
    """The manifest of one output folder.

    Args:
        folder: where it lies, with what earlier runs have noted; it need not be there.

    Raises:
        FusionlabError: it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._lines: dict[str, dict[str, Any]] = {}
        try:
            if self.path.exists():
                self._lines = _read(self.path.read_bytes())
        except OSError as error:
            raise FusionlabError(f"cannot read {self.path}: {error.strerror}") from error

    def knows(self, stem: str, path: Path) -> bool:
        """Return whether an earlier run has written this file of a stem."""
        return stem in self._lines and self._name(path) in self._lines[stem]["files"]

    def finished(self, stem: str, key: str, files: Sequence[Path]) -> bool:
        """Return whether the files of a stem are there, as they would be made again."""
        line = self._lines.get(stem)
        if line is None or line["key"] != key:
            return False
        found = {self._name(path): _sha256(path) for path in files}
        return None not in found.values() and bool(line["files"] == found)

    def note(self, stem: str, key: str, files: Mapping[Path, Path]) -> None:
        """Note that files are about to appear, whose content lies somewhere else so far.

        Raises:
            FusionlabError: it cannot be written.
        """
        hashes = {self._name(path): _sha256(beside) for path, beside in files.items()}
        line = {"stem": stem, "key": key, "files": hashes}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise FusionlabError(f"cannot write {self.path}: {error.strerror}") from error
        self._lines[stem] = line

    def tidy(self) -> None:
        """Write the manifest anew, a line for each stem in their order.

        The same pictures then give the same manifest, however often a run was interrupted; and
        what was no line, or the beginning of one, is gone.

        Raises:
            FusionlabError: it cannot be written.
        """
        text = "".join(json.dumps(self._lines[stem]) + "\n" for stem in sorted(self._lines))
        with atomic_write_all({self.path: text.encode()}):
            pass

    def _name(self, path: Path) -> str:
        return Path(os.path.relpath(path, self.path.parent)).as_posix()


def _read(content: bytes) -> dict[str, dict[str, Any]]:
    """Return stem -> line; what is no line, such as one cut off, is left out."""
    lines = {}
    for row in content.splitlines():
        try:
            line = json.loads(row)
        except (ValueError, RecursionError):
            continue
        match line:
            case {"stem": str(stem), "key": str(key), "files": dict(files)}:
                lines[stem] = {"stem": stem, "key": key, "files": files}
    return lines


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
