"""The report of an evaluation: its tables, and every value behind them as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from fusionlab.evaluation.methods import Method
from fusionlab.evaluation.provenance import code_of, libraries
from fusionlab.evaluation.rendering import to_latex, to_markdown
from fusionlab.evaluation.scores import Outcome, Scores, as_json
from fusionlab.evaluation.statistics import Comparison, compare
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
        unlike: why these do not compare with ours, a sentence; empty if they do.
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
        unlike: str = "",
        against: str | None = None,
        digits: int = 4,
    ) -> None:
        self.methods = methods
        self.scores = scores
        self.settings = settings
        # a source that cannot be read is one problem, not one of each row
        self.problems = list(dict.fromkeys(o.problem for o in outcomes if o.problem))
        self._published = published or {}
        self._unlike = unlike
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
            tables.append(published_table(self._published, measures, digits, self._unlike))
            if not self._unlike and self._published.keys() & set(self.scores.methods):
                tables.append(distances_table(self.scores, self._published, digits))
        return tables

    def files(self, folder: Path) -> dict[Path, bytes]:
        """Return the files of the report and their content."""
        texts = {
            "table.md": self._markdown(),
            "table.tex": "\n\n".join(map(to_latex, self.tables)) + "\n",
            "means.csv": self._means_csv(),
            "comparisons.csv": self._comparisons_csv(),
            "images.csv": self._images_csv(),
            "evaluation.json": self.to_json(),
        }
        # a file name may hold bytes that are no text
        return {
            folder / name: text.encode(errors="backslashreplace") for name, text in texts.items()
        }

    def to_json(self) -> str:
        """Return everything: settings, metrics, the value of every image, means, comparisons."""
        scores = self.scores
        means, spreads, ranks = scores.means(), scores.spreads(), scores.ranks()
        names = [measure.name for measure in scores.measures]

        def row(values: Any) -> dict[str, float | None]:
            return as_json(dict(zip(names, values.tolist(), strict=True)))

        found = {
            "settings": dict(self.settings),
            "libraries": libraries(),
            "metrics": {
                measure.name: {
                    "summary": measure.ref.summary,
                    "higher_is_better": measure.ref.higher_is_better,
                    "sources": measure.ref.sources,
                    "reference": measure.ref.reference,
                    "plugin": measure.registration.plugin,
                    "code": code_of(measure.ref.target.partition(":")[0]),
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
            "comparisons": [as_json(asdict(one)) for one in (*self.lift, *self.duels)],
            "published": {name: dict(row) for name, row in self._published.items()},
            "published_unlike": self._unlike,
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
        """Return a line for each method and metric: mean, deviation, rank, images."""
        scores = self.scores
        means, spreads, ranks = scores.means(), scores.spreads(), scores.ranks()
        rows = [
            (method, measure.name, scores.used[j], means[i, j], spreads[i, j], ranks[i, j])
            for i, method in enumerate(scores.methods)
            for j, measure in enumerate(scores.measures)
        ]
        return _csv(["method", "metric", "images", "mean", "deviation", "rank"], rows)

    def _comparisons_csv(self) -> str:
        """Return a line for each comparison: with the baseline, and with the row asked for."""
        rows = [asdict(one) for one in (*self.lift, *self.duels)]
        heads = [field.name for field in fields(Comparison)]
        return _csv(heads, [[row[head] for head in heads] for row in rows])

    def _images_csv(self) -> str:
        """Return a line for each method and image, a column for each metric."""
        scores = self.scores
        rows = [
            (method, stem, *scores.values[i, j])
            for i, method in enumerate(scores.methods)
            for j, stem in enumerate(scores.stems)
        ]
        return _csv(["method", "image", *(measure.name for measure in scores.measures)], rows)


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
        writer.writerow([show(value) for value in row])
    return file.getvalue()
