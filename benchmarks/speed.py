"""Speed of a fusion: compared with a plain implementation, and as images, sources and windows grow.

* `plain`: a transcription of the paper (`plain.py`) against the engines and precisions: the
  time, the share of the device's peak throughput, and the difference from the plain result, in
  gray levels before rounding, on a street (`examples/images`) that is mirrored to the size;
* `size`, `sources`, `radius`: seconds per megapixel, per source, and with the radius of the window.

The variants of a table are timed in turns, so that other load on the machine affects all of them.
Times are medians, from 8-bit arrays in memory to an 8-bit array.

`auto` chooses anew for each number of threads unless it has measured this machine before; what it
chose is in the name of its row. `onnxruntime` is the exported method, in tiles. With `--load`, all
is measured on the machine as it is, and then with a busy process for each core (`load.py`).

    python benchmarks/speed.py --threads 1 2 --load --parts plain --json speed.json
    python benchmarks/speed.py --parts size --megapixels 0.1 1 10 100
    python benchmarks/speed.py --device cuda --variants eager:fp32 eager:bf16 compile:bf16
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import imageio.v3 as iio
import numpy as np
import torch
from load import busy
from numpy.typing import NDArray
from plain import Plain
from tabulate import tabulate

from fusionlab import Fusion, FusionlabError
from fusionlab.bench.cases import Case
from fusionlab.bench.machine import describe_machine
from fusionlab.bench.macs import MACsPerPixel
from fusionlab.bench.throughput import peak_throughput
from fusionlab.bench.timing import TimingBudget, time_in_turns
from fusionlab.engine.precision import convolutions
from fusionlab.threads import available_cores
from fusionlab.torch_defaults import torch_threads

STREET = Path(__file__).parents[1] / "examples" / "images" / "street"
WIDTH, HEIGHT = 640, 480
ON_CPU = ["eager:fp32", "openvino:fp32", "ncnn:fp32", "auto:fp32", "eager:bf16", "openvino:bf16"]
EXPORTED = "onnxruntime"
"""The name of the exported method, which is not an engine."""
ON_CUDA = ["eager:fp32", "eager:tf32", "eager:bf16", "eager:fp16"]
PARTS = ("plain", "size", "sources", "radius")


def street(width: int, height: int, k: int) -> list[NDArray[np.uint8]]:
    """Return gray sources of a size: three images, mirrored; then shifted copies."""
    sources = []
    for number in range(k):
        image = iio.imread(STREET / f"{'abc'[number % 3]}.png")
        rows, columns = image.shape
        below, right = max(0, height - rows), max(0, width - columns)
        large = np.pad(image, ((0, below), (0, right)), mode="symmetric")[:height, :width]
        sources.append(np.roll(large, 40 * (number // 3), axis=1))
    return sources


class Variants:
    """The engines and precisions that run here."""

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self.device = device
        self.names: list[str] = []
        for name in names:
            try:
                self.build(name)
            except FusionlabError as error:
                print(f"{name} is skipped: {error}", file=sys.stderr)
            else:
                self.names.append(name)

    def build(self, name: str, radius: int = 1, policy: Any = "clip") -> Any:
        """Return what fuses: a `Fusion`, or a model that takes the same arrays."""
        engine, _, precision = name.partition(":")
        if engine == EXPORTED:
            return exported(self.build("eager:fp32", radius, policy))
        return Fusion(
            "densefuse",
            f"l1norm,r={radius}",
            range_policy=policy,
            device=self.device,
            engine=engine,
            precision=precision,  # type: ignore[arg-type]
        )


def exported(fusion: Fusion) -> Callable[[list[NDArray[np.uint8]]], NDArray[Any]]:
    """Return a function that fuses with the exported method of a fusion.

    Raises:
        FusionlabError: it cannot be exported here, or is not what such a model returns.
    """
    from fusionlab.exported.export import export
    from fusionlab.exported.model import ExportedModel

    with TemporaryDirectory() as folder:
        path = Path(folder) / "method.onnx"
        export(fusion, path)
        model = ExportedModel(path, threads=torch.get_num_threads())
    return lambda images: model.fuse(images).image


def beside_plain(variants: Variants, budget: TimingBudget) -> dict[str, Any]:
    """Compare with the plain transcription."""
    device, images = variants.device, street(WIDTH, HEIGHT, 2)
    plain, channels_last = Plain.shipped().to(device), Plain.shipped().to(device)
    channels_last.to(memory_format=torch.channels_last)
    functions: dict[str, Callable[[], object]] = {
        "plain": lambda: plain.fuse_to_image(images),
        "plain, channels last": lambda: channels_last.fuse_to_image(images),
    }
    with convolutions(device, allow_tf32=False):
        reference = plain.fuse(images).cpu().numpy()
    errors = {}
    for name in variants.names:
        fusion = variants.build(name)
        label = f"{name} ({fusion.engine})" if name.startswith("auto:") else name
        functions[label] = lambda fusion=fusion: fusion(images)
        if not name.startswith(EXPORTED):  # displays what it returns
            errors[label] = np.abs(255 * variants.build(name, policy=None)(images) - reference)
    precisions: list[Any] = sorted({"fp32", *(name.partition(":")[2] for name in variants.names)})
    peaks = {name: [peak_throughput(device, name).macs_per_second] for name in precisions}
    timings = time_in_turns(functions, device, budget)
    for name in precisions:
        peaks[name].append(peak_throughput(device, name).macs_per_second)
    macs = MACsPerPixel.of(variants.build("eager:fp32").backbone, device).total(
        Case("densefuse/l1norm", WIDTH, HEIGHT)
    )
    rows = {}
    for name, times in timings.items():
        peak = median(peaks[name.partition(":")[2].split(" ")[0] or "fp32"])
        rows[name] = {
            "seconds": times.median,
            "spread": times.spread,
            "first": times.first,
            "times_as_fast": timings["plain"].median / times.median,
            "share": macs / times.median / peak,
        }
        if name in errors:
            rows[name] |= {
                "largest": float(errors[name].max()),
                "mean": float(errors[name].mean()),
            }
    rounds = len(timings["plain"].seconds)
    return {"rounds": rounds, "macs": macs, "peak_throughputs": peaks, "rows": rows}


def growing(
    variants: Variants,
    budget: TimingBudget,
    points: Sequence[float],
    build: Callable[[str, float], tuple[Fusion, list[NDArray[np.uint8]]]],
    unit: Callable[[float], float] = lambda _: 1,
) -> dict[str, Any]:
    """Return the seconds of each variant at each point, per unit of what grows."""
    functions: dict[str, Callable[[], object]] = {}
    for name in variants.names:
        for point in points:
            fusion, images = build(name, point)
            functions[f"{name} {point:g}"] = lambda fusion=fusion, images=images: fusion(images)
    timings = time_in_turns(functions, variants.device, budget)
    return {
        name: {f"{point:g}": timings[f"{name} {point:g}"].median / unit(point) for point in points}
        for name in variants.names
    }


def of_megapixels(megapixels: float) -> list[NDArray[np.uint8]]:
    """Return a pair of aspect ratio 4:3."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    return street(round(height * 4 / 3), height, 2)


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the requested parts for each number of threads, with and without load."""
    results = []
    for processes in [0, available_cores()] if args.load else [0]:
        for threads in args.threads or [torch.get_num_threads()]:
            with torch_threads(threads), busy(processes):
                results.append({"busy": processes, **measure_parts(args)})
            show(results[-1])
    return results


def measure_parts(args: argparse.Namespace) -> dict[str, Any]:
    """Measure the requested parts."""
    device = torch.device(args.device)
    on_cpu = device.type == "cpu"
    variants = Variants(args.variants or (ON_CPU if on_cpu else ON_CUDA), device)
    budget = TimingBudget(args.rounds, args.seconds)
    results: dict[str, Any] = {"machine": describe_machine(device)}
    if "plain" in args.parts:
        exported_too = [f"{EXPORTED}:fp32"] if on_cpu and not args.variants else []
        compared = Variants([*variants.names, *exported_too], device)
        results["plain"] = beside_plain(compared, budget)
    if "size" in args.parts:
        results["size"] = growing(
            variants,
            budget,
            args.megapixels,
            lambda name, megapixels: (variants.build(name), of_megapixels(megapixels)),
            lambda megapixels: megapixels,
        )
    if "sources" in args.parts:
        results["sources"] = growing(
            variants,
            budget,
            args.sources,
            lambda name, k: (variants.build(name), street(WIDTH, HEIGHT, int(k))),
            lambda k: k,
        )
    if "radius" in args.parts:
        results["radius"] = growing(
            variants,
            budget,
            args.radii,
            lambda name, r: (variants.build(name, int(r)), street(WIDTH, HEIGHT, 2)),
        )
    return results


def show(results: dict[str, Any]) -> None:
    """Print Markdown tables."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    print(f"\n{machine['gpu'] or machine['processor']}, {machine['threads']} threads, {versions},")
    print(f"load {machine['load']} before, and {results['busy']} busy processes")
    if "plain" in results:
        part = results["plain"]
        print(f"\nA pair of {WIDTH}x{HEIGHT}, {part['rounds']} rounds")
        for name, (before, after) in part["peak_throughputs"].items():
            print(f"peak throughput in {name}: {before / 1e9:.1f}, then {after / 1e9:.1f} GMAC/s")
        rows = [
            [
                name,
                f"{row['seconds']:.4g} ± {row['spread'] / row['seconds']:.0%}",
                f"{row['times_as_fast']:.2f}",
                f"{row['share']:.0%}",
                f"{row['largest']:.2g}" if "largest" in row else "",
                f"{row['mean']:.2g}" if "mean" in row else "",
                f"{row['first']:.2g}",
            ]
            for name, row in part["rows"].items()
        ]
        heads = ("", "s", "times as fast", "share", "largest difference", "mean", "first, s")
        print("\n" + tabulate(rows, heads, tablefmt="pipe", disable_numparse=True))
    for part, title in (
        ("size", "s per megapixel, by megapixels"),
        ("sources", "s per source, by sources"),
        ("radius", "s, by radius"),
    ):
        if part in results:
            rows = [
                [name, *(f"{s:.3g}" for s in row.values())] for name, row in results[part].items()
            ]
            heads = (title, *next(iter(results[part].values())))
            print("\n" + tabulate(rows, heads, tablefmt="pipe", disable_numparse=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--variants", nargs="+", metavar="ENGINE:PRECISION")
    parser.add_argument("--megapixels", nargs="+", type=float, default=[0.1, 0.3, 1, 3])
    parser.add_argument("--sources", nargs="+", type=int, default=[2, 3, 4, 6, 8])
    parser.add_argument("--radii", nargs="+", type=int, default=[0, 1, 2, 4, 8, 16])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", nargs="+", type=int, help="default: the default of torch")
    parser.add_argument(
        "--load", action="store_true", help="also with a busy process for each core"
    )
    parser.add_argument("--rounds", type=int, default=5, help="at least")
    parser.add_argument("--seconds", type=float, default=1, help="for each variant, at least")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    args = parser.parse_args()
    results = measure(args)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
