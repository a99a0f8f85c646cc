"""What the page says of each image set: the table of means with all that belongs to its cells."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fusionlab.evaluation.comparisons import Comparison
from fusionlab.evaluation.factors import varying
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.page.correlation import Correlation, metric_correlation
from fusionlab.evaluation.page.ranks import RankDiagram, rank_diagrams
from fusionlab.evaluation.reporting.report import Report
from fusionlab.evaluation.reporting.tables import Table, head, mean_ranks
from fusionlab.evaluation.studies.results import StudyResults

MAX_PROBLEMS = 200
"""More problems are counted, not listed."""
MAX_FILTER_VALUES = 40
"""Factors with more values cannot be filtered by; the search in the names can."""


@dataclass(frozen=True)
class Column:
    """The head of a column."""

    text: str
    kind: str
    """`method`, `factor`, `fact` or `metric`."""
    direction: int = 0
    """1 if higher values are better, -1 if lower values are."""
    help: str = ""

    @property
    def number(self) -> bool:
        """Whether its cells are numbers, which stand below one another."""
        return self.kind == "metric" or self.direction != 0 or self.text.endswith("%")


@dataclass(frozen=True)
class Difference:
    """The difference of a mean from that of another row, as a detail of a cell."""

    kind: str
    """Kind of the comparison."""
    text: str
    better: int
    help: str


@dataclass(frozen=True)
class Cell:
    """One cell of the table of means."""

    text: str
    value: float | str
    """What the column is sorted by; nan where there is none."""
    mark: str = ""
    deviation: str = ""
    differences: tuple[Difference, ...] = ()

    @property
    def key(self) -> str:
        """The value as an attribute of the cell; empty for nan."""
        if isinstance(self.value, str):
            return self.value
        return "" if math.isnan(self.value) else repr(float(self.value))


@dataclass(frozen=True)
class Row:
    """One row of the table of means."""

    number: int
    label: str
    factors: Mapping[str, str]
    cells: tuple[Cell, ...]
    made: str = ""
    """The place on the page that says how it was made."""


@dataclass(frozen=True)
class SetContent:
    """Everything that the page says of one image set."""

    number: int
    name: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    comparisons: Mapping[str, str]
    """Kind of comparison -> title."""
    filters: Mapping[str, Sequence[str]]
    """Factor that varies -> its values."""
    tables: Sequence[Table]
    """All tables but that of the means."""
    notes: Sequence[str]
    settings: Mapping[str, str]
    samples: int
    problems: Sequence[str]
    more_problems: int
    known: int
    """How many rows of scores there are."""
    total: int
    """How many there will be."""
    failed: int
    """How many rows of scores lack values."""
    left_out: Mapping[str, str]
    ranks: Sequence[RankDiagram]
    correlation: Correlation | None
    metrics: Sequence[Mapping[str, str]]
    """The facts of each metric."""
    sweeps: list[Mapping[str, str]] = field(default_factory=list)
    """The plots of parameter sweeps: `factor`, `path`, `caption`, `text` for screen readers."""


@dataclass(frozen=True)
class Made:
    """How the images of a row were made; sets share it where it is the same."""

    place: str
    label: str
    facts: Sequence[tuple[str, str]]
    sets: list[str]


def describe_rows(results: StudyResults) -> tuple[list[Made], dict[tuple[str, str], str]]:
    """Return how the rows were made, and (set, label) -> the place that says so."""
    made: dict[str, Made] = {}
    places: dict[tuple[str, str], str] = {}
    for name, report in results.reports.items():
        for label, description in report.descriptions.items():
            key = json.dumps([label, description], sort_keys=True, default=str)
            if key not in made:
                made[key] = Made(f"made-{len(made)}", label, _facts(description), [])
            made[key].sets.append(name)
            places[name, label] = made[key].place
    return list(made.values()), places


def set_content(
    results: StudyResults, name: str, number: int, places: Mapping[tuple[str, str], str]
) -> SetContent:
    """Return what the page says of an image set.

    Args:
        results: the study.
        name: of the set.
        number: of the set on the page.
        places: see `describe_rows`.
    """
    report = results.reports[name]
    factors = [report.factors.get(label, {}) for label in report.scores.methods]
    names = varying(factors)
    groups = comparison_groups(report)
    columns, rows = _table(report, names, groups)
    problems = report.problems
    values: dict[str, list[str]] = {
        factor: list(dict.fromkeys(row.get(factor, "") for row in factors)) for factor in names
    }
    return SetContent(
        number,
        name,
        columns,
        tuple(
            Row(i, label, {n: factors[i].get(n, "") for n in names}, rows[i], places[name, label])
            for i, label in enumerate(report.scores.methods)
        ),
        {key: title for key, (title, _) in groups.items()},
        {factor: seen for factor, seen in values.items() if len(seen) <= MAX_FILTER_VALUES},
        report.tables[1:],
        report.tables[0].notes,
        report.settings,
        len(report.scores.samples),
        problems[:MAX_PROBLEMS],
        max(0, len(problems) - MAX_PROBLEMS),
        report.scores.known,
        report.scores.total,
        sum(bool(row.problem) for row in report.rows),
        report.left_out,
        rank_diagrams(report.scores),
        metric_correlation(report.scores),
        [_metric_facts(metric) for metric in report.scores.metrics],
    )


def comparison_groups(report: Report) -> dict[str, tuple[str, Sequence[Comparison]]]:
    """Return kind -> the title and the comparisons of each kind that there is."""
    titles = {"gain": "gain over the baseline", "against": f"difference from {report.against}"}
    return {
        kind: (titles.get(kind, f"difference along {kind}"), comparisons)
        for kind, comparisons in report.comparisons_by_kind.items()
    }


def references_by_kind(report: Report) -> dict[str, list[int | None]]:
    """Return kind of comparison -> for each row the number of the one it is compared with."""
    numbers = {label: number for number, label in enumerate(report.scores.methods)}
    references = {}
    for kind, comparisons in report.comparisons_by_kind.items():
        against = {comparison.method: numbers[comparison.against] for comparison in comparisons}
        references[kind] = [against.get(label) for label in numbers]
    return references


def decimals(report: Report) -> list[int]:
    """Return how many decimals the table shows of each metric."""
    table = report.tables[0]
    places = []
    for metric in report.scores.metrics:
        column = table.heads.index(head(metric))
        texts = [row[column].text for row in table.rows]
        places.append(max((len(text.partition(".")[2]) for text in texts), default=report.digits))
    return places


def _table(
    report: Report, names: Sequence[str], groups: Mapping[str, tuple[str, Sequence[Comparison]]]
) -> tuple[tuple[Column, ...], list[tuple[Cell, ...]]]:
    """Return the columns after the name of the row, and the cells of each row."""
    table, scores = report.tables[0], report.scores
    metric_of = {head(metric): number for number, metric in enumerate(scores.metrics)}
    columns = [Column(name, "factor") for name in names]
    for text in table.heads[1:]:
        if text in metric_of:
            columns.append(_metric_column(scores.metrics[metric_of[text]]))
        else:
            columns.append(Column(text.removesuffix(" ↓"), "fact", -1 if "↓" in text else 0))
    means, ranks, places = scores.means(), mean_ranks(scores), decimals(report)
    differences = _differences(report, groups, places)
    rows = []
    for number, label in enumerate(scores.methods):
        factors = report.factors.get(label, {})
        cells = [Cell(factors.get(name, ""), _sort_key(factors.get(name, ""))) for name in names]
        for text, cell in zip(table.heads[1:], table.rows[number][1:], strict=True):
            if text in metric_of:
                metric = metric_of[text]
                details = tuple(differences.get((label, scores.metrics[metric].name), ()))
                value = float(means[number, metric])
                cells.append(Cell(cell.text, value, cell.mark, cell.detail, details))
            elif text.startswith("rank"):
                cells.append(Cell(cell.text, ranks[number]))
            else:
                cells.append(Cell(cell.text, _sort_key(cell.text)))
        rows.append(tuple(cells))
    return tuple(columns), rows


def _metric_column(metric: Metric) -> Column:
    better = {1: "higher is better", -1: "lower is better", 0: "neither is better"}
    text = f"{metric.summary} ({better[metric.direction]})"
    return Column(metric.name, "metric", metric.direction, text)


def _differences(
    report: Report, groups: Mapping[str, tuple[str, Sequence[Comparison]]], places: Sequence[int]
) -> dict[tuple[str, str], list[Difference]]:
    """Return (label, metric) -> the differences from other rows."""
    decimals_of = dict(zip((m.name for m in report.scores.metrics), places, strict=True))
    details: dict[tuple[str, str], list[Difference]] = {}
    for key, (_, comparisons) in groups.items():
        for entry in comparisons:
            if math.isnan(entry.difference):
                continue
            digits = decimals_of[entry.metric]
            star = "*" if entry.significant else ""
            interval = (
                ""
                if math.isnan(entry.low)
                else f", 95 % interval {entry.low:+.{digits}f} to {entry.high:+.{digits}f}"
            )
            text = f"{entry.difference:+.{digits}f}{star}"
            help_text = (
                f"{entry.difference:+.{digits}f} against {entry.against}{interval}, "
                f"p = {entry.p:.2g}, {entry.images} images"
            )
            details.setdefault((entry.method, entry.metric), []).append(
                Difference(key, text, entry.better if entry.significant else 0, help_text)
            )
    return details


def _sort_key(text: str) -> float | str:
    """Return a text as a number if it is one; nan where there is none."""
    try:
        return float(text.removeprefix("<"))
    except ValueError:
        return text if text not in ("", "-") else math.nan


def _metric_facts(metric: Metric) -> dict[str, str]:
    better = {1: "higher", -1: "lower", 0: "neither"}
    return {
        "name": metric.name,
        "summary": metric.summary,
        "better": better[metric.direction],
        "compared with": "the true image" if metric.of_truth else "the sources",
        "reference": metric.ref.reference,
        "plugin": metric.registration.plugin,
        "code": metric.identity[:16],
    }


def _facts(description: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the description of a row as names and texts, nested values written out."""
    return [
        (name.replace("_", " "), _fact(value))
        for name, value in description.items()
        if value not in (None, "", [], {})
    ]


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {_fact(entry)}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(_fact, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Overview:
    """The mean ranks of each row in each set, for studies of several sets."""

    labels: Sequence[str]
    ranks: Sequence[Sequence[float]]
    """`(labels, sets)`; nan where a row is not ranked."""
    metrics: Sequence[str]
    """Names of the metrics of any set."""

    def mean(self, row: int) -> float:
        """Return the mean over the sets; nan unless the row is ranked in all of them."""
        return float(np.mean(self.ranks[row]))


def overview(results: StudyResults) -> Overview:
    """Return the mean ranks of each row in each set, the best first; those without one last."""
    labels = list(
        dict.fromkeys(label for r in results.reports.values() for label in r.scores.methods)
    )
    columns = [
        dict(zip(report.scores.methods, mean_ranks(report.scores), strict=True))
        for report in results.reports.values()
    ]
    metrics = dict.fromkeys(m.name for r in results.reports.values() for m in r.scores.metrics)
    rows = [[column.get(label, math.nan) for column in columns] for label in labels]
    means = [float(np.mean(row)) for row in rows]
    order = np.argsort(means, kind="stable")  # nan is last
    return Overview([labels[row] for row in order], [rows[row] for row in order], list(metrics))
