"""The log of a run: one JSON line per event, and TensorBoard events on request.

`log.jsonl` begins with the settings. The lines of a backbone are, by iteration:

    {"iteration": 50, "pixel": ..., "structure": ..., "total": ...}      the mean of the last 50
    {"iteration": 1000, "loss": ..., "validation": {"pixel": ..., ...}}  held-out images
    {"iteration": 40000, "final": {...}}                                 all of them, best weights

A learned strategy logs the terms of its own loss instead. The log holds no times, so that two
runs with the same settings have the same log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from fusionlab.errors import FusionlabError
from fusionlab.storage.journal import Journal
from fusionlab.storage.schema import Count, mismatch

FILE_NAME = "log.jsonl"


class Log:
    """The log in the folder of a run.

    Args:
        folder: the folder.
        tensorboard: also write the numbers to `folder/tensorboard`.

    Raises:
        FusionlabError: TensorBoard is requested and not installed (code `missing-package`).
    """

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        self.journal = Journal(folder / FILE_NAME)
        self.tensorboard_folder = folder / "tensorboard" if tensorboard else None
        self.events: Any = None
        if tensorboard:
            summary_writer_class()

    def begin(self, settings: Mapping[str, Any], iteration: int) -> None:
        """Open the log of a run that starts, or resumes after `iteration`.

        Drops the lines of later iterations, which will be computed again.
        """
        if self.tensorboard_folder:
            writer_class = summary_writer_class()
            self.events = writer_class(str(self.tensorboard_folder), purge_step=iteration + 1)
        lines = read_log(self.journal.path) if iteration else []
        lines = [line for line in lines if line["iteration"] <= iteration and "final" not in line]
        self.journal.replace(lines or [{"iteration": 0, "settings": dict(settings)}])

    def write(self, iteration: int, **values: Any) -> None:
        """Append a line.

        Raises:
            FusionlabError: the disk is full, ...
        """
        try:
            self.journal.append({"iteration": iteration, **values})
        except FusionlabError as error:
            raise FusionlabError(
                f"{error}; fix this and resume the run", code=error.code, option="resume"
            ) from error
        if self.events:
            for name, value in _flattened(values):
                self.events.add_scalar(name, value, iteration)

    def close(self) -> None:
        """Flush and close the TensorBoard events."""
        if self.events:
            self.events.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; skips those that are damaged, as by a crash.

    Raises:
        FusionlabError: the file is not a log (code `damaged-log`).
    """
    lines = Journal(path).read()
    problems = [_problem(line) for line in lines]
    good = [line for line, problem in zip(lines, problems, strict=True) if not problem]
    if not (good or _is_empty(path)):
        reason = problems[0] if problems else "there is no line of JSON"
        raise FusionlabError(
            f"{path} is not the log of a training run, or is damaged ({reason}); move it away: "
            "only the curves are lost",
            code="damaged-log",
            path=path,
        )
    return good


def _is_empty(path: Path) -> bool:
    return not path.exists() or path.stat().st_size == 0


class _Settings(TypedDict):
    ssim_weight: NotRequired[float]
    structure_loss: NotRequired[str]


class _Line(TypedDict):
    iteration: Count
    settings: NotRequired[_Settings]
    validation: NotRequired[Mapping[str, float]]


def _problem(line: Mapping[str, Any]) -> str:
    """Return why `Log` cannot have written a line; empty if it can."""
    losses = {name: value for name, value in line.items() if not isinstance(value, dict)}
    return mismatch(line, _Line) or mismatch(losses, Mapping[str, float])


def _flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value


def summary_writer_class() -> Any:
    """Return the class that writes TensorBoard events.

    Raises:
        FusionlabError: TensorBoard is not installed (code `missing-package`).
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise FusionlabError(
            "TensorBoard is not installed; install fusionlab-imaging[tensorboard], or train "
            "without it",
            code="missing-package",
            option="tensorboard",
        ) from error
    return SummaryWriter
