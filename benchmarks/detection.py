"""How often the task of sources is detected: a confusion table over image sets.

    python benchmarks/detection.py infrared=../shared/data/eval/vifb focus=../shared/data/eval/lytro

Each set is named after the task that its images belong to. An item that cannot be read or whose
sources differ in size is left out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from pathlib import Path

from tabulate import tabulate

from fusionlab import FusionlabError, find_image_set, list_tasks
from fusionlab.detection import detect
from fusionlab.imaging.resizing import Resize
from fusionlab.imaging.scale import parse_scales
from fusionlab.imaging.thumbnails import thumbnails
from fusionlab.plugins.host import installed
from fusionlab.runs.file_fusion import load_sources


def detected(
    folder: Path, scale: list[str], resize: Resize | None, only: str
) -> tuple[Counter[str], list[str], list[float]]:
    """Return how often each task was detected, `stem: task` of each, and the CPU time in s."""
    counts: Counter[str] = Counter()
    lines, seconds = [], []
    for item in find_image_set(folder):
        if item.problem or not _selected(item.stem, only):
            continue
        try:
            pixels = [image.pixels for image in load_sources(item.sources, resize)]
            started = time.process_time()
            task = detect(thumbnails(pixels, parse_scales(scale)), installed()).task
        except FusionlabError as error:
            lines.append(f"{item.stem}: left out, {error}")
            continue
        seconds.append(time.process_time() - started)
        counts[task] += 1
        lines.append(f"{item.stem}: {task}")
    return counts, lines, seconds


def _selected(stem: str, only: str) -> bool:
    """Return whether the number in a stem is odd or even, as asked for."""
    number = int("".join(filter(str.isdigit, stem)) or 0)
    return {"all": True, "odd": number % 2 == 1, "even": number % 2 == 0}[only]


def main() -> None:
    """Read the arguments and print a row for each set."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sets", nargs="+", metavar="TASK=SET", help="image sets with their task")
    parser.add_argument("--scale", action="append", help="of the sources, as for `fusionlab fuse`")
    parser.add_argument("--resize", choices=["first", "smallest"], help="as for `fusionlab fuse`")
    parser.add_argument("--only", choices=["all", "odd", "even"], default="all")
    parser.add_argument("--list", action="store_true", help="also print every wrong item")
    args = parser.parse_args()
    tasks = list_tasks()
    rows, wrong = [], []
    for text in args.sets:
        expected, _, folder = text.partition("=")
        counts, lines, seconds = detected(
            Path(folder), args.scale or ["full"], args.resize, args.only
        )
        wrong += [f"{folder} {line}" for line in lines if not line.endswith(f": {expected}")]
        right = f"{counts[expected]} of {counts.total()}"
        milliseconds = 1e3 * statistics.median(seconds) if seconds else 0
        row = [expected, Path(folder).name, *(counts[task] for task in tasks), right, milliseconds]
        rows.append(row)
    headers = ["task", "set", *tasks, "right", "CPU ms"]
    print(tabulate(rows, headers, tablefmt="github", floatfmt=".1f"))
    if args.list:
        print(*wrong, sep="\n")


if __name__ == "__main__":
    main()
