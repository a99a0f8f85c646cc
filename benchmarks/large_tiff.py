"""Time and peak memory of a TIFF of 400 megapixels: by rows, and whole by tifffile.

Each row is a process of its own, so that its peak memory is its own:

* `read by rows`: opened, checked and hashed by `read_image`, then read in bands of 256 rows with a
  halo of 16;
* `read whole`: hashed, then read into an array by tifffile;
* `write by rows`: from rows in a temporary file;
* `write whole`: from an array, by tifffile.

The image is 16-bit gray, in tiles of 512 x 512, compressed by deflate with a predictor. It takes
3 GB of disk; the environment variable TMPDIR says where.

    python benchmarks/large_tiff.py
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import numpy as np
import tifffile

from fusionlab.imaging import tiff
from fusionlab.imaging.reading import read_image
from fusionlab.imaging.rows import SpooledRows

BAND = 256
HALO = 16
OPTIONS = {"photometric": "minisblack", "compression": "adobe_deflate", "predictor": True}


def noisy_ramp(edge: int) -> SpooledRows:
    """Render a gradient with ten bits of noise, which deflate leaves at four fifths."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 64_000, edge).astype(np.uint16)
    rows = SpooledRows((edge, edge), np.uint16)
    for top in range(0, edge, BAND):
        noise = rng.integers(0, 1024, (min(BAND, edge - top), edge), np.uint16)
        rows.append(ramp + noise)
    return rows


def make(path: Path, edge: int) -> None:
    tifffile.imwrite(path, np.asarray(noisy_ramp(edge)), tile=(512, 512), **OPTIONS)


def read_by_rows(path: Path, edge: int) -> float:
    started = time.perf_counter()
    pixels = read_image(path, max_pixels=None).pixels
    for top in range(0, edge, BAND):
        pixels[max(0, top - HALO) : top + BAND + HALO]
    return time.perf_counter() - started


def read_whole(path: Path, _: int) -> float:
    started = time.perf_counter()
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
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


def measured(
    work: Callable[[Path, int], float], path: Path, edge: int, answer: SimpleQueue[float]
) -> None:
    """Run in a process: put the seconds and the peak memory in GB into the queue."""
    answer.put(work(path, edge) or 0)
    answer.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=20_000, help="pixels")
    edge = parser.parse_args().edge
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for work in (make, read_by_rows, read_whole, write_by_rows, write_whole):
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


if __name__ == "__main__":
    main()
