"""The folder of a run: its options, the state to resume from, its log and its weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, TypedDict

import torch

from fusionlab.errors import FusionlabError, one_line
from fusionlab.parameters import check_name
from fusionlab.storage.atomic import atomic_write_all
from fusionlab.storage.locking import run_folder_lock
from fusionlab.storage.own_files import check_own_file
from fusionlab.storage.schema import parse_json

OPTIONS = "run.json"
"""The options that a run was started with."""
STATE = "last.pt"
"""Everything that is needed to resume a run."""

RENAMED = {
    "averaging": "ema_decay",
    "cooldown": "lr_decay",
    "licence": "license_terms",
    "optimiser": "optimizer",
    "schedule": "lr_schedule",
}
"""Names of options and of parts of the state in runs of earlier versions -> names of today."""


class _Options(TypedDict):
    data: list[str]


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, and the tag of the weights that it writes.

    Args:
        path: the folder.
        tag: the name of the weights; empty: the name of the folder.
        resume: whether the folder may hold a run already.

    Raises:
        FusionlabError: the tag is not a name, or the folder holds a run that is not to be resumed
            (code `run-exists`).
    """

    path: Path
    tag: str = ""
    resume: bool = False

    def __post_init__(self) -> None:
        tag = self.tag or self.path.resolve().name
        try:
            check_name(tag)
        except ValueError as error:
            hint = "" if self.tag else "; give the weights another name than the folder"
            raise FusionlabError(f"{error}{hint}", code="invalid-tag", option="tag") from error
        if f"{tag}.json".lower() == OPTIONS:  # their card would replace the options of the run
            hint = "choose another" if self.tag else "give the weights another name than the folder"
            raise FusionlabError(
                f"weights cannot be called {tag!r}, since {OPTIONS} holds the options of the run; "
                f"{hint}",
                code="invalid-tag",
                option="tag",
            )
        object.__setattr__(self, "tag", tag)
        self._check_free()

    def _check_free(self) -> None:
        existing = [file.name for file in (self.path / STATE, self.weights) if file.exists()]
        if existing and not self.resume:
            raise FusionlabError(
                f"{self.path} already holds a run ({existing[0]}); resume it, or choose another "
                "folder",
                code="run-exists",
                option="resume",
                path=self.path,
            )

    @property
    def weights(self) -> Path:
        """The file of the weights; their card is next to it."""
        return self.path / f"{self.tag}.safetensors"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, and keep other processes out of it as long as the block lasts.

        Raises:
            FusionlabError: another run uses the folder (code `locked`) or has just used it (code
                `run-exists`), or it cannot be made.
        """
        with run_folder_lock(self.path, self._check_free):
            yield


def write_options(folder: Path, options: Mapping[str, Any]) -> None:
    """Write the options of a run to its folder; paths become absolute."""

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return str(value.resolve())
        return [plain(item) for item in value] if isinstance(value, tuple | list) else value

    content = json.dumps({name: plain(value) for name, value in options.items()}, indent=2)
    with atomic_write_all({folder / OPTIONS: f"{content}\n".encode()}, own=True):
        pass


def read_options(folder: Path) -> dict[str, Any]:
    """Return the options that the run in a folder was started with.

    Raises:
        FusionlabError: there are none (code `nothing-to-resume`), or the file is damaged (code
            `damaged-options`).
    """
    path = folder / OPTIONS
    check_own_file(path, reading=True)
    try:
        options: dict[str, Any] = parse_json(path.read_bytes(), _Options)
    except FileNotFoundError:
        raise FusionlabError(
            f"there is nothing to resume: {path} does not exist", code="nothing-to-resume"
        ) from None
    except (OSError, ValueError) as error:
        raise damaged_options(folder, one_line(error)) from error
    return _with_current_names(options)


def damaged_options(folder: Path, reason: str) -> FusionlabError:
    """Return the error of options that a run cannot have been started with."""
    path = folder / OPTIONS
    return FusionlabError(
        f"{path} is damaged ({reason}); to replace it, start a run with the same options in a "
        "new folder, stop it, and copy its run.json",
        code="damaged-options",
        path=path,
    )


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a run; a crash at any moment leaves the old file or the new one.

    Raises:
        FusionlabError: the disk is full, the folder is read-only, ...; the old file is untouched.
    """
    content = BytesIO()  # torch's own writer does not report a full disk
    torch.save(dict(state), content)
    try:
        with atomic_write_all({folder / STATE: content.getvalue()}, own=True):
            pass
    except FusionlabError as error:
        raise FusionlabError(
            f"{error}; fix this and resume the run", code="unwritable", option="resume"
        ) from error


def load_state(folder: Path) -> dict[str, Any]:
    """Read what `save_state` wrote, also in earlier versions.

    Raises:
        FusionlabError: the file is missing (code `nothing-to-resume`) or damaged (code
            `damaged-state`).
    """
    path = folder / STATE
    check_own_file(path, reading=True)
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        settings = _with_current_names(state["settings"])
        return {**_with_current_names(state), "settings": settings}
    except FileNotFoundError:
        raise FusionlabError(
            f"there is nothing to resume: {path} does not exist", code="nothing-to-resume"
        ) from None
    except Exception as error:  # torch.load raises what pickle and zip raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise damaged(path, reason) from error


def damaged(path: Path, reason: str) -> FusionlabError:
    """Return the error of a state that cannot be resumed."""
    return FusionlabError(
        f"{path} is damaged, or of another version of fusionlab ({reason}); train again in another "
        "folder",
        code="damaged-state",
        path=path,
    )


def _with_current_names(options: Mapping[str, Any]) -> dict[str, Any]:
    return {RENAMED.get(name, name): value for name, value in options.items()}
