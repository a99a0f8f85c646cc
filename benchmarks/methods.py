"""What the methods of the literature cost: seconds for a pair of 640x480, and peak memory.

Every pixel strategy of the named distributions fuses the same synthetic pair, from arrays to an
array, with its default parameters. Strategies take turns in every round, so that other load affects
them all; figures are medians. Memory is the growth of the peak of a process of its own.

    python benchmarks/methods.py --threads 2 --json benchmarks/methods.json
    python benchmarks/methods.py --only cbf,gtf --rounds 1
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import statistics
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import fusionlab
from fusionlab import Fusion
from fusionlab.bench.machine import describe_machine
from fusionlab.plugins.host import installed

HEIGHT, WIDTH = 480, 640
DISTRIBUTIONS = ("fusionlab-classics", "fusionlab-cnn")
ALSO = ("laplacian_pyramid",)


def pair(height: int = HEIGHT, width: int = WIDTH) -> list[NDArray[np.uint8]]:
    """Return a synthetic pair: waves, a step and noise."""
    random = np.random.default_rng(0)
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    waves = np.stack([np.sin(20 * x) + np.cos(9 * y), np.sin(13 * x + 17 * y)])
    images = 110 + 40 * waves + 50 * (x > y) + 6 * random.normal(size=(2, height, width))
    return list(images.clip(0, 255).round().astype(np.uint8))


def names() -> list[str]:
    """Return the methods to measure, those that are installed."""
    return [
        registration.ref.name
        for registration in installed().strategies.registrations
        if (registration.plugin in DISTRIBUTIONS or registration.ref.name in ALSO)
        and registration.ref.load().domain == "pixels"
    ]


def seconds(name: str, images: list[NDArray[np.uint8]]) -> float:
    """Return how long one fusion takes."""
    fusion = Fusion("identity", name, range_policy="clip")
    begin = perf_counter()
    fusion(images)
    return perf_counter() - begin


def peak_mib(name: str, threads: int) -> float:
    """Return the growth of the peak of this process while it fuses a pair, in MiB."""
    torch.set_num_threads(threads)
    images = pair()
    seconds(name, [image[:64, :64] for image in images])  # what is imported on first use
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds(name, images)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="names, separated by commas")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    chosen = args.only.split(",") if args.only else names()
    load = os.getloadavg()[0]
    images = pair()
    times: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(args.rounds):
        for name in chosen:
            times[name].append(seconds(name, images))
    context = multiprocessing.get_context("spawn")
    report: dict[str, Any] = {
        "processor": describe_machine(torch.device("cpu"))["processor"],
        "threads": args.threads,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "fusionlab": fusionlab.__version__,
        },
        "size": [WIDTH, HEIGHT],
        "rounds": args.rounds,
        "load": round(load, 1),
        "seconds": {},
        "peak_mib": {},
    }
    for name in chosen:
        report["seconds"][name] = round(statistics.median(times[name]), 3)
        with ProcessPoolExecutor(1, context) as pool:
            report["peak_mib"][name] = round(pool.submit(peak_mib, name, args.threads).result())
        print(f"{name:20} {report['seconds'][name]:8.3f} s {report['peak_mib'][name]:6} MiB")
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
