"""How long the command line takes to answer and to fuse one small pair: medians in milliseconds.

The first rows time whole processes in turns. The reference rows show what an import alone costs
on the same machine: an answer within 150 ms is possible only if torch is not imported. The last
rows time the stages of `fusionlab fuse` within a process of their own. Beside the clock stands the
time of the processor, which other work on the machine changes less.

    python benchmarks/startup.py [--runs 20] [--threads N] [--model MODEL.onnx]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np

FUSIONLAB = [sys.executable, "-m", "fusionlab"]
HEIGHT, WIDTH = 480, 640

STAGES = """
import sys, time
stages = []

def stage(name, began=[time.perf_counter(), time.process_time()]):
    ended = [time.perf_counter(), time.process_time()]
    stages.append((name, ended[0] - began[0], ended[1] - began[1]))
    began[:] = time.perf_counter(), time.process_time()

first, second, output = sys.argv[1:]
import torch
stage("import torch")
import fusionlab.cli
from fusionlab.fusion import Fusion
from fusionlab.plugins.host import installed
from fusionlab.runs.destination import Destination
from fusionlab.runs.file_fusion import FileFusion
from fusionlab.storage.atomic import atomic_write_all
from pathlib import Path
plugins = installed()
stage("other imports, and plugins")
fusion = Fusion("densefuse", "l1norm")
stage("network and weights")
files = FileFusion(fusion, plugins)
destination = Destination.plan(Path(output), [Path(first), Path(second)])
sources = files.load([Path(first), Path(second)])
stage("reading")
product = files.fuse(sources, destination)
stage("first fusion")
files.fuse(sources, destination)
stage("a second fusion, for comparison")
with atomic_write_all(files.encode(product)):
    pass
stage("writing")
for row in stages:
    print(*row, sep="\\t")
"""


def write_pair(folder: Path) -> list[str]:
    """Write two smooth images, and return their paths."""
    generator = np.random.default_rng(0)
    paths = []
    for name in ("infrared.png", "visible.png"):
        waves = [
            np.outer(*(np.sin(np.arange(size) / period) for size in (HEIGHT, WIDTH)))
            for period in generator.uniform(3, 60, 8)
        ]
        image = sum(waves)
        levels = (image - image.min()) / np.ptp(image) * 255
        paths.append(str(folder / name))
        iio.imwrite(paths[-1], levels.astype(np.uint8))
    return paths


def run(command: list[str]) -> tuple[float, float, str]:
    """Run a command; return its seconds, those of the processor, and what it prints."""
    before, started = _processor_seconds(), time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # ours
    return time.perf_counter() - started, _processor_seconds() - before, done.stdout


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Run all commands in turn, after a warm-up, and print both tables."""
    parser = argparse.ArgumentParser(description="See the docstring.")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--threads", type=int, help="of torch; default: its own")
    parser.add_argument("--model", help="an exported model, to fuse the pair with it as well")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as an installation has it: compiled
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        pair, output = write_pair(Path(folder)), f"{folder}/fused.png"
        to_output = [*pair, "-o", output, "--overwrite"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "fusionlab --help": [*FUSIONLAB, "--help"],
            "fusionlab fuse --strategy l1norm --help": [
                *FUSIONLAB,
                *("fuse", "--strategy", "l1norm", "--help"),
            ],
            "fusionlab strategies": [*FUSIONLAB, "strategies"],
            "python -c 'import torch'": [sys.executable, "-c", "import torch"],
            "fusionlab fuse --strategy l1norm": [
                *FUSIONLAB,
                *("fuse", "--strategy", "l1norm"),
                *to_output,
            ],
            "fusionlab fuse --backbone identity --strategy mean": [
                *FUSIONLAB,
                *("fuse", "--backbone", "identity", "--strategy", "mean"),
                *to_output,
            ],
        }
        if options.model:
            commands["fusionlab fuse --model"] = [
                *FUSIONLAB,
                *("fuse", "--model", options.model),
                *to_output,
            ]
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for number in range(options.runs + 1):
            for name, command in commands.items():
                wall, processor, _ = run(command)
                rows[name] += [(wall, processor)] if number else []
            _, _, printed = run([sys.executable, "-c", STAGES, *pair, output])
            for line in printed.splitlines() if number else ():
                name, *seconds = line.split("\t")
                rows.setdefault(f"  {name}", []).append((float(seconds[0]), float(seconds[1])))
    print(f"{'median (least) of milliseconds':52} {'clock':>18} {'processor':>18}")
    for name, pairs in rows.items():
        columns = [[1e3 * value for value in column] for column in zip(*pairs, strict=True)]
        cells = (f"{statistics.median(column):9.1f} ({min(column):.1f})" for column in columns)
        print(f"{name:52} " + " ".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
