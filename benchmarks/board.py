"""The regression board for images: is the default of a task worth more than a trivial rule?

For each task of `board.toml` and each of its image sets: the headline metrics of the trivial rules
(pixel average, pixel maximum, Laplacian pyramid, ...) and of the default, how far the default is
from the best of them, and a verdict, see `board_verdicts.py`. Run it before a release.

    python benchmarks/board.py ../shared/data/eval generated/ -o results
    python benchmarks/board.py ../shared/data/eval -o results --task infrared --only tno20
    python benchmarks/board.py ../shared/data/eval -o results --task focus \
        --method focus=densefuse/sml,r=4 --method focus=densefuse/choose_max
    python benchmarks/board.py ... --json benchmarks/board.json    then tools/table_of_board.py

The results of a set are a folder of `fusionlab evaluate`, TASK/SET below -o. What is scored stays
scored: the same command continues an interrupted run, and another one adds methods to it.

Exit code: 0 if all candidates pass, 1 if one fails, 2 for errors.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tools"))  # for the table that the docs show

from board_tasks import TRUTH, Task, read_tasks, with_candidates
from board_verdicts import (
    Difference,
    Verdict,
    against_each,
    check_conditions,
    differences_from_best,
    judge,
)
from table_of_board import heads_and_rows, images_text, verdict_lines
from tabulate import tabulate

import fusionlab
from fusionlab import FusionlabError, Report
from fusionlab.evaluation.scores import Scores

BOARD = Path(__file__).with_name("board.toml")


@dataclass
class Progress:
    """Print how far a set is, in one line of a terminal, or in steps of a tenth."""

    name: str
    tenths: int = 0

    def __call__(self, done: int, total: int) -> None:
        tenths = 10 * done // total
        if sys.stderr.isatty():
            end = "\n" if done == total else ""
            print(f"\r{self.name}: {done} of {total}", end=end, file=sys.stderr, flush=True)
        elif tenths > self.tenths:
            print(f"{self.name}: {done} of {total}", file=sys.stderr, flush=True)
        self.tenths = tenths


def find_sets(
    tasks: Sequence[Task], roots: Sequence[Path], only: Sequence[str]
) -> list[tuple[Task, str, Path]]:
    """Return task, name and folder of each set that is there; print which ones are not.

    Raises:
        FusionlabError: a root is not a folder, or no set is there, or one that is asked for is not.
    """
    for root in roots:
        if not root.is_dir():
            raise FusionlabError(f"{root} is not a folder; expected one with image sets", path=root)
    pairs = [(task, name) for task in tasks for name in task.sets]
    names = [name for _, name in pairs]
    if unknown := [name for name in only if name not in names]:
        raise FusionlabError(f"no task has a set {unknown[0]}; sets: {', '.join(names)}")
    places = ", ".join(map(str, roots))
    sets = []
    for task, name in pairs:
        folder = next((root / name for root in roots if (root / name).is_dir()), None)
        if only and name not in only:
            continue
        if folder is not None:
            sets.append((task, name, folder))
        elif only:
            raise FusionlabError(f"there is no folder {name} in {places}")
        else:
            print(f"{task.name}: {name} is left out, it is not in {places}", file=sys.stderr)
    if not sets:
        raise FusionlabError(f"there is no set of these tasks in {places}")
    return sets


def evaluate(task: Task, name: str, folder: Path, output: Path, jobs: int) -> tuple[Report, Scores]:
    """Score the trivial rules, the references of conditions and the candidates of a task on a set.

    Returns:
        The report, and the scores of the headline metrics.

    Raises:
        FusionlabError: as `fusionlab.evaluate`, or a metric has no direction.
    """
    methods = [*task.trivial, *task.references(name), *task.candidates]
    truth = folder / "truth"
    of_truth = any(metric.endswith(TRUTH) for metric in task.metrics) and truth.is_dir()
    report = fusionlab.evaluate(
        folder,
        {method: method for method in methods},
        [metric for metric in task.metrics if not metric.endswith(TRUTH)],
        range_policy="auto",
        color=task.color,
        truth=truth if of_truth else None,
        baselines=False,
        output=output / task.name / name,
        resume=True,
        executor=f"threads:{jobs}",
        progress=Progress(f"{task.name}, {name}"),
        on_problem=lambda text: print(f"{task.name}, {name}: {text}", file=sys.stderr),
    )
    if report.unsaved:
        print(report.unsaved, file=sys.stderr)
    scores = report.scores
    metrics = [metric for metric in scores.metrics if metric.name in task.metrics]
    if unclear := [metric.name for metric in metrics if not metric.direction]:
        raise FusionlabError(f"{task.name}: neither high nor low values of {unclear[0]} are better")
    return report, Scores(scores.methods, scores.samples, metrics, report.rows)


def entry_of(report: Report, scores: Scores, task: Task, name: str) -> dict[str, Any]:
    """Judge the candidates of a task on a set; return the results as plain JSON."""
    names = [metric.name for metric in scores.metrics]
    directions = {metric.name: metric.direction for metric in scores.metrics}
    means = {
        label: dict(zip(names, row, strict=True))
        for label, row in zip(scores.methods, scores.means().tolist(), strict=True)
    }
    trivial = [label for label in task.trivial if label in means]
    references = [label for label in task.references(name) if label in means]
    candidates = {}
    for label in task.candidates:
        if label in report.left_out:
            differences, verdict = [], Verdict([f"it is left out: {report.left_out[label]}"])
            single: dict[str, dict[str, list[str]]] = {}
        else:
            differences = differences_from_best(scores, report.rows, label, trivial)
            single = against_each(scores, report.rows, label, trivial)
            conditions = task.conditions_of(name)
            verdict = judge(differences) + check_conditions(label, means, conditions, directions)
        candidates[label] = {
            "passed": verdict.passed,
            "failures": verdict.failures,
            "gains": verdict.gains,
            "unchecked": verdict.unchecked,
            "against": single,
            "metrics": {entry.metric: _difference_entry(entry) for entry in differences},
        }
    return {
        "version": fusionlab.__version__,
        "images": max(scores.counts, default=0),
        "color": task.color,
        "trivial": trivial,
        "references": references,
        "means": {
            label: {metric: _digits(mean) for metric, mean in row.items()}
            for label, row in means.items()
        },
        "candidates": candidates,
    }


def _difference_entry(entry: Difference) -> dict[str, Any]:
    return {
        "best": entry.best,
        "gain_percent": _digits(100 * entry.gain),
        "p": _digits(entry.p),  # None in small sets
        "significant": entry.significant,
        "better_on": entry.better_on,
        "images": entry.images,
    }


def _digits(value: float) -> float | None:
    """Return four significant digits; None for what JSON cannot hold."""
    return float(f"{value:.4g}") if math.isfinite(value) else None


def show(task: str, name: str, entry: dict[str, Any]) -> None:
    """Print the table of a set and the verdicts."""
    heads, rows = heads_and_rows(entry)
    print(f"\n{task}, {name}: {images_text(entry)}, color {entry['color']}\n")
    print(
        tabulate(rows, heads, disable_numparse=True, colalign=["left", *["right"] * len(rows[0])])
    )
    print("\n" + "\n".join(verdict_lines(entry)), flush=True)


def write_json(path: Path, entries: dict[str, dict[str, Any]]) -> None:
    """Write the results of the sets into a file, and keep its other sets."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for task, sets in entries.items():
        content.setdefault(task, {}).update(sets)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def chosen_tasks(board: Path, names: Sequence[str], methods: Sequence[str]) -> list[Task]:
    """Return the tasks to run, with the methods `TASK=METHOD` of the command line.

    Raises:
        FusionlabError: the board cannot be read, or there is no such task.
    """
    tasks = read_tasks(board)
    candidates: dict[str, list[str]] = {}
    for text in methods:
        name, equals, method = text.partition("=")
        if not (equals and method) or name not in tasks:
            raise FusionlabError(f"expected TASK=METHOD with one of {', '.join(tasks)}; got {text}")
        candidates.setdefault(name, []).append(method)
    if unknown := [name for name in names if name not in tasks]:
        raise FusionlabError(f"there is no task {unknown[0]}; tasks: {', '.join(tasks)}")
    if unused := [name for name in candidates if names and name not in names]:
        raise FusionlabError(f"a method of {unused[0]} is given, but that task is not chosen")
    return [
        with_candidates(task, candidates.get(name, []))
        for name, task in tasks.items()
        if not names or name in names
    ]


def run(args: argparse.Namespace) -> bool:
    """Run the board; return whether all candidates pass."""
    tasks = chosen_tasks(args.board, args.task, args.method)
    entries: dict[str, dict[str, Any]] = {}
    for task, name, folder in find_sets(tasks, args.roots, args.only):
        entry = entry_of(*evaluate(task, name, folder, args.output, args.jobs), task, name)
        show(task.name, name, entry)
        entries.setdefault(task.name, {})[name] = entry
        if args.json:
            write_json(args.json, entries)
    failed = [
        f"{task}, {name}: {candidate} FAILS"
        for task, sets in entries.items()
        for name, entry in sets.items()
        for candidate, result in entry["candidates"].items()
        if not result["passed"]
    ]
    print("\n" + ("\n".join(failed) or "all candidates pass"))
    return not failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, run the board, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("roots", nargs="+", type=Path, metavar="ROOT", help="folders of image sets")
    parser.add_argument("-o", "--output", type=Path, required=True, help="for TASK/SET folders")
    parser.add_argument("--task", action="append", default=[], help="only this one; repeatable")
    parser.add_argument("--only", action="append", default=[], metavar="SET", help="repeatable")
    parser.add_argument(
        "--method", action="append", default=[], metavar="TASK=METHOD", help="judge it; repeatable"
    )
    parser.add_argument("--board", type=Path, default=BOARD, help="another board.toml")
    parser.add_argument("--json", type=Path, help="write the results there; other sets stay")
    parser.add_argument("--jobs", type=int, default=2, help="images at the same time")
    try:
        return 0 if run(parser.parse_args(arguments)) else 1
    except FusionlabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; the same command continues", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
