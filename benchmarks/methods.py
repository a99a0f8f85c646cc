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
import os
import platform
import statistics
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

import fusionlab
from fusionlab.bench.cases import Case
from fusionlab.bench.machine import describe_machine
from fusionlab.bench.memory import peak_on_cpu
from fusionlab.plugins.host import installed

DISTRIBUTIONS = ("fusionlab-classics", "fusionlab-cnn")
ALSO = ("laplacian_pyramid",)


def names() -> list[str]:
    """Return the methods to measure, those that are installed."""
    return [
        registration.ref.name
        for registration in installed().strategies.registrations
        if (registration.plugin in DISTRIBUTIONS or registration.ref.name in ALSO)
        and registration.ref.load().domain == "pixels"
    ]


def seconds(case: Case) -> float:
    """Return how long one fusion takes, from arrays to an array."""
    fusion, images = case.fusion("cpu", installed()), case.images()
    begin = perf_counter()
    fusion(images)
    return perf_counter() - begin


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
    cases = {name: Case(f"identity/{name}") for name in chosen}
    times: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(args.rounds):
        for name in chosen:
            times[name].append(seconds(cases[name]))
    report: dict[str, Any] = {
        "processor": describe_machine(torch.device("cpu"))["processor"],
        "threads": args.threads,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "fusionlab": fusionlab.__version__,
        },
        "size": [Case.width, Case.height],
        "rounds": args.rounds,
        "load": round(load, 1),
        "seconds": {},
        "peak_mib": {},
    }
    for name in chosen:
        report["seconds"][name] = round(statistics.median(times[name]), 3)
        peak = peak_on_cpu(cases[name], args.threads)
        report["peak_mib"][name] = None if peak is None else round(peak / 2**20)
        print(f"{name:20} {report['seconds'][name]:8.3f} s {report['peak_mib'][name]} MiB")
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
