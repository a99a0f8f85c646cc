"""Write `metrics.json`: golden values of every metric and convention.

    pip install opencv-python-headless scikit-learn sewar    # in addition to the dev extra
    python tests/golden/make_metrics.py

Values come from `metric_references.py` where it has the metric; all others are fusionlab's own,
and marked so. The script refuses to write where fusionlab and the other program disagree.
"""

from __future__ import annotations

import json
import math
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from golden_images import RECIPES, color_set, image_set, tensors_of
from metric_references import REFERENCES

from fusionlab.metrics.catalog import CATALOG

PINNED = "pinned: fusionlab's own value; tests/metrics checks the same code against other sources"
PACKAGES = (
    "numpy scipy scikit-image scikit-learn opencv-python-headless PyWavelets sewar pytorch-msssim"
)


def ours(ref, convention: str, name: str) -> float:
    return ref.load()(*tensors_of(ref, name), convention=convention).item()


def golden(ref, convention: str, differing: list[str]) -> dict[str, list]:
    """Return image set -> value and program, and note in `differing` where ours is another."""
    text = ref.name if convention == "default" else f"{ref.name}@{convention}"
    reference, values = REFERENCES.get(text), {}
    for name in RECIPES:
        images = color_set(name) if ref.color else image_set(name)
        if min(images.fused.shape[:2]) < ref.min_size:
            continue
        value, program = ours(ref, convention, name), PINNED
        if reference and (not reference.sets or name in reference.sets):
            theirs = float(reference.value(*(image.astype(np.float64) for image in images)))
            if not math.isclose(value, theirs, rel_tol=1e-9, abs_tol=1e-11):
                differing.append(f"{text} on {name}: {value!r}, {theirs!r} by {reference.program}")
            value, program = theirs, reference.program
        values[name] = [value, program]
    return values


def main() -> None:
    warnings.simplefilter("ignore")
    differing: list[str] = []
    values = {
        ref.name if convention == "default" else f"{ref.name}@{convention}": golden(
            ref, convention, differing
        )
        for ref in CATALOG
        for convention in ("default", *ref.conventions)
    }
    if differing:
        raise SystemExit("\n".join(differing))
    found = {
        "versions": {name: version(name) for name in PACKAGES.split()},
        "sha256": {name: image_set(name).sha256 for name in RECIPES},
        "values": values,
    }
    Path(__file__).with_name("metrics.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
