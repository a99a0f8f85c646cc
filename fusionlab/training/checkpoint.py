"""Saving the state of a run, so that it can go on after any interruption."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fusionlab.errors import FusionlabError
from fusionlab.files import written_beside


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a run; a crash at any moment leaves the old file or the new one.

    Raises:
        FusionlabError: the disk is full, the folder is read-only, ...; the old file is untouched.
    """
    try:
        with written_beside(path) as beside:
            torch.save(dict(state), beside)
    except (OSError, RuntimeError) as error:  # the latter is how torch says that a disk is full
        reason = str(error).partition("\n")[0]
        raise FusionlabError(f"cannot save the run to {path}: {reason}") from error


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote.

    Raises:
        FusionlabError: the file is missing or damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FusionlabError(f"there is nothing to resume: {path} does not exist") from None
    except Exception as error:  # torch.load raises what pickle and zip raise
        reason = str(error).partition("\n")[0]
        raise FusionlabError(f"{path} is damaged and cannot be resumed: {reason}") from error
    return state
