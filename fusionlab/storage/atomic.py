"""Writing files, and folders of them, so that nobody ever sees half of one."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from fusionlab.errors import FusionlabError

_PARTIAL = ".fusionlab-partial-"
"""How the names of unfinished files begin."""

Content = bytes | Callable[[BinaryIO], None]
"""What a file will hold, or who writes it: called with the file, empty and open."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it to `path` if all went well.

    Whatever happens in between (an exception, Ctrl-C, a full disk), `path` is either what it
    was or the complete new file. The temporary file keeps the suffix of `path`, because some
    writers choose the format by it.
    """
    path = Path(os.path.realpath(path))  # of a link, replace what it points to
    beside = path.with_name(f"{_PARTIAL}{secrets.token_hex(8)}{path.suffix}")
    try:
        beside.touch(exist_ok=False)
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def atomic_write_all(files: Mapping[Path, Content]) -> Iterator[dict[Path, Path]]:
    """Write several files beside their places; rename them once the block has ended well.

    They appear in reverse order: whoever sees the first of them sees them all. In the block, the
    content of each can be read at the path that is given for it.

    Raises:
        FusionlabError: a folder is read-only, the disk is full, ...; every path is then either
            untouched or complete.
    """
    with ExitStack() as stack:
        yield {path: stack.enter_context(_written(path, files[path])) for path in files}


@contextmanager
def _written(path: Path, content: Content) -> Iterator[Path]:
    try:
        with atomic_write(path) as beside:
            if isinstance(content, bytes):
                beside.write_bytes(content)
            else:
                with beside.open("wb") as file:
                    content(file)
            yield beside
    except OSError as error:
        raise FusionlabError(
            f"cannot write {path}: {error.strerror or error}", code="unwritable", path=path
        ) from error


def atomic_write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Write a new folder with files, given by their paths within it: all of them or nothing.

    Raises:
        FusionlabError: it is there already, the disk is full, ...; nothing has been written.
    """
    if os.path.lexists(folder):
        raise FusionlabError(f"{folder} is there already; choose another name or remove it first")
    beside = folder.with_name(f"{_PARTIAL}{secrets.token_hex(8)}")
    try:
        beside.mkdir()
        for path, text in files.items():
            (beside / path).parent.mkdir(parents=True, exist_ok=True)
            (beside / path).write_text(text, encoding="utf-8", newline="\n")
        beside.rename(folder)
    except OSError as error:
        raise FusionlabError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, if it is not there.

    Raises:
        FusionlabError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FusionlabError(
            f"cannot make the folder {folder}: {error.strerror}; choose another"
        ) from error


def remove_partial(folder: Path) -> None:
    """Remove what writers that were killed have left behind in a folder."""
    for path in folder.glob(f"{_PARTIAL}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
