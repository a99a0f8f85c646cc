"""The report of an evaluation: its tables, and every value behind them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fusionlab.errors import FusionlabError
from fusionlab.evaluation.comparisons import Comparison, compare
from fusionlab.evaluation.factors import factors_of
from fusionlab.evaluation.methods import Method
from fusionlab.evaluation.reporting.files import markdown_text, report_files
from fusionlab.evaluation.reporting.formats import to_text
from fusionlab.evaluation.reporting.published import distances_table, published_table
from fusionlab.evaluation.reporting.tables import Table, differences_table, means_table
from fusionlab.evaluation.scores import ScoreRow, Scores
from fusionlab.safe_text import safe_text
from fusionlab.storage.atomic import atomic_write_all, make_folder

if TYPE_CHECKING:
    from pandas import DataFrame


class Report:
    """The result of an evaluation: `print(report)` and notebooks show its tables.

    Args:
        methods: the rows.
        scores: the values.
        rows: the scores of each method and sample, with their problems.
        settings: what all rows share, for the head of the tables.
        published: rows of a published table to print next to ours: name -> metric -> mean.
        published_labels: name of a published row -> label of the row of ours that it belongs to;
            None: the rows of the same names.
        published_note: a sentence that says why these are not comparable with ours; empty if they
            are.
        explanations: name of a published row -> how and why ours differs from it.
        left_out: label -> why this method has no row, `it needs exactly 2 sources, the set has 3`.
        broken: those of them whose plugins failed.
        against: label of a row that every other row is compared with.
        comparisons: kind -> comparisons, if they belong to a family that is larger than this
            report: `gain`, `against`, or the name of a factor; None: they are made here.
        digits: decimals shown.
        unsaved: a sentence that says what could not be written into the output folder.
        name: of the image set.
        deviations: whether the tables for LaTeX have deviations and intervals.
    """

    def __init__(
        self,
        methods: Sequence[Method],
        scores: Scores,
        rows: Sequence[ScoreRow],
        settings: Mapping[str, str],
        *,
        published: Mapping[str, Mapping[str, float]] | None = None,
        published_labels: Mapping[str, str] | None = None,
        published_note: str = "",
        explanations: Mapping[str, str] | None = None,
        left_out: Mapping[str, str] | None = None,
        broken: Collection[str] = (),
        against: str | None = None,
        comparisons: Mapping[str, Sequence[Comparison]] | None = None,
        digits: int = 4,
        unsaved: str = "",
        name: str = "",
        deviations: bool = True,
    ) -> None:
        self.deviations = deviations
        self.name = name
        """Of the image set."""
        self.descriptions = {method.label: method.describe() for method in methods}
        """Label -> everything that the images of the method depend on."""
        self.factors = {label: factors_of(made) for label, made in self.descriptions.items()}
        """Label -> factor -> value: backbone, tag, strategy, parameters, settings."""
        self.range_policies = {method.label: method.range_policy for method in methods}
        """Label -> range policy of the row; None for files, which are scored as they are."""
        self.scores = scores
        self.rows = rows
        self.settings = settings
        self.published = published or {}
        """Name of a published row -> metric -> mean."""
        self.published_labels = (
            {name: name for name in self.published if name in scores.methods}
            if published_labels is None
            else published_labels
        )
        """Name of a published row -> label of the row of ours that it belongs to."""
        self.published_note = published_note
        self.explanations = explanations or {}
        """Name of a published row -> how and why ours differs from it."""
        self.left_out = left_out or {}
        """Label -> why the method has no row."""
        self.broken = broken
        """Those of them whose plugins failed."""
        self.against = against
        self.digits = digits
        self.unsaved = unsaved
        """What could not be written into the output folder, one sentence; empty if all was."""
        if comparisons is None:
            gains = [(row.label, row.baseline) for row in methods if row.baseline is not None]
            others = [(label, against) for label in scores.methods if against and label != against]
            comparisons = {"gain": compare(scores, gains), "against": compare(scores, others)}
        self.comparisons_by_kind = {
            kind: list(entries) for kind, entries in comparisons.items() if entries
        }
        """Kind -> comparisons: `gain`, `against`, or a factor along which rows differ."""

    @property
    def gains(self) -> list[Comparison]:
        """The gain of each learned backbone: its rows against the same strategies on pixels."""
        return self.comparisons_by_kind.get("gain", [])

    @property
    def differences(self) -> list[Comparison]:
        """Every row against the row `against`."""
        return self.comparisons_by_kind.get("against", [])

    @property
    def comparisons(self) -> list[Comparison]:
        """All comparisons, of every kind."""
        return [entry for entries in self.comparisons_by_kind.values() for entry in entries]

    @property
    def problems(self) -> list[str]:
        """Sentences that say why values are missing, each of them once."""
        return list(dict.fromkeys(row.problem for row in self.rows if row.problem))

    @property
    def means(self) -> dict[str, dict[str, float]]:
        """Method -> metric -> mean over the images that the method has a value for, or nan."""
        means = self.scores.means().tolist()
        return {
            label: dict(zip(self._metric_names, row, strict=True))
            for label, row in zip(self.scores.methods, means, strict=True)
        }

    @property
    def outside(self) -> dict[str, float]:
        """Method -> share of the values outside 0..255 before its range policy, in percent.

        The mean over the images; nan for files.
        """
        return dict(zip(self.scores.methods, self.scores.outside, strict=True))

    @property
    def values(self) -> dict[str, dict[str, dict[str, float]]]:
        """Method -> name of the image -> metric -> value; nan where there is none."""
        values: list[list[list[float]]] = self.scores.values.tolist()  # noqa: PD011  # an array
        return {
            label: {
                sample: dict(zip(self._metric_names, row, strict=True))
                for sample, row in zip(self.scores.samples, rows, strict=True)
            }
            for label, rows in zip(self.scores.methods, values, strict=True)
        }

    @cached_property
    def tables(self) -> list[Table]:
        """The tables, the means first."""
        metrics, digits = self.scores.metrics, self.digits
        notes = [
            f"{label} is left out: {reason}{'' if reason.endswith('?') else '.'}"
            for label, reason in self.left_out.items()
        ]
        if self.scores.copies:
            groups = "; ".join(" = ".join(labels) for labels in self.scores.copies)
            notes.append(
                f"The same values of every metric on every image, so probably copies: {groups}."
            )
        tables = [means_table(self.scores, digits, self.range_policies, notes)]
        titles = {"gain": "Gain over the baseline", "against": f"Against {self.against}"}
        for kind, comparisons in self.comparisons_by_kind.items():
            title = titles.get(kind, f"Along the factor {kind}")
            tables.append(differences_table(title, comparisons, metrics, digits, kind))
        if self.published:
            tables += self._published_tables()
        return tables

    def _published_tables(self) -> list[Table]:
        """Return the published rows, and how far ours are from them if they compare."""
        metrics, digits = self.scores.metrics, self.digits
        if self.published_note:
            return [published_table(self.published, metrics, digits, [self.published_note])]
        explanations = [f"{name}: {text}" for name, text in self.explanations.items()]
        if not self.published_labels:
            return [published_table(self.published, metrics, digits, explanations)]
        return [
            published_table(self.published, metrics, digits),
            distances_table(
                self.scores, self.published, self.published_labels, digits, explanations
            ),
        ]

    def write(self, folder: str | Path) -> None:
        """Write the tables and every value, see `files.report_files`.

        Existing files of these names are replaced, all of them or none.

        Raises:
            FusionlabError: the folder cannot be written.
        """
        folder = Path(folder)
        make_folder(folder)
        with atomic_write_all(report_files({self.name: self}, folder, {"name": self.name})):
            pass

    def to_pandas(self) -> DataFrame:
        """Return a pandas data frame with the columns method, image, metric and value.

        `rows.csv` of `write` has the factors of the methods, too.

        Raises:
            FusionlabError: pandas is not installed (code `no-pandas`).
        """
        try:
            from pandas import DataFrame
        except ModuleNotFoundError:
            raise FusionlabError(
                "to_pandas needs pandas, which is not installed; install it with pip, or use "
                "`values`",
                code="no-pandas",
            ) from None
        rows = [
            (label, sample, metric, value)
            for label, samples in self.values.items()
            for sample, values in samples.items()
            for metric, value in values.items()
        ]
        return DataFrame(rows, columns=["method", "image", "metric", "value"])

    def __str__(self) -> str:
        facts = "\n".join(safe_text(f"{name}: {value}") for name, value in self.settings.items())
        problems = "\n".join(safe_text(f"no score: {problem}") for problem in self.problems)
        tables = map(to_text, self.tables)
        return "\n\n".join(part for part in (facts, problems, *tables) if part)

    def __repr__(self) -> str:
        scores = self.scores
        counts = len(scores.methods), len(scores.samples), len(scores.metrics)
        return "<Report: {} methods, {} images, {} metrics>".format(*counts)

    def _repr_markdown_(self) -> str:
        """Return the tables as Markdown, for notebooks."""
        return markdown_text(self)

    @property
    def _metric_names(self) -> list[str]:
        return [metric.name for metric in self.scores.metrics]
