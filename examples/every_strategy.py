"""Every strategy that is installed, with its default parameters, side by side on one image set.

    python examples/every_strategy.py -o out/
    python examples/every_strategy.py path/to/set --rows 3 -o out/

Prints and writes a table of means, and draws a contact sheet: a row for each image, a column for
each source and strategy. Both follow the range policy `auto`: results are clipped if the strategy
is convex, and stretched (`minmax`) if not; each row and each column says which.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fusionlab
from fusionlab import Fusion, FusionlabError, ImageSetItem, Strategy

DETAILS = Path(__file__).parent / "images" / "details"


def fitting(min_k: int, max_k: int) -> dict[str, Strategy]:
    """Return the strategies that take so few and so many sources, by name; say which do not."""
    strategies: dict[str, Strategy] = {}
    for name in fusionlab.list_strategies():
        try:
            strategy = fusionlab.load_strategy(name)
        except FusionlabError as error:  # a parameter has no default
            print(f"left out: {error}")
            continue
        if min_k < strategy.min_k or (strategy.max_k is not None and max_k > strategy.max_k):
            takes = f"{strategy.min_k} to {strategy.max_k or 'any number of'}"
            print(f"left out: {name} takes {takes} sources, the set has {min_k} to {max_k}")
        else:
            strategies[name] = strategy
    return strategies


def sheet(items: Sequence[ImageSetItem], strategies: dict[str, Strategy]) -> Figure:
    """Draw the sources and results of some images; a place stays empty where k is smaller."""
    fusions = {name: Fusion(strategy=strategy) for name, strategy in strategies.items()}
    max_k = max(len(item.sources) for item in items)
    heads = [f"source {letter}" for letter in "abcdefghijklmnopqrstuvwxyz"[:max_k]]
    heads += [f"{name}\n{fusion.range_policy}" for name, fusion in fusions.items()]
    figure = Figure((2 * len(heads), 1.6 * len(items) + 0.5), dpi=100, layout="tight")
    axes = figure.subplots(len(items), len(heads), squeeze=False)
    for row, item in zip(axes, items, strict=True):
        sources = [np.asarray(fusionlab.read_image(path).pixels) for path in item.sources]
        images = sources + [fusion(sources) for fusion in fusions.values()]
        for axis, pixels in zip([*row[: len(sources)], *row[max_k:]], images, strict=True):
            white = np.iinfo(pixels.dtype).max if np.issubdtype(pixels.dtype, np.integer) else 1
            axis.imshow(pixels / white, cmap="gray", vmin=0, vmax=1)
        row[0].set_ylabel(item.stem)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[], anchor="N", frame_on=bool(axis.images))
    for axis, head in zip(axes[0], heads, strict=True):
        axis.set_title(head)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", nargs="?", type=Path, default=DETAILS, help="folder with a/ b/ ...")
    parser.add_argument("--metrics", default="EN,SD,Qabf,SSIM")
    parser.add_argument("--rows", type=int, default=6, help="images on the sheet  [default: 6]")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()

    items = fusionlab.find_image_set(args.set)
    complete = [item for item in items if not item.problem]  # the report names the others
    if not complete:
        raise FusionlabError(items[0].problem)
    counts = [len(item.sources) for item in complete]
    strategies = fitting(min(counts), max(counts))
    report = fusionlab.evaluate(args.set, strategies, args.metrics, baselines=False)
    print(report)
    report.write(args.output)

    failed = {row.sample for row in report.rows if row.problem}
    shown = [item for item in complete if item.stem not in failed][: max(args.rows, 1)]
    if not shown:
        raise FusionlabError("every image failed for some strategy, so nothing can be drawn")
    sheet(shown, strategies).savefig(args.output / "every_strategy.png")


if __name__ == "__main__":
    try:
        main()
    except FusionlabError as error:
        raise SystemExit(f"error: {error}") from error
