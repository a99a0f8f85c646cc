"""Tables as data: their cells, marks and notes, independent of how they are printed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fusionlab.evaluation.comparisons import Comparison, smallest_p, what_to_change
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.paired_tests import ALPHA
from fusionlab.evaluation.scores import Scores

MISSING = "-"
LARGE = 100
"""Columns with values of this size have two decimals fewer."""
ARROWS = {1: " ↑", -1: " ↓", 0: ""}
OUTSIDE_NOTE = (
    "outside %: the share of the fused values outside 0..255 before the range policy, mean over "
    "the images."
)
Mark = Literal["", "best", "second"]


@dataclass(frozen=True)
class Cell:
    """One entry of a table."""

    text: str = ""
    detail: str = ""
    """The deviation or the interval: smaller, in a second line where there is room."""
    mark: Mark = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells under their heads; the first column is the name of the row."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    key: str = ""
    """A short name, for references."""


def means_table(
    scores: Scores,
    digits: int,
    range_policies: Mapping[str, str | None] | None = None,
    notes: Sequence[str] = (),
) -> Table:
    """Return means and deviations, the best and second of each metric marked, and mean ranks.

    The last column is the mean of a method's ranks over the metrics that have a direction. Where
    the range policies of the rows that were fused here differ, a column shows them, unless the
    labels do: `l1norm [clip]`. Where values
    of a row lie outside 0..255 before its range policy, a column shows their share in percent.

    Args:
        scores: the values.
        digits: decimals shown.
        range_policies: label -> range policy; None for files.
        notes: sentences to print beneath.
    """
    policies = range_policies or {}
    differ = len({policy for policy in policies.values() if policy}) > 1 and not all(
        policy is None or policy in label.rpartition(" [")[2].rstrip("]").split(", ")
        for label, policy in policies.items()
    )
    overshoots = any(share > 0 for share in scores.outside)
    facts = (*(["range"] if differ else []), *(["outside %"] if overshoots else []))
    means = scores.means()
    texts = format_columns(means, digits)
    deviations = format_columns(scores.deviations(), digits, decimals_of=means)
    marks = _marks(np.where(scores.complete, means, np.nan), texts, scores.metrics)
    ranks = mean_ranks(scores)
    rows = [
        (
            Cell(label),
            *([Cell(policies[label] or "as is")] if differ else []),
            *([Cell(_percent(scores.outside[i]))] if overshoots else []),
            *(
                Cell(text, "" if deviation == MISSING else f"±{deviation}", mark)
                for text, deviation, mark in zip(texts[i], deviations[i], marks[i], strict=True)
            ),
            Cell(MISSING if math.isnan(ranks[i]) else f"{ranks[i]:.2f}"),
        )
        for i, label in enumerate(scores.methods)
    ]
    return Table(
        "Means over the images, ± their standard deviation",
        ("method", *facts, *map(head, scores.metrics), "rank ↓"),
        tuple(rows),
        (
            _count_note(scores),
            *([OUTSIDE_NOTE] if overshoots else []),
            *_incomplete_notes(scores),
            *notes,
        ),
        "means",
    )


def differences_table(
    title: str, comparisons: Sequence[Comparison], metrics: Sequence[Metric], digits: int, key: str
) -> Table:
    """Return mean differences with their intervals; `*` marks those that are significant.

    Args:
        title: of the table.
        comparisons: as `compare` returns them: pair after pair, the metrics of each in order.
        metrics: the columns.
        digits: decimals shown.
        key: a short name of the table.
    """
    count = len(metrics)
    pairs = [(comparison.method, comparison.against) for comparison in comparisons[::count]]
    values = np.array([[entry.difference, entry.low, entry.high] for entry in comparisons])
    differences, lows, highs = values.reshape(len(pairs), count, 3).transpose(2, 0, 1)
    texts = format_columns(differences, digits, sign="+")
    low_texts = format_columns(lows, digits, decimals_of=differences, sign="+")
    high_texts = format_columns(highs, digits, decimals_of=differences, sign="+")
    rows = []
    for i, (method, against) in enumerate(pairs):
        cells = [
            Cell(
                f"{texts[i][j]}{'*' if comparisons[i * count + j].significant else ''}",
                "" if low_texts[i][j] == MISSING else f"{low_texts[i][j]}..{high_texts[i][j]}",
            )
            for j in range(count)
        ]
        rows.append((Cell(method), Cell(against), *cells))
    heads = ("method", "against", *map(head, metrics))
    return Table(title, heads, tuple(rows), _difference_notes(comparisons), key)


def head(metric: Metric) -> str:
    """Return the head of a column: the name of the metric, and which direction is better."""
    return f"{metric.name}{ARROWS[metric.direction]}"


def _percent(share: float) -> str:
    """Return a share in percent with two decimals; a smaller one is not shown as zero."""
    if math.isnan(share):
        return MISSING
    return "<0.01" if 0 < share < 0.01 else f"{share:.2f}"


def mean_ranks(scores: Scores) -> list[float]:
    """Return the mean of a method's ranks over the metrics that have a direction.

    nan for methods that are not ranked by all of them.
    """
    columns = [column for column in scores.ranks().T if not np.isnan(column).all()]
    return np.mean(columns, axis=0).tolist() if columns else [math.nan] * len(scores.methods)


def _marks(
    means: NDArray[np.float64], texts: list[list[str]], metrics: Sequence[Metric]
) -> list[list[Mark]]:
    """Mark the best and the second of each column; equal printed values share a mark."""
    marks: list[list[Mark]] = [["" for _ in metrics] for _ in means]
    for column, metric in enumerate(metrics):
        signed_means = metric.direction * means[:, column]
        order = [row for row in np.argsort(-signed_means) if np.isfinite(signed_means[row])]
        distinct_texts = list(dict.fromkeys(texts[row][column] for row in order))
        if len(distinct_texts) < 2 or not metric.direction:
            continue
        for row in order:
            if texts[row][column] == distinct_texts[0]:
                marks[row][column] = "best"
            elif texts[row][column] == distinct_texts[1]:
                marks[row][column] = "second"
    return marks


def _count_note(scores: Scores) -> str:
    """Return how many images the means are over."""
    total = len(scores.samples)
    images = f"{total} image{'' if total == 1 else 's'}"
    fewer = [
        f"{metric.name} {count}"
        for metric, count in zip(scores.metrics, scores.counts, strict=True)
        if count < total
    ]
    if not fewer:
        return f"{images}."
    return f"{images}; means are over those that have a value: {', '.join(fewer)}."


def _incomplete_notes(scores: Scores) -> list[str]:
    """Return a sentence for each method that lacks values which other methods have.

    One sentence for all of them while rows are still to be computed: most lack some then.
    """
    if scores.known < scores.total:
        counts = f"{scores.known:,} of {scores.total:,}"
        note = f"Not complete: {counts} rows of scores are there so far."
        lacking = int((~scores.complete).any(axis=1).sum())
        if lacking:
            note += (
                f" {lacking} of {len(scores.methods)} methods have values for fewer images than "
                "others: their means are over other images, and are not ranked."
            )
        return [note]
    notes = []
    for row, label in enumerate(scores.methods):
        fewer = [
            f"{metric.name} {scores.method_counts[row, column]}"
            for column, metric in enumerate(scores.metrics)
            if not scores.complete[row, column]
        ]
        if fewer:
            notes.append(
                f"{label} has values for fewer images than other rows: {', '.join(fewer)}. These "
                "means are over other images than theirs, and are not ranked."
            )
    return notes


def _difference_notes(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """Return how the differences were tested, and whether any could be significant."""
    tests = max((comparison.tests for comparison in comparisons), default=0)
    note = (
        "Mean differences over the same images with their 95 % bootstrap interval; * p < 0.05 "
        f"(Wilcoxon signed-rank, Holm's correction for {tests} tests)."
    )
    return (note, *impossible_note(comparisons))


def impossible_note(comparisons: Sequence[Comparison], compared: str = "rows") -> tuple[str, ...]:
    """Return a sentence if none of the comparisons can be significant, and what to change.

    Args:
        comparisons: of one table.
        compared: what there could be fewer of; see `what_to_change`.
    """
    tests = max((comparison.tests for comparison in comparisons), default=0)
    images = max((comparison.images for comparison in comparisons), default=0)
    if not images or tests * smallest_p(images) < ALPHA:
        return ()
    metrics = len({comparison.metric for comparison in comparisons})
    return (
        (
            f"No difference over {images} images can be significant among {tests} tests, however "
            f"large; {what_to_change(images, tests, metrics, compared)}."
        ),
    )


def format_columns(
    values: NDArray[np.float64],
    digits: int,
    *,
    decimals_of: NDArray[np.float64] | None = None,
    sign: str = "",
) -> list[list[str]]:
    """Return values as text, each column with the same decimals: fewer if it has large values.

    Args:
        values: `(rows, columns)`.
        digits: decimals of columns with values below 100.
        decimals_of: take the decimals of these instead, so that a deviation has those of its mean.
        sign: `+` for differences.
    """
    magnitudes = np.abs(values if decimals_of is None else decimals_of)
    texts = []
    for row in values:
        cells = []
        for column, value in enumerate(row):
            large = np.nanmax(magnitudes[:, column], initial=0) >= LARGE
            text = f"{value:{sign}.{max(0, digits - 2) if large else digits}f}"
            if float(text) == 0 and text.startswith("-"):
                text = f"{sign}{text[1:]}"  # a rounded zero has no sign
            cells.append(MISSING if math.isnan(value) else text)
        texts.append(cells)
    return texts
