"""One part of the measurements: where it computes, how long it may take, and its figures so far."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusionlab.bench.timing import TimingBudget, time_in_turns


@dataclass
class Part:
    """A part under way.

    Args:
        name: of the part; its figures go to NAME.json.
        folder: where that is written, again after every figure: what was measured before the
            process is ended counts.
        device: where to compute.
        toy: small images and few rounds, to try the script.
        seconds: how long the part may take; it starts nothing that would take longer.
    """

    name: str
    folder: Path
    device: torch.device
    toy: bool
    seconds: float
    figures: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._start = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - (time.monotonic() - self._start)

    def keep(self, **figures: Any) -> None:
        """Add figures, and write all."""
        self.figures.update(figures)
        elapsed = round(time.monotonic() - self._start, 2)
        write_json(self.folder / f"{self.name}.json", {**self.figures, "seconds": elapsed})

    def rows(self, key: str, names: Sequence[str], measure: Callable[[str], Any]) -> None:
        """Measure rows one after the other, while time is left; keep each at once.

        A row that fails becomes `{"problem": ...}`. No row is begun that would probably not end in
        time, judged by the longest before it.
        """
        rows: dict[str, Any] = self.figures.setdefault(key, {})
        longest = 0.0
        for name in names:
            begun = time.monotonic()
            if self.left < longest:
                rows[name] = {"problem": "no time was left"}
            else:
                with reported(rows, name):
                    rows[name] = measure(name)
            longest = max(longest, time.monotonic() - begun)
            self.keep()

    def timed(self, works: dict[str, Callable[[], object]], seconds: float = 0.4) -> dict[str, Any]:
        """Return for each work the median of its calls, their spread, and the first, in seconds."""
        budget = TimingBudget(1, 0) if self.toy else TimingBudget(3, seconds)
        timings = time_in_turns(works, self.device, budget)
        return {
            name: {"median": t.median, "spread": t.spread, "first": t.first}
            for name, t in timings.items()
        }

    def sources(self, width: int, height: int, k: int = 2) -> list[NDArray[np.uint8]]:
        """Return gray sources: waves and noise, no two alike."""
        rng = np.random.default_rng(0)
        y, x = np.ogrid[:height, :width]
        images = []
        for number in range(k):
            waves = 60 * np.sin(x / (20 + 3 * number)) + 40 * np.cos(y / (33 - 2 * number))
            image = rng.integers(100, 141, (height, width), dtype=np.uint8)
            images.append(np.clip(image + waves.astype(np.float32), 0, 255).astype(np.uint8))
        return images

    def peak(self, work: Callable[[], object]) -> int | None:
        """Return the bytes that a call allocates on the device at most; None on a CPU."""
        if self.device.type != "cuda":
            work()
            return None
        torch.cuda.synchronize(self.device)
        before = torch.cuda.memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        work()
        return torch.cuda.max_memory_allocated(self.device) - before


@contextmanager
def reported(rows: dict[str, Any], name: str) -> Iterator[None]:
    """Note what fails in the block instead of ending the measurements."""
    try:
        yield
    except Exception as error:  # of torch, of compilers, of drivers
        text = " ".join(f"{type(error).__name__}: {error}".split())
        rows[name] = {"problem": text[:500]}


def write_json(path: Path, content: object) -> None:
    """Write a file whose older version stays whole until the new one is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
