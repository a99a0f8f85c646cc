"""Time and peak memory of a large fusion, and what tiles change.

Each row is a process of its own, so that its peak memory is its own:

* `fusionlab fuse`: the whole program, files in, file out;
* `tiled` and `whole`: the same pipeline on arrays in memory, with tiles and without;
* `plain`: a straightforward implementation, see `plain.py`. It needs 10 GB and more from 4
  megapixels on.

    python benchmarks/large_image.py --megapixels 12 --rows cli tiled
    python benchmarks/large_image.py --megapixels 2
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from plain import Plain

K = 3
STRATEGY = "l1norm,r=1"


def sources(megapixels: float, channels: int) -> list[np.ndarray]:
    """Render K noisy gradients of 4:3, uint8."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    shape = (height, round(height * 4 / 3), channels)[: 3 if channels > 1 else 2]
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, shape[1]).reshape((1, -1, 1)[: len(shape)])
    return [(ramp + rng.integers(0, 56, shape)).astype(np.uint8) for _ in range(K)]


def by_pipeline(images: list[np.ndarray], tile: int | None) -> np.ndarray:
    """Fuse with the pipeline; a huge tile keeps the image whole."""
    from fusionlab import Fusion

    return Fusion("densefuse@1e2", STRATEGY, range_policy=None, tile=tile)(images)


def row(name: str, megapixels: float, channels: int, folder: Path) -> None:
    """Run one row in this process and leave its figures and its result in `folder`."""
    images = sources(megapixels, channels)
    started = time.perf_counter()
    if name == "cli":
        paths = [folder / f"{n}.png" for n in range(K)]
        for path, image in zip(paths, images, strict=True):
            iio.imwrite(path, image, compress_level=1)
        del images
        command = [sys.executable, "-m", "fusionlab", "fuse", *map(str, paths)]
        started = time.perf_counter()
        subprocess.run(  # noqa: S603  # our own command
            [*command, "-o", str(folder / "fused.png"), "--overwrite"], check=True
        )
        who = resource.RUSAGE_CHILDREN
    else:
        tile = {"tiled": None, "whole": 10**9}
        if name == "plain":
            fused = Plain.shipped("1e2").fuse(images).numpy() / 255
        else:
            fused = by_pipeline(images, tile[name])
        np.save(folder / f"{name}.npy", fused)
        who = resource.RUSAGE_SELF
    figures = {
        "seconds": time.perf_counter() - started,
        "peak": resource.getrusage(who).ru_maxrss * 1024,
    }
    (folder / f"{name}.json").write_text(json.dumps(figures))


def main() -> None:
    """Run the chosen rows one after another and compare their results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megapixels", type=float, default=2)
    parser.add_argument("--channels", type=int, choices=[1, 3], default=1)
    parser.add_argument("--rows", nargs="+", default=["cli", "tiled", "whole", "plain"])
    options = parser.parse_args()
    print(f"{K} sources of {options.megapixels} megapixels, {options.channels} channel(s)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in options.rows:
            process = multiprocessing.get_context("spawn").Process(
                target=row, args=(kind, options.megapixels, options.channels, folder)
            )
            process.start()
            process.join()
            if process.exitcode:
                print(f"{kind:6} failed (exit code {process.exitcode}: killed for memory?)")
                continue
            figures = json.loads((folder / f"{kind}.json").read_text())
            print(f"{kind:6} {figures['seconds']:7.1f} s  peak {figures['peak'] / 2**20:7.0f} MiB")
        if (folder / "tiled.npy").exists():
            tiled = np.load(folder / "tiled.npy")
            for other in ("whole", "plain"):
                if (folder / f"{other}.npy").exists():
                    worst = 255 * np.abs(tiled - np.load(folder / f"{other}.npy")).max()
                    print(f"tiled against {other}: at most {worst:.2g} gray levels apart")


if __name__ == "__main__":
    main()
