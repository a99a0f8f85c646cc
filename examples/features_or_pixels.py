"""What does the network add to a rule? Every rule on features, and the same rule on pixels.

    python examples/features_or_pixels.py -o out/
    python examples/features_or_pixels.py path/to/set --rules l1norm,r=0 choose_max -o out/

Prints the means, the lift (features minus pixels, image by image, with intervals and
significance), and how often features win and lose; writes all of it. The pixels are those of the
baseline backbone, which changes nothing. All rows are stretched (`minmax`), so that they compare.
"""

import argparse
from pathlib import Path

from fusionlab.evaluation.measures import find_measures
from fusionlab.evaluation.rendering import to_text
from fusionlab.evaluation.run import Evaluation
from tabulate import tabulate

from fusionlab import FusionlabError, load_plugins
from fusionlab.evaluation.methods import build_methods
from fusionlab.evaluation.report import Report
from fusionlab.runs.image_sets import find_image_set

DETAILS = Path(__file__).parent / "images" / "details"
RULES = ("addition", "max", "mean", "l1norm", "choose_max", "spatial_frequency")


def verdicts(report: Report) -> str:
    """Count, for each rule, the metrics by which its mean is better on features than on pixels."""
    rows = []
    for method in dict.fromkeys(one.method for one in report.lift):
        lifts = [one for one in report.lift if one.method == method and one.better]
        better, worse = ([one for one in lifts if one.better == sign] for sign in (1, -1))
        starred = [sum(one.significant for one in group) for group in (better, worse)]
        rows.append((method, len(better), starred[0], len(worse), starred[1]))
    return tabulate(rows, ("method", "better", "of them *", "worse", "of them *"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", nargs="?", type=Path, default=DETAILS, help="folder with a/ b/ ...")
    parser.add_argument("--rules", nargs="+", default=RULES, metavar="NAME[,PARAMETER=VALUE]")
    parser.add_argument("--metrics", default="EN,SD,Qabf,SSIM")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()

    plugins = load_plugins()
    entries = find_image_set([args.set])
    backbone = plugins.default("backbone")  # its rows bring along the same rules on pixels
    names = [f"{backbone}/{rule}" for rule in args.rules]
    methods = build_methods(names, plugins, range_policy="minmax")
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
    print(*map(to_text, report.tables), verdicts(report), sep="\n\n")
    args.output.mkdir(parents=True, exist_ok=True)
    for path, content in report.files(args.output).items():
        path.write_bytes(content)


if __name__ == "__main__":
    try:
        main()
    except FusionlabError as error:
        raise SystemExit(f"error: {error}") from error
