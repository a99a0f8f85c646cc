"""The manifest of an output folder: which images a folder run has finished, so that it can resume.

The manifest has a JSON line for each image, appended when the files of the image are written but
not yet renamed into place: a run that is killed leaves either no image, or an image with its line.
An image is finished if its line has the key of the current settings and sources, and its files
have the hashes in the line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from fusionlab.errors import FusionlabError
from fusionlab.storage.hashing import sha256_of_file
from fusionlab.storage.journal import Journal, encoded_line
from fusionlab.storage.own_files import check_own_file

MANIFEST_NAME = "fusionlab-manifest.jsonl"

SEQUENCE_JOURNAL_NAME = "fusionlab-sequence.jsonl"
"""What takes its place in a folder of the frames of a sequence, see `fusionlab.sequences`."""


class RunManifest:
    """The manifest of one output folder, with the lines of earlier runs.

    Args:
        folder: the output folder, which does not have to exist yet.

    Raises:
        FusionlabError: the manifest cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MANIFEST_NAME
        check_own_file(self.path)
        self._journal = Journal(self.path)
        self._folders: dict[str, str] = {}
        self._lines: dict[str, bytes] = {}
        """Stem -> its line, as it is in the file: parsed, a long manifest takes half a gigabyte."""
        for text, line in self._journal.read_lines():
            match line:
                case {"stem": str(stem), "key": str(), "files": dict()}:
                    self._lines[stem] = text
        size = self.path.stat().st_size if self._lines else -1
        in_order = all(a < b for a, b in pairwise(self._lines))
        self._tidy = in_order and size == sum(map(len, self._lines.values()))

    def has_file(self, stem: str, path: Path) -> bool:
        """Return whether a run has written this file for an image."""
        line = self._line(stem)
        return line is not None and self._name(path) in line["files"]

    def is_finished(self, stem: str, key: str, files: Sequence[Path]) -> bool:
        """Return whether the files of an image exist with the content that `key` gives."""
        line = self._line(stem)
        if line is None or line["key"] != key:
            return False
        hashes = {self._name(path): _hash_or_none(path) for path in files}
        return None not in hashes.values() and bool(line["files"] == hashes)

    def add(self, stem: str, key: str, files: Mapping[Path, Path]) -> None:
        """Add the line of an image; it is on the disk when this returns.

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
        line = encoded_line({"stem": stem, "key": key, "files": hashes})
        self._journal.append(line, sync=True)
        self._lines[stem] = line
        self._tidy = False

    def tidy(self) -> None:
        """Rewrite the manifest with one line per stem, sorted by stem, if it is not so already.

        The same images then give the same manifest however often a run was interrupted.

        Raises:
            FusionlabError: the manifest cannot be written.
        """
        if not self._tidy:
            self._journal.replace(self._lines[stem] for stem in sorted(self._lines))
            self._tidy = True

    def _line(self, stem: str) -> dict[str, Any] | None:
        text = self._lines.get(stem)
        return None if text is None else json.loads(text)

    def _name(self, path: Path) -> str:
        """Return the path of a file from the folder of the manifest, with `/`."""
        folder, name = os.path.split(path)
        if folder not in self._folders:
            relative = Path(os.path.relpath(folder or ".", self.path.parent)).as_posix()
            self._folders[folder] = "" if relative == "." else f"{relative}/"
        return self._folders[folder] + name


def _hash_or_none(path: Path) -> str | None:
    try:
        return sha256_of_file(path)
    except OSError:
        return None
