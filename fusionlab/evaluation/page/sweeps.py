"""Parameter sweeps as line plots: each metric over each numeric factor that varies.

The intervals are those of comparisons within samples: some samples have higher values than others
whatever the method, so the mean of each sample over the rows is removed before the deviations are
computed, with the correction of Morey 2008, doi:10.20982/tqmp.04.2.p061.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusionlab.evaluation.factors import varying
from fusionlab.evaluation.scores import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_SERIES = 8
"""More lines than colors are drawn in gray, below the line of their mean."""
LOG_RATIO = 50
"""Positive values that span more than this ratio get a logarithmic axis."""
COLORS = (
    "#1f6f9f", "#c8553d", "#3b8a57", "#8a5aa8", "#b98a1d", "#4d5a68", "#c2558f", "#3aa0a0",
)  # fmt: skip
"""Colors that remain apart on white and, inverted, on black."""
COLUMNS = 3
"""Panels beside each other."""


@dataclass(frozen=True)
class Series:
    """The rows that differ in one factor only, in the order of its values."""

    name: str
    """The values of the other factors that vary."""
    values: tuple[float, ...]
    rows: tuple[int, ...]


def sweeps(factors: Sequence[Mapping[str, str]]) -> dict[str, list[Series]]:
    """Return numeric factor -> the series over it with at least two values.

    Args:
        factors: factor -> value of each row; empty for rows of which nothing is known.
    """
    names = varying(factors)
    by_factor = {}
    for name in names:
        rows = [number for number, row in enumerate(factors) if row.get(name)]
        numbers = {number: _number(factors[number][name]) for number in rows}
        if not rows or not all(math.isfinite(value) for value in numbers.values()):
            continue
        groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
        for number in rows:
            others = tuple((n, factors[number].get(n, "")) for n in names if n != name)
            groups.setdefault(others, []).append(number)
        series = [
            _series(others, group, numbers)
            for others, group in groups.items()
            if len({numbers[number] for number in group}) > 1
        ]
        if series:
            by_factor[name] = _named_apart(series)
    return by_factor


def _series(
    others: Sequence[tuple[str, str]], rows: Sequence[int], numbers: Mapping[int, float]
) -> Series:
    ordered = sorted({numbers[row]: row for row in rows}.items())
    name = "\n".join(f"{name}={value}" for name, value in others if value)
    return Series(name, tuple(v for v, _ in ordered), tuple(row for _, row in ordered))


def _named_apart(series: Sequence[Series]) -> list[Series]:
    """Return the series with only those factors in their names in which they differ."""
    parts = [entry.name.split("\n") for entry in series]
    common = set.intersection(*map(set, parts))
    return [
        Series(", ".join(p for p in part if p not in common), entry.values, entry.rows)
        for part, entry in zip(parts, series, strict=True)
    ]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def can_draw() -> bool:
    """Return whether matplotlib is installed."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def draw_sweep(factor: str, series: Sequence[Series], scores: Scores) -> bytes:
    """Draw the means over a factor, a panel for each metric, as SVG.

    Bands are the 95 % intervals of the means within samples. Where there are more than eight series
    they are gray, and the line in color is their mean at each value.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    metrics = [number for number, count in enumerate(scores.counts) if count]
    columns = min(COLUMNS, len(metrics))
    lines = -(-len(metrics) // columns)
    means, halves = scores.means(), np.zeros((len(scores.methods), len(scores.metrics)))
    rows = sorted({row for entry in series for row in entry.rows})
    for number in metrics:
        halves[rows, number] = _half_interval(scores.values[rows, :, number])
    style: Any = {
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "fusionlab",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "text.parse_math": False,  # a name may hold a dollar sign
    }
    with mpl.rc_context(style):
        named = 1 < len(series) <= MAX_SERIES
        height = 2.1 * lines + (0.22 * len(series) if named else 0.3)
        figure = Figure(figsize=(3.1 * columns, height), layout="constrained")
        axes: Any = figure.subplots(lines, columns, squeeze=False)
        for axis, number in zip(axes.flat, metrics, strict=False):
            _draw_panel(axis, series, means[:, number], halves[:, number])
            arrow = {1: " ↑", -1: " ↓", 0: ""}[scores.metrics[number].direction]
            axis.set_title(f"{scores.metrics[number].name}{arrow}", fontsize=9, loc="left")
            axis.set_xlabel(factor)
        for axis in axes.flat[len(metrics) :]:
            axis.set_visible(False)
        if named:
            handles, labels = axes.flat[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower left", frameon=False, fontsize=8)
        content = BytesIO()
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    return content.getvalue()


def _draw_panel(axis: Axes, series: Sequence[Series], means: Any, halves: Any) -> None:
    """Draw one metric."""
    many = len(series) > MAX_SERIES
    for number, entry in enumerate(series):
        rows = list(entry.rows)
        color = "#9aa0a6" if many else COLORS[number % len(COLORS)]
        axis.plot(
            entry.values,
            means[rows],
            color=color,
            linewidth=0.6 if many else 1.4,
            marker="" if many else "o",
            markersize=3,
            label=entry.name or "mean",
        )
        if not many:
            low, high = means[rows] - halves[rows], means[rows] + halves[rows]
            axis.fill_between(entry.values, low, high, color=color, alpha=0.12, linewidth=0)
    values = sorted({value for entry in series for value in entry.values})
    if many:
        rows_at = [[s.rows[s.values.index(v)] for s in series if v in s.values] for v in values]
        marginal = [float(np.nanmean(means[rows])) for rows in rows_at]
        axis.plot(values, marginal, color=COLORS[0], linewidth=2, marker="o", markersize=3.5)
    if values[0] > 0 and values[-1] / values[0] >= LOG_RATIO:
        axis.set_xscale("log")
    if len(values) <= 8:
        axis.set_xticks(values, [f"{value:g}" for value in values])
        axis.minorticks_off()
    axis.grid(visible=True, linewidth=0.3, color="#9aa0a6", alpha=0.6)


def _half_interval(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return half of the width of the 95 % interval of each mean; 0 where there is none.

    Args:
        values: `(rows, samples)` of one metric, of all rows of the sweep.
    """
    from scipy.stats import t as student_t

    compared = values[:, np.isfinite(values).all(axis=0)]
    rows, samples = compared.shape
    if samples < 2 or rows < 2:
        return np.zeros(rows)
    centered = compared - compared.mean(axis=0)
    deviations = centered.std(axis=1, ddof=1) * math.sqrt(rows / (rows - 1))
    halves: NDArray[np.float64] = student_t.ppf(0.975, samples - 1) * deviations / samples**0.5
    return halves
