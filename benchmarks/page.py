"""How long the page of a large study takes to open, to sort, and to order its samples.

    python benchmarks/page.py                    # 100 methods x 1,000 samples x 10 metrics
    python benchmarks/page.py --samples 10000    # a million rows of scores
    python benchmarks/page.py --methods 1000 --samples 100 -o page/

The values are random numbers, without images; the browser is Debian's chromium, without a window.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.page.write import write_page
from fusionlab.evaluation.reporting.report import Report
from fusionlab.evaluation.scores import ScoreRow, Scores
from fusionlab.evaluation.studies.results import StudyResults
from fusionlab.plugins.host import installed

FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
LOADED = "performance.timing.loadEventEnd - performance.timing.navigationStart"


@dataclass(frozen=True)
class RandomMethod:
    """A row of a grid."""

    label: str
    backbone: str
    r: int
    baseline: None = None
    range_policy: str = "clip"

    def describe(self) -> dict[str, Any]:
        return {
            "method": self.label,
            "backbone": self.backbone,
            "weights": {"tag": "1e2"},
            "strategy": "l1norm",
            "parameters": {"r": self.r},
        }


def random_study(methods: int, samples: int, metrics: int) -> StudyResults:
    """Return a study of random values."""
    rows = [
        RandomMethod(f"densefuse{i % 10}@1e2/l1norm,r={i // 10}", f"densefuse{i % 10}", i // 10)
        for i in range(methods)
    ]
    plugins = installed()
    names = [registration.qualified for registration in plugins.metrics.registrations][:metrics]
    columns = [Metric.find(name, plugins) for name in names]
    values = np.random.default_rng(0).normal(5, 1, (methods, samples, len(columns)))
    values += np.linspace(0, 0.3, methods)[:, None, None]
    stems = [f"sample{number:06}" for number in range(samples)]
    score_rows = [
        ScoreRow(
            stem,
            row.label,
            dict(zip((m.name for m in columns), values[i, j].tolist(), strict=True)),
        )
        for i, row in enumerate(rows)
        for j, stem in enumerate(stems)
    ]
    scores = Scores([row.label for row in rows], stems, columns, score_rows)
    report = Report(rows, scores, score_rows, {"scale": "full"})
    return StudyResults(
        f"{methods} methods, {samples} samples, {len(columns)} metrics", {"random": report}, {}
    )


def measure(index: Path) -> dict[str, float | str]:
    """Return milliseconds of the page in a browser, medians of three."""
    from playwright.sync_api import sync_playwright

    runs: list[dict[str, float]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        version = browser.version
        for _ in range(3):
            page = browser.new_page()
            started = time.perf_counter()
            page.goto(index.as_uri())
            opened = (time.perf_counter() - started) * 1000
            run = {"opened": opened, "load event": page.evaluate(LOADED)}
            run["first paint"] = page.evaluate(FIRST_PAINT)
            run["sort a column"] = page.evaluate(
                """async () => {
                    const start = performance.now();
                    document.querySelectorAll("#scores-0 .sort")[5].click();
                    document.body.offsetHeight;
                    return performance.now() - start;
                }"""
            )
            run["first samples"] = _until(page, "#samples-0", ".card")
            run["order by another metric"] = page.evaluate(
                """async () => {
                    const select = document.querySelector("[data-order=metric]");
                    const first = document.querySelector(".card");
                    const start = performance.now();
                    select.value = "3";
                    select.dispatchEvent(new Event("change", { bubbles: true }));
                    while (first.isConnected) await new Promise(requestAnimationFrame);
                    return performance.now() - start;
                }"""
            )
            page.locator(".card").first.click()
            started = time.perf_counter()
            page.locator("#viewer tbody tr").first.wait_for()
            run["all values of a sample"] = (time.perf_counter() - started) * 1000
            runs.append(run)
            page.close()
        browser.close()
    medians = {name: float(np.median([run[name] for run in runs])) for name in runs[0]}
    return {"browser": f"Chromium {version}", **medians}


def _until(page: Any, place: str, selector: str) -> float:
    """Return the milliseconds from scrolling to a place until something is there."""
    started = time.perf_counter()
    page.locator(place).scroll_into_view_if_needed()
    page.locator(selector).first.wait_for()
    return (time.perf_counter() - started) * 1000


def main() -> None:
    """Make a page and print its size and times."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--methods", type=int, default=100)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--metrics", type=int, default=10)
    parser.add_argument("--single-file", action="store_true")
    parser.add_argument("-o", "--output", type=Path, help="keep the page in this folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    study = random_study(options.methods, options.samples, options.metrics)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.output or Path(temporary) / "page"
        started = time.perf_counter()
        index = write_page(study, folder, single_file=options.single_file)
        facts: dict[str, float | str] = {
            "values": options.methods * options.samples * options.metrics,
            "write, s": time.perf_counter() - started,
            "index.html, MB": index.stat().st_size / 1e6,
            "page, MB": sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6,
            **measure(index),
        }
    if options.json:
        print(json.dumps(facts, indent=1))
        return
    for name, value in facts.items():
        unit = " ms" if isinstance(value, float) and "," not in name else ""
        print(f"{name:24} {value if isinstance(value, str | int) else f'{value:.4g}'}{unit}")


if __name__ == "__main__":
    main()
