"""Three sources at once, or two and then the third: does the order matter, and how much?

    python examples/joint_or_pairwise.py -o out/
    python examples/joint_or_pairwise.py path/to/set --rules l1norm,r=0 l2norm -o out/

Prints, for each rule, how far the picture of each order is from the one that is fused at once, and
the orders from one another: mean absolute differences in gray levels, before anything is clipped
or stretched. Writes the same, and the values of every image. Each rule goes two ways:

features    two sources are merged and then the third, all between encoder and decoder: what the
            rule itself does (a rule that looks at the sources, too, has none in between: it fails)
pictures    the fused picture of two is encoded again, as with a program that takes only two
"""

import argparse
import csv
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from fusionlab.evaluation.metric_input import gray_levels
from tabulate import tabulate
from torch import Tensor

from fusionlab import Fusion, FusionlabError, Scene, Strategy, load_plugins
from fusionlab.evaluation.methods import Subject
from fusionlab.imaging.reading import read_image
from fusionlab.plugins.factory import build_strategy
from fusionlab.runs.image_sets import ImageSetItem, find_image_set

DETAILS = Path(__file__).parent / "images" / "details"
RULES = ("addition", "max", "mean", "l1norm", "choose_max", "spatial_frequency")
ORDERS = {"((a,b),c)": (0, 1, 2), "((a,c),b)": (0, 2, 1), "((b,c),a)": (1, 2, 0)}


class InTurn(Strategy):
    """A rule made of a rule: merge two of three sources, and the result with the third."""

    def __init__(self, rule: Strategy, order: tuple[int, int, int]) -> None:
        self.rule, self.order = rule, order

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        first, second, third = (features[place] for place in self.order)
        pair = self.rule.fuse(torch.stack([first, second]), scene)
        return self.rule.fuse(torch.stack([pair, third]), scene)


def three(entry: ImageSetItem) -> Tensor:
    """Read three sources, gray, as `fuse_planes` takes them: `(3, 1, 1, H, W)` in 0..1."""
    if entry.problem or len(entry.sources) != 3:
        raise FusionlabError(entry.problem or f"it has {len(entry.sources)} sources")
    subject = Subject.of(entry.stem, [read_image(path) for path in entry.sources])
    pairs = zip(subject.sources, subject.names, strict=True)
    return torch.stack([gray_levels(*pair) for pair in pairs]).float()[:, None, None] / 255


def distances(fusion: Fusion, images: Tensor) -> dict[str, list[float]]:
    """Return, for both ways: each order's distance from the joint picture; that between orders."""

    def fused(images: Tensor, strategy: Strategy = fusion.strategy) -> Tensor:
        return Fusion(fusion.backbone, strategy).fuse_planes(images)[0]

    joint = fused(images)
    orders = ORDERS.values()
    ways = {
        "features": [fused(images, InTurn(fusion.strategy, order)) for order in orders],
        "pictures": [
            fused(torch.stack([fused(images[[first, second]]), images[third]]))
            for first, second, third in orders
        ],
    }
    found = {}
    for way, pictures in ways.items():
        between = [(one - other).abs().mean() for one, other in combinations(pictures, 2)]
        apart = [*((one - joint).abs().mean() for one in pictures), sum(between) / len(between)]
        found[way] = [255 * float(distance) for distance in apart]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", nargs="?", type=Path, default=DETAILS, help="with a/ b/ and c/")
    parser.add_argument("--rules", nargs="+", default=RULES, metavar="NAME[,PARAMETER=VALUE]")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()

    plugins, backbone = load_plugins(), Fusion().backbone
    rules = {name: build_strategy(name, plugins) for name in args.rules}
    rows = []
    for entry in find_image_set([args.set]):
        try:
            images = three(entry)
        except FusionlabError as error:
            print(f"left out: {entry.problem or f'{entry.stem}: {error}'}")
            continue
        for name, rule in rules.items():
            found = distances(Fusion(backbone, rule), images)
            rows += [[name, way, entry.stem, *values] for way, values in found.items()]
    if not rows:
        raise FusionlabError(f"{args.set} has no image with three sources a/ b/ c/")

    heads = [*ORDERS, "between orders"]
    groups = dict.fromkeys((name, way) for name, way, *_ in rows)
    means = [[*key, *np.mean([row[3:] for row in rows if (*row[:2],) == key], 0)] for key in groups]
    table = tabulate(means, ["rule", "way", *heads], "pipe", floatfmt=".3f")
    print(table)
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "table.md").write_text(table + "\n")
    with (args.output / "images.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["rule", "way", "image", *heads], *rows])


if __name__ == "__main__":
    try:
        main()
    except FusionlabError as error:
        raise SystemExit(f"error: {error}") from error
