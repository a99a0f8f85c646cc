"""Train one lambda for a while: iterations a second and the curve of the loss; resumable.

    python benchmarks/gpu/train.py --out FOLDER [--data train.tar] [--device cuda] [--seconds 390]
    python benchmarks/gpu/train.py --out FOLDER --start-from RESULTS ...   the next part of the run

The folder receives train.json, and what the next run starts from: last.pt, run.json, log.jsonl; at
the end of the last run also the weights and their card. The curve of a run in several parts is that
of a run in one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import torch
from part import write_json

from fusionlab.bench.machine import describe_machine

RUN_FILES = "last.pt", "run.json", "log.jsonl"
PLACE = Path(tempfile.gettempdir(), "fusionlab-gpu-training")
"""Where the images and their decoded copies are: the options of a run name both, so that it is
resumed on another machine only where they lie in the same place."""
SAVING = 20.0
"""Seconds that are left for the last iteration, and to save the state."""
ROOT = Path(__file__).parents[2]


def options(args: argparse.Namespace) -> list[str]:
    """Return the options of a run that begins."""
    settings: dict[str, object] = {
        "--tag": f"lambda{args.ssim_weight:g}",
        "--lambda": args.ssim_weight,
        "--size": 16 if args.toy else 256,
        "--iterations": args.iterations or (60 if args.toy else 40_000),
        "--validate-every": 20 if args.toy else 1000,
        "--device": args.device,
        "--cache": PLACE / "cache",
        "--data-note": "images of benchmarks/gpu.sh pack",
    }
    return [str(word) for pair in settings.items() for word in pair]


def train(args: argparse.Namespace) -> dict[str, Any]:
    """Begin or resume the run, stop it when the time is over, and return its figures."""
    place_data(args)
    if args.start_from:
        for name in RUN_FILES:
            shutil.copy2(args.start_from / name, args.out / name)
    command = [sys.executable, "-m", "fusionlab", "train", "-o", str(args.out)]
    resumed = (args.out / "run.json").exists()
    command += ["--resume"] if resumed else [str(PLACE / "train.tar"), *options(args)]
    log, seen = args.out / "log.jsonl", []
    before = last_iteration(log)
    start = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT) as process:  # noqa: S603  # ours
        while process.poll() is None:
            elapsed = time.monotonic() - start
            iteration = last_iteration(log)
            if iteration > (seen[-1][1] if seen else before):
                seen.append((round(elapsed, 2), iteration))
            if elapsed > args.seconds - SAVING or (args.stop_at and iteration >= args.stop_at):
                process.send_signal(signal.SIGTERM)  # it saves its state
                try:
                    process.wait(SAVING)
                except subprocess.TimeoutExpired:  # what it saved last remains
                    process.kill()
            time.sleep(0.2)
    lines = read(log)
    return {
        "machine": describe_machine(torch.device(args.device)),
        "exit_code": process.returncode,
        "resumed_from": before,
        "iteration": last_iteration(log),
        "finished": any("final" in line for line in lines),
        "iterations_per_second": speed(seen),
        "progress": seen,
        "settings": lines[0].get("settings") if lines else None,
        "training": [[n["iteration"], n["total"]] for n in lines if "total" in n],
        "validation": [[n["iteration"], n["loss"]] for n in lines if "validation" in n],
        "final": next((line["final"] for line in lines if "final" in line), None),
    }


def place_data(args: argparse.Namespace) -> None:
    """Put the images where every run expects them."""
    PLACE.mkdir(parents=True, exist_ok=True)
    if not args.toy:
        if args.data:
            shutil.copyfile(args.data, PLACE / "train.tar")
            return
        raise SystemExit("name the images with --data; benchmarks/gpu.sh pack makes such a file")
    from data import write_tar

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(12):
            pixels = rng.integers(0, 256, (32, 32), dtype=np.uint8)
            iio.imwrite(Path(folder, f"{number:02}.png"), pixels)
        write_tar([Path(folder)], PLACE / "train.tar", 2**20)


def read(log: Path) -> list[dict[str, Any]]:
    """Return the complete lines of a log."""
    text = log.read_text("utf-8") if log.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def last_iteration(log: Path) -> int:
    """Return how far a run is, by its log."""
    return max((line["iteration"] for line in read(log)), default=0)


def speed(seen: list[tuple[float, int]]) -> float | None:
    """Return iterations a second between the first and the last line of the log that was seen."""
    if len(seen) < 2:
        return None
    (begun, first), (ended, last) = seen[0], seen[-1]
    return (last - first) / (ended - begun)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="a tar file of images")
    parser.add_argument("--start-from", type=Path, help="the results of the run before")
    parser.add_argument("--lambda", dest="ssim_weight", type=float, default=100)
    parser.add_argument("--iterations", type=int, help="of all runs together")
    parser.add_argument("--stop-at", type=int, help="this iteration or soon after, for this run")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=390)
    parser.add_argument("--toy", action="store_true", help="tiny images of its own, to try it")
    args = parser.parse_args()
    args.out = args.out.resolve()  # the training runs elsewhere
    args.out.mkdir(parents=True, exist_ok=True)
    figures = train(args)
    write_json(args.out / "train.json", figures)
    print(
        f"iteration {figures['iteration']}, {figures['iterations_per_second'] or 0:.3g} a second, "
        f"{'finished' if figures['finished'] else 'to be resumed'}"
    )
    ended = figures["exit_code"] == 0 or figures["iteration"] > figures["resumed_from"]
    return 0 if ended else 1


if __name__ == "__main__":
    sys.exit(main())
