"""The part of `fusionlab score` for sequences: a table over all frames, CSV, and a plot."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusionlab.cli.output import echo, show_facts, show_progress, show_table, warn
from fusionlab.cli.score import direction_text
from fusionlab.cli.sequence_options import named_results, refuse_given
from fusionlab.cli.session import CommandError, Session

if TYPE_CHECKING:
    from fusionlab.evaluation.sequence_scores import AnyMetric, SequenceScores


def score_sequences(
    ctx: click.Context, session: Session, fused: Path, sources: Sequence[Path]
) -> bool:
    """Score results frame by frame and over time, print a table, and write what was asked for.

    Returns whether all frames could be scored.

    Args:
        ctx: of the command, which knows what was given.
        session: of the command.
        fused: the first result.
        sources: those of all results.
    """
    from fusionlab.evaluation.frame_scorer import FrameScorer
    from fusionlab.evaluation.gray_levels import SCORED_BY
    from fusionlab.evaluation.sequence_score import result_sets, scored
    from fusionlab.evaluation.temporal_metric import choose_sequence_metrics
    from fusionlab.storage.atomic import atomic_write_all

    given = ctx.params
    refuse_given(ctx, ["truth"], "is for single images; score a sequence without it")
    name = fused.stem or str(fused)
    results = named_results(given["results"], {name: fused})
    _check_files(given["csv_file"], given["plot"], overwrite=given["overwrite"])
    columns = choose_sequence_metrics(given["metrics"], given["preset"], session.plugins)
    scorer = FrameScorer(
        tuple(columns),
        scale=given["scale"],
        score_color=given["score_color"],
        device=given["device"],
    )
    found: dict[str, SequenceScores] = {}
    k = 0
    for name, path in results.items():
        sets = result_sets(
            [path, *sources], given["sync"], offsets=given["offsets"], rate=given["rate"]
        )
        k = len(sets.names) - 1
        with show_progress(f"scoring {name}") as progress:
            total = sets.count or 0

            def show(done: int, total: int = total, progress: Any = progress) -> None:
                progress(done, max(done, total))

            found[name] = scored(scorer, sets.sets(), sets.notes, show)
        for note in [*found[name].notes, *found[name].problems]:
            warn(note if len(results) == 1 else f"{name}: {note}")
    with atomic_write_all(_files(found, given["csv_file"], given["plot"])):
        pass
    facts = {"color": SCORED_BY[given["score_color"]]}
    if given["as_json"]:
        _show_json(facts, results, sources, found)
    else:
        _show({**facts, "sources": f"{k}"}, found)
    return not any(scores.problems for scores in found.values())


def _check_files(csv_file: Path | None, plot: Path | None, *, overwrite: bool) -> None:
    """Refuse files that cannot be written, before anything is computed."""
    from fusionlab.imaging.figures import new_figure
    from fusionlab.runs.destination import check_writable

    for path in (csv_file, plot):
        if path is not None:
            check_writable(path, overwrite=overwrite)
    if plot is not None:
        if plot.suffix.lower() not in (".png", ".svg"):
            raise CommandError(f"--plot must end in .png or .svg, got {plot}")
        new_figure(1, 1)  # matplotlib is there


def _files(
    found: Mapping[str, SequenceScores], csv_file: Path | None, plot: Path | None
) -> dict[Path, bytes]:
    """Return the files that were asked for, and their content."""
    from fusionlab.evaluation.reporting.sequence_report import draw_over_time, frames_csv
    from fusionlab.imaging.figures import encode_figure

    files = {}
    if csv_file is not None:
        files[csv_file] = "".join(frames_csv(found)).encode()
    if plot is not None:
        files[plot] = encode_figure(draw_over_time(found), plot.suffix.lower())
    return files


def _show_json(
    facts: Mapping[str, Any],
    results: Mapping[str, Path],
    sources: Sequence[Path],
    found: Mapping[str, SequenceScores],
) -> None:
    rows = [
        {"name": name, "fused": str(results[name]), **_as_json(scores)}
        for name, scores in found.items()
    ]
    echo(json.dumps({"sources": [str(path) for path in sources], **facts, "results": rows}))


def _show(facts: Mapping[str, Any], found: Mapping[str, SequenceScores]) -> None:
    frames = {len(scores.frames) for scores in found.values()}
    failed = sum(len(scores.problems) for scores in found.values())
    counts = {"frames": " or ".join(map(str, sorted(frames))), "with problems": failed or None}
    show_facts({**facts, **counts}, as_json=False)
    metrics = next(iter(found.values())).metrics
    several = len(found) > 1
    heads = ["metric", *(["result"] if several else []), "mean", "min", "max", "at", "direction"]
    rows = [
        [metric.name, *([name] if several else []), *_cells(scores, metric)]
        for metric in metrics
        for name, scores in found.items()
    ]
    show_table([*heads, "summary"], rows, as_json=False)


def _cells(scores: SequenceScores, metric: AnyMetric) -> list[str]:
    """Return the cells of one metric; `at` is the frame of its worst value."""
    summary = scores.summary(metric.name)
    numbers = [
        "-" if math.isnan(number) else f"{number:.6g}"
        for number in (summary.mean, summary.minimum, summary.maximum)
    ]
    worst = summary.at_maximum if metric.direction < 0 else summary.at_minimum
    at = f"{worst}" if metric.direction and worst >= 0 else ""
    return [*numbers, at, direction_text(metric.direction), metric.summary]


def _as_json(scores: SequenceScores) -> dict[str, Any]:
    from fusionlab.evaluation.scores import json_values

    values = {
        metric.name: json_values(scores.summary(metric.name)._asdict()) for metric in scores.metrics
    }
    return {
        "frames": len(scores.frames),
        "values": values,
        "problems": list(scores.problems),
        "notes": list(scores.notes),
    }
