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

UNKNOWN = "-"
LARGE = 100
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
    """Return means and spreads, the best and the second of each metric marked, and mean ranks.

    The last column is the mean of a method's ranks over the metrics that have a direction.
    """
    means, spreads = scores.means(), scores.spreads()
    texts, deviations = _numbers(means, digits), _numbers(spreads, digits, like=means)
    marks = _marks(means, texts, scores.measures)
    ranks = _overall(scores)
    rows = [
        (
            Cell(label),
            *(
                Cell(text, "" if deviation == UNKNOWN else f"±{deviation}", mark)
                for text, deviation, mark in zip(texts[i], deviations[i], marks[i], strict=True)
            ),
            Cell(UNKNOWN if math.isnan(ranks[i]) else f"{ranks[i]:.2f}"),
        )
        for i, label in enumerate(scores.methods)
    ]
    return Table(
        "Means over the images, ± their standard deviation",
        ("method", *map(_head, scores.measures), "rank ↓"),
        tuple(rows),
        tuple(_notes(scores)),
    )


def differences_table(
    title: str, comparisons: Sequence[Comparison], measures: Sequence[Measure], digits: int
) -> Table:
    """Return mean differences with their intervals; `*` marks those that chance hardly explains.

    Args:
        title: of the table.
        comparisons: as `compare` gives them: pair after pair, the measures of each in order.
        measures: the columns.
        digits: decimals shown.
    """
    count = len(measures)
    pairs = [(one.method, one.against) for one in comparisons[::count]]
    limits = np.array([[one.difference, one.low, one.high] for one in comparisons])
    differences, lows, highs = limits.reshape(len(pairs), count, 3).transpose(2, 0, 1)
    texts = _numbers(differences, digits, sign="+")
    least, most = (_numbers(ends, digits, like=differences, sign="+") for ends in (lows, highs))
    rows = []
    for i, (method, against) in enumerate(pairs):
        cells = [
            Cell(
                f"{texts[i][j]}{'*' if comparisons[i * count + j].significant else ''}",
                "" if least[i][j] == UNKNOWN else f"{least[i][j]}..{most[i][j]}",
            )
            for j in range(count)
        ]
        rows.append((Cell(method), Cell(against), *cells))
    tests = sum(not math.isnan(one.p) for one in comparisons)
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
    rows: Mapping[str, Mapping[str, float]],
    measures: Sequence[Measure],
    digits: int,
    note: str = "",
) -> Table:
    """Return the rows of a published table, in our columns."""
    values = np.array([[row.get(m.name, math.nan) for m in measures] for row in rows.values()])
    texts = _numbers(values, digits)
    return Table(
        "Published",
        ("method", *map(_head, measures)),
        tuple((Cell(label), *map(Cell, texts[i])) for i, label in enumerate(rows)),
        (note,) if note else (),
    )


def distances_table(scores: Scores, rows: Mapping[str, Mapping[str, float]], digits: int) -> Table:
    """Return how far our means are from the published ones of the same methods."""
    labels = [label for label in scores.methods if label in rows]
    theirs = [[rows[label].get(m.name, math.nan) for m in scores.measures] for label in labels]
    ours = scores.means()[[scores.methods.index(label) for label in labels]]
    texts = _numbers(ours - np.array(theirs).reshape(ours.shape), digits, sign="+")
    return Table(
        "Distance of our rows from the published ones",
        ("method", *(measure.name for measure in scores.measures)),
        tuple((Cell(label), *map(Cell, texts[i])) for i, label in enumerate(labels)),
    )


def _head(measure: Measure) -> str:
    return f"{measure.name}{ARROWS[direction_of(measure)]}"


def _overall(scores: Scores) -> list[float]:
    """Return the mean of a method's ranks over the metrics that know better from worse."""
    known = [column for column in scores.ranks().T if not np.isnan(column).any()]
    return np.mean(known, axis=0).tolist() if known else [math.nan] * len(scores.methods)


def _marks(
    means: NDArray[np.float64], texts: list[list[str]], measures: Sequence[Measure]
) -> list[list[Literal["", "best", "second"]]]:
    """Mark the best and the second of each column; what is printed alike shares its mark."""
    marks: list[list[Literal["", "best", "second"]]] = [["" for _ in measures] for _ in means]
    for column, measure in enumerate(measures):
        better = direction_of(measure) * means[:, column]
        order = [row for row in np.argsort(-better) if np.isfinite(better[row])]
        printed = list(dict.fromkeys(texts[row][column] for row in order))
        if len(printed) < 2 or not direction_of(measure):
            continue
        for row in order:
            if texts[row][column] == printed[0]:
                marks[row][column] = "best"
            elif texts[row][column] == printed[1]:
                marks[row][column] = "second"
    return marks


def _notes(scores: Scores) -> list[str]:
    """Say over how many images the means are, where it is not all of them."""
    total = len(scores.stems)
    images = f"{total} image{'' if total == 1 else 's'}"
    short = [
        f"{measure.name} {used}"
        for measure, used in zip(scores.measures, scores.used, strict=True)
        if used < total
    ]
    if not short:
        return [f"{images}."]
    counts = ", ".join(short)
    return [f"{images}; a mean is over those that every method has a value for: {counts}."]


def _numbers(
    values: NDArray[np.float64],
    digits: int,
    *,
    like: NDArray[np.float64] | None = None,
    sign: str = "",
) -> list[list[str]]:
    """Return values as text, each column with the same decimals: fewer where it has large ones.

    Args:
        values: `(rows, columns)`.
        digits: decimals of columns with values below 100.
        like: take the decimals of these instead, so that a spread has those of its mean.
        sign: `+` for differences.
    """
    model = np.abs(values if like is None else like)
    texts = []
    for row in values:
        cells = []
        for column, value in enumerate(row):
            large = np.nanmax(model[:, column], initial=0) >= LARGE
            text = f"{value:{sign}.{max(0, digits - 2) if large else digits}f}"
            if float(text) == 0 and text.startswith("-"):
                text = f"{sign}{text[1:]}"  # a rounded zero has no sign
            cells.append(UNKNOWN if math.isnan(value) else text)
        texts.append(cells)
    return texts
