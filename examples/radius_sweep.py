"""How large should the window of `l1norm` be? The same images, from no window to 33 x 33.

    python examples/radius_sweep.py -o out/
    python examples/radius_sweep.py path/to/set --metrics EN,Qabf,VIF -o out/

Prints the means of each r, and the differences from r = 0 with their intervals; writes both, the
values behind them, and a plot of the differences. All rows are clipped, which is what the range
policy `auto` means for this strategy.
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

import fusionlab

DETAILS = Path(__file__).parent / "images" / "details"
RADII = (0, 1, 2, 4, 8, 16)


def draw(report: fusionlab.Report) -> Figure:
    """Draw the mean differences from the first radius, and their intervals where there are any."""
    metrics = list(dict.fromkeys(entry.metric for entry in report.differences))
    figure = Figure(figsize=(3.6 * len(metrics), 3.2), dpi=120, layout="constrained")
    axes = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axis, metric in zip(axes, metrics, strict=True):
        entries = [entry for entry in report.differences if entry.metric == metric]
        radii = [entry.method for entry in entries]
        axis.axhline(0, color="gray", linewidth=0.8)
        axis.vlines(radii, [entry.low for entry in entries], [entry.high for entry in entries])
        axis.plot(radii, [entry.difference for entry in entries], "o-")
        axis.set_title(f"{metric}: difference from {entries[0].against}", fontsize="medium")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", nargs="?", type=Path, default=DETAILS, help="folder with a/ b/ ...")
    parser.add_argument("--metrics", default="EN,Qabf,SSIM")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()

    report = fusionlab.evaluate(
        args.set,
        {f"r={r}": fusionlab.load_strategy(f"l1norm,r={r}") for r in RADII},
        args.metrics,
        against="r=0",
        range_policy="clip",
        baselines=False,
    )
    print(report)
    report.write(args.output)
    draw(report).savefig(args.output / "radius_sweep.png")


if __name__ == "__main__":
    try:
        main()
    except fusionlab.FusionlabError as error:
        raise SystemExit(f"error: {error}") from error
