"""How many rows a minute the coordinator of a study takes: methods that cost nothing.

    python benchmarks/coordinator.py --samples 2000 --methods 40

The jobs return random values at once, from threads of the same process; what is left is the work of
the coordinator: hash the sources, make keys and jobs, collect rows, write the journal.
"""

from __future__ import annotations

import argparse
import platform
import random
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np

from fusionlab.evaluation.executors import RunningExecutor
from fusionlab.evaluation.jobs import Job
from fusionlab.evaluation.methods import MethodBuilder
from fusionlab.evaluation.metric import choose_metrics
from fusionlab.evaluation.run import ScoringRun
from fusionlab.evaluation.score_journal import ScoreJournal
from fusionlab.evaluation.scores import ScoreRow
from fusionlab.evaluation.scoring import ScoredRow
from fusionlab.plugins.host import installed
from fusionlab.runs.image_sets import find_image_set


class Null(Executor):
    """Does not compute the job that is submitted, but returns random rows."""

    def submit(self, _function: Any, job: Job, *_args: Any) -> Future[list[ScoredRow]]:
        future: Future[list[ScoredRow]] = Future()
        rows = []
        for cell in job.cells:
            values: Mapping[str, float] = {metric.name: random.random() for metric in job.metrics}  # noqa: S311
            rows.append(ScoredRow(ScoreRow(job.item.stem, cell.method.label, values), cell.key))
        future.set_result(rows)
        return future


def main() -> None:
    """Time a run and its resumption."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--methods", type=int, default=40)
    parser.add_argument("--metrics", default="EN,SD,Qabf,SSIM,VIF,SCD,MI,AG,SF,PSNR,MSE,CC,Q_CB")
    args = parser.parse_args()
    plugins = installed()
    metrics = choose_metrics(args.metrics, None, plugins)
    names = [f"identity/weighted,theta={1 + n},1" for n in range(args.methods)]
    methods = MethodBuilder(plugins, baselines=False).build(names)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for letter in "ab":
            (folder / letter).mkdir()
            for number in range(args.samples):
                iio.imwrite(folder / letter / f"{number:06}.png", np.zeros((8, 8), np.uint8))
        items = find_image_set([folder])
        for name in ("new rows", "rows of an earlier run"):
            start = time.perf_counter()
            journal = ScoreJournal(folder / "out", resume=True)
            run = ScoringRun(methods, metrics, journal)
            workers = RunningExecutor(Null(), 4, in_process=True)
            count = sum(map(len, run.run(run.look_up(items), workers)))
            seconds = time.perf_counter() - start
            print(f"{name}: {count} in {seconds:.1f} s, {60 * count / seconds:,.0f} a minute")
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
