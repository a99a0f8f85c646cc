"""Turn the results of `measure` and `train` into a page of Markdown.

python benchmarks/gpu/report.py RESULTS ... --out PAGE.md
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tabulate import tabulate

Results = dict[str, Any]


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table of Markdown."""
    return tabulate(rows, heads, tablefmt="pipe", disable_numparse=True)


def number(value: object) -> str:
    """Return a figure with three digits; empty where there is none."""
    return f"{value:.3g}" if isinstance(value, int | float) else ""


def milliseconds(timing: Results) -> str:
    return f"{1000 * timing['median']:.3g} ± {1000 * timing['spread']:.1g}"


def mebibytes(value: float | None) -> str:
    return "" if value is None else f"{value / 2**20:.0f}"


def rows_of(rows: Results, cells: Callable[[Results], list[str]]) -> list[list[str]]:
    """Return a row for each name; the reason where it was not measured."""
    return [
        [name, row["problem"][:120]] if "problem" in row else [name, *cells(row)]
        for name, row in rows.items()
    ]


def speed(part: Results) -> Iterator[str]:
    """Describe the speed of variants."""
    width, height = part["size"]
    yield f"A pair of {width}x{height}, milliseconds; a batch has {part['batch']} pairs.\n"
    peaks = part.get("peak_macs_per_second", {})
    for precision, macs in peaks.items():
        if isinstance(macs, float):
            yield f"* peak throughput in {precision}: {macs / 1e12:.3g} TMAC/s"
    if peaks:
        yield ""

    works = ["from arrays to an array", "on the device", "network alone", "a batch on the device"]

    def cells(row: Results) -> list[str]:
        alone = row["network alone"]["median"]
        return [
            *(milliseconds(row[work]) for work in works),
            f"{part['batch'] / row[works[-1]]['median']:.4g}",
            f"{part['macs'] / alone / 1e12:.3g}",
            number(row["largest difference"]),
            mebibytes(row["peak bytes"]),
            number(row["from arrays to an array"]["first"]),
        ]

    heads = ["variant", *works, "pairs a second in batches", "TMAC/s of the network"]
    heads += ["largest difference", "MiB", "first, s"]
    yield table(heads, rows_of(part["variants"], cells))
    for precision, found in part.get("kernels", {}).items():
        if "problem" in found:
            continue
        yield f"\nIn {precision} a fusion on the device takes {found['microseconds']:.0f} µs in "
        yield f"{found['calls']} calls, the longest:\n"
        longest = [
            [f"`{k['name']}`", str(k["calls"]), f"{k['microseconds']:.0f}"]
            for k in found["longest"]
        ]
        yield table(["operation", "calls", "µs"], longest)


def small(part: Results) -> Iterator[str]:
    """Describe what batches of one cost."""

    def cells(row: Results) -> list[str]:
        each = row["pairs a second"]
        return [
            number(each["one by one"]),
            number(each["together"]),
            number(row["times as fast together"]),
            number(row["largest difference"]),
        ]

    heads = [
        "size",
        "pairs a second, one by one",
        f"{part['pairs']} together",
        "times",
        "difference",
    ]
    yield table(heads, rows_of(part["sizes"], cells))


def large(part: Results) -> Iterator[str]:
    """Describe the large pair."""
    edge = part["edge"]
    yield f"A pair of {edge}x{edge}, from arrays to an array.\n"

    def cells(row: Results) -> list[str]:
        return [
            number(row["median"]),
            number(row["megapixels a second"]),
            mebibytes(row["peak bytes"]),
            mebibytes(row["peak of the process"]),
        ]

    heads = ["precision", "s", "MP/s", "MiB on the device", "MiB of the process"]
    yield table(heads, rows_of(part["precisions"], cells))


def memory_limit(part: Results) -> Iterator[str]:
    """Describe what happens where memory does not suffice."""

    def cells(row: Results) -> list[str]:
        return [str(row["tile"] or "as planned"), number(row["largest difference"])]

    heads = ["share of the memory needed", "tile", "largest difference"]
    yield table(heads, rows_of(part["shares"], cells))


def metric_times(part: Results) -> Iterator[str]:
    """Describe the metrics."""
    width, height = part["size"]
    yield f"Batches of {part['batch']} images of {width}x{height}.\n"
    for name, timing in part["histogram"].items():
        yield f"* a histogram by `{name}`: {milliseconds(timing)} ms"
    yield ""

    def cells(row: Results) -> list[str]:
        return [
            number(1000 * row["seconds an image"]),
            number(row["relative difference from the CPU"]),
        ]

    heads = ["metric", "ms an image", "relative difference from the CPU"]
    yield table(heads, rows_of(part["metrics"], cells))


def waits(part: Results) -> Iterator[str]:
    """Describe what waits for the device."""
    for key, title in (("tiles", "tiles"), ("strategies", "strategy"), ("metrics", "metric")):

        def cells(row: Results) -> list[str]:
            difference = [number(row["largest difference"])] if "largest difference" in row else []
            return ["" if row["waits"] is None else str(row["waits"]), *difference]

        heads = [title, "waits", *(["largest difference"] if key == "strategies" else [])]
        yield table(heads, rows_of(part.get(key, {}), cells)) + "\n"


def gpu_tests(part: Results) -> Iterator[str]:
    """Describe the tests."""
    code = "did not end in time" if part["exit_code"] is None else f"exit code {part['exit_code']}"
    failed = part["failed"]
    yield f"{part['passed']} passed, {part['skipped']} skipped, {len(failed)} failed; {code}."
    for name, text in failed.items():
        yield f"* `{name}`: {text[:200]}"


def train(part: Results) -> Iterator[str]:
    """Describe the training."""
    rate = part["iterations_per_second"]
    yield (
        f"From iteration {part['resumed_from']} to {part['iteration']}, "
        f"{number(rate)} iterations a second"
        + (f"; 40,000 take {40_000 / rate / 60:.3g} minutes." if rate else ".")
    )
    yield ""
    pairs = [[str(iteration), number(loss)] for iteration, loss in part["validation"]]
    step = max(1, len(pairs) // 20)
    yield table(["iteration", "validation loss"], pairs[::-1][::step][::-1])


PARTS: dict[str, tuple[str, Callable[[Results], Iterator[str]]]] = {
    "speed": ("Speed", speed),
    "compiled": ("Compiled", speed),
    "small": ("Small images, one by one", small),
    "large": ("A large pair", large),
    "memory_limit": ("Memory that does not suffice", memory_limit),
    "metric_times": ("Metrics", metric_times),
    "waits": ("What waits for the device", waits),
    "gpu_tests": ("Tests", gpu_tests),
    "train": ("Training", train),
}


def page(folders: list[Path]) -> str:
    """Return the page of all results in some folders."""
    lines = ["# Measured on a GPU\n"]
    machine = ""
    for name, (title, describe) in PARTS.items():
        for path in (folder / f"{name}.json" for folder in folders):
            if not path.exists():
                continue
            part = json.loads(path.read_text("utf-8"))
            lines.append(f"## {title}\n")
            if (found := described(part.get("machine"))) != machine:
                machine = found
                lines.append(f"{machine}\n")
            if not part.get("finished", True):
                lines.append(f"Not finished. {part.get('problem', '')}\n")
            try:
                lines += describe(part)
            except KeyError as missing:
                lines.append(f"It did not come to {missing}.")
            lines.append("")
    return "\n".join(lines)


def described(machine: Results | None) -> str:
    """Return the machine in a line."""
    if machine is None:
        return ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"{machine['gpu'] or machine['processor']}; {versions}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULTS")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.write_text(page(args.results) + "\n", encoding="utf-8")
    print(args.out)


if __name__ == "__main__":
    main()
