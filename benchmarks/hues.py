"""What a fusion of gray and color images does to the colors: hues turned over, and chroma kept.

Means over the images of the sets of

* `turned`: the metric `hue_error`, the share of the colored pixels whose hue turns by more than 90
  degrees;
* `kept`: the chroma of the result along the hue of the source, divided by that of the source, both
  summed over the pixels that are colored for that metric. A hue that turned over is negative.

    python benchmarks/hues.py path/to/set ... --method densefuse/l1norm
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionlab import Fusion
from fusionlab.imaging.arrays import color_modes
from fusionlab.imaging.color import chroma
from fusionlab.imaging.reading import read_image
from fusionlab.metrics.colors import COLORED, hue_error
from fusionlab.runs.image_sets import find_image_set

SETTINGS: dict[str, dict[str, Any]] = {
    "per-channel, separate weights": {"color": "per-channel", "shared_weights": False},
    "per-channel, shared weights": {"color": "per-channel"},
    "auto": {},
}


def gray_levels(image: NDArray[Any]) -> Tensor:
    """Return 8-bit gray or RGB as `(1, 3, H, W)`, float64 in 0..255."""
    planes = torch.from_numpy(image.astype(np.float64))
    return planes.expand(3, -1, -1)[None] if image.ndim == 2 else planes.permute(2, 0, 1)[None]


def turned_and_kept(
    sources: list[NDArray[Any]], color: NDArray[Any], fused: NDArray[Any]
) -> tuple[float, float]:
    """Return the share of hues turned over, and the share of chroma kept."""
    turned = hue_error(gray_levels(fused), torch.stack([gray_levels(image) for image in sources]))
    before, after = chroma(gray_levels(color)), chroma(gray_levels(fused))
    size = before.norm(dim=1)
    colored = size > COLORED
    along = (before * after).sum(1)[colored] / size[colored]
    return float(turned), float(along.sum() / size[colored].sum())


def pairs_of(folder: Path) -> Iterator[list[NDArray[Any]]]:
    """Yield the sources of a set in which gray meets one source in color."""
    for item in find_image_set([folder]):
        sources = [np.asarray(read_image(path).pixels) for path in item.sources]
        if color_modes(sources, "auto") == ["luma"]:
            yield sources


def main() -> None:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--method", default="densefuse/l1norm", help="BACKBONE/STRATEGY")
    arguments = parser.parse_args()
    backbone, strategy = arguments.method.split("/")
    for folder in arguments.sets:
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in SETTINGS}
        fusions = {name: Fusion(backbone, strategy, **set_) for name, set_ in SETTINGS.items()}
        for sources in pairs_of(folder):
            # the color source is the one whose channels differ
            color = max(sources, key=lambda image: np.ptp(image, -1).max() * (image.ndim == 3))
            for name, fusion in fusions.items():
                rows[name].append(turned_and_kept(sources, color, fusion(sources)))
        counted = int(np.isfinite(rows["auto"]).all(1).sum())  # others have no colored pixel
        print(f"{folder.name}, {counted} images, {arguments.method}")
        for name, values in rows.items():
            turned, kept = np.nanmean(values, 0)
            most = np.nanmax(values, 0)[0]
            print(f"  {name:<30} turned {turned:7.2%} (at most {most:.1%})   kept {kept:7.1%}")


if __name__ == "__main__":
    main()
