"""Locks between processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fusionlab.errors import FusionlabError


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same folder out, as long as the block lasts.

    Raises:
        FusionlabError: another process is in its block, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / ".fusionlab-lock", timeout=0):
            yield
    except Timeout:
        raise FusionlabError(
            f"another process is at work in {folder}; wait for it, or choose another folder"
        ) from None
