"""Journals: files of JSON lines that survive an interrupted run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from fusionlab.errors import FusionlabError
from fusionlab.storage.atomic import atomic_write_all
from fusionlab.storage.own_files import check_own_file


class Journal:
    """A file with one JSON object per line; lines are appended as soon as they are known.

    The file does not have to exist before the first line is written. Several threads may append.

    Args:
        path: the file, by convention with the suffix `.jsonl`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()

    def read(self) -> list[dict[str, Any]]:
        """Return all JSON objects of the file, see `read_lines`."""
        return [value for _, value in self.read_lines()]

    def read_lines(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Yield each line with its JSON object, in order; nothing if there is no file.

        Skips every line that is not a JSON object, such as one that a crash cut off.

        Raises:
            FusionlabError: the file cannot be read, or is not a file.
        """
        check_own_file(self.path, reading=True)
        try:
            with self.path.open("rb") as file:
                for line in file:
                    value = _parsed(line)
                    if isinstance(value, dict):
                        yield line.rstrip(b"\n") + b"\n", value
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise FusionlabError(
                f"cannot read {self.path}: {error.strerror}", code="unreadable", path=self.path
            ) from error

    def append(self, *lines: Mapping[str, Any] | bytes, sync: bool = False) -> None:
        """Append objects. A last line that a crash cut off is completed by a line break first.

        Args:
            lines: the objects.
            sync: wait until they are on the disk, so that they survive a power cut, too.

        Raises:
            FusionlabError: they cannot be written, or a link has the place of the file.
        """
        check_own_file(self.path)
        try:
            with self.path.open("a+b") as file:
                with self._lock:
                    if file.seek(0, 2):
                        file.seek(-1, 2)
                        if file.read(1) != b"\n":
                            file.write(b"\n")
                    file.write(b"".join(map(encoded_line, lines)))
                    file.flush()
                if sync:  # several threads may wait at once, which takes no longer than one
                    os.fsync(file.fileno())
        except OSError as error:
            raise FusionlabError(
                f"cannot write {self.path}: {error.strerror}", code="unwritable", path=self.path
            ) from error

    def replace(self, lines: Iterable[Mapping[str, Any] | bytes]) -> None:
        """Write the file anew with these objects, atomically; with lines of it as they are.

        Raises:
            FusionlabError: the file cannot be written; it is unchanged.
        """

        def write(file: BinaryIO) -> None:
            file.writelines(map(encoded_line, lines))

        with self._lock, atomic_write_all({self.path: write}, own=True):
            pass


def encoded_line(line: Mapping[str, Any] | bytes) -> bytes:
    """Return the line of an object, with its line break; a line is returned as it is."""
    if isinstance(line, bytes):
        return line
    return json.dumps(line).encode() + b"\n"  # ASCII; NaN and infinity as Python spells them


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
