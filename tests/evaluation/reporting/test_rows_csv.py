"""`rows.csv`, as programs for statistics read it."""

import csv
import io
import math
from itertools import product
from pathlib import Path

import pytest
from made_up_study import MadeUpMethod, made_up_report, made_with

from fusionlab.evaluation.reporting.files import report_files

METHODS = [
    MadeUpMethod("l1", made_with("l1norm", r=1, exact=True)),
    MadeUpMethod('l1, "wide"', made_with("l1norm", r=2, exact=False)),
    MadeUpMethod("max", made_with("max")),
    MadeUpMethod("Theirs"),
]
SAMPLES = ["001", "a, b"]
VALUES = {
    name: [[[number + 0.125, math.pi]] * 2] * 3 + [[[math.nan, -1e-20], [math.inf, 1e20]]]
    for number, name in enumerate(("tno", "a&b"))
}


@pytest.fixture
def path(tmp_path):
    reports = {name: made_up_report(METHODS, SAMPLES, values) for name, values in VALUES.items()}
    content = report_files(reports, Path("out"), {})[Path("out/rows.csv")]
    with (tmp_path / "rows.csv").open("wb") as file:
        content(file)
    return tmp_path / "rows.csv"


def test_pandas_reads_it_without_cleaning(path):
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    rows = pandas.read_csv(path, dtype={"sample": str, "tag": str})  # as docs/studies.md has it
    key = ["set", "sample", "method", "metric"]
    labels = [method.label for method in METHODS]
    expected = product(VALUES, labels, SAMPLES, ("EN", "Qabf"))
    found = rows[["set", "method", "sample", "metric"]].itertuples(index=False, name=None)
    assert list(found) == list(expected)
    assert not rows[key].duplicated().any()
    assert rows["value"].dtype == float
    assert rows["value"].isna().sum() == 4  # undefined and infinite ones, in each set
    one = rows.set_index(key)["value"]
    assert one["tno", "a, b", "Theirs", "Qabf"] == 1e20
    assert one["a&b", "001", "l1", "EN"] == 1.125
    assert one["a&b", "001", "l1", "Qabf"] == pytest.approx(math.pi, rel=5e-10)  # ten digits
    factors = rows.groupby("method").first()
    assert rows["r"].dtype == float
    assert factors["r"].to_dict() == pytest.approx(
        {"l1": 1, 'l1, "wide"': 2, "max": math.nan, "Theirs": math.nan}, nan_ok=True
    )
    assert factors.loc["l1", ["tag", "exact", "range"]].tolist() == ["1e2", True, "clip"]
    assert (
        rows.loc[rows["method"] == "Theirs", ["backbone", "strategy", "range"]]
        .isna()
        .all(axis=None)
    )


def test_names_and_numbers_are_those_of_the_writer_of_python(path):
    """A line that is read and written again by `csv` is the same line."""
    text = path.read_text(encoding="utf-8")
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(csv.reader(io.StringIO(text)))
    assert file.getvalue() == text
    values = [row["value"] for row in csv.DictReader(io.StringIO(text))]
    assert values[:2] == ["0.125", "3.141592654"]
    assert values[12:16] == ["", "-1e-20", "", "1e+20"]
