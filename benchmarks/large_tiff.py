"""Time and peak memory of TIFFs of 400 megapixels: by rows, whole by tifffile, and a fusion.

Each row is a process of its own, so that its peak memory is its own:

* `read by rows`: opened, checked and hashed by `read_image`, then read in bands of 256 rows with a
  halo of 16;
* `read whole`: hashed, then read into an array by tifffile;
* `write by rows`: from rows in a temporary file;
* `write whole`: from an array, by tifffile;
* `fuse`: `fusionlab fuse` with a pair of such files, if asked for; further arguments are its
  options. It takes some ten minutes.

The images are 16-bit gray, in tiles of 512 x 512, compressed by deflate with a predictor. They take
5 GB of disk, and 2 more with `--range minmax`; the environment variable TMPDIR says where.

    python benchmarks/large_tiff.py
    python benchmarks/large_tiff.py --fuse --strategy l1norm --r 1 --engine eager
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import numpy as np
import tifffile

from fusionlab.imaging.formats import tiff
from fusionlab.imaging.reading import read_image
from fusionlab.imaging.rows import OnDiskRows
from fusionlab.storage.hashing import sha256_of_file

BAND = 256
HALO = 16
OPTIONS = {"photometric": "minisblack", "compression": "adobe_deflate", "predictor": True}


def noisy_ramp(edge: int, seed: int = 0) -> OnDiskRows:
    """Render a gradient with ten bits of noise, which deflate leaves at four fifths."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 64_000, edge).astype(np.uint16)
    rows = OnDiskRows((edge, edge), np.uint16)
    for top in range(0, edge, BAND):
        noise = rng.integers(0, 1024, (min(BAND, edge - top), edge), np.uint16)
        rows.append(ramp + noise)
    return rows


def make(path: Path, edge: int) -> None:
    for seed, name in enumerate((path, path.with_name("other.tif"))):
        tifffile.imwrite(name, np.asarray(noisy_ramp(edge, seed)), tile=(512, 512), **OPTIONS)


def read_by_rows(path: Path, edge: int) -> float:
    started = time.perf_counter()
    pixels = read_image(path, max_pixels=None).pixels
    for top in range(0, edge, BAND):
        pixels[max(0, top - HALO) : top + BAND + HALO]
    return time.perf_counter() - started


def read_whole(path: Path, _: int) -> float:
    started = time.perf_counter()
    sha256_of_file(path)
    tifffile.imread(path)
    return time.perf_counter() - started


def write_by_rows(path: Path, edge: int) -> float:
    rows = noisy_ramp(edge)
    started = time.perf_counter()
    with path.with_name("by-rows.tif").open("wb") as file:
        tiff.write(file, rows)
    return time.perf_counter() - started


def write_whole(path: Path, edge: int) -> float:
    image = np.asarray(noisy_ramp(edge))
    started = time.perf_counter()
    tifffile.imwrite(path.with_name("whole.tif"), image, **OPTIONS)
    return time.perf_counter() - started


def fuse(path: Path, options: list[str]) -> None:
    """Fuse the pair by the command line, and print what it took."""
    sources = [str(path), str(path.with_name("other.tif"))]
    output = str(path.with_name("fused.tif"))
    command = [sys.executable, "-m", "fusionlab", "fuse", *sources, "-o", output]
    started = time.perf_counter()
    subprocess.run([*command, "--max-pixels", "0", *options], check=True)  # noqa: S603  # ours
    seconds = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    print(f"fuse           {seconds:6.1f} s {memory:6.2f} GB")


def measured(
    work: Callable[[Path, int], float], path: Path, edge: int, answer: SimpleQueue[float]
) -> None:
    """Run in a process: put the seconds and the peak memory in GB into the queue."""
    answer.put(work(path, edge) or 0)
    answer.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=20_000, help="pixels")
    parser.add_argument("--fuse", action="store_true", help="fuse the pair, and nothing else")
    args, options = parser.parse_known_args()
    edge = args.edge
    works = [read_by_rows, read_whole, write_by_rows, write_whole]
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for work in (make, *([] if args.fuse else works)):
            answer = context.SimpleQueue()
            process = context.Process(
                target=measured, args=(work, Path(folder) / "image.tif", edge, answer)
            )
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(process.exitcode)
            seconds, memory = answer.get(), answer.get()
            if work is not make:
                print(f"{work.__name__.replace('_', ' '):14} {seconds:6.1f} s {memory:6.2f} GB")
        if args.fuse:
            fuse(Path(folder) / "image.tif", options)


if __name__ == "__main__":
    main()
