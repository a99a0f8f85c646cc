"""Tables as data: what stands in them, apart from how they are printed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fusionlab.evaluation.measures import Measure
from fusionlab.evaluation.scores import Scores, direction_of
from fusionlab.evaluation.statistics import ALPHA, Comparison, smallest_p

ARROWS = {1: " ↑", -1: " ↓", 0: ""}


@dataclass(frozen=True)
class Cell:
    """One entry of a table."""

    text: str = ""
    below: str = ""
    """The spread or the interval: smaller, in a second line where there is room."""
    mark: Literal["", "best", "second"] = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells under their heads, the first column the name of the row."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def means_table(scores: Scores, digits: int) -> Table:
    """Return means and spreads, the best and the second of each metric marked, and mean ranks."""
    means, spreads, ranks = scores.means(), scores.spreads(), scores.ranks()
    marks = _marks(means, scores.measures)
    ranked = not np.isnan(ranks).all()
    overall = np.nanmean(ranks[:, ~np.isnan(ranks).all(axis=0)], axis=1) if ranked else ranks[:, 0]
    rows = []
    for number, label in enumerate(scores.methods):
        cells = [
            Cell(
                _number(mean, digits),
                "" if math.isnan(spread) else f"±{_number(spread, digits)}",
                mark,
            )
            for mean, spread, mark in zip(
                means[number], spreads[number], marks[number], strict=True
            )
        ]
        rows.append((Cell(label), *cells, Cell(_number(overall[number], 2))))
    return Table(
        "Means over the images, ± their standard deviation",
        ("method", *map(_head, scores.measures), "rank ↓"),
        tuple(rows),
        tuple(_notes(scores)),
    )


def differences_table(
    title: str, comparisons: Sequence[Comparison], measures: Sequence[Measure], digits: int
) -> Table:
    """Return mean differences with their intervals; `*` marks those that chance hardly explains."""
    pairs = list(dict.fromkeys((one.method, one.against) for one in comparisons))
    found = {(one.method, one.against, one.metric): one for one in comparisons}
    rows = []
    for method, against in pairs:
        cells = []
        for measure in measures:
            one = found[method, against, measure.name]
            star = "*" if one.significant else ""
            interval = f"{_signed(one.low, digits)}..{_signed(one.high, digits)}"
            known = not math.isnan(one.low)
            cells.append(
                Cell(f"{_signed(one.difference, digits)}{star}", interval if known else "")
            )
        rows.append((Cell(method), Cell(against), *cells))
    tests = len(comparisons)
    note = (
        "Mean differences over the same images with their 95 % bootstrap interval; * p < 0.05 "
        f"(Wilcoxon signed-rank, Holm's correction for {tests} tests)."
    )
    notes = [note]
    images = max((one.images for one in comparisons), default=0)
    if images and tests * smallest_p(images) >= ALPHA:
        notes.append(
            f"No difference over {images} images can have a star among {tests} tests, however "
            "large; take more images, or fewer metrics."
        )
    return Table(title, ("method", "against", *map(_head, measures)), tuple(rows), tuple(notes))


def published_table(
    rows: Mapping[str, Mapping[str, float]], measures: Sequence[Measure], digits: int
) -> Table:
    """Return the rows of a published table, in our columns."""
    return Table(
        "Published",
        ("method", *map(_head, measures)),
        tuple(
            (
                Cell(label),
                *(Cell(_number(row.get(m.name, math.nan), digits)) for m in measures),
            )
            for label, row in rows.items()
        ),
    )


def distances_table(scores: Scores, rows: Mapping[str, Mapping[str, float]], digits: int) -> Table:
    """Return how far our means are from the published ones of the same methods."""
    means = scores.means()
    found = []
    for number, label in enumerate(scores.methods):
        if label in rows:
            apart = [
                mean - rows[label].get(measure.name, math.nan)
                for mean, measure in zip(means[number], scores.measures, strict=True)
            ]
            found.append((Cell(label), *(Cell(_signed(value, digits)) for value in apart)))
    return Table(
        "Distance of our rows from the published ones",
        ("method", *(measure.name for measure in scores.measures)),
        tuple(found),
    )


def _head(measure: Measure) -> str:
    return f"{measure.name}{ARROWS[direction_of(measure)]}"


def _marks(
    means: NDArray[np.float64], measures: Sequence[Measure]
) -> list[list[Literal["", "best", "second"]]]:
    """Mark the best and the second of each column; equal means share their mark."""
    marks: list[list[Literal["", "best", "second"]]] = [["" for _ in measures] for _ in means]
    for column, measure in enumerate(measures):
        better = direction_of(measure) * means[:, column]
        order = sorted(set(better[np.isfinite(better)].tolist()), reverse=True)
        if len(order) < 2:
            continue
        for row, value in enumerate(better):
            if value == order[0]:
                marks[row][column] = "best"
            elif value == order[1]:
                marks[row][column] = "second"
    return marks


def _notes(scores: Scores) -> list[str]:
    """Say over how many images the means are, where it is not all of them."""
    total = len(scores.stems)
    short = [
        f"{measure.name} {used}"
        for measure, used in zip(scores.measures, scores.used, strict=True)
        if used < total
    ]
    if not short:
        return [f"{total} images."]
    counts = ", ".join(short)
    return [f"{total} images; a mean is over those that every method has a value for: {counts}."]


def _number(value: float, digits: int) -> str:
    """Return a value with so many decimals; fewer for large ones, a dash for none."""
    if math.isnan(value):
        return "-"
    return f"{value:.{_decimals(value, digits)}f}"


def _signed(value: float, digits: int) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:+.{_decimals(value, digits)}f}"


def _decimals(value: float, digits: int) -> int:
    return digits if abs(value) < 100 else max(0, digits - 2)
