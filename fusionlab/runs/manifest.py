"""The manifest of an output folder: which images a folder run has finished, so that it can resume.

The manifest has a JSON line for each image, appended when the files of the image are written but
not yet renamed into place: a run that is killed leaves either no image, or an image with its line.
An image is finished if its line has the key of the current settings and sources, and its files
have the hashes in the line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionlab.errors import FusionlabError
from fusionlab.storage.hashing import sha256_of_file
from fusionlab.storage.journal import Journal

MANIFEST_NAME = "fusionlab-manifest.jsonl"


class RunManifest:
    """The manifest of one output folder, with the lines of earlier runs.

    Args:
        folder: the output folder, which does not have to exist yet.

    Raises:
        FusionlabError: the manifest cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MANIFEST_NAME
        self._journal = Journal(self.path)
        self._lines: dict[str, dict[str, Any]] = {}
        for line in self._journal.read():
            match line:
                case {"stem": str(stem), "key": str(key), "files": dict(files)}:
                    self._lines[stem] = {"stem": stem, "key": key, "files": files}

    def has_file(self, stem: str, path: Path) -> bool:
        """Return whether a run has written this file for an image."""
        return stem in self._lines and self._name(path) in self._lines[stem]["files"]

    def is_finished(self, stem: str, key: str, files: Sequence[Path]) -> bool:
        """Return whether the files of an image exist with the content that `key` gives."""
        line = self._lines.get(stem)
        if line is None or line["key"] != key:
            return False
        hashes = {self._name(path): _hash_or_none(path) for path in files}
        return None not in hashes.values() and bool(line["files"] == hashes)

    def add(self, stem: str, key: str, files: Mapping[Path, Path]) -> None:
        """Add the line of an image.

        Args:
            stem: of the image.
            key: identifies its settings and sources.
            files: final path -> temporary path, where the content is now.

        Raises:
            FusionlabError: the manifest cannot be written, or a temporary file cannot be read.
        """
        try:
            hashes = {self._name(path): sha256_of_file(content) for path, content in files.items()}
        except OSError as error:
            raise FusionlabError(f"cannot read {error.filename}: {error.strerror}") from error
        line = {"stem": stem, "key": key, "files": hashes}
        self._journal.append(line, sync=True)
        self._lines[stem] = line

    def tidy(self) -> None:
        """Rewrite the manifest with one line per stem, sorted by stem.

        The same images then give the same manifest however often a run was interrupted.

        Raises:
            FusionlabError: the manifest cannot be written.
        """
        self._journal.replace(self._lines[stem] for stem in sorted(self._lines))

    def _name(self, path: Path) -> str:
        return Path(os.path.relpath(path, self.path.parent)).as_posix()


def _hash_or_none(path: Path) -> str | None:
    try:
        return sha256_of_file(path)
    except OSError:
        return None
