"""The files of a report: Markdown and LaTeX for reading, CSV and JSON for programs.

All of them hold one or several image sets: an evaluation has one, a study may have more.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from fusionlab.evaluation.comparisons import Comparison
from fusionlab.evaluation.effects import Effect
from fusionlab.evaluation.factors import varying
from fusionlab.evaluation.marginals import MarginalMean, marginal_means
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.reporting.effects_table import effects_table
from fusionlab.evaluation.reporting.formats import to_markdown
from fusionlab.evaluation.reporting.latex import HEAD, table_label, to_latex
from fusionlab.evaluation.reporting.published import published_distances
from fusionlab.evaluation.reporting.tables import Table
from fusionlab.evaluation.scores import json_values
from fusionlab.runs.code_hash import code_sha256, metric_libraries
from fusionlab.safe_text import safe_text
from fusionlab.storage.atomic import Content

if TYPE_CHECKING:
    from fusionlab.evaluation.reporting.report import Report

REPORT_FILES = (
    "table.md",
    "table.tex",
    "rows.csv",
    "means.csv",
    "marginals.csv",
    "effects.csv",
    "comparisons.csv",
    "problems.csv",
    "published.csv",
    "study.json",
)
"""The files that are written at the end of an evaluation or study; some only where they apply."""
EFFECT_NUMBERS = ("images", "difference", "low", "high", "raw_p", "p", "tests", "better")
"""The columns of a comparison that the line of an effect has."""


def report_files(
    reports: Mapping[str, Report],
    folder: Path,
    facts: Mapping[str, str],
    effects: Sequence[Effect] = (),
) -> dict[Path, Content]:
    """Return the files of reports and their content.

    * `table.md`, `table.tex`: the tables as printed.
    * `rows.csv`: a line for each set, sample, method and metric, with each factor in a column.
    * `means.csv`: mean, deviation and rank of each set, method and metric.
    * `marginals.csv`, where a factor varies: the mean of all rows that have one of its values, and
      that of those with a partner at every other value.
    * `effects.csv`, where there are effects: a line for each set, level of a factor and metric.
    * `comparisons.csv`: differences with their intervals, raw and corrected p-values.
    * `problems.csv`, where values are missing: why.
    * `published.csv`, where there are published rows.
    * `study.json`: everything that is needed to repeat it, and what the tables show.

    Args:
        reports: name of an image set -> its report.
        folder: where they will be written.
        facts: what belongs to all sets.
        effects: what factors do, in each set and over all of them.
    """
    several = len(reports) > 1
    first = [effects_table(effects, reports)] if effects else []
    tables = [
        *("\n\n".join(["# Effects", to_markdown(table)]) + "\n" for table in first),
        *(
            markdown_text(report, f"# {name}" if several else "# Evaluation")
            for name, report in reports.items()
        ),
    ]
    contents: dict[str, Iterable[str]] = {
        "table.md": ["\n".join(tables)],
        "table.tex": [_latex_text(reports, facts.get("name", ""), first)],
        "rows.csv": _rows_csv(reports),
        "means.csv": _means_csv(reports),
        "comparisons.csv": _comparisons_csv(reports),
        "study.json": [_study_json(reports, facts, effects)],
    }
    if effects:
        contents["effects.csv"] = _effects_csv(effects)
    if _factor_names(reports, varying_only=True):
        contents["marginals.csv"] = _marginals_csv(reports)
    if any(report.problems for report in reports.values()):
        contents["problems.csv"] = _problems_csv(reports)
    if any(report.published for report in reports.values()):
        contents["published.csv"] = _published_csv(reports)
    return {folder / name: _writer(parts) for name, parts in contents.items()}


def _writer(parts: Iterable[str]) -> Content:
    """Return what writes text piece by piece: the rows of a study need not fit into memory."""

    def write(file: BinaryIO) -> None:
        # names of files may hold bytes that are not text
        file.writelines(part.encode(errors="backslashreplace") for part in parts)

    return write


def markdown_text(report: Report, title: str = "# Evaluation") -> str:
    """Return the tables under their settings."""
    facts = [safe_text(f"* {name}: {value}") for name, value in report.settings.items()]
    problems = [safe_text(f"* no score: {problem}") for problem in report.problems]
    head = "\n".join([title, "", *facts, *problems])
    return "\n\n".join([head, *map(to_markdown, report.tables)]) + "\n"


def _latex_text(reports: Mapping[str, Report], study: str, first: Sequence[Table]) -> str:
    """Return the tables with captions and labels that name the study and the set.

    Those of all sets come first.
    """
    parts, labels = [HEAD], Counter[str]()
    names = [study] if study else []
    for table in first:
        details = next(iter(reports.values())).deviations
        parts.append(to_latex(table, names, table_label(table, names), details=details))
    for image_set, report in reports.items():
        names = [name for name in dict.fromkeys([study, image_set]) if name]
        for table in report.tables:
            label = table_label(table, names)
            labels[label] += 1
            if labels[label] > 1:  # two names may have the same letters
                label += f"-{labels[label]}"
            parts.append(to_latex(table, names, label, details=report.deviations))
    return "\n\n".join(parts) + "\n"


def json_text(report: Report) -> str:
    """Return everything: settings, metrics, the value of every image, means, comparisons."""
    scores = report.scores
    names = [metric.name for metric in scores.metrics]
    content = _content(report)
    for i, label in enumerate(scores.methods):
        content["methods"][label]["values"] = {
            sample: json_values(dict(zip(names, scores.values[i, j].tolist(), strict=True)))
            for j, sample in enumerate(scores.samples)
        }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _study_json(
    reports: Mapping[str, Report], facts: Mapping[str, str], effects: Sequence[Effect]
) -> str:
    """Return everything but the values of single images, which are in `rows.csv`."""
    sets = {name: _content(report) for name, report in reports.items()}
    found = [json_values(_effect_values(effect)) for effect in effects]
    content = {**facts, "sets": sets, **({"effects": found} if found else {})}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _content(report: Report) -> dict[str, Any]:
    """Return settings, metrics, methods with their means, and comparisons."""
    scores = report.scores
    means, deviations, ranks = scores.means(), scores.deviations(), scores.ranks()
    outside = scores.outside
    names = [metric.name for metric in scores.metrics]

    def by_metric(values: Any) -> dict[str, float | None]:
        return json_values(dict(zip(names, values.tolist(), strict=True)))

    return {
        "settings": dict(report.settings),
        "libraries": metric_libraries(),
        "metrics": {
            metric.name: _describe_metric(metric, images)
            for metric, images in zip(scores.metrics, scores.counts, strict=True)
        },
        "images": scores.samples,
        "methods": {
            label: {
                "made": report.descriptions[label],
                "factors": report.factors[label],
                "outside_percent": None if math.isnan(outside[i]) else outside[i],
                "images": dict(zip(names, scores.method_counts[i].tolist(), strict=True)),
                "mean": by_metric(means[i]),
                "deviation": by_metric(deviations[i]),
                "rank": by_metric(ranks[i]),
            }
            for i, label in enumerate(scores.methods)
        },
        "comparisons": [
            {"kind": kind, **json_values(asdict(comparison))}
            for kind, comparisons in report.comparisons_by_kind.items()
            for comparison in comparisons
        ],
        "published": {name: dict(values) for name, values in report.published.items()},
        "published_labels": dict(report.published_labels),
        "published_notes": dict(report.explanations),
        "published_unlike": report.published_note,
        "left_out": dict(report.left_out),
        "problems": report.problems,
    }


def _describe_metric(metric: Metric, images: int) -> dict[str, Any]:
    """Return the facts of a metric, and how many images its means are over."""
    return {
        "summary": metric.summary,
        "better": {1: "higher", -1: "lower", 0: "neither"}[metric.direction],
        "sources": metric.ref.sources,
        "against": "the true image" if metric.of_truth else "the sources",
        "color": metric.ref.color,
        "reference": metric.ref.reference,
        "plugin": metric.registration.plugin,
        "code": code_sha256(metric.ref.target.partition(":")[0]),
        "images": images,
    }


def _factor_names(reports: Mapping[str, Report], *, varying_only: bool = False) -> list[str]:
    """Return the factors of all rows, in the order in which they appear."""
    rows = [row for report in reports.values() for row in report.factors.values()]
    names = dict.fromkeys(name for row in rows for name in row)
    return varying(rows) if varying_only else list(names)


def _rows_csv(reports: Mapping[str, Report]) -> Iterator[str]:
    """Yield a line for each set, sample, method and metric, with each factor in a column."""
    factors = _factor_names(reports)
    yield csv_line(["set", "sample", "method", *factors, "metric", "value"])
    for name, report in reports.items():
        scores = report.scores
        # there may be millions of lines: what they share is quoted once
        starts = [csv_line([name, sample, ""])[:-1] for sample in scores.samples]
        for label, samples in zip(scores.methods, scores.values.tolist(), strict=True):
            row = report.factors[label]
            cells = [label, *(row.get(factor, "") for factor in factors)]
            ends = [csv_line([*cells, metric.name, ""])[:-1] for metric in scores.metrics]
            yield "".join(
                f"{start}{end}{_number(value)}\n"
                for start, values in zip(starts, samples, strict=True)
                for end, value in zip(ends, values, strict=True)
            )


def _means_csv(reports: Mapping[str, Report]) -> Iterator[str]:
    """Yield a line for each set, method and metric: number of images, mean, deviation, rank.

    The last column is that of the method: the share of values outside 0..255, in percent.
    """
    factors = _factor_names(reports)
    numbers = ["images", "mean", "deviation", "rank", "outside_percent"]
    yield csv_line(["set", "method", *factors, "metric", *numbers])
    for name, report in reports.items():
        scores = report.scores
        means, deviations, ranks = scores.means(), scores.deviations(), scores.ranks()
        for i, label in enumerate(scores.methods):
            row = report.factors[label]
            for j, metric in enumerate(scores.metrics):
                yield csv_line(
                    [
                        name,
                        label,
                        *(row.get(factor, "") for factor in factors),
                        metric.name,
                        scores.method_counts[i, j],
                        float(means[i, j]),
                        float(deviations[i, j]),
                        float(ranks[i, j]),
                        scores.outside[i],
                    ]
                )


def _marginals_csv(reports: Mapping[str, Report]) -> Iterator[str]:
    """Yield a line for each set, factor that varies, value of it and metric."""
    names = [field.name for field in fields(MarginalMean)]
    yield csv_line(["set", *names])
    for name, report in reports.items():
        for entry in marginal_means(report.scores, report.factors):
            yield csv_line([name, *(getattr(entry, field) for field in names)])


def _effect_values(effect: Effect) -> dict[str, Any]:
    """Return column -> value of the line of an effect."""
    entry = effect.comparison
    return {
        "set": effect.image_set,
        "factor": effect.factor,
        "level": entry.method,
        "reference": entry.against,
        "metric": entry.metric,
        "pairs": effect.pairs,
        **{name: getattr(entry, name) for name in EFFECT_NUMBERS},
    }


def _effects_csv(effects: Sequence[Effect]) -> Iterator[str]:
    """Yield a line for each set, level of a factor and metric."""
    lines = [_effect_values(effect) for effect in effects]
    yield csv_line(list(lines[0]))
    for line in lines:
        yield csv_line(list(line.values()))


def _comparisons_csv(reports: Mapping[str, Report]) -> Iterator[str]:
    """Yield a line for each comparison and metric; `kind` is gain, against or a factor."""
    names = [field.name for field in fields(Comparison)]
    yield csv_line(["set", "kind", *names])
    for name, report in reports.items():
        for kind, comparisons in report.comparisons_by_kind.items():
            for comparison in comparisons:
                yield csv_line([name, kind, *(getattr(comparison, field) for field in names)])


def _problems_csv(reports: Mapping[str, Report]) -> Iterator[str]:
    """Yield a line for each sample and method that lacks values."""
    yield csv_line(["set", "sample", "method", "problem"])
    for name, report in reports.items():
        for row in report.rows:
            if row.problem:
                yield csv_line([name, row.sample, row.method, row.problem])


def _published_csv(reports: Mapping[str, Report]) -> Iterator[str]:
    """Yield a line for each published row and metric: its mean, and how far ours is from it."""
    yield csv_line(["set", "published", "method", "metric", "mean", "distance", "note"])
    for image_set, report in reports.items():
        labels = {} if report.published_note else report.published_labels
        distances = dict(
            zip(labels, published_distances(report.scores, report.published, labels), strict=True)
        )
        for name, values in report.published.items():
            for j, metric in enumerate(report.scores.metrics):
                if metric.name in values:
                    yield csv_line(
                        [
                            image_set,
                            name,
                            labels.get(name, ""),
                            metric.name,
                            values[metric.name],
                            distances[name][j] if name in distances else math.nan,
                            report.explanations.get(name, ""),
                        ]
                    )


def csv_line(cells: Sequence[object]) -> str:
    """Return a line of CSV; see `_number` for floats."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerow(
        [_number(value) if isinstance(value, float) else value for value in cells]
    )
    return file.getvalue()


def _number(value: float) -> str:
    """Return a number with ten significant digits; nan and infinity stay empty."""
    return f"{value:.10g}" if math.isfinite(value) else ""
