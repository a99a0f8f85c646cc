"""What each strategy costs compared with the backbone: seconds, ratios, and memory.

Each strategy fuses the features of the default backbone in one piece: 64 channels of a pair of
640x480, channels-last in memory as in the pipeline on a CPU. Strategies that look at the whole
image gather their statistics at the same time. All strategies take turns in every round, so that
other load affects them all. Figures are medians over the rounds; ratios are between medians of one
run: to `addition`, and to encoding the pair and decoding one result. Memory is the growth of the
peak of a separate process that holds the features already; it includes the result, which is half as
large.

    python benchmarks/strategies.py --threads 1 --json benchmarks/strategies.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

import fusionlab
from fusionlab import Backbone, Scene
from fusionlab.plugins.factory import build_backbone, build_strategy
from fusionlab.plugins.host import installed

HEIGHT, WIDTH = 480, 640
BESIDE = "addition"
BACKBONE = "encoding and decoding"


def scene(height: int, width: int) -> Scene:
    """Return a synthetic pair: waves, a step and noise."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    waves = torch.stack([(20 * x).sin() + (9 * y).cos(), (13 * x + 17 * y).sin()])
    noise = torch.randn(2, height, width, generator=generator)
    images = (110 + 40 * waves + 50 * (x > y) + 6 * noise).clamp(0, 255).round() / 255
    return Scene(sources=images[:, None, None])


def encoded(backbone: Backbone, pair: Scene) -> Tensor:
    """Return the features `(2, 1, C, h, w)` of the finest level, channels last in memory."""
    flat = backbone.encode(pair.sources.flatten(0, 1))[0]
    flat = flat.contiguous(memory_format=torch.channels_last)
    return flat.unflatten(0, pair.sources.shape[:2])


def noise(height: int, width: int) -> Tensor:
    """Return random features `(2, 1, 64, h, w)`, allocated channels-last."""
    flat = torch.empty(2, 64, height, width, memory_format=torch.channels_last)
    return flat.uniform_().unsqueeze(1)


def shipped() -> list[str]:
    """Return the strategies of the distribution that has `addition`, if they merge features."""
    strategies = installed().strategies
    ours = strategies.find(BESIDE).plugin
    return [
        registration.ref.name
        for registration in strategies.registrations
        if registration.plugin == ours and registration.ref.load().domain != "pixels"
    ]


def seconds(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median time of each, over the rounds after a warm-up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            started = perf_counter()
            work()
            if number:
                times[name].append(perf_counter() - started)
        print(f"round {number} of {rounds}", file=sys.stderr)
    return {name: statistics.median(values) for name, values in times.items()}


@torch.no_grad()
def timed(threads: int, rounds: int) -> dict[str, float]:
    """Return the seconds of the backbone and of each strategy."""
    torch.set_num_threads(threads)
    plugins = installed()
    backbone = build_backbone(plugins.default("backbone"), plugins)
    pair = scene(HEIGHT, WIDTH)
    features = encoded(backbone, pair)
    works: dict[str, Callable[[], object]] = {
        BACKBONE: lambda: backbone.decode((encoded(backbone, pair)[0],))
    }
    for name in shipped():
        strategy = build_strategy(name, plugins)
        works[name] = lambda strategy=strategy: strategy.fuse(features, pair)
    return seconds(works, rounds)


@torch.no_grad()
def memory(name: str) -> float:
    """Return by how many MiB the peak of this process grows while a strategy fuses."""
    torch.set_num_threads(1)
    rule = build_strategy(name, installed())
    small = scene(16, 16)
    rule.fuse(noise(16, 16), small)  # what is loaded at the first call stays out
    results = scene(HEIGHT, WIDTH)
    features = noise(HEIGHT, WIDTH)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rule.fuse(features, results)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def processor() -> str:
    """Return what the processor calls itself."""
    with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)


def measure(threads: list[int], rounds: int) -> dict[str, Any]:
    """Return everything the table shows, and where it was measured."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        peaks = dict(zip(shipped(), pool.map(memory, shipped()), strict=True))
    return {
        "device": f"{processor()}, CPU",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "fusionlab": fusionlab.__version__,
        },
        "features": [2, 1, 64, HEIGHT, WIDTH],
        "rounds": rounds,
        "load": round(os.getloadavg()[0], 1),
        "peak_mib": {name: round(peak) for name, peak in peaks.items()},
        "seconds": {
            str(count): {name: round(s, 4) for name, s in timed(count, rounds).items()}
            for count in threads
        },
    }


def show(results: dict[str, Any]) -> None:
    """Print a Markdown table."""
    print(f"{results['device']}, torch {results['versions']['torch']}; a pair of {WIDTH}x{HEIGHT},")
    print(f"medians of {results['rounds']} rounds, load {results['load']} before the first\n")
    heads = ["strategy"]
    for count in results["seconds"]:
        heads += [f"s, threads={count}", f"/ {BESIDE}", f"/ {BACKBONE}"]
    print("|", " | ".join([*heads, "peak, MiB"]), "|")
    print("|---" * (len(heads) + 1) + "|")
    for name in (BACKBONE, *results["peak_mib"]):
        cells = []
        for times in results["seconds"].values():
            ratios = (times[name] / times[BESIDE], times[name] / times[BACKBONE])
            cells += [f"{times[name]:.4f}", *(f"{ratio:.2g}" for ratio in ratios)]
        print("|", " | ".join([name, *cells, str(results["peak_mib"].get(name, ""))]), "|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    both = sorted({1, torch.get_num_threads()})
    parser.add_argument("--threads", type=int, nargs="+", default=both, help="default: 1 and all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="a file for the figures")
    args = parser.parse_args()
    results = measure(args.threads, args.rounds)
    show(results)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
