"""Fuse a folder of very many tiny pairs, and print what grows: seconds, memory, open files.

    python benchmarks/many_pairs.py --pairs 100000 --method identity/mean many/

A run must not become slower with the number of images that it has done, nor keep anything of them.
The folder receives the pairs, which a second run uses again, and the results.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import time
from pathlib import Path

import imagecodecs
import numpy as np

from fusionlab import Fusion
from fusionlab.plugins.host import installed
from fusionlab.runs.file_fusion import FileFusion
from fusionlab.runs.folder_run import FolderRun
from fusionlab.runs.image_sets import find_image_set


def make_pairs(folder: Path, count: int, size: int) -> None:
    """Write pairs of noise, unless they are there."""
    rng = np.random.default_rng(0)
    for source in ("ir", "vis"):
        (folder / source).mkdir(parents=True, exist_ok=True)
        for number in range(len(list((folder / source).iterdir())), count):
            pixels = rng.integers(0, 256, (size, size), dtype=np.uint8)
            path = folder / source / f"{number:06}.png"
            path.write_bytes(imagecodecs.png_encode(pixels))


def memory() -> float:
    """Return the memory that this process uses now, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=8, help="width and height, in pixels")
    parser.add_argument("--method", default="identity/mean", help="BACKBONE/STRATEGY")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--resume", action="store_true", help="keep the results of an earlier run")
    arguments = parser.parse_args()
    make_pairs(arguments.folder, arguments.pairs, arguments.size)
    out = arguments.folder / "fused"
    if not arguments.resume:
        shutil.rmtree(out, ignore_errors=True)
    started = time.perf_counter()
    items = find_image_set([arguments.folder / "ir", arguments.folder / "vis"])[: arguments.pairs]
    print(f"paired {len(items)} in {time.perf_counter() - started:.1f} s")
    fusion = Fusion(*arguments.method.split("/"))
    run = FolderRun(
        FileFusion(fusion, installed(), record=arguments.record), out, resume=arguments.resume
    )
    step = max(1, len(items) // 10)
    started, computed = time.perf_counter(), time.process_time()
    for done, outcome in enumerate(run.run(items), start=1):
        if outcome.status == "failed":
            raise SystemExit(outcome.problem)
        if done == 1:
            print(f"first image after {time.perf_counter() - started:.1f} s")
            started, computed = time.perf_counter(), time.process_time()
        elif done % step == 0:
            seconds, of_cpu = time.perf_counter() - started, time.process_time() - computed
            print(
                f"{done:>8} {outcome.status}  {1000 * seconds / step:7.2f} s per thousand "
                f"({1000 * of_cpu / step:.2f} s of CPU)  "
                f"{memory():6.0f} MB  {len(list(Path('/proc/self/fd').iterdir())):4} open files",
                flush=True,
            )
            started, computed = time.perf_counter(), time.process_time()
    print(f"end after {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
