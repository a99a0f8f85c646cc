"""The part of `fusionlab fuse` for folders: run an image set, and print what becomes of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionlab.cli.fuse_files import as_lines
from fusionlab.cli.output import (
    RepeatedWarnings,
    echo,
    show_facts,
    show_progress,
    stdout_is_terminal,
)
from fusionlab.cli.session import CommandError, CommandStopped, with_flag

if TYPE_CHECKING:
    from fusionlab.runs.folder_run import FolderRun, ItemOutcome
    from fusionlab.runs.image_sets import ImageSetItem


def output_folder(output: Path | None) -> Path:
    """Return the folder for the images; refuse the name of an image file."""
    from fusionlab.imaging.writing import FORMATS

    output = output or Path("fused")
    if output.suffix.lower() in FORMATS and not output.is_dir():
        raise CommandError(
            f"the sources are folders, so the output must be one, too; got the file name {output}; "
            f"write -o {output.with_suffix('')}/, and choose the format with --format"
        )
    return output


def fuse_folders(
    run: FolderRun, items: Sequence[ImageSetItem], facts: dict[str, Any], *, as_json: bool
) -> dict[str, int]:
    """Fuse an image set, print the outcome of each item, and return how many there are of each."""
    from time import perf_counter

    if not as_json:
        show_facts(as_lines(facts), as_json=False)
    started = perf_counter()
    counts = dict.fromkeys(("fused", "skipped", "failed"), 0)
    colors: Counter[str] = Counter()
    stopped = None
    warnings = RepeatedWarnings()
    try:
        with show_progress("fusing") as progress:
            for item, outcome in zip(items, run.run(items), strict=True):
                counts[outcome.status] += 1
                colors.update([outcome.color] if outcome.color else [])
                progress(sum(counts.values()), len(items))
                names = [*map(str, item.sources), str(outcome.output), outcome.output.name]
                for note in outcome.notes:
                    warnings.tell(note, names)
                _show_outcome(outcome, as_json=as_json)
    except KeyboardInterrupt as stop:
        stopped = stop
    warnings.tell_counts()
    seconds = perf_counter() - started
    by_step = {name: round(value, 3) for name, value in asdict(run.seconds).items()}
    if as_json:
        time = {"seconds": round(seconds, 3), "spent": by_step}
        echo(json.dumps({"summary": {**facts, **counts, "stopped": stopped is not None, **time}}))
    if stopped:
        raise CommandStopped(
            f"stopped after {sum(counts.values())} of {len(items)}; the files written "
            "are complete, continue with --resume",
            stopped,
        )
    if not as_json:
        total = ", ".join(f"{number} {status}" for status, number in counts.items())
        rate = f", {counts['fused'] / seconds:.2f} images/s" if counts["fused"] else ""
        summary = {
            "summary": f"{total}, of {len(items)}",
            "color": _color_summary(facts, colors),
            "time": f"{seconds:.1f} s{rate} (fusing {by_step['fuse']:.1f} s; in parallel, reading "
            f"{by_step['read']:.1f} s and writing {by_step['write']:.1f} s)",
            "output": f"{run.folder}/",
        }
        show_facts(summary, as_json=False)
    return counts


def _color_summary(facts: dict[str, Any], colors: Counter[str]) -> str | None:
    """Return how many images each color mode was chosen for; None if none was left to choose."""
    if not facts["color"].startswith("auto"):
        return None
    return ", ".join(f"{number} {color}" for color, number in sorted(colors.items()))


def _show_outcome(outcome: ItemOutcome, *, as_json: bool) -> None:
    problem = with_flag(outcome.problem, outcome.option)
    if as_json:
        line = {
            "stem": outcome.stem,
            "status": outcome.status,
            "color": outcome.color,
            "output": None if problem else str(outcome.output),
            "problem": problem or None,
            "warnings": outcome.notes,
        }
        echo(json.dumps(line))
    if problem:
        echo(f"failed: {problem}", err=True)
    elif not as_json and not stdout_is_terminal():  # a terminal has the progress bar
        echo(f"{outcome.status:<8} {outcome.output}")
