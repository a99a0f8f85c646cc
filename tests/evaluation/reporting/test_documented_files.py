"""The files and columns that docs/studies.md and docs/evaluation.md list are those written."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from made_up_study import MadeUpMethod, made_up_report, made_with

from fusionlab.evaluation.comparisons import Comparison
from fusionlab.evaluation.effects import Effect
from fusionlab.evaluation.reporting.files import REPORT_FILES, report_files

DOCS = Path(__file__).parents[3] / "docs"
FACTORS = ["backbone", "tag", "strategy", "r", "range"]


def first_cells(page, after):
    """Return the cells of the table below a text, line by line; its first cell as names."""
    text = (DOCS / page).read_text(encoding="utf-8").partition(after)[2]
    lines = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)[0].splitlines()[2:]
    cells = [line.strip("| ").split(" | ") for line in lines]
    return [(re.findall(r"`([^`]+)`", first), rest) for first, *rest in cells]


@pytest.fixture
def heads():
    """Name of a file -> its columns, of a report in which nothing is missing."""
    methods = [MadeUpMethod("one", made_with(r=1)), MadeUpMethod("two", made_with(r=2), "one")]
    values = np.array([[[1.0, 2.0], [3.0, np.nan]], [[1.5, 2.5], [3.5, 4.5]]])
    report = made_up_report(methods, "ab", values, published={"one": {"EN": 1.0}})
    effect = Effect("tno", "r", 1, Comparison("2", "1", "EN", 2, 0.5, 0.5, 0.5, 1.0, 1))
    contents = {}
    for path, write in report_files({"tno": report}, Path("out"), {}, [effect]).items():
        file = io.BytesIO()
        write(file)
        contents[path.name] = file.getvalue().decode().partition("\n")[0].split(",")
    assert set(contents) == set(REPORT_FILES)
    return {name: head for name, head in contents.items() if name.endswith(".csv")}


def test_the_columns_are_those_that_the_page_explains(heads):
    documented = {name: [] for name in heads}
    for names, (files, *_) in first_cells("studies.md", "### Columns"):
        excluded = files.removeprefix("all").removeprefix(" but ")
        chosen = [
            name
            for name in heads
            if (name[:-4] in files.split(", "))
            or (files.startswith("all") and name[:-4] not in (excluded, "effects"))
        ]
        for name in chosen:
            documented[name] += FACTORS if names[0] == "backbone" else names
    for names, _ in first_cells("studies.md", "## What a factor does"):
        documented["effects.csv"] += names
    assert {name: sorted(head) for name, head in heads.items()} == {
        name: sorted(columns) for name, columns in documented.items()
    }


@pytest.mark.parametrize(
    ("page", "after", "more"),
    [
        ("studies.md", "## What it writes", ["status.json", "images/SET/ROW/"]),
        ("evaluation.md", "-o table/\n```", ["images/ROW/"]),
    ],
)
def test_the_pages_list_every_file(page, after, more):
    documented = [name for names, _ in first_cells(page, after) for name in names]
    of_runs = ["rows.jsonl", "images.jsonl", "report/index.html", ".fusionlab-lock"]
    missing = {"evaluation.md": ["effects.csv"]}.get(page, [])  # a set alone has none
    written = [*REPORT_FILES, *of_runs, *more]
    assert sorted(documented) == sorted(name for name in written if name not in missing)
