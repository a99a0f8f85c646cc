"""Which methods can be exported as ONNX, how exact they are, and how fast they run.

Every installed strategy is exported for two sources, on the default backbone or, if it merges
pixels, without one; a few strategies on the other backbones, too. A method that decides by the size
of the images is exported for 640x480. Each model is compared with the pipeline at the sizes of the
export, and then both fuse a pair of 640x480, in turns: the shortest of the times counts, which
other work on the machine affects least.

    python benchmarks/export.py --threads 1 --json benchmarks/export.json
    python tools/table_of_export.py

Methods whose row is in the file already are not measured again. Each runs in a process of its own,
which is ended after --limit seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from fusionlab.plugins.host import installed
from fusionlab.storage.versions import library_versions

WIDTH, HEIGHT = 640, 480
OTHERS = ("l1norm", "addition", "mean", "max")
"""Strategies that run on every backbone."""
LIBRARIES = ("fusionlab-imaging", "torch", "onnx", "onnxscript", "onnxruntime")


def methods() -> list[str]:
    """Return the methods: on the default backbone, on the others, and on pixels."""
    plugins = installed()
    default, baseline = plugins.default("backbone"), plugins.default("baseline")
    entries = plugins.strategies.registrations
    of_pixels = {e.ref.name for e in entries if e.ref.load().domain == "pixels"}
    rows = [f"{default}/{e.ref.name}" for e in entries if e.ref.name not in of_pixels]
    others = [entry.ref.name for entry in plugins.backbones.registrations]
    others.remove(default.partition("@")[0])
    rows += [f"{name}/{rule}" for name in others for rule in OTHERS]
    return [*rows, *(f"{baseline}/{name}" for name in sorted(of_pixels))]


def measured(method: str, threads: int, rounds: int) -> dict[str, Any]:
    """Return the row of one method."""
    import onnxruntime
    import torch

    import fusionlab
    from fusionlab import FusionlabError

    torch.set_num_threads(threads)
    backbone, _, strategy = method.partition("/")
    fusion = fusionlab.Fusion(backbone, strategy)
    row: dict[str, Any] = {"method": method, "size": None}
    begin = perf_counter()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            try:
                metadata = fusionlab.export(fusion, path)
            except FusionlabError as error:
                if error.option != "size":
                    raise
                row |= {"size": f"{WIDTH}x{HEIGHT}", "any_size": _reason(error)}
                print(json.dumps(row), flush=True)  # what is known if the time is over
                metadata = fusionlab.export(fusion, path, size=(WIDTH, HEIGHT))
        except FusionlabError as error:
            return row | {"refused": _reason(error)}
        row |= {
            "export_seconds": perf_counter() - begin,
            "difference": metadata.difference,
            "differing": metadata.differing,
            "bytes": path.stat().st_size,
            "halos": metadata.halos,
        }
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    planes = pair()
    inputs = dict(zip(metadata.inputs, planes, strict=True))
    seconds: dict[str, list[float]] = {"pipeline": [], "onnxruntime": []}
    for _ in range(rounds + 1):  # the first is a warm-up
        begin = perf_counter()
        expected, _ = fusion.fuse_planes(torch.from_numpy(planes))
        middle = perf_counter()
        (fused,) = session.run(None, inputs)
        seconds["pipeline"].append(middle - begin)
        seconds["onnxruntime"].append(perf_counter() - middle)
    row["difference_of_the_pair"] = float(np.abs(fused - expected.numpy()).max())
    return row | {name: min(times[1:]) for name, times in seconds.items()}


def pair() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a synthetic pair `(2, 1, 1, H, W)`: waves, a step and noise, in 256 gray levels."""
    random = np.random.default_rng(0)
    y, x = np.meshgrid(np.linspace(0, 1, HEIGHT), np.linspace(0, 1, WIDTH), indexing="ij")
    waves = np.stack([np.sin(20 * x) + np.cos(9 * y), np.sin(13 * x + 17 * y)])
    images = 110 + 40 * waves + 50 * (x > y) + 6 * random.standard_normal((2, HEIGHT, WIDTH))
    return (images.clip(0, 255).round() / 255).astype(np.float32)[:, None, None]


def _reason(error: Exception) -> str:
    """Return why a method was refused, without its name."""
    return str(error).partition(" cannot be exported: ")[2] or str(error)


def in_process(method: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure a method in a process of its own."""
    command = [sys.executable, __file__, "--one", method]
    command += ["--threads", str(arguments.threads), "--rounds", str(arguments.rounds)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)}
    try:
        done = subprocess.run(  # noqa: S603  # this script
            command,
            capture_output=True,
            text=True,
            check=True,
            timeout=arguments.limit,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        known = json.loads(error.stdout.splitlines()[-1]) if error.stdout else {"method": method}
        late = f"it was not done after {arguments.limit} seconds"
        text = f"{known['any_size']}; for {known['size']} {late}" if "any_size" in known else late
        return {**known, "refused": text}
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=600, help="seconds for one method")
    parser.add_argument("--json", type=Path, help="the file to write, and to continue")
    parser.add_argument("--one", help="only this method, printed as JSON")
    parser.add_argument("--method", action="append", help="only these methods; repeatable")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measured(arguments.one, arguments.threads, arguments.rounds)))
        return
    content: dict[str, Any] = {"rows": []}
    if arguments.json and arguments.json.exists():
        content = json.loads(arguments.json.read_text(encoding="utf-8"))
    content["machine"] = {
        "processor": _processor(),
        "threads": arguments.threads,
        "libraries": library_versions(LIBRARIES),
    }
    done = {row["method"] for row in content["rows"]}
    for method in arguments.method or methods():
        if method in done and not arguments.method:
            continue
        row = in_process(method, arguments)
        content["rows"] = [other for other in content["rows"] if other["method"] != method] + [row]
        print(json.dumps(row), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


if __name__ == "__main__":
    main()
