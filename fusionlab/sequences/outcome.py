"""What becomes of the frames of a run."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Literal

from fusionlab.imaging.color import Color


@dataclass(frozen=True)
class FrameOutcome:
    """What became of one frame."""

    number: int
    name: str
    status: Literal["fused", "skipped", "failed", "measured"]
    """Skipped: an earlier run has written it. Measured: a pass before the fusion has seen it."""
    problem: str = ""
    """Why it failed, a sentence that begins with the name."""
    option: str = ""
    """The setting that the problem is about, as `FusionlabError` spells it."""
    notes: tuple[str, ...] = ()
    color: Color | None = None
    """The color mode in which it was fused; None if it was not."""
    latency: float = 0
    """Seconds from when all of its sources were decoded until it was encoded."""


class SecondsSpent:
    """Seconds per activity, over all threads. Reading and writing happen while others fuse."""

    def __init__(self) -> None:
        self._adding = Lock()
        self.seconds = dict.fromkeys(("read", "fuse", "write"), 0.0)

    def add(self, activity: str, seconds: float) -> None:
        """Add what an activity took."""
        with self._adding:
            self.seconds[activity] += seconds
