"""A study of made-up values and flat images, for tests of the page."""

from dataclasses import dataclass, field, replace

import imageio.v3 as iio
import numpy as np

from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.reporting.report import Report
from fusionlab.evaluation.saved_images import image_path
from fusionlab.evaluation.scores import ScoreRow, Scores
from fusionlab.evaluation.studies.results import StudyResults
from fusionlab.plugins.host import installed
from fusionlab.plugins.registry import Registration
from fusionlab.runs.image_sets import ImageSetItem

SIZE = (30, 40)
"""Height and width of the images."""


@dataclass(frozen=True)
class MadeUpMethod:
    """A row with any description."""

    label: str
    description: dict = field(default_factory=dict)
    baseline: str | None = None
    range_policy: str | None = "clip"

    def describe(self):
        return {"method": self.label, **self.description}


def made_with(strategy="l1norm", **parameters):
    """Return the description of a row that was fused."""
    return {
        "backbone": "densefuse",
        "weights": {"tag": "1e2", "sha256": "0" * 64},
        "strategy": strategy,
        "parameters": parameters,
        "range": "clip",
    }


def made_up_report(methods, samples, values, metrics=("EN", "Qabf"), summary=None, **options):
    """Return a report of values `(methods, samples, metrics)`; nan where there is none."""
    methods = [MadeUpMethod(m) if isinstance(m, str) else m for m in methods]
    columns = [Metric.find(name, installed()) for name in metrics]
    if summary is not None:
        refs = [replace(column.ref, summary=summary) for column in columns]
        columns = [Metric(Registration(ref, "fusionlab-imaging")) for ref in refs]
    values = np.asarray(values, float)
    rows = [
        ScoreRow(
            sample,
            method.label,
            dict(zip(metrics, values[i, j].tolist(), strict=True)),
            problem="" if np.isfinite(values[i, j]).all() else f"{sample} has no value",
        )
        for i, method in enumerate(methods)
        for j, sample in enumerate(samples)
    ]
    scores = Scores([m.label for m in methods], samples, columns, rows)
    return Report(methods, scores, rows, {"scale": "full"}, **options)


def flat(level):
    """Return an image of one gray level."""
    return np.full(SIZE, level, np.uint8)


def made_up_study(folder, reports, name="study", facts=None, images=True):
    """Return the results of a study with two sources and a result for each row and sample.

    Source 1 has the level 50, source 2 the level 200, and row r the level 100 + 20 r.

    Args:
        folder: where the images are written.
        reports: name of a set -> report.
        name: of the study.
        facts: how it was made.
        images: whether there are images at all.
    """
    items = {}
    for number, (image_set, report) in enumerate(reports.items()):
        paths = {}
        for sample in report.scores.samples if images else ():
            for letter, level in (("a", 50), ("b", 200)):
                path = folder / f"sources{number}" / letter / f"{sample}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                iio.imwrite(path, flat(level))
                paths.setdefault(sample, []).append(path)
            for row, label in enumerate(report.scores.methods if images else ()):
                path = image_path(folder / "out", f"{image_set}/{label}", sample)
                path.parent.mkdir(parents=True, exist_ok=True)
                iio.imwrite(path, flat(100 + 20 * row))
        items[image_set] = [ImageSetItem(stem, tuple(files)) for stem, files in paths.items()]
    output = folder / "out" if images else None
    return StudyResults(name, reports, items, output, facts or {})


VALUES = {
    "l1norm": [3.0, 1.0, 2.0],
    "l1norm,r=2": [6.0, 5.0, 1.5],
    "l1norm,r=4": [4.0, 7.0, np.nan],
    "Theirs": [2.0, 2.5, 3.0],
}
"""Label -> EN of the three samples; Qabf is a tenth of it."""


def small_report(**options):
    """Return a report of four rows, three samples and two metrics."""
    methods = [
        MadeUpMethod("l1norm", made_with(r=1)),
        MadeUpMethod("l1norm,r=2", made_with(r=2)),
        MadeUpMethod("l1norm,r=4", made_with(r=4)),
        MadeUpMethod("Theirs", range_policy=None),
    ]
    values = [[[value, value / 10] for value in row] for row in VALUES.values()]
    return made_up_report(methods, ["one", "two", "three"], values, **options)
