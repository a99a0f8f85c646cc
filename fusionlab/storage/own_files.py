"""The files that fusionlab keeps for itself: manifests, journals, logs, locks, states of runs.

They are regular files. A pipe in the place of one would be waited for, and what a link leads to is
not ours to replace. Images go where a link leads, since who names it as the output means that.
"""

from __future__ import annotations

import stat
from pathlib import Path

from fusionlab.errors import FusionlabError


def check_own_file(path: Path, *, reading: bool = False) -> None:
    """Refuse what is in the place of one of our files and is not one.

    Args:
        path: the file, which does not have to exist.
        reading: whether it is only read; a link to a regular file will then do.

    Raises:
        FusionlabError: it is a folder, a pipe, a device, a socket, or a symbolic link (code
            `not-a-regular-file`).
    """
    try:
        mode = path.stat().st_mode if reading else path.lstat().st_mode
    except OSError:  # who opens it says what is wrong
        return
    if stat.S_ISREG(mode):
        return
    raise FusionlabError(
        f"{path} must be a regular file, which fusionlab writes itself, got {_kind(mode)}; "
        "remove it, or choose another folder",
        code="not-a-regular-file",
        path=path,
    )


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")
