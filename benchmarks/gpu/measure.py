"""Measure fusionlab on a GPU, part by part, within a time: each part writes PART.json.

    python benchmarks/gpu/measure.py --out FOLDER [--device cuda] [--seconds 390] [--toy] [PART ...]

The parts share one process, so that torch is imported once. A part that ends it, or takes longer
than it may, costs the rest of itself only: the next one begins in a new process.
"""

from __future__ import annotations

import argparse
import queue
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import IO

PARTS = {
    # name -> its share of the time, in percent; what a part leaves over, the last one may take
    "speed": 26,
    "small": 6,
    "large": 8,
    "memory_limit": 5,
    "metric_times": 12,
    "waits": 15,
    "gpu_tests": 10,
    "compiled": 18,
}
WORKER = Path(__file__).with_name("worker.py")
NO_DEVICE = 3
"""The exit code of a worker whose device is not available."""
START = 45.0
"""Seconds that a process may take before its first part begins: it imports torch."""
GRACE = 10.0
"""Seconds that a part may take beyond its share: for the row that it is at."""


def measure(out: Path, device: str, seconds: float, names: list[str], *, toy: bool) -> int:
    """Run parts, each in what is left; return how many did not end."""
    end, ended = time.monotonic() + seconds, 0
    waiting = list(names)
    while waiting and end - time.monotonic() > GRACE:
        total = sum(PARTS[name] for name in waiting)
        left = end - time.monotonic() - GRACE
        shares = {name: left * PARTS[name] / total for name in waiting}
        if waiting == names and len(names) > 1:
            print(", ".join(f"{name} {share:.0f} s" for name, share in shares.items()), flush=True)
        done = run(out, device, shares, end, toy=toy)
        ended += len(done)
        # the one that was under way when the process ended is not begun again
        waiting = waiting[len(done) + 1 :]
    return len(names) - ended


def run(out: Path, device: str, shares: dict[str, float], end: float, *, toy: bool) -> list[str]:
    """Run parts in one process, until one of them ends it or overruns; return those that ended."""
    command = [sys.executable, str(WORKER)]
    command += ["--out", str(out), "--device", device, *(["--toy"] if toy else [])]
    command += [f"{name}={share:.1f}" for name, share in shares.items()]
    done: list[str] = []
    begun = False
    lines: queue.Queue[str] = queue.Queue()
    with subprocess.Popen(  # noqa: S603  # ours
        command, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
        allowed = START
        while True:
            try:
                limit = min(allowed, end - time.monotonic())
                word, _, name = lines.get(timeout=max(0.1, limit)).partition(" ")
            except queue.Empty:
                running = next(name for name in shares if name not in done)
                print(f"{running} takes too long, and is ended", flush=True)
                process.kill()
                break
            if not word:
                break
            print(f"{word} {name}, {end - time.monotonic():.0f} s left", flush=True)
            if word == "begin":
                begun = True
                allowed = shares[name] + GRACE
            elif word == "end":
                done.append(name)
                allowed = START
    if process.returncode == NO_DEVICE and not begun:  # the worker has said so
        raise SystemExit(2)
    return done


def _read(stream: IO[str], lines: queue.Queue[str]) -> None:
    for line in stream:
        if line.startswith(("begin ", "end ")):
            lines.put(line.strip())
        else:
            print(line, end="", flush=True)
    lines.put("")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=390)
    parser.add_argument("--toy", action="store_true", help="small images, to try the script")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"default: {', '.join(PARTS)}")
    args = parser.parse_args()
    if unknown := [name for name in args.parts if name not in PARTS]:
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    args.out.mkdir(parents=True, exist_ok=True)
    missing = measure(args.out, args.device, args.seconds, args.parts or list(PARTS), toy=args.toy)
    if missing:
        print(f"{missing} parts did not end; what they measured before is written", flush=True)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
