"""The files of a report: Markdown and LaTeX for reading, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionlab.evaluation.code_hash import metric_libraries, module_sha256
from fusionlab.evaluation.comparisons import Comparison
from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.reporting.formats import to_latex, to_markdown
from fusionlab.evaluation.reporting.published import published_distances
from fusionlab.evaluation.scores import json_values

if TYPE_CHECKING:
    from fusionlab.evaluation.reporting.report import Report


def report_files(report: Report, folder: Path) -> dict[Path, bytes]:
    """Return the files of a report and their content."""
    texts = {
        "table.md": markdown_text(report),
        "table.tex": "\n\n".join(map(to_latex, report.tables)) + "\n",
        "means.csv": _means_csv(report),
        "comparisons.csv": _comparisons_csv(report),
        "images.csv": _images_csv(report),
        "evaluation.json": json_text(report),
    }
    if report.published:
        texts["published.csv"] = _published_csv(report)
    # file names may hold bytes that are not text
    return {folder / name: text.encode(errors="backslashreplace") for name, text in texts.items()}


def markdown_text(report: Report) -> str:
    """Return the tables under their settings."""
    facts = [f"* {name}: {value}" for name, value in report.settings.items()]
    problems = [f"* no score: {problem}" for problem in report.problems]
    head = "\n".join(["# Evaluation", "", *facts, *problems])
    return "\n\n".join([head, *map(to_markdown, report.tables)]) + "\n"


def json_text(report: Report) -> str:
    """Return everything: settings, metrics, the value of every image, means, comparisons."""
    scores = report.scores
    means, deviations, ranks = scores.means(), scores.deviations(), scores.ranks()
    outside = scores.outside
    names = [metric.name for metric in scores.metrics]

    def by_metric(values: Any) -> dict[str, float | None]:
        return json_values(dict(zip(names, values.tolist(), strict=True)))

    content = {
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
                "outside_percent": None if math.isnan(outside[i]) else outside[i],
                "images": dict(zip(names, scores.method_counts[i].tolist(), strict=True)),
                "mean": by_metric(means[i]),
                "deviation": by_metric(deviations[i]),
                "rank": by_metric(ranks[i]),
                "values": {
                    name: by_metric(scores.values[i, j]) for j, name in enumerate(scores.samples)
                },
            }
            for i, label in enumerate(scores.methods)
        },
        "comparisons": [json_values(asdict(comparison)) for comparison in report.comparisons],
        "published": {name: dict(values) for name, values in report.published.items()},
        "published_labels": dict(report.published_labels),
        "published_notes": dict(report.explanations),
        "published_unlike": report.published_note,
        "left_out": dict(report.left_out),
        "problems": report.problems,
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _describe_metric(metric: Metric, images: int) -> dict[str, Any]:
    """Return the facts of a metric, and how many images its means are over."""
    return {
        "summary": metric.ref.summary,
        "better": {1: "higher", -1: "lower", 0: "neither"}[metric.direction],
        "sources": metric.ref.sources,
        "against": "the true image" if metric.of_truth else "the sources",
        "color": metric.ref.color,
        "reference": metric.ref.reference,
        "plugin": metric.registration.plugin,
        "code": module_sha256(metric.ref.target.partition(":")[0]),
        "images": images,
    }


def _means_csv(report: Report) -> str:
    """Return a line for each method and metric: number of images, mean, deviation, rank.

    The last column is that of the method: the share of values outside 0..255, in percent.
    """
    scores = report.scores
    means, deviations, ranks = scores.means(), scores.deviations(), scores.ranks()
    rows = [
        (
            method,
            metric.name,
            scores.method_counts[i, j],
            means[i, j],
            deviations[i, j],
            ranks[i, j],
            scores.outside[i],
        )
        for i, method in enumerate(scores.methods)
        for j, metric in enumerate(scores.metrics)
    ]
    heads = ["method", "metric", "images", "mean", "deviation", "rank", "outside_percent"]
    return _csv(heads, rows)


def _comparisons_csv(report: Report) -> str:
    """Return a line for each comparison and metric."""
    heads = [field.name for field in fields(Comparison)]
    rows = [[getattr(comparison, head) for head in heads] for comparison in report.comparisons]
    return _csv(heads, rows)


def _published_csv(report: Report) -> str:
    """Return a line for each published row and metric: its mean, the distance of ours, a note."""
    labels = {} if report.published_note else report.published_labels
    distances = dict(
        zip(labels, published_distances(report.scores, report.published, labels), strict=True)
    )
    rows = [
        (
            name,
            labels.get(name, ""),
            metric.name,
            values[metric.name],
            distances[name][j] if name in distances else math.nan,
            report.explanations.get(name, ""),
        )
        for name, values in report.published.items()
        for j, metric in enumerate(report.scores.metrics)
        if metric.name in values
    ]
    return _csv(["published", "method", "metric", "mean", "distance", "note"], rows)


def _images_csv(report: Report) -> str:
    """Return a line for each method and image, a column for each metric."""
    scores = report.scores
    rows = [
        (method, sample, *scores.values[i, j])
        for i, method in enumerate(scores.methods)
        for j, sample in enumerate(scores.samples)
    ]
    return _csv(["method", "image", *(metric.name for metric in scores.metrics)], rows)


def _csv(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return CSV with ten significant digits; nan stays empty."""

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
