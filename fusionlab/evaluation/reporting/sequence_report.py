"""The scores of sequences over time: every value as CSV, and a plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import TYPE_CHECKING

from fusionlab.evaluation.reporting.files import csv_line
from fusionlab.evaluation.sequence_scores import SequenceScores
from fusionlab.imaging.figures import new_figure
from fusionlab.safe_text import safe_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fusionlab.evaluation.sequence_scores import AnyMetric

MARKED = 40
"""Sequences of at most so many frames get a mark for each."""


def frames_csv(results: Mapping[str, SequenceScores]) -> Iterator[str]:
    """Yield the lines of a CSV file: one for each result and frame, a column for each metric.

    Values that are not defined, and those of frames that could not be scored, are empty.

    Args:
        results: name of a result -> its scores, all by the same metrics.
    """
    names = [metric.name for scores in results.values() for metric in scores.metrics]
    names = [*dict.fromkeys(names)]
    yield csv_line(["result", "frame", "name", "seconds", *names, "problem"])
    for result, scores in results.items():
        for frame in scores.frames:
            seconds = "" if frame.time is None else float(frame.time)
            values = [frame.values.get(name, float("nan")) for name in names]
            yield csv_line([result, frame.number, frame.name, seconds, *values, frame.problem])


def draw_over_time(results: Mapping[str, SequenceScores]) -> Figure:
    """Draw the values of every metric over time, a panel for each, a line for each result.

    The horizontal axis has seconds, where all frames have times, or else numbers of frames. Gaps
    are frames without a value.

    Args:
        results: name of a result -> its scores, all by the same metrics.

    Raises:
        FusionlabError: matplotlib is not installed (code `missing-package`).
    """
    metrics = next(iter(results.values())).metrics
    timed = all(frame.time is not None for scores in results.values() for frame in scores.frames)
    figure = new_figure(8, 0.6 + 1.7 * len(metrics))
    panels = figure.subplots(len(metrics), 1, sharex=True, squeeze=False)[:, 0]
    for metric, axes in zip(metrics, panels, strict=True):
        for number, (result, scores) in enumerate(results.items()):
            _draw(axes, metric, scores, (safe_text(result), f"C{number % 10}"), timed=timed)
        better = {1: " (higher is better)", -1: " (lower is better)", 0: ""}[metric.direction]
        axes.set_title(f"{metric.name}{better}", fontsize="medium", loc="left")
        axes.grid(visible=True, linewidth=0.3)
    panels[-1].set_xlabel("seconds" if timed else "frame")
    if len(results) > 1:
        figure.legend(
            *panels[0].get_legend_handles_labels(),
            loc="outside upper right",
            frameon=False,
            ncols=4,
        )
    return figure


def _draw(
    axes: Axes,
    metric: AnyMetric,
    scores: SequenceScores,
    line: tuple[str, str],
    *,
    timed: bool,
) -> None:
    """Draw one result in one panel; `line` is its name and color."""
    label, color = line
    places = [float(frame.time or 0) if timed else frame.number for frame in scores.frames]
    values = [v if isfinite(v) else float("nan") for v in scores.values(metric.name)]
    marker = "." if len(places) <= MARKED else ""
    axes.plot(places, values, color=color, label=label, linewidth=1.2, marker=marker)
