"""The rows of a published table, and the distances of ours from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.reporting.tables import Cell, Table, format_columns, head
from fusionlab.evaluation.scores import Scores


def published_table(
    rows: Mapping[str, Mapping[str, float]],
    metrics: Sequence[Metric],
    digits: int,
    notes: Sequence[str] = (),
) -> Table:
    """Return the rows of a published table, in our columns."""
    values = np.array(
        [[row.get(metric.name, math.nan) for metric in metrics] for row in rows.values()]
    )
    texts = format_columns(values, digits)
    return Table(
        "Published",
        ("method", *map(head, metrics)),
        tuple((Cell(name), *map(Cell, texts[i])) for i, name in enumerate(rows)),
        tuple(notes),
        "published",
    )


def published_distances(
    scores: Scores, rows: Mapping[str, Mapping[str, float]], labels: Mapping[str, str]
) -> NDArray[np.float64]:
    """Return our means minus the published ones, `(published rows with a row of ours, metrics)`.

    nan for means over fewer images than those of the other rows.

    Args:
        scores: our values.
        rows: name of a published row -> metric -> mean.
        labels: name of a published row -> label of ours, for those that have one.
    """
    metrics = [metric.name for metric in scores.metrics]
    means = np.where(scores.complete, scores.means(), np.nan)
    distances = np.full((len(labels), len(metrics)), np.nan)
    for i, (name, label) in enumerate(labels.items()):
        published = [rows[name].get(metric, math.nan) for metric in metrics]
        distances[i] = means[scores.methods.index(label)] - published
    return distances


def distances_table(
    scores: Scores,
    rows: Mapping[str, Mapping[str, float]],
    labels: Mapping[str, str],
    digits: int,
    notes: Sequence[str] = (),
) -> Table:
    """Return the distances of our means from the published ones of the same methods.

    The second column has the name of the published row, where any differs from that of our row.
    """
    texts = format_columns(published_distances(scores, rows, labels), digits, sign="+")
    named = any(name != label for name, label in labels.items())
    return Table(
        "Distance of our rows from the published ones",
        (
            "method",
            *(["published as"] if named else []),
            *(metric.name for metric in scores.metrics),
        ),
        tuple(
            (
                Cell(label),
                *([Cell("" if name == label else name)] if named else []),
                *map(Cell, texts[i]),
            )
            for i, (name, label) in enumerate(labels.items())
        ),
        tuple(notes),
        "distances",
    )
