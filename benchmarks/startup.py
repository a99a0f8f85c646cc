"""How long the command line takes to answer: medians of whole processes, in milliseconds.

The reference rows show what an import alone costs on the same machine: an answer within 150 ms
is possible only if torch is not imported.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 20
FUSIONLAB = str(Path(sys.executable).with_name("fusionlab"))
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "fusionlab --help": [FUSIONLAB, "--help"],
    "fusionlab fuse --strategy l1norm --help": [
        FUSIONLAB,
        "fuse",
        "--strategy",
        "l1norm",
        "--help",
    ],
    "fusionlab strategies": [FUSIONLAB, "strategies"],
    "python -c 'import torch'": [sys.executable, "-c", "import torch"],
}


def milliseconds(command: list[str]) -> float:
    """Time one run of a command."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603  # the table above
    return 1e3 * (time.perf_counter() - started)


def main() -> None:
    """Run all commands in turn, `RUNS` times, after a warm-up."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for run in range(RUNS + 1):
        for name, command in COMMANDS.items():
            duration = milliseconds(command)
            if run > 0:
                times[name].append(duration)
    for name, values in times.items():
        print(
            f"{name:42} median {statistics.median(values):7.1f} ms  "
            f"({min(values):.1f} to {max(values):.1f}, {RUNS} runs)"
        )


if __name__ == "__main__":
    main()
