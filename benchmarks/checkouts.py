"""Time and peak memory of folder runs, for two checkouts in turn: is the second one worse?

    git worktree add ../before COMMIT
    python benchmarks/checkouts.py ../before .

Both run in the environment of this interpreter, each with its own sources in front: what is
registered as an entry point is that of the installed package. Torch computes with one thread: where
other programs run, several wait for one another, and CPU time tells more than seconds.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np

SETS = {"tiny": (200, 24, 32), "640x480": (40, 480, 640)}
"""Name of a set -> number of pairs, height and width."""
MEASURED = ("seconds", "CPU s", "peak MB")
ROOTS = ("", "strategies", "encoders")
"""Where the packages of a checkout are."""


def render(folder: Path, count: int, height: int, width: int) -> list[Path]:
    """Write pairs of noisy gradients, a gray PNG and a color JPEG; return their folders."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, width)[None, :, None]
    folders = [folder / "ir", folder / "vis"]
    for path, channels, suffix in zip(folders, (1, 3), (".png", ".jpg"), strict=True):
        path.mkdir(parents=True)
        for number in range(count):
            image = (ramp + rng.integers(0, 56, (height, width, channels))).astype(np.uint8)
            iio.imwrite(path / f"{number:03}{suffix}", image.squeeze())
    return folders


def measure(checkout: Path, sources: list[Path], out: Path, options: list[str]) -> list[float]:
    """Return the seconds, the CPU time in seconds and the peak memory in MB of one folder run.

    Raises:
        SystemExit: it fails.
    """
    paths = [str(checkout / root) for root in ROOTS]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "fusionlab", "fuse", *map(str, sources), "-o", str(out)]
    started = time.perf_counter()
    with subprocess.Popen(  # noqa: S603  # ours
        [*command, *options],
        cwd=out.parent,  # the current folder comes before PYTHONPATH
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        message = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{checkout}: {message.decode(errors='replace')}")
    unit = 1 if sys.platform == "darwin" else 1024
    cpu = usage.ru_utime + usage.ru_stime
    return [time.perf_counter() - started, cpu, usage.ru_maxrss * unit / 1e6]


def main() -> None:
    """Measure both checkouts on each set, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=3, help="medians are printed")
    parser.add_argument(
        "--options", default="--backbone identity --strategy mean", help="of `fusionlab fuse`"
    )
    args = parser.parse_args()
    checkouts = [args.before.resolve(), args.after.resolve()]
    print("set       what         before    after   ratio")
    for name, (count, height, width) in SETS.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            sources = render(folder, count, height, width)
            runs: list[list[list[float]]] = [[], []]
            for number in range(args.rounds):
                for side, checkout in enumerate(checkouts):  # in turns: other load affects both
                    out = folder / f"{number}-{side}"
                    runs[side].append(measure(checkout, sources, out, args.options.split()))
            medians = [list(map(statistics.median, zip(*side, strict=True))) for side in runs]
            images = [path.name for path in (folder / "0-0").glob("*.png")]
            _, differ, missing = filecmp.cmpfiles(folder / "0-0", folder / "0-1", images, False)
            for what, before, after in zip(MEASURED, *medians, strict=True):
                print(f"{name:<10}{what:<10}{before:9.2f}{after:9.2f}{after / before:8.3f}")
            print(f"{name:<10}{len(differ) + len(missing)} of {len(images)} images differ")


if __name__ == "__main__":
    main()
