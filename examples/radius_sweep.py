"""How large should the window of `l1norm` be? The same images, from no window to 33 x 33.

    python examples/radius_sweep.py -o out/
    python examples/radius_sweep.py path/to/set --metrics EN,Qabf,VIF -o out/

Prints the means of each r, and the differences from r = 0 with their intervals; writes both, the
values behind them, and a plot of the differences. All rows are clipped, which is what the range
policy `auto` means for this rule.
"""

import argparse
from pathlib import Path

from fusionlab.evaluation.measures import find_measures
from fusionlab.evaluation.rendering import to_text
from fusionlab.evaluation.run import Evaluation
from matplotlib.figure import Figure

from fusionlab import Fusion, FusionlabError, load_plugins
from fusionlab.evaluation.methods import FusionMethod
from fusionlab.evaluation.report import Report
from fusionlab.runs.image_sets import find_image_set

DETAILS = Path(__file__).parent / "images" / "details"
RADII = (0, 1, 2, 4, 8, 16)


def draw(report: Report) -> Figure:
    """Draw the mean differences from the first radius, and their intervals where there are any."""
    names = [measure.name for measure in report.scores.measures]
    figure = Figure(figsize=(3.6 * len(names), 3.2), dpi=120, layout="constrained")
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        duels = [duel for duel in report.duels if duel.metric == name]
        radii = [duel.method for duel in duels]
        axis.axhline(0, color="gray", linewidth=0.8)
        axis.vlines(radii, [duel.low for duel in duels], [duel.high for duel in duels])
        axis.plot(radii, [duel.difference for duel in duels], "o-")
        axis.set_title(f"{name}: difference from {report.duels[0].against}", fontsize="medium")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", nargs="?", type=Path, default=DETAILS, help="folder with a/ b/ ...")
    parser.add_argument("--metrics", default="EN,Qabf,SSIM")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()

    plugins = load_plugins()
    entries = find_image_set([args.set])
    backbone = Fusion().backbone  # one for all rows: every image is encoded once
    methods = [
        FusionMethod(
            f"r={r}",
            Fusion(backbone, f"l1norm,r={r}", range_policy="clip", color="gray"),
            plugins,
        )
        for r in RADII
    ]
    evaluation = Evaluation(methods, find_measures(args.metrics.split(","), plugins))
    outcomes = list(evaluation.run(entries))
    report = Report(
        methods,
        evaluation.scores(entries, outcomes),
        outcomes,
        {"set": str(args.set), "range": "clip"},
        against=methods[0].label,
    )

    for problem in report.problems:
        print(f"no score: {problem}")
    print(*map(to_text, report.tables), sep="\n\n")
    args.output.mkdir(parents=True, exist_ok=True)
    for path, content in report.files(args.output).items():
        path.write_bytes(content)
    draw(report).savefig(args.output / "radius_sweep.png")


if __name__ == "__main__":
    try:
        main()
    except FusionlabError as error:
        raise SystemExit(f"error: {error}") from error
