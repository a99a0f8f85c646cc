"""Images per second over a folder, where the time goes, and what overlapping saves.

The same image set twice in one run, each in a process of its own:

* `run`: `fusionlab fuse SET -o OUT`, which reads and writes while it computes;
* `loop`: a loop written by hand: read, fuse, write, one image after another, with the same
  pipeline.

    python benchmarks/folder.py                        # rendered pairs, color and gray
    python benchmarks/folder.py --set path/to/set --color luma
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np

HEIGHT, WIDTH = 300, 500


def render(folder: Path, pairs: int) -> None:
    """Write pairs of noisy gradients: a gray JPEG and an RGB JPEG."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, WIDTH)[None, :, None]
    for letter, channels in (("a", 1), ("b", 3)):
        (folder / letter).mkdir()
        for number in range(pairs):
            image = (ramp + rng.integers(0, 56, (HEIGHT, WIDTH, channels))).astype(np.uint8)
            iio.imwrite(folder / letter / f"{number:03}.jpg", image.squeeze(), quality=95)


def by_run(folder: Path, options: list[str]) -> dict[str, float]:
    """Time the command, and return where its time went."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "fusionlab", "fuse", str(folder), "-o", out, "--json"]
        process = subprocess.run([*command, *options], check=True, capture_output=True, text=True)  # noqa: S603  # ours
    summary = json.loads(process.stdout.splitlines()[-1])["summary"]
    seconds = summary["seconds"]
    return {"images": summary["fused"], "seconds": seconds, **summary["spent"]}


LOOP = """
import sys, time
from pathlib import Path
import imageio.v3 as iio
from fusionlab import Fusion
from fusionlab.runs.image_sets import find_image_set
folder, out, color = sys.argv[1:]
fusion = Fusion("densefuse", "l1norm", color=color)
read = fuse = write = 0.0
started = time.perf_counter()
items = find_image_set([Path(folder)])
for item in items:
    t0 = time.perf_counter()
    sources = [iio.imread(path) for path in item.sources]
    t1 = time.perf_counter()
    fused = fusion(sources)
    t2 = time.perf_counter()
    iio.imwrite(f"{out}/{item.stem}.png", fused)
    t3 = time.perf_counter()
    read, fuse, write = read + t1 - t0, fuse + t2 - t1, write + t3 - t2
print(len(items), time.perf_counter() - started, read, fuse, write)
"""


def by_loop(folder: Path, color: str) -> dict[str, float]:
    """Time the same set, one image after another."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-c", LOOP, str(folder), out, color]
        process = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # ours
    names = ("images", "seconds", "read", "fuse", "write")
    return dict(zip(names, map(float, process.stdout.split()), strict=True))


def main() -> None:
    """Run both, and print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set", type=Path, help="a folder with a/ b/ ...; rendered if left out")
    parser.add_argument("--pairs", type=int, default=24, help="how many are rendered")
    parser.add_argument("--color", default="per-channel")
    parser.add_argument("--rounds", type=int, default=3, help="the fastest of them counts")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = args.set or Path(name)
        if args.set is None:
            render(folder, args.pairs)
        started = time.perf_counter()
        timings: dict[str, list[dict[str, float]]] = {"run": [], "loop": []}
        for _ in range(args.rounds):  # in turns, so that other load affects both
            timings["run"].append(by_run(folder, ["--color", args.color]))
            timings["loop"].append(by_loop(folder, args.color))
    best = {name: min(runs, key=lambda run: run["seconds"]) for name, runs in timings.items()}
    print(f"{int(best['run']['images'])} images, color {args.color}")
    print("          images/s  seconds    read    fuse   write  (seconds of work)")
    for name, times in best.items():
        rate = times["images"] / times["seconds"]
        work = "".join(f"{times[key]:8.2f}" for key in ("read", "fuse", "write"))
        print(f"{name:<6}{rate:12.2f}{times['seconds']:9.2f}{work}")
    print(f"run / loop  {best['loop']['seconds'] / best['run']['seconds']:.3f} x as fast")
    print(f"(the whole took {time.perf_counter() - started:.0f} s)")


if __name__ == "__main__":
    main()
