"""Tasks: what kind of images are fused, and the method that suits them.

A task names a whole method with its color mode and range policy, and a function that tells from
the sources whether they belong to the task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from fusionlab.parameters import check_name
from fusionlab.plugins.offers import check_target, load_attribute

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab.imaging.color import Color
    from fusionlab.imaging.range_policy import RangePolicy

DETECT = "auto"
"""Stands for the task that is detected from the sources; no task may have this name."""


class TaskRecognizer(Protocol):
    """A function that scores how much the sources of one fusion look like a task."""

    def __call__(self, thumbnails: Tensor, gray: Sequence[bool]) -> float:
        """Return a score in 0..1; of all tasks, the one with the highest score is detected.

        Args:
            thumbnails: the k >= 2 sources, reduced to at most 256 pixels at the longest edge:
                `(k, 3, h, w)`, float32 in 0..1, on the CPU. Gray sources have three equal channels.
            gray: for each source, whether it is gray.
        """


@dataclass(frozen=True)
class Task:
    """A kind of image fusion, such as focus stacks, with the method that suits it.

    Args:
        name: the name that `--task` takes.
        summary: one line: what the sources are.
        method: the full name of the method, `"densefuse/l1norm,r=1"`; a pixel strategy needs no
            backbone.
        recognizes: where the function is defined that recognizes sources of this task,
            `"package.module:function"`; see `TaskRecognizer`.
        evidence: one or two sentences with figures: why this method.
        color: the color mode, as `--color` takes it.
        range_policy: how the result becomes displayable, as `--range` takes it.

    Raises:
        ValueError: the name or the target is not valid, or the name is `auto`.
    """

    name: str
    summary: str
    method: str
    recognizes: str
    evidence: str
    color: Color | Literal["auto"] = "auto"
    range_policy: RangePolicy | Literal["auto", "own"] = "auto"

    def __post_init__(self) -> None:
        check_name(self.name)
        check_target(self.recognizes)
        if self.name == DETECT:
            raise ValueError(f"a task cannot be called {DETECT!r}, which means 'detect the task'")
        for field in ("summary", "method", "evidence", "color", "range_policy"):
            if not isinstance(value := getattr(self, field), str):
                raise TypeError(f"{field} of the task {self.name!r} must be text, got {value!r}")

    @property
    def target(self) -> str:
        """What is imported when the task is used, as for other descriptions."""
        return self.recognizes

    def load(self) -> TaskRecognizer:
        """Import and return the function that recognizes the task."""
        function: TaskRecognizer = load_attribute(self.recognizes)
        if not callable(function):
            raise TypeError(f"{self.recognizes} is not a function")
        return function
