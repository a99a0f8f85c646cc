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
from typing import Any

from fusionlab.errors import FusionlabError
from fusionlab.storage.journal import Journal

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
    """Return the lines of a log; skips one that was cut off by a crash.

    Raises:
        FusionlabError: the file is not a log (code `damaged-log`).
    """
    lines = Journal(path).read()
    try:
        for line in lines or ([] if _is_empty(path) else [{}]):
            _check(line)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FusionlabError(
            f"{path} is not the log of a training run, or is damaged ({error!r}); move it away: "
            "only the curves are lost",
            code="damaged-log",
            path=path,
        ) from error
    return lines


def _is_empty(path: Path) -> bool:
    return not path.exists() or path.stat().st_size == 0


def _check(line: Any) -> None:
    """Raise an error that `read_log` catches if `Log` cannot have written the line."""
    sections = {"settings": {}, "validation": {}, **line}
    numbers = [line["iteration"], sections["settings"].get("ssim_weight", 0)]
    numbers += sections["validation"].values()
    numbers += [value for value in line.values() if not isinstance(value, dict)]
    if not all(isinstance(number, int | float) for number in numbers):
        raise TypeError(f"not a number: {line}")


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
