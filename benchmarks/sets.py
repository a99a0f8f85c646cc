"""Every installed method on several image sets: tables, comparisons and the images.

Each set becomes a folder of `fusionlab evaluate`: all strategies on pixels and on the default
backbone, and the methods that are bound to another one. An interrupted run is resumed.

    python benchmarks/sets.py ../shared/data/eval/{tno20,vifb,roadscene} -o results
    python benchmarks/sets.py ../shared/data/eval/tno20 -o results --skip jsr,jsrsd,mdlatlrr
    python benchmarks/sets.py -o results --json benchmarks/sets.json       only collect
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import statistics
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from fusionlab.plugins.host import installed

BACKBONE, AGAINST = "densefuse", "densefuse/l1norm"
VARIANTS = ("laplacian_pyramid,select=consistency",)
OTHER_BACKBONES = ("deepfuse/addition", "nestfuse/nestfuse", "nestfuse/l1norm")
NEEDS_ARGUMENTS = ("weighted",)
METRICS = ("EN", "SD", "MI", "SCD", "VIF", "Qabf", "SSIM", "MS_SSIM", "Q_CB")
LEVEL = 0.05
"""A difference is significant if its p-value, corrected after Holm, is smaller."""


def methods(skipped: list[str]) -> list[str]:
    """Return the rows: classics, deep methods, and the rules of this project."""
    names = [name for name in domains() if name not in (*skipped, *NEEDS_ARGUMENTS)]
    pixels = [name for name in names if domains()[name] == "pixels"]
    features = [f"{BACKBONE}/{name}" for name in names if name not in pixels]
    return [*pixels, *VARIANTS, *OTHER_BACKBONES, *features]


@cache
def domains() -> dict[str, str]:
    """Return the name of each installed strategy, and what it merges."""
    refs = [registration.ref for registration in installed().strategies.registrations]
    return {ref.name: ref.load().domain for ref in refs}


def evaluate(image_set: Path, folder: Path, rows: list[str], jobs: int) -> None:
    """Fuse and score a set, or resume that."""
    command = [sys.executable, "-m", "fusionlab", "evaluate", str(image_set)]
    for row in rows:
        command += ["--method", row]
    command += ["--metrics", ",".join(METRICS), "--range", "clip", "--against", AGAINST]
    command += ["--save-images", "--executor", f"threads:{jobs}", "-o", str(folder)]
    command += ["--resume"] if (folder / "rows.jsonl").exists() else []
    result = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)  # noqa: S603
    if result.returncode not in (0, 1):  # 1: some images have no score
        raise SystemExit(f"{image_set.name}: evaluate ended with {result.returncode}")


def collect(folder: Path) -> dict[str, Any]:
    """Return the means of a finished folder, and what differs significantly from `AGAINST`."""
    means: dict[str, dict[str, float]] = {}
    signs: dict[str, dict[str, int]] = {}
    images = 0
    ranks: dict[str, list[float]] = {}
    for row in _read(folder / "means.csv"):
        if not row["mean"]:
            continue
        if row["rank"]:
            ranks.setdefault(_short(row["method"]), []).append(float(row["rank"]))
        mean = float(f"{float(row['mean']):.4g}")
        means.setdefault(_short(row["method"]), {})[row["metric"]] = mean
        images = max(images, int(row["images"]))
    for row in _read(folder / "comparisons.csv"):
        if _short(row["against"]) == AGAINST and row["p"] and float(row["p"]) < LEVEL:
            sign = 1 if float(row["difference"]) > 0 else -1
            signs.setdefault(_short(row["method"]), {})[row["metric"]] = sign
    order = {name: round(statistics.mean(values), 2) for name, values in ranks.items()}
    return {"images": images, "ranks": order, "means": means, "significant": signs}


def _read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def _short(label: str) -> str:
    """Return the label of a row without the tag of its weights; those of pixel rules stay."""
    name = re.sub(r"@[^/]*", "", label)
    rule = name.removeprefix("identity/").removesuffix(",checkpoint=coco")
    return rule if domains().get(rule.partition(",")[0]) == "pixels" else name


def main() -> None:
    """Read the arguments, evaluate what is asked for, and write the means of all sets."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sets", nargs="*", type=Path, help="image sets")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder in it per set")
    parser.add_argument("--skip", default="", help="strategies to leave out, by comma")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, help="means of all sets in --output")
    args = parser.parse_args()
    rows = methods(args.skip.split(","))
    for image_set in args.sets:
        print(f"{image_set.name}: {len(rows)} methods", flush=True)
        evaluate(image_set, args.output / image_set.name, rows, args.jobs)
    if args.json:
        folders = sorted(args.output.glob("*/means.csv"))
        sets = {file.parent.name: collect(file.parent) for file in folders}
        about = {"against": AGAINST, "range": "clip", "level": LEVEL, "sets": sets}
        args.json.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
