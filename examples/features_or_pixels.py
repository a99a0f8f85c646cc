"""What does the network add to a strategy? Each strategy on features, and the same on pixels.

    python examples/features_or_pixels.py -o out/
    python examples/features_or_pixels.py path/to/set --strategies l1norm,r=0 choose_max -o out/

Prints the means, the gain (features minus pixels, image by image, with intervals and
significance), and how often features win and lose; writes the tables. The pixels are those of the
baseline backbone, which changes nothing, with the range policy of the row they are compared with.
"""

import argparse
from pathlib import Path

from tabulate import tabulate

import fusionlab

DETAILS = Path(__file__).parent / "images" / "details"
STRATEGIES = ("addition", "max", "mean", "l1norm", "choose_max", "spatial_frequency")


def verdicts(report: fusionlab.Report) -> str:
    """Count, for each strategy, the metrics whose mean is better on features than on pixels."""
    rows = []
    for method in dict.fromkeys(gain.method for gain in report.gains):
        gains = [gain for gain in report.gains if gain.method == method and gain.better]
        better, worse = ([gain for gain in gains if gain.better == sign] for sign in (1, -1))
        starred = [sum(gain.significant for gain in group) for group in (better, worse)]
        rows.append((method, len(better), starred[0], len(worse), starred[1]))
    return tabulate(rows, ("method", "better", "of them *", "worse", "of them *"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", nargs="?", type=Path, default=DETAILS, help="folder with a/ b/ ...")
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES, metavar="NAME[,NAME=VALUE]")
    parser.add_argument("--metrics", default="EN,SD,Qabf,SSIM")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()

    methods = [fusionlab.load_strategy(name) for name in args.strategies]
    report = fusionlab.evaluate(args.set, methods, args.metrics)
    print(report, verdicts(report), sep="\n\n")
    report.write(args.output)


if __name__ == "__main__":
    try:
        main()
    except fusionlab.FusionlabError as error:
        raise SystemExit(f"error: {error}") from error
