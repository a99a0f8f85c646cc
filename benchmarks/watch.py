"""Latency, drops and memory of `fusionlab watch`, beside two cameras that write at a steady rate.

    python benchmarks/watch.py                        # 640x480, 5 pairs a second, for two minutes
    python benchmarks/watch.py --size 1920x1080 --rate 5 --seconds 120 --in-place
    python benchmarks/watch.py -- --strategy l1norm   # options of `watch`

The cameras write the frames of `examples/make_sequence.py`, which are encoded before the start. The
latency is taken from outside: from when the last file of a pair has its name until the result has
its own; what `watch` says itself comes after it. The memory is that of its process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "examples"))

import imageio.v3 as iio
import make_sequence
import numpy as np

DIFFERENT = 40
"""So many different frames are written, again and again."""


def resident(process: int) -> float:
    """Return the memory of a process in MiB."""
    text = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def put(path: Path, content: bytes, *, in_place: bool) -> None:
    """Write a file, as a camera does that renames it, or as one that does not."""
    if in_place:
        with path.open("wb") as file:
            for start in range(0, len(content), len(content) // 4 + 1):
                file.write(content[start : start + len(content) // 4 + 1])
                file.flush()
                time.sleep(0.004)
        return
    partial = path.with_suffix(".tmp")
    partial.write_bytes(content)
    partial.rename(path)


def cameras(folder: Path, arguments: argparse.Namespace, pairs: list[list[bytes]]) -> list[float]:
    """Write pairs at the rate; return how late the last file of each was, in seconds."""
    start, late = time.monotonic(), []
    for number in range(round(arguments.rate * arguments.seconds)):
        due = start + number / arguments.rate
        time.sleep(max(0.0, due - time.monotonic()))
        for source, content in zip(("ir", "vis"), pairs[number % len(pairs)], strict=True):
            path = folder / source / f"{number:06}.png"
            put(path, content, in_place=arguments.in_place)
        late.append(time.monotonic() - due)
        if number >= arguments.keep > 0:
            for source in ("ir", "vis"):
                (folder / source / f"{number - arguments.keep:06}.png").unlink()
    return late


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", default="640x480", metavar="WIDTHxHEIGHT")
    parser.add_argument("--rate", type=float, default=5, help="pairs a second")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--in-place", action="store_true", help="write files under their names")
    parser.add_argument(
        "--keep",
        type=int,
        default=0,
        help="remove all but so many of the pairs (the latency is then of these)",
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("options", nargs="*", help="of watch, after --")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    pairs = [
        [iio.imwrite("<bytes>", image, extension=".png", compress_level=1) for image in pair]
        for pair in make_sequence.frames(width, height, DIFFERENT)
    ]
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        for source in ("ir", "vis"):
            (folder / "cam" / source).mkdir(parents=True)
        command = [sys.executable, "-m", "fusionlab", "watch", "cam", "-o", "out", "--json"]
        command += ["--every", "1", "--depth", "8", "--scale", "percentile", *arguments.options]
        with subprocess.Popen(  # noqa: S603
            command, cwd=folder, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            lines: list[dict[str, object]] = [json.loads(process.stdout.readline())]  # it is ready
            memory: list[tuple[float, float]] = []
            start = time.monotonic()

            def read() -> None:
                assert process.stdout is not None
                for line in process.stdout:
                    lines.append(json.loads(line))
                    if "progress" in lines[-1]:
                        memory.append((time.monotonic() - start, resident(process.pid)))

            reader = threading.Thread(target=read)
            reader.start()
            late = cameras(folder / "cam", arguments, pairs)
            time.sleep(3)
            process.terminate()
            reader.join()
        cpu = os.times()
        latencies = []
        for path in (folder / "out").glob("*.png"):
            sources = [folder / "cam" / source / path.name for source in ("ir", "vis")]
            if all(source.exists() for source in sources):
                written = max(source.stat().st_ctime for source in sources)
                latencies.append(path.stat().st_ctime - written)
    summary = lines[-1]["summary"]
    assert isinstance(summary, dict)
    settled = [(second, size) for second, size in memory if second > 10]
    figures = {
        "size": arguments.size,
        "rate": arguments.rate,
        "pairs": len(late),
        "cameras late by ms": round(1000 * float(np.percentile(late, 95)), 1),
        **{name: summary[name] for name in ("fused", "failed", "dropped", "incomplete")},
        "latency, ms": {
            name: round(1000 * float(value))
            for name, value in zip(
                ("median", "95%", "99%", "max"),
                np.percentile(latencies, (50, 95, 99, 100)),
                strict=True,
            )
        },
        "latency as watch says": summary["latency"],
        "memory, MiB": {
            f"{second:.0f} s": round(size)
            for second, size in [*settled[:: max(1, len(settled) // 8)], settled[-1]]
        },
        "processor seconds": round(cpu.children_user + cpu.children_system, 1),
        "spent": summary["spent"],
        "load": os.getloadavg(),
    }
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
