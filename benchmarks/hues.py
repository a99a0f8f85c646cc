"""What a fusion of gray and color images does to the colors: hues turned over, and chroma kept.

For every image of the sets, over the pixels of its color source with more than 2 gray levels of
chroma:

* `turned`: the share whose hue turns by more than 90 degrees, where the result has more than 2 gray
  levels of chroma, too;
* `kept`: the chroma of the result along the hue of the source, divided by that of the source, both
  summed over these pixels. A hue that turned over counts as negative.

Both are means over the images. Hue is the angle of (Cb, Cr), BT.601 at full range.

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

from fusionlab import Fusion
from fusionlab.imaging.arrays import color_modes
from fusionlab.imaging.color import chroma
from fusionlab.imaging.reading import read_image
from fusionlab.runs.image_sets import find_image_set

MIN_CHROMA = 2.0
"""In gray levels."""

SETTINGS: dict[str, dict[str, Any]] = {
    "per-channel, separate weights": {"color": "per-channel", "shared_weights": False},
    "per-channel, shared weights": {"color": "per-channel"},
    "auto": {},
}


def chroma_of(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return Cb and Cr `(2, H, W)` of 8-bit RGB, in gray levels."""
    planes = torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None]
    pairs: NDArray[np.float64] = chroma(planes)[0].numpy()
    return pairs


def turned_and_kept(color: NDArray[Any], fused: NDArray[Any]) -> tuple[float, float]:
    """Return the share of hues turned over, and the share of chroma kept."""
    before, after = chroma_of(color), chroma_of(fused)
    size = np.hypot(*before)
    colored = size > MIN_CHROMA
    along = (before * after).sum(0)[colored]
    turned = (along < 0) & (np.hypot(*after)[colored] > MIN_CHROMA)
    return float(turned.mean()), float((along / size[colored]).sum() / size[colored].sum())


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
                rows[name].append(turned_and_kept(color, fusion(sources)))
        print(f"{folder.name}, {len(rows['auto'])} images, {arguments.method}")
        for name, values in rows.items():
            turned, kept = np.mean(values, 0)
            print(f"  {name:<30} turned {turned:7.2%}   kept {kept:7.1%}")


if __name__ == "__main__":
    main()
