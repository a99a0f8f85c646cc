"""Write files and folders atomically: readers see the old content or the new, never a part.

What has been written is on the disk before it gets its name, so that this holds for a power cut,
too (docs/decisions/0035-locks-and-power-cuts.md).
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fusionlab.errors import FusionlabError
from fusionlab.storage.file_lock import has_no_locks, try_lock
from fusionlab.storage.own_files import check_own_file

_PARTIAL = ".fusionlab-partial-"
"""Prefix of the names of unfinished files."""

Content = bytes | Callable[[BinaryIO], None]
"""The content of a file, or a function that writes it to the open, empty file."""


@contextmanager
def atomic_write_all(
    files: Mapping[Path, Content], *, own: bool = False, sync_names: bool = True
) -> Iterator[dict[Path, Path]]:
    """Write several files to temporary paths; rename them all after the block succeeds.

    The files appear in reverse order: if the first one exists, so do all others. Yields final path
    -> temporary path, where the content can be read in the block. Of a symbolic link the target is
    replaced.

    Args:
        files: path -> content.
        own: whether these are files that fusionlab keeps for itself: links are then refused.
        sync_names: wait until their names are on the disk as well; `sync_folder` does it for many.

    Raises:
        FusionlabError: a file cannot be written, for example because the folder is read-only or the
            disk is full (code `unwritable`); every path is then either unchanged or complete. Or
            one of our own files is not a regular file (code `not-a-regular-file`).
    """
    for path in files if own else ():
        check_own_file(path)
    with ExitStack() as stack:
        yield {path: stack.enter_context(_written(path, files[path])) for path in files}
    if sync_names:
        for folder in dict.fromkeys(Path(os.path.realpath(path)).parent for path in files):
            sync_folder(folder)


@contextmanager
def _written(path: Path, content: Content) -> Iterator[Path]:
    """Yield a temporary path with the content; rename it to `path` after the block succeeds."""
    try:
        target = Path(os.path.realpath(path))  # replace the target of a link, not the link
        with _partial_file(target.parent) as (temporary, lock):
            with temporary.open("wb") as file:
                if isinstance(content, bytes):
                    file.write(content)
                else:
                    content(file)
            os.fsync(lock.fileno())
            yield temporary
            if sys.platform == "win32":  # an open file cannot be renamed there
                lock.close()
            temporary.replace(target)
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def _partial_file(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Yield the path of a new, empty file, and the file, which is locked as long as it is open.

    The lock tells `remove_partial` that somebody is writing. The file is gone after the block.
    """
    path, lock = _new_partial(folder)
    try:
        yield path, lock
    finally:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # its content was synchronized before
            lock.close()


def _new_partial(folder: Path) -> tuple[Path, BinaryIO]:
    while True:
        path = folder / f"{_PARTIAL}{secrets.token_hex(8)}"
        lock = path.open("x+b")
        try:
            free = try_lock(lock.fileno())
        except OSError as error:
            if has_no_locks(error):
                return path, lock
            lock.close()
            path.unlink(missing_ok=True)
            raise
        if free and os.fstat(lock.fileno()).st_nlink:
            return path, lock
        lock.close()  # `remove_partial` has met it before it was locked


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can do that.

    Raises:
        FusionlabError: the disk has failed (code `unwritable`).
    """
    if sys.platform == "win32":  # it cannot
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # one may write into a folder without being allowed to read it
        return
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # cannot, either
            raise _unwritable(folder, error) from error
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> FusionlabError:
    return FusionlabError(
        f"cannot write {path}: {error.strerror or error}", code="unwritable", path=path
    )


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
    try:
        with _partial_folder(folder.parent) as temporary:
            for path, text in files.items():
                (temporary / path).parent.mkdir(parents=True, exist_ok=True)
                (temporary / path).write_text(text, encoding="utf-8", newline="\n")
            _sync_tree(temporary)
            temporary.rename(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    sync_folder(folder.parent)


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder in the same parent; rename it to `folder` after the block succeeds.

    An existing folder is replaced as a whole. If the block fails, it stays as it was.

    Raises:
        FusionlabError: the folder cannot be written (code `unwritable`).
    """
    folder = Path(os.path.realpath(folder))
    make_folder(folder.parent)
    try:
        with _partial_folder(folder.parent) as temporary:
            yield temporary
            _sync_tree(temporary)
            _put_in_place(temporary, folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    sync_folder(folder.parent)


def _put_in_place(temporary: Path, folder: Path) -> None:
    """Rename a folder; one that has the name is removed, also if another process puts it there."""
    previous = folder.with_name(f"{_PARTIAL}{secrets.token_hex(8)}")
    while True:
        with suppress(FileNotFoundError):
            folder.rename(previous)
        try:
            temporary.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                with suppress(FileNotFoundError):
                    previous.rename(folder)
                raise
            shutil.rmtree(previous, ignore_errors=True)
        else:
            shutil.rmtree(previous, ignore_errors=True)
            return


@contextmanager
def _partial_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder, which is locked like `_partial_file`; it is gone after the block."""
    path = parent / f"{_PARTIAL}{secrets.token_hex(8)}"
    path.mkdir()
    try:
        with _locked_folder(path):
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    if sys.platform == "win32":  # folders cannot be locked there
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # no locks: `remove_partial` then leaves it alone
            try_lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    """Wait until everything below a folder is on the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(place, name), "rb+") as file:  # noqa: PTH118, PTH123  # many
                os.fsync(file.fileno())
        sync_folder(Path(place))


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
    """Remove the temporary files and folders that killed processes have left in a folder.

    Those that a process is writing are locked, and stay; where there are no locks, all stay.
    """
    for path in folder.glob(f"{_PARTIAL}*"):
        with suppress(OSError):  # somebody else's, or gone
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                _remove_unlocked(path, shutil.rmtree)
            elif stat.S_ISREG(mode):
                _remove_unlocked(path, os.unlink)


def _remove_unlocked(path: Path, remove: Callable[[Path], None]) -> None:
    if sys.platform == "win32":  # an open file cannot be removed there
        remove(path)
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if try_lock(descriptor):  # until it is gone, see `_new_partial`
            remove(path)
    finally:
        os.close(descriptor)
