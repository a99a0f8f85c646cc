"""Write files and folders atomically: readers see the old content or the new, never a part."""

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
"""Prefix of the names of unfinished files."""

Content = bytes | Callable[[BinaryIO], None]
"""The content of a file, or a function that writes it to the open, empty file."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` after the block succeeds.

    Whatever happens in the block (an exception, Ctrl-C, a full disk), `path` is either unchanged
    or the complete new file. The temporary file has the suffix of `path`, because some writers
    choose the format by it.
    """
    path = Path(os.path.realpath(path))  # replace the target of a link, not the link
    temporary = path.with_name(f"{_PARTIAL}{secrets.token_hex(8)}{path.suffix}")
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write_all(files: Mapping[Path, Content]) -> Iterator[dict[Path, Path]]:
    """Write several files to temporary paths; rename them all after the block succeeds.

    The files appear in reverse order: if the first one exists, so do all others. Yields final path
    -> temporary path, where the content can be read in the block.

    Raises:
        FusionlabError: a file cannot be written, for example because the folder is read-only or the
            disk is full (code `unwritable`); every path is then either unchanged or complete.
    """
    with ExitStack() as stack:
        yield {path: stack.enter_context(_written(path, files[path])) for path in files}


@contextmanager
def _written(path: Path, content: Content) -> Iterator[Path]:
    try:
        with atomic_write(path) as temporary:
            if isinstance(content, bytes):
                temporary.write_bytes(content)
            else:
                with temporary.open("wb") as file:
                    content(file)
            yield temporary
    except OSError as error:
        raise FusionlabError(
            f"cannot write {path}: {error.strerror or error}", code="unwritable", path=path
        ) from error


def atomic_write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Write a new folder with all of its files, or nothing.

    Args:
        folder: the folder, which must not exist.
        files: path within the folder -> text.

    Raises:
        FusionlabError: the folder exists (code `exists`) or cannot be written (code `unwritable`);
            nothing has been written.
    """
    if os.path.lexists(folder):
        raise FusionlabError(
            f"{folder} already exists; choose another name or remove it first",
            code="exists",
            path=folder,
        )
    temporary = folder.with_name(f"{_PARTIAL}{secrets.token_hex(8)}")
    try:
        temporary.mkdir()
        for path, text in files.items():
            (temporary / path).parent.mkdir(parents=True, exist_ok=True)
            (temporary / path).write_text(text, encoding="utf-8", newline="\n")
        temporary.rename(folder)
    except OSError as error:
        raise FusionlabError(
            f"cannot write {folder}: {error.strerror or error}", code="unwritable", path=folder
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder in the same parent; rename it to `folder` after the block succeeds.

    An existing folder is replaced as a whole. If the block fails, it stays as it was.

    Raises:
        FusionlabError: the folder cannot be written (code `unwritable`).
    """
    folder = Path(os.path.realpath(folder))
    temporary = folder.with_name(f"{_PARTIAL}{secrets.token_hex(8)}")
    previous = folder.with_name(f"{_PARTIAL}{secrets.token_hex(8)}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if folder.exists():
            folder.rename(previous)
        try:
            temporary.rename(folder)
        except OSError:
            if previous.exists():
                previous.rename(folder)
            raise
        shutil.rmtree(previous, ignore_errors=True)
    except OSError as error:
        raise FusionlabError(
            f"cannot write {folder}: {error.strerror or error}", code="unwritable", path=folder
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, unless it exists.

    Raises:
        FusionlabError: the folder cannot be made (code `unwritable`).
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FusionlabError(
            f"cannot make the folder {folder}: {error.strerror}; choose another",
            code="unwritable",
            path=folder,
        ) from error


def remove_partial(folder: Path) -> None:
    """Remove the temporary files that killed processes have left in a folder."""
    for path in folder.glob(f"{_PARTIAL}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
