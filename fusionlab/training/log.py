"""The log of a run: a line of JSON for each thing worth drawing, and TensorBoard if asked.

`log.jsonl` begins with the settings. Then come, by iteration, and for a backbone:

    {"iteration": 50, "pixel": ..., "structure": ..., "total": ...}      the mean of the last 50
    {"iteration": 1000, "loss": ..., "validation": {"pixel": ..., ...}}  held-out images
    {"iteration": 40000, "final": {...}}                                 all of them, best weights

A learned strategy has the terms of its own loss in place of these. The log holds no times, so that
two runs with the same settings have the same log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fusionlab.errors import FusionlabError
from fusionlab.storage.atomic import atomic_write_all

NAME = "log.jsonl"


class Log:
    """The log in the folder of a run.

    Args:
        folder: the folder.
        tensorboard: also write its numbers to `folder/tensorboard`.

    Raises:
        FusionlabError: TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        self.path = folder / NAME
        self.events: Any = None
        self.board = folder / "tensorboard" if tensorboard else None
        if tensorboard:
            summary_writer()

    def begin(self, settings: Mapping[str, Any], iteration: int) -> None:
        """Open the log of a run that begins or goes on after `iteration`.

        Lines of later iterations are dropped: they are about to be computed again.
        """
        if self.board:
            self.events = summary_writer()(str(self.board), purge_step=iteration + 1)
        earlier = read_log(self.path) if iteration else []
        kept = [line for line in earlier if line["iteration"] <= iteration and "final" not in line]
        kept = kept or [{"iteration": 0, "settings": dict(settings)}]
        with atomic_write_all({self.path: "".join(map(_text, kept)).encode()}):
            pass

    def write(self, iteration: int, **values: Any) -> None:
        """Append a line.

        Raises:
            FusionlabError: the disk is full, ...
        """
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_text({"iteration": iteration, **values}))
        except OSError as error:
            raise FusionlabError(
                f"cannot write {self.path}: {error.strerror}; put that right and go on with "
                "--resume"
            ) from error
        if self.events:
            for name, value in _flat(values):
                self.events.add_scalar(name, value, iteration)

    def close(self) -> None:
        """Finish writing."""
        if self.events:
            self.events.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; one that was cut off by a crash is left out.

    Raises:
        FusionlabError: the file is no log.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        found = [json.loads(line) for line in lines if line.endswith("}\n")]
        for line in found:
            _check(line)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FusionlabError(
            f"{path} is not the log of a training, or damaged ({error!r}); move it away: only its "
            "curves are lost"
        ) from error
    return found


def _check(line: Any) -> None:
    """Raise what is caught above unless a line is one of those that `Log` writes."""
    parts = {"settings": {}, "validation": {}, **line}
    numbers = [line["iteration"], parts["settings"].get("ssim_weight", 0)]
    numbers += parts["validation"].values()
    numbers += [value for value in line.values() if not isinstance(value, dict)]
    if not all(isinstance(number, int | float) for number in numbers):
        raise TypeError(f"no number: {line}")


def _text(line: Mapping[str, Any]) -> str:
    return json.dumps(line) + "\n"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value


def summary_writer() -> Any:
    """Return the class that writes for TensorBoard.

    Raises:
        FusionlabError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise FusionlabError(
            "TensorBoard is not installed; install fusionlab-imaging[tensorboard], or leave out "
            "--tensorboard"
        ) from error
    return SummaryWriter
