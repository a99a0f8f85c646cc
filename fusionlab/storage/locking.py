"""Locks between processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fusionlab.errors import FusionlabError


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes that use this function, for the length of the block.

    Raises:
        FusionlabError: another process holds the lock (code `locked`), or the folder cannot be
            written (code `unwritable`).
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".fusionlab-lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FusionlabError(
            f"another process is using {folder}; wait for it, or choose another folder",
            code="locked",
            path=folder,
        ) from None
    except OSError as error:
        raise FusionlabError(
            f"cannot write into {folder}: {error.strerror or error}",
            code="unwritable",
            path=folder,
        ) from error
    try:
        yield
    finally:
        lock.release()
