"""The log of a run: a line of JSON for each thing worth drawing, and TensorBoard if asked.

`log.jsonl` begins with the settings. Then come, by iteration:

    {"iteration": 50, "pixel": ..., "structure": ..., "total": ...}      the mean of the last 50
    {"iteration": 1000, "loss": ..., "validation": {"pixel": ..., ...}}  held-out images
    {"iteration": 40000, "final": {...}}                                 all of them, best weights

It holds no times, so that two runs with the same settings have the same log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fusionlab.errors import FusionlabError
from fusionlab.files import written_beside

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
            _summary_writer()

    def begin(self, settings: Mapping[str, Any], iteration: int) -> None:
        """Open the log of a run that begins or goes on after `iteration`.

        Lines of later iterations are dropped: they are about to be computed again.
        """
        if self.board:
            self.events = _summary_writer()(str(self.board), purge_step=iteration + 1)
        kept = [
            line
            for line in read_log(self.path)
            if line["iteration"] <= iteration and "final" not in line
        ]
        if iteration == 0 or not kept:
            kept = [{"iteration": 0, "settings": dict(settings)}]
        with written_beside(self.path) as beside:
            beside.write_text("".join(map(_text, kept)), encoding="utf-8")

    def write(self, iteration: int, **values: Any) -> None:
        """Append a line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_text({"iteration": iteration, **values}))
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
        sorted(line["iteration"] for line in found)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FusionlabError(
            f"{path} is not the log of a training: expected lines of JSON, each with its "
            f"iteration ({error})"
        ) from error
    return found


def _text(line: Mapping[str, Any]) -> str:
    return json.dumps(line) + "\n"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise FusionlabError(
            "TensorBoard is not installed; install fusionlab-imaging[tensorboard], or leave out "
            "--tensorboard"
        ) from error
    return SummaryWriter
