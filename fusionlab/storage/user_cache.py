"""The folder where each user's programs keep what they can compute again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache() -> Path | None:
    """Return the folder of fusionlab in it, which may not exist; None if this user has none."""
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    folder = Path(os.environ.get(variable, ""))
    if folder.is_absolute():  # others are to be ignored
        return folder / "fusionlab"
    try:
        home = Path.home()
    except RuntimeError:  # there is none
        return None
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "fusionlab"
