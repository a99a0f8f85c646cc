"""Where many files really are, each folder being looked at once."""

from __future__ import annotations

import os
from pathlib import Path


class RealPaths:
    """Returns what `os.path.realpath` does, for many files in few folders."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def __call__(self, path: Path) -> str:
        """Return the path of a file without symbolic links."""
        real = os.path.join(self.of_folder(path), os.path.basename(path))  # noqa: PTH118, PTH119
        return os.path.realpath(real) if os.path.islink(real) else real  # noqa: PTH114

    def of_folder(self, path: Path) -> str:
        """Return the path of the folder of a file without symbolic links."""
        folder = os.path.dirname(path)  # noqa: PTH120  # of pathlib takes five times as long
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return self._folders[folder]
