"""Locks of the folders that runs write into.

They are locks of a file in the folder, see `file_lock`, and end with the process that holds them.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from fusionlab.errors import FusionlabError, FusionlabWarning
from fusionlab.storage.atomic import make_folder, remove_partial
from fusionlab.storage.file_lock import has_no_locks, try_lock
from fusionlab.storage.own_files import check_own_file

LOCK_NAME = ".fusionlab-lock"
"""The file that is locked in place of its folder; it is there only while a run uses the folder, or
after one was killed."""
MAX_ATTEMPTS = 10
"""How often to try, since `is_locked` holds a lock for a moment, too."""
RETRY_SECONDS = 0.02


@contextmanager
def exclusive_lock(*folders: Path) -> Iterator[None]:
    """Lock folders against other runs that use this function, for the length of the block.

    The temporary files that killed runs have left in them are removed first.
    On a file system that has no locks the block runs nevertheless, after a `FusionlabWarning`.

    Args:
        folders: those that a run writes into; one may be given twice, by several paths, too.

    Raises:
        FusionlabError: another run holds one of the locks (code `locked`), a folder cannot be
            written (code `unwritable`), or something else than a file of ours has the place of the
            lock (code `not-a-regular-file`).
    """
    # one order in all processes, so that of two with several folders one gets them all
    by_location = {os.path.realpath(folder): folder for folder in folders}
    with ExitStack() as stack:
        for location in sorted(by_location):
            stack.enter_context(_locked(by_location[location]))
        for location in by_location:
            remove_partial(Path(location))
        yield


@contextmanager
def run_folder_lock(folder: Path, check: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Make a folder and lock it for the length of the block, see `exclusive_lock`.

    Args:
        folder: what a run writes into.
        check: raises an error if the content of the folder forbids the run. It is called before
            the folder is made, and again under the lock, since another run may just have ended.

    Raises:
        FusionlabError: as `exclusive_lock` and `check`, or the folder cannot be made.
    """
    check()
    make_folder(folder)
    with exclusive_lock(folder):
        check()
        yield


def is_locked(folder: Path) -> bool:
    """Return whether a run is using a folder, without waiting for it or changing anything."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR)
    except OSError:
        return False
    try:
        return not try_lock(descriptor)
    except OSError as error:
        if not has_no_locks(error):
            raise
        return True  # as far as can be known
    finally:
        os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    path = folder / LOCK_NAME
    check_own_file(path)
    try:
        descriptor = _open_locked(path)
    except OSError as error:
        raise FusionlabError(
            f"cannot write into {folder}: {error.strerror or error}",
            code="unwritable",
            path=folder,
        ) from error
    if descriptor is None:
        raise FusionlabError(
            f"another run is writing into {folder}; wait for it, or choose another folder",
            code="locked",
            path=folder,
        )
    try:
        yield
    finally:
        _remove_locked(path, descriptor)


def _open_locked(path: Path) -> int | None:
    """Return the locked, open file at a path; None if another process has locked it."""
    for attempt in range(MAX_ATTEMPTS):
        if attempt:
            time.sleep(RETRY_SECONDS)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if try_lock(descriptor) and _is_at(path, descriptor):
                return descriptor
        except OSError as error:
            if has_no_locks(error):
                warnings.warn(
                    f"the file system of {path.parent} has no locks; see to it that no other run "
                    "writes into this folder",
                    FusionlabWarning,
                    stacklevel=2,
                )
                return descriptor
            os.close(descriptor)
            raise
        os.close(descriptor)
    return None


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether an open file is still the one at a path: its last holder has removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _remove_locked(path: Path, descriptor: int) -> None:
    """Remove a locked file, and unlock it then, so that no other process locks it in between."""
    if sys.platform == "win32":  # an open file cannot be removed there
        os.close(descriptor)
        with suppress(OSError):
            path.unlink()
        return
    with suppress(OSError):
        path.unlink()
    os.close(descriptor)
