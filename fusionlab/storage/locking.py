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
            written.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / ".fusionlab-lock", timeout=0):
            yield
    except Timeout:
        raise FusionlabError(
            f"another process is using {folder}; wait for it, or choose another folder",
            code="locked",
            path=folder,
        ) from None
