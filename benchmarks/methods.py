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
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

import fusionlab
from fusionlab.bench.cases import Case
from fusionlab.bench.machine import describe_machine
from fusionlab.bench.memory import peak_on_cpu
from fusionlab.plugins.host import installed
from fusionlab_classics.common.dictionary import cosine_dictionary

DISTRIBUTIONS = ("fusionlab-classics", "fusionlab-cnn")
ALSO = ("laplacian_pyramid",)
LEARNING = ("jsr", "jsrsd")
"""Methods that learn a dictionary, unless they get one."""


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
    times: dict[str, list[float]] = {name: [] for name in chosen}
    learning: dict[str, list[float]] = {name: [] for name in chosen if name in LEARNING}
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "dictionary.npy"
        np.save(given, cosine_dictionary(7, 16).numpy())
        for number in range(args.rounds):
            for name in chosen:
                settings = f",dictionary={given}" if name in learning else ""
                times[name].append(seconds(Case(f"identity/{name}{settings}")))
                if name in learning:  # a seed of its own: what was learned before is not used again
                    seed = 2 * number + LEARNING.index(name)
                    whole = seconds(Case(f"identity/{name},seed={seed}"))
                    learning[name].append(whole - times[name][-1])
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
        "learning_seconds": {name: round(statistics.median(t), 1) for name, t in learning.items()},
        "peak_mib": {},
    }
    for name in chosen:
        report["seconds"][name] = round(statistics.median(times[name]), 3)
        peak = peak_on_cpu(Case(f"identity/{name}"), args.threads)
        report["peak_mib"][name] = None if peak is None else round(peak / 2**20)
        print(f"{name:20} {report['seconds'][name]:8.3f} s {report['peak_mib'][name]} MiB")
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
