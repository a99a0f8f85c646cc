"""Parameter sweeps as line plots: each metric over each numeric factor that varies.

The intervals are those of comparisons within samples: some samples have higher values than others
whatever the method, so the mean of each sample over the rows is removed before the deviations are
computed, with the correction of Morey 2008, doi:10.20982/tqmp.04.2.p061.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.dom import minidom

import numpy as np
from numpy.typing import NDArray

from fusionlab.evaluation.factors import varying
from fusionlab.evaluation.scores import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_SERIES = 8
"""More lines than colors are drawn thin, below the means of those that share a value."""
LOG_RATIO = 50
"""Positive values that span more than this ratio get a logarithmic axis."""
COLORS = (
    "#1f6f9f", "#c8553d", "#3b8a57", "#8a5aa8", "#b98a1d", "#4d5a68", "#c2558f", "#3aa0a0",
)  # fmt: skip
"""Colors that remain apart on white and, inverted, on black."""
SERIES, BUNDLE = "line-", "mean-"
"""Ids of the lines in the SVG, until they have their titles."""
COLUMNS = (4, 3)
"""Panels beside each other: the number that leaves fewer places empty."""


@dataclass(frozen=True)
class Series:
    """The rows that differ in one factor only, in the order of its values."""

    name: str
    """The values of the other factors that vary."""
    values: tuple[float, ...]
    rows: tuple[int, ...]
    others: Mapping[str, str] = field(default_factory=dict, compare=False)
    """The other factors that vary -> their values."""


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
    values, numbers_of_rows = zip(*ordered, strict=True)
    return Series(name, values, numbers_of_rows, dict(others))


def _named_apart(series: Sequence[Series]) -> list[Series]:
    """Return the series with only those factors in their names in which they differ."""
    parts = [entry.name.split("\n") for entry in series]
    common = set.intersection(*map(set, parts))
    return [
        replace(entry, name=", ".join(p for p in part if p not in common))
        for part, entry in zip(parts, series, strict=True)
    ]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def bundles(series: Sequence[Series], means: NDArray[np.float64]) -> dict[str, list[int]]:
    """Return what each color of a plot is for -> the numbers of its series.

    Up to eight series have a color each. More of them share the colors of the values of a factor:
    of the one that explains most of the variance between the lines, over all metrics.

    Args:
        series: the lines.
        means: `(rows, metrics)`, of the rows that series name.
    """
    if len(series) <= MAX_SERIES:
        return {entry.name or "mean": [number] for number, entry in enumerate(series)}
    levels = np.array([np.nanmean(means[list(entry.rows)], axis=0) for entry in series])
    groups: dict[str, dict[str, list[int]]] = {}
    for name in series[0].others:
        for number, entry in enumerate(series):
            groups.setdefault(name, {}).setdefault(entry.others[name], []).append(number)
    known = {name: group for name, group in groups.items() if 1 < len(group) <= MAX_SERIES}
    if not known:
        return {"mean of all": list(range(len(series)))}
    factor = max(known, key=lambda name: _explained(levels, list(known[name].values())))
    return {
        f"{factor}={value}" if value else f"no {factor}": numbers
        for value, numbers in known[factor].items()
    }


def _explained(levels: NDArray[np.float64], groups: Sequence[Sequence[int]]) -> float:
    """Return the share of the variance that lies between groups, adjusted for their number."""
    centered = levels - np.nanmean(levels, axis=0)
    total = np.nansum(centered**2, axis=0)
    within: Any = sum(
        np.nansum((levels[g] - np.nanmean(levels[g], axis=0)) ** 2, axis=0) for g in groups
    )
    varies = total > 0
    if not varies.any():
        return 0.0
    freedom = (len(levels) - 1) / (len(levels) - len(groups))
    return 1 - float(np.mean(within[varies] / total[varies])) * freedom


def caption(series: Sequence[Series], samples: int) -> str:
    """Return what the lines and bands of a plot are."""
    if len(series) > MAX_SERIES:
        return "means of the methods (thin), and of all that share a color (thick)"
    return "means, with their 95 % intervals within the samples" if samples > 1 else "one sample"


def can_draw() -> bool:
    """Return whether matplotlib is installed."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def draw_sweep(
    factor: str, series: Sequence[Series], scores: Scores, salt: str = "fusionlab"
) -> bytes:
    """Draw the means over a factor, a panel for each metric, as SVG.

    Bands are the 95 % intervals of the means within samples. Where there are more than eight series
    they are thin and share colors, see `bundles`, and a thick line is the mean of each color. Each
    line has its name as a tooltip.

    Args:
        factor: on the horizontal axis.
        series: the lines.
        scores: the values.
        salt: makes the ids in the SVG differ from those of other plots of one page.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    metrics = [number for number, count in enumerate(scores.counts) if count]
    columns = min(len(metrics), min(COLUMNS, key=lambda number: -len(metrics) % number))
    lines = -(-len(metrics) // columns)
    means, halves = scores.means(), np.zeros((len(scores.methods), len(scores.metrics)))
    rows = sorted({row for entry in series for row in entry.rows})
    for number in metrics:
        halves[rows, number] = _half_interval(scores.values[rows, :, number])
    colors = bundles(series, means[:, metrics])
    style: Any = {
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": salt,
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "text.parse_math": False,  # a name may hold a dollar sign
    }
    with mpl.rc_context(style):
        named = len(colors) > 1 or len(series) > MAX_SERIES
        height = 2.1 * lines + (0.22 * len(colors) if named else 0.3)
        figure = Figure(figsize=(3.1 * columns, height), layout="constrained")
        axes: Any = figure.subplots(lines, columns, squeeze=False)
        for axis, number in zip(axes.flat, metrics, strict=False):
            _draw_panel(axis, series, colors, means[:, number], halves[:, number])
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
    return _with_tooltips(content.getvalue(), [entry.name for entry in series], list(colors))


def _draw_panel(
    axis: Axes,
    series: Sequence[Series],
    colors: Mapping[str, Sequence[int]],
    means: Any,
    halves: Any,
) -> None:
    """Draw one metric."""
    many = len(series) > MAX_SERIES
    values = sorted({value for entry in series for value in entry.values})
    for color, numbers in zip(COLORS, colors.values(), strict=False):
        for number in numbers:
            entry = series[number]
            rows = list(entry.rows)
            (line,) = axis.plot(entry.values, means[rows], color=color)
            line.set_gid(f"{SERIES}{number}")
            if many:
                line.set(linewidth=0.6, alpha=0.45)
                continue
            line.set(linewidth=1.4, marker="o", markersize=3, label=entry.name or "mean")
            low, high = means[rows] - halves[rows], means[rows] + halves[rows]
            axis.fill_between(entry.values, low, high, color=color, alpha=0.12, linewidth=0)
    for place, (name, numbers) in enumerate(colors.items() if many else ()):
        lines = [series[number] for number in numbers]
        known = [v for v in values if any(v in entry.values for entry in lines)]
        rows_at = [[s.rows[s.values.index(v)] for s in lines if v in s.values] for v in known]
        shared = [float(np.nanmean(means[rows])) for rows in rows_at]
        (line,) = axis.plot(known, shared, color=COLORS[place], linewidth=2, label=name)
        line.set(marker="o", markersize=3.5, gid=f"{BUNDLE}{place}")
    if values[0] > 0 and values[-1] / values[0] >= LOG_RATIO:
        axis.set_xscale("log")
    if len(values) <= 8:
        axis.set_xticks(values, [f"{value:g}" for value in values])
        axis.minorticks_off()
    axis.grid(visible=True, linewidth=0.3, color="#9aa0a6", alpha=0.6)


def _with_tooltips(svg: bytes, series: Sequence[str], colors: Sequence[str]) -> bytes:
    """Return an SVG whose lines have titles, and a wider stroke to point at."""
    document: Any = minidom.parseString(svg)  # noqa: S318  # ours
    for group in document.getElementsByTagName("g"):
        name = group.getAttribute("id")
        if name:  # the names that matplotlib gives groups are the same in every plot
            group.removeAttribute("id")
        kind, number = name[: len(SERIES)], name[len(SERIES) :]
        if kind not in (SERIES, BUNDLE):
            continue
        title = document.createElement("title")
        text = (series if kind == SERIES else colors)[int(number)]
        title.appendChild(document.createTextNode(text or "mean"))
        (path, *_) = group.getElementsByTagName("path")
        wide_path = path.cloneNode(deep=False)
        wide_path.setAttribute("style", "fill: none; stroke: none; stroke-width: 7")
        wide_path.setAttribute("pointer-events", "stroke")
        group.insertBefore(title, group.firstChild)
        group.appendChild(wide_path)
    content: str = document.documentElement.toxml()
    return content.encode()


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
