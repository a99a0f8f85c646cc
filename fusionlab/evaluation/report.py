"""The report of an evaluation: its tables, and every value behind them as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from fusionlab.evaluation.methods import Method
from fusionlab.evaluation.rendering import to_latex, to_markdown
from fusionlab.evaluation.scores import Outcome, Scores
from fusionlab.evaluation.statistics import compare
from fusionlab.evaluation.tables import (
    Table,
    differences_table,
    distances_table,
    means_table,
    published_table,
)


class Report:
    """What an evaluation found.

    Args:
        methods: the rows.
        scores: the values.
        outcomes: what became of every image, for the problems.
        settings: what all rows share, for the head of the tables.
        published: rows of a published table to print beside ours.
        against: label of a row that every other is compared with.
        digits: decimals shown.
    """

    def __init__(
        self,
        methods: Sequence[Method],
        scores: Scores,
        outcomes: Sequence[Outcome],
        settings: Mapping[str, str],
        *,
        published: Mapping[str, Mapping[str, float]] | None = None,
        against: str | None = None,
        digits: int = 4,
    ) -> None:
        self.methods = methods
        self.scores = scores
        self.settings = settings
        self.problems = [outcome.problem for outcome in outcomes if outcome.problem]
        self._published = published or {}
        self._against = against
        self._digits = digits
        self.lift = compare(
            scores, [(row.label, row.baseline) for row in methods if row.baseline is not None]
        )
        self.duels = compare(
            scores, [(row, against) for row in scores.methods if against and row != against]
        )

    @cached_property
    def tables(self) -> list[Table]:
        """The tables, the means first."""
        measures, digits = self.scores.measures, self._digits
        tables = [means_table(self.scores, digits)]
        if self.lift:
            tables.append(differences_table("Lift over the baseline", self.lift, measures, digits))
        if self.duels:
            title = f"Against {self._against}"
            tables.append(differences_table(title, self.duels, measures, digits))
        if self._published:
            tables.append(published_table(self._published, measures, digits))
            tables.append(distances_table(self.scores, self._published, digits))
        return tables

    def files(self, folder: Path) -> dict[Path, bytes]:
        """Return the files of the report and their content."""
        texts = {
            "table.md": self._markdown(),
            "table.tex": "\n\n".join(map(to_latex, self.tables)) + "\n",
            "means.csv": self._means_csv(),
            "images.csv": self._images_csv(),
            "evaluation.json": self.to_json(),
        }
        return {folder / name: text.encode() for name, text in texts.items()}

    def to_json(self) -> str:
        """Return everything: settings, metrics, the value of every image, means, comparisons."""
        scores = self.scores
        means, spreads, ranks = scores.means(), scores.spreads(), scores.ranks()
        names = [measure.name for measure in scores.measures]

        def row(values: Any) -> dict[str, float | None]:
            return _without_nan(dict(zip(names, values.tolist(), strict=True)))

        found = {
            "settings": dict(self.settings),
            "metrics": {
                measure.name: {
                    "summary": measure.ref.summary,
                    "better": measure.ref.better,
                    "sources": measure.ref.sources,
                    "reference": measure.ref.reference,
                    "plugin": measure.offer.plugin,
                    "images": used,
                }
                for measure, used in zip(scores.measures, scores.used, strict=True)
            },
            "images": scores.stems,
            "methods": {
                method.label: {
                    "made": method.describe(),
                    "mean": row(means[i]),
                    "deviation": row(spreads[i]),
                    "rank": row(ranks[i]),
                    "values": {s: row(scores.values[i, j]) for j, s in enumerate(scores.stems)},
                }
                for i, method in enumerate(self.methods)
            },
            "comparisons": [_without_nan(asdict(one)) for one in (*self.lift, *self.duels)],
            "problems": self.problems,
        }
        return json.dumps(found, indent=1, allow_nan=False) + "\n"

    def _markdown(self) -> str:
        """Return the tables under their settings."""
        facts = [f"* {name}: {value}" for name, value in self.settings.items()]
        problems = [f"* no score: {problem}" for problem in self.problems]
        head = "\n".join(["# Evaluation", "", *facts, *problems])
        return "\n\n".join([head, *map(to_markdown, self.tables)]) + "\n"

    def _means_csv(self) -> str:
        """Return a line for each method and metric: mean, deviation, rank, images, lift."""
        scores = self.scores
        means, spreads, ranks = scores.means(), scores.spreads(), scores.ranks()
        lift = {(one.method, one.metric): one for one in self.lift}
        rows = []
        for i, method in enumerate(scores.methods):
            for j, measure in enumerate(scores.measures):
                one = lift.get((method, measure.name))
                held = (one.against, one.difference, one.low, one.high, one.p) if one else ()
                numbers = (means[i, j], spreads[i, j], ranks[i, j])
                rows.append((method, measure.name, scores.used[j], *numbers, *held))
        heads = [
            "method",
            "metric",
            "images",
            "mean",
            "deviation",
            "rank",
            "baseline",
            "lift",
            "low",
            "high",
            "p",
        ]
        return _csv(heads, rows)

    def _images_csv(self) -> str:
        """Return a line for each method and image, a column for each metric."""
        scores = self.scores
        rows = [
            (method, stem, *scores.values[i, j])
            for i, method in enumerate(scores.methods)
            for j, stem in enumerate(scores.stems)
        ]
        return _csv(["method", "image", *(measure.name for measure in scores.measures)], rows)


def _without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON knows no nan: it becomes null."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}


def _csv(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return CSV with ten digits; what is not known stays empty."""

    def show(value: object) -> object:
        if not isinstance(value, float):
            return value
        return "" if math.isnan(value) else f"{value:.10g}"

    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(heads)
    for row in rows:
        missing = [""] * (len(heads) - len(row))
        writer.writerow([*map(show, row), *missing])
    return file.getvalue()
