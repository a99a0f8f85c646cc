"""Three sources at once, or two and then the third: does the order matter, and how much?

    python examples/joint_or_pairwise.py -o out/
    python examples/joint_or_pairwise.py path/to/set --strategies l1norm,r=0 l2norm -o out/

Prints, for each strategy, how far the image of each order is from the one that is fused at once,
and the orders from one another: mean absolute differences in gray levels, before anything is
clipped or stretched. Writes the same, and the values of every image. There are two ways to fuse
in turn:

features    two sources are merged and then the third, all between encoder and decoder: what the
            strategy itself does (a strategy that also looks at the sources has none in between,
            and fails)
images      the fused image of two is encoded again, as with a program that takes only two
"""

import argparse
import csv
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor

import fusionlab
from fusionlab import Fusion, FusionlabError, ImageSetItem, Scene, Strategy

DETAILS = Path(__file__).parent / "images" / "details"
STRATEGIES = ("addition", "max", "mean", "l1norm", "choose_max", "spatial_frequency")
ORDERS = {"((a,b),c)": (0, 1, 2), "((a,c),b)": (0, 2, 1), "((b,c),a)": (1, 2, 0)}
LUMINANCE = (0.299, 0.587, 0.114)


class InTurn(Strategy):
    """Merge two of three sources with a strategy, and the result with the third."""

    def __init__(self, strategy: Strategy, order: tuple[int, int, int]) -> None:
        self.strategy, self.order = strategy, order

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        first, second, third = (features[source] for source in self.order)
        pair = self.strategy.fuse(torch.stack([first, second]), scene)
        return self.strategy.fuse(torch.stack([pair, third]), scene)


def read_three(item: ImageSetItem) -> Tensor:
    """Read three sources, gray, as `fuse_planes` takes them: `(3, 1, 1, H, W)` in 0..1."""
    if item.problem or len(item.sources) != 3:
        raise FusionlabError(item.problem or f"it has {len(item.sources)} sources")
    planes = []
    for path in item.sources:
        pixels = np.asarray(fusionlab.read_image(path).pixels)
        white = np.iinfo(pixels.dtype).max if np.issubdtype(pixels.dtype, np.integer) else 1
        gray = pixels @ np.array(LUMINANCE) if pixels.ndim == 3 else pixels
        planes.append(gray / white)
    if len({plane.shape for plane in planes}) > 1:
        raise FusionlabError("its sources differ in size")
    return torch.from_numpy(np.stack(planes)).float()[:, None, None]


def distances(fusion: Fusion, sources: Tensor) -> dict[str, list[float]]:
    """Return, for both ways: each order's distance from the joint image; that between orders."""

    def fused(sources: Tensor, strategy: Strategy = fusion.strategy) -> Tensor:
        return Fusion(fusion.backbone, strategy).fuse_planes(sources)[0]

    joint = fused(sources)
    orders = ORDERS.values()
    ways = {
        "features": [fused(sources, InTurn(fusion.strategy, order)) for order in orders],
        "images": [
            fused(torch.stack([fused(sources[[first, second]]), sources[third]]))
            for first, second, third in orders
        ],
    }
    rows = {}
    for way, images in ways.items():
        from_joint = [(image - joint).abs().mean() for image in images]
        between = [(a - b).abs().mean() for a, b in combinations(images, 2)]
        values = [*from_joint, sum(between) / len(between)]
        rows[way] = [255 * float(value) for value in values]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", nargs="?", type=Path, default=DETAILS, help="with a/ b/ and c/")
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES, metavar="NAME[,NAME=VALUE]")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()

    fusions = {name: Fusion(strategy=name) for name in args.strategies}
    rows = []
    for item in fusionlab.find_image_set(args.set):
        try:
            sources = read_three(item)
        except FusionlabError as error:
            print(f"left out: {item.problem or f'{item.stem}: {error}'}")
            continue
        for name, fusion in fusions.items():
            ways = distances(fusion, sources)
            rows += [[name, way, item.stem, *values] for way, values in ways.items()]
    if not rows:
        raise FusionlabError(f"{args.set} has no image with three sources a/ b/ c/")

    heads = [*ORDERS, "between orders"]
    groups = dict.fromkeys((name, way) for name, way, *_ in rows)
    means = [[*key, *np.mean([row[3:] for row in rows if (*row[:2],) == key], 0)] for key in groups]
    table = tabulate(means, ["strategy", "way", *heads], "pipe", floatfmt=".3f")
    print(table)
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "table.md").write_text(table + "\n")
    with (args.output / "images.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["strategy", "way", "image", *heads], *rows])


if __name__ == "__main__":
    try:
        main()
    except FusionlabError as error:
        raise SystemExit(f"error: {error}") from error
