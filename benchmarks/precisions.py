"""How much engines and precisions differ from eager float32, in gray levels.

Of the decoded image, before rounding: the largest, the 99.9th percentile and the mean absolute
difference over all pixels of a set. Of the 8-bit image: the share of pixels that differ, and by how
many levels at most. Images are fused as gray.

    python benchmarks/precisions.py                           # examples/images
    python benchmarks/precisions.py --set path/to/set --set path/to/another --json errors.json
    python benchmarks/precisions.py --device cuda --variants eager:tf32 eager:bf16 eager:fp16
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from speed import ON_CPU, ON_CUDA
from tabulate import tabulate

from fusionlab import Fusion, FusionlabError
from fusionlab.bench.machine import describe_machine
from fusionlab.imaging.reading import read_image
from fusionlab.runs.image_sets import find_image_set

IMAGES = Path(__file__).parents[1] / "examples" / "images"
EXACT = "eager:fp32"


def read(folder: Path) -> list[list[NDArray[Any]]]:
    """Read the sources of every item of a set; without subfolders, the files are one item."""
    if any(path.is_dir() for path in folder.iterdir()):
        items = [item.sources for item in find_image_set([folder])]
    else:
        items = [sorted(folder.iterdir())]
    return [[read_image(path).pixels for path in sources] for sources in items]


def decoded(
    name: str, sets: Sequence[list[NDArray[Any]]], method: str, device: str
) -> list[NDArray[np.float32]]:
    """Fuse every item; return gray levels that are not rounded."""
    engine, _, precision = name.partition(":")
    backbone, _, strategy = method.partition("/")
    fusion = Fusion(
        backbone,
        strategy,
        range_policy=None,
        color="gray",
        device=device,
        engine=engine,
        precision=precision,  # type: ignore[arg-type]
    )
    return [255 * np.asarray(fusion(sources), np.float32) for sources in sets]


def errors(
    fused: Sequence[NDArray[np.float32]], exact: Sequence[NDArray[np.float32]]
) -> dict[str, Any]:
    """Compare over all pixels of a set."""
    levels, reference = (
        np.concatenate([image.ravel() for image in images]) for images in (fused, exact)
    )
    differences = np.abs(levels - reference)
    steps = np.abs(np.rint(levels.clip(0, 255)) - np.rint(reference.clip(0, 255)))
    return {
        "largest": float(differences.max()),
        "p999": float(np.quantile(differences, 0.999)),
        "mean": float(differences.mean()),
        "pixels_that_differ": float((steps > 0).mean()),
        "levels": int(steps.max()),
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    names = args.variants or (ON_CPU if args.device == "cpu" else ON_CUDA)
    results: dict[str, Any] = {
        "machine": describe_machine(torch.device(args.device)),
        "method": args.method,
        "sets": {},
    }
    for folder in args.set or [IMAGES / "street", IMAGES / "details"]:
        sets = read(folder)
        exact = decoded(EXACT, sets, args.method, args.device)
        rows = {}
        for name in names:
            if name == EXACT:
                continue
            try:
                rows[name] = errors(decoded(name, sets, args.method, args.device), exact)
            except FusionlabError as error:
                print(f"{name} is skipped: {error}", file=sys.stderr)
        pixels = sum(image.size for image in exact)
        results["sets"][folder.name] = {"images": len(sets), "pixels": pixels, "rows": rows}
    return results


def show(results: dict[str, Any]) -> None:
    """Print a Markdown table for each set."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    print(f"{results['method']}; {machine['gpu'] or machine['processor']}, {versions}")
    heads = ("", "largest", "99.9 %", "mean", "8-bit pixels that differ", "by at most")
    for name, part in results["sets"].items():
        rows = [
            [
                variant,
                *(f"{row[key]:.2g}" for key in ("largest", "p999", "mean")),
                f"{row['pixels_that_differ']:.2g}",
                row["levels"],
            ]
            for variant, row in part["rows"].items()
        ]
        print(f"\n{name}: {part['images']} images, {part['pixels']} pixels\n")
        print(tabulate(rows, heads, tablefmt="pipe", disable_numparse=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set", type=Path, action="append", help="a folder with a/ b/ ...")
    parser.add_argument("--method", default="densefuse/l1norm,r=1")
    parser.add_argument("--variants", nargs="+", metavar="ENGINE:PRECISION")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    args = parser.parse_args()
    results = measure(args)
    show(results)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
