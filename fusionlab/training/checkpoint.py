"""Saving the state of a run, so that it can go on after any interruption."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from fusionlab.errors import FusionlabError
from fusionlab.storage.atomic import atomic_write_all


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a run; a crash at any moment leaves the old file or the new one.

    Raises:
        FusionlabError: the disk is full, the folder is read-only, ...; the old file is untouched.
    """
    content = BytesIO()  # torch's own writer does not say that a disk is full
    torch.save(dict(state), content)
    try:
        with atomic_write_all({path: content.getvalue()}):
            pass
    except FusionlabError as error:
        raise FusionlabError(f"{error}; put that right and go on with --resume") from error


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
        raise FusionlabError(
            f"{path} is damaged and cannot be resumed ({reason}); train again in another folder"
        ) from error
    return state
