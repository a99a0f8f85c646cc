"""How exactly the methods of the literature reproduce their authors' programs.

Compares the image that a method saves, in 8 bits, with the one that the program of its authors
saved: for the synthetic pairs of the tests, and for images of TNO where a folder with the authors'
results is at hand.

    python benchmarks/agreement.py --results ../shared/oracle/comparators \
        --images ../shared/data/eval/tno20 --json benchmarks/agreement.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray

from fusionlab import Fusion, load_strategy
from fusionlab.parameters import params_of
from fusionlab.plugins.host import installed

GOLDEN = Path(__file__).parents[1] / "plugins" / "fusionlab-classics" / "tests" / "golden"
SYNTHETIC, REAL = ("s64", "s61"), ("01", "05", "08")
SETTINGS = {
    "gtf": "solver=irn",
    "laplacian_pyramid": "select=consistency",
    "ratio_pyramid": "select=consistency",
    "msvd": "variant=corrected",
}
"""What the authors' program sets besides `variant=authors`. The signs of MSVD's vectors depend on
the linear algebra library: the authors' run agrees with aligned signs where its happened to be."""
FILES = {"wls": "wls_vis_first/{}.png", "jsr": "jsr/{}_jsr.png", "jsrsd": "jsr/{}_jsrsd.png"}
"""Results of a method, if they are not called NAME/PAIR.png."""


def settings(name: str, pair: str, results: Path | None) -> str:
    """Return the method with the settings of the authors' program."""
    parts = [name]
    strategy = type(load_strategy(name))
    has_variant = any(param.name == "variant" for param in params_of(strategy))
    if has_variant and "variant" not in SETTINGS.get(name, ""):
        parts.append("variant=authors")
    if name in SETTINGS:
        parts.append(SETTINGS[name])
    if name == "gff" and pair in SYNTHETIC:
        parts.append("base_radius=20")  # the images are smaller than the window
    if name.startswith("jsr") and results:  # the authors', one for each pair
        number = "01" if pair in SYNTHETIC else pair
        parts.append(f"dictionary={results}/jsr/dictionaries/{number}.npz")
    return ",".join(parts)


def authors_image(name: str, pair: str, results: Path | None) -> Path | None:
    """Return the image that the authors' program saved for a pair, if it is at hand."""
    pattern = FILES.get(name, f"{name}/{{}}.png")
    for folder in (GOLDEN, results):
        for suffix in ("_resized", ""):  # resized to the size of the sources by their script
            if folder and (file := folder / pattern.format(f"{pair}{suffix}")).exists():
                return file
    return None


def pair_files(pair: str, images: Path | None) -> list[Path]:
    """Return the infrared and the visible image of a pair, if they are at hand."""
    if pair in SYNTHETIC:
        return [GOLDEN / "synthetic" / f"{pair}_{role}.png" for role in ("ir", "vi")]
    return [images / letter / f"{pair}.png" for letter in "ab"] if images else []


def difference(method: str, sources: list[Any], expected: NDArray[Any]) -> dict[str, float]:
    """Compare the image of a method with that of the authors' program."""
    saves = load_strategy(method).saves
    fused = Fusion("identity", method, range_policy=saves)(sources)
    if fused.shape != expected.shape:  # MSVD's program enlarges images of odd edges
        return {}
    off = np.abs(np.asarray(fused, dtype=float) - expected)
    return {
        "different": round(float((off > 0).mean()), 7),
        "largest": float(off.max()),
        "mean": round(float(off.mean()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, help="folder METHOD/PAIR.png of the authors")
    parser.add_argument("--images", type=Path, help="image set with a/ infrared, b/ visible")
    parser.add_argument("--only", help="names, separated by commas")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    report: dict[str, Any] = {}
    names = [entry.ref.name for entry in installed().strategies.registrations]
    for name in args.only.split(",") if args.only else names:
        for pair in SYNTHETIC + REAL:
            file = authors_image(name, pair, args.results)
            sources = [iio.imread(path) for path in pair_files(pair, args.images)]
            if file is None or not sources:
                continue
            method = settings(name, pair, args.results)
            result = difference(method, sources, iio.imread(file))
            if not result:
                continue
            shown = method.partition(",dictionary=")[0]
            report.setdefault(name, {})[pair] = {"method": shown, **result}
            print(f"{shown:50} {pair:4} {result}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
