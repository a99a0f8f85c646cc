"""Every strategy that is installed, with its default parameters, side by side on one image set.

    python examples/every_strategy.py -o out/
    python examples/every_strategy.py path/to/set --rows 3 -o out/

Prints and writes a table of means, all rows stretched (`minmax`) so that they compare, and draws
a contact sheet: a row for each image, a column for each source and strategy. The pictures on the
sheet follow the range policy `auto`, clipped where the rule is convex; each column says which.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fusionlab.evaluation.measures import find_measures
from fusionlab.evaluation.rendering import to_text
from fusionlab.evaluation.run import Evaluation
from matplotlib.figure import Figure

from fusionlab import Backbone, Fusion, FusionlabError, Plugins, Strategy, load_plugins
from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.evaluation.methods import FusionMethod
from fusionlab.evaluation.report import Report
from fusionlab.imaging.reading import read_image
from fusionlab.plugins.factory import build_strategy
from fusionlab.runs.image_sets import ImageSetItem, find_image_set

DETAILS = Path(__file__).parent / "images" / "details"


def fitting(plugins: Plugins, least: int, most: int) -> dict[str, Strategy]:
    """Return the strategies that take so few and so many sources, by name; say which do not."""
    found = {}
    for registration in plugins.strategies.registrations:
        try:
            rule = build_strategy(registration.qualified, plugins)
        except FusionlabError as error:  # a parameter has no default
            print(f"left out: {error}")
            continue
        name = plugins.strategies.name_of(type(rule))
        if least < rule.min_k or (rule.max_k is not None and most > rule.max_k):
            takes = f"{rule.min_k} to {rule.max_k or 'any number of'}"
            print(f"left out: {name} takes {takes} sources, the set has {least} to {most}")
        else:
            found[name] = rule
    return found


def sheet(
    entries: Sequence[ImageSetItem], rules: dict[str, Strategy], backbone: Backbone
) -> Figure:
    """Draw the sources and results of some images; a place stays empty where k is smaller."""
    fusions = {name: Fusion(backbone, rule) for name, rule in rules.items()}
    most = max(len(entry.sources) for entry in entries)
    heads = [f"source {letter}" for letter in "abcdefghijklmnopqrstuvwxyz"[:most]]
    heads += [f"{name}\n{fusion.range_policy}" for name, fusion in fusions.items()]
    figure = Figure((2 * len(heads), 1.6 * len(entries) + 0.5), dpi=100, layout="tight")
    axes = figure.subplots(len(entries), len(heads), squeeze=False)
    for row, entry in zip(axes, entries, strict=True):
        sources = [read_image(path).pixels for path in entry.sources]
        feature_cache = FeatureCache(2**30)  # each image is encoded once for all strategies
        results = [
            fusion.fuse(sources, feature_cache=feature_cache).image for fusion in fusions.values()
        ]
        for axis, pixels in zip(
            [*row[: len(sources)], *row[most:]], sources + results, strict=True
        ):
            white = np.iinfo(pixels.dtype).max if np.issubdtype(pixels.dtype, np.integer) else 1
            axis.imshow(pixels / white, cmap="gray", vmin=0, vmax=1)
        row[0].set_ylabel(entry.stem)
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

    plugins = load_plugins()
    entries = find_image_set([args.set])
    whole = [entry for entry in entries if not entry.problem]  # the others are named below
    if not whole:
        raise FusionlabError(entries[0].problem)
    counts = [len(entry.sources) for entry in whole]
    rules = fitting(plugins, min(counts), max(counts))
    backbone = Fusion().backbone  # one for all rows: every image is encoded once
    methods = [
        FusionMethod(name, Fusion(backbone, rule, range_policy="minmax", color="gray"), plugins)
        for name, rule in rules.items()
    ]
    evaluation = Evaluation(methods, find_measures(args.metrics.split(","), plugins))
    outcomes = list(evaluation.run(entries))
    report = Report(
        methods,
        evaluation.scores(entries, outcomes),
        outcomes,
        {"set": str(args.set), "range": "minmax"},
    )

    for problem in report.problems:
        print(f"no score: {problem}")
    print(*map(to_text, report.tables), sep="\n\n")
    args.output.mkdir(parents=True, exist_ok=True)
    for path, content in report.files(args.output).items():
        path.write_bytes(content)
    failed = {outcome.stem for outcome in outcomes if outcome.problem}
    shown = [entry for entry in whole if entry.stem not in failed][: max(args.rows, 1)]
    if not shown:
        raise FusionlabError("there is no image that every strategy has fused, so no sheet")
    sheet(shown, rules, backbone).savefig(args.output / "every_strategy.png")


if __name__ == "__main__":
    try:
        main()
    except FusionlabError as error:
        raise SystemExit(f"error: {error}") from error
