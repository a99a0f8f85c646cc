"""Reports: values, marks, and the same numbers in every format."""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from made_up_study import MadeUpMethod, made_up_report, made_with

from fusionlab.evaluation.metric import Metric
from fusionlab.evaluation.reporting.files import json_text, report_files
from fusionlab.evaluation.reporting.formats import to_markdown, to_text
from fusionlab.evaluation.reporting.latex import to_latex
from fusionlab.evaluation.reporting.report import Report
from fusionlab.evaluation.scores import ScoreRow, Scores
from fusionlab.plugins.host import installed


class Row:
    """A method that has been scored already."""

    def __init__(self, label, baseline=None, range_policy="clip"):
        self.label, self.baseline, self.range_policy = label, baseline, range_policy

    def describe(self):
        return {"method": self.label}


@pytest.fixture
def report(metrics):
    def build(rows, baselines=(), problems=(), **settings):
        columns = [Metric.find(name, installed()) for name in ("brightness", "darkness")]
        samples = sorted({sample for row in rows.values() for sample in row})
        score_rows = [
            ScoreRow(sample, label, dict(zip(("brightness", "darkness"), values, strict=True)))
            for label, row in rows.items()
            for sample, values in row.items()
        ]
        scores = Scores(list(rows), samples, columns, score_rows)
        score_rows += [ScoreRow("bad", label, {}, problem) for label, problem in problems]
        methods = [Row(label, dict(baselines).get(label)) for label in rows]
        return Report(methods, scores, score_rows, {"range": "clip"}, **settings)

    return build


TWO = {
    "net_a/rule": {"a": (1.0, 200.0), "b": (3.0, 400.0)},
    "pixels/rule": {"a": (2.0, 100.0), "b": (3.0, 200.0)},
}


NAMED = (("net_a/rule", 1.0), ("pixels/rule", 2.0))


def test_the_best_and_the_second_are_marked_by_direction(report):
    (table, *_) = report(TWO).tables
    marks = [[cell.mark for cell in row] for row in table.rows]
    assert marks == [["", "second", "second", ""], ["", "best", "best", ""]]
    assert table.heads == ("method", "brightness ↑", "darkness ↓", "rank ↓")
    assert [row[1].text for row in table.rows] == ["2.0000", "2.5000"]
    assert [row[1].detail for row in table.rows] == ["±1.4142", "±0.7071"]
    assert [row[2].text for row in table.rows] == ["300.00", "150.00"]  # large: fewer decimals


def test_a_single_row_and_equal_rows_are_not_marked(report):
    for rows in ({"m": {"a": (1.0, 2.0)}}, {"m": {"a": (1.0, 2.0)}, "n": {"a": (1.0, 2.0)}}):
        (table, *_) = report(rows).tables
        assert {cell.mark for row in table.rows for cell in row} == {""}


def test_the_gain_is_the_difference_to_the_baseline(report):
    result = report(TWO, {"net_a/rule": "pixels/rule"})
    assert [table.title for table in result.tables][1] == "Gain over the baseline"
    assert [cell.text for cell in result.tables[1].rows[0]] == [
        "net_a/rule",
        "pixels/rule",
        "-0.5000",
        "+150.00",
    ]


def test_a_note_says_when_no_difference_can_be_significant(report):
    few = report(TWO, {"net_a/rule": "pixels/rule"}).tables[1]
    assert few.notes[1] == (
        "No difference over 2 images can be significant among 2 tests, however large; take at "
        "least 6 images."
    )
    rows = {label: {str(n): (n + shift, 9.0) for n in range(8)} for label, shift in NAMED}
    assert len(report(rows, {"net_a/rule": "pixels/rule"}).tables[1].notes) == 1


def test_every_row_is_compared_with_the_one_that_is_asked_for(report):
    result = report(TWO, against="net_a/rule")
    assert [(entry.method, entry.against) for entry in result.differences] == [
        ("pixels/rule", "net_a/rule")
    ] * 2


def test_published_rows_stand_beside_ours_with_the_distance(report):
    published = {"net_a/rule": {"brightness": 2.25}, "CBF": {"brightness": 9.0, "darkness": 1.0}}
    tables = {table.title: table for table in report(TWO, published=published).tables}
    assert [cell.text for cell in tables["Published"].rows[0]] == ["net_a/rule", "2.2500", "-"]
    (distance,) = tables["Distance of our rows from the published ones"].rows
    assert [cell.text for cell in distance] == ["net_a/rule", "-0.2500", "-"]
    unlike = report(TWO, published=published, published_note="Of other images.").tables
    assert [table.title for table in unlike[1:]] == ["Published"]
    assert unlike[1].notes == ("Of other images.",)
    assert len(report(TWO, published={"CBF": {"brightness": 9.0}}).tables) == 2


def test_missing_images_are_counted_in_the_note(report):
    rows = {"m": {"a": (1.0, 2.0), "b": (math.nan, 2.0)}}
    (table,) = report(rows).tables
    assert table.notes == ("2 images; means are over those that have a value: brightness 1.",)


def test_a_row_that_lacks_values_is_neither_marked_nor_ranked_and_a_note_says_so(report):
    rows = {
        "m": {"a": (1.0, 4.0), "b": (1.0, 4.0)},
        "n": {"a": (2.0, 3.0), "b": (2.0, 3.0)},
        "few": {"a": (9.0, 1.0), "b": (math.nan, math.nan)},
    }
    published = {"m": {"brightness": 1.0}, "few": {"brightness": 1.0}}
    table, *_, distances = report(rows, published=published).tables
    assert [row[1].text for row in table.rows] == ["1.0000", "2.0000", "9.0000"]
    assert [row[1].mark for row in table.rows] == ["second", "best", ""]
    assert [row[-1].text for row in table.rows] == ["2.00", "1.00", "-"]
    assert [note.partition(" has values for fewer")[0] for note in table.notes] == [
        "2 images.",
        "few",
    ]
    assert "brightness 1, darkness 1" in table.notes[1]
    assert [row[1].text for row in distances.rows] == ["+0.0000", "-"]


def test_one_note_says_that_rows_are_still_to_be_computed(report):
    rows = {
        "m": {"a": (1.0, 4.0), "b": (1.0, 4.0)},
        "n": {"a": (2.0, 3.0)},
        "o": {"b": (2.0, 3.0)},
    }
    (table,) = report(rows).tables
    _, note = table.notes
    assert "4 of 6 rows" in note
    assert "2 of 3 methods" in note
    assert [row[-1].text for row in table.rows] == ["1.00", "-", "-"]


def test_rows_with_the_same_values_everywhere_are_named_once(report):
    one, other = {"a": (1.0, 4.0), "b": (2.0, 4.0)}, {"a": (1.0, 4.0), "b": (2.0, 5.0)}
    rows = {"m": one, "n": other, "o": one, "p": other, "q": one, "r": {"a": (1.0, 4.0)}}
    notes = report(rows).tables[0].notes
    assert [note.partition(": ")[2] for note in notes if "copies" in note] == ["m = o = q; n = p."]


def test_a_method_that_is_left_out_is_named_under_the_table_and_in_json(report):
    result = report(TWO, left_out={"cbf": "it needs exactly 2 sources, the set has 3"})
    assert result.tables[0].notes[-1] == (
        "cbf is left out: it needs exactly 2 sources, the set has 3."
    )
    assert json.loads(json_text(result))["left_out"] == result.left_out


def test_every_format_has_every_number(report):
    result = report(TWO, {"net_a/rule": "pixels/rule"})
    for render in (to_text, to_markdown, to_latex):
        text = render(result.tables[0])
        for number in ("2.0000", "2.5000", "300.00", "1.4142"):
            assert number in text, render
    assert "**2.5000** ±0.7071" in to_markdown(result.tables[0])
    assert "<u>2.0000</u>" in to_markdown(result.tables[0])
    assert r"\textbf{2.5000}" in to_latex(result.tables[0])
    assert "2.5000 (1)" in to_text(result.tables[0])


def contents(result):
    """Return name -> text of the files of a report."""
    texts = {}
    for path, content in report_files({"set": result}, Path("out"), {"name": "set"}).items():
        file = io.BytesIO()
        content(file)
        texts[path.name] = file.getvalue().decode()
    return texts


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_files_hold_the_values_of_every_image(report):
    files = contents(report(TWO, {"net_a/rule": "pixels/rule"}, [("net_a/rule", "why")]))
    assert set(files) == {
        "table.md",
        "table.tex",
        "rows.csv",
        "means.csv",
        "comparisons.csv",
        "problems.csv",
        "study.json",
    }
    rows = table(files["rows.csv"])
    assert [float(row["value"]) for row in rows if row["metric"] == "brightness"] == [1, 3, 2, 3]
    assert {row["set"] for row in rows} == {"set"}
    assert [float(row["mean"]) for row in table(files["means.csv"])] == [2, 300, 2.5, 150]
    gain = table(files["comparisons.csv"])[0]
    assert (gain["kind"], gain["against"], gain["difference"], gain["low"]) == (
        "gain",
        "pixels/rule",
        "-0.5",
        "",
    )
    assert gain["tests"] == "2"
    assert float(gain["p"]) == min(1, 2 * float(gain["raw_p"]))
    content = json.loads(files["study.json"])["sets"]["set"]
    assert content["methods"]["pixels/rule"]["made"] == {"method": "pixels/rule"}
    assert content["problems"] == ["why"]
    assert len(content["comparisons"]) == 2
    assert "no score: why" in files["table.md"]
    assert table(files["problems.csv"])[0]["problem"] == "why"


def test_json_has_null_instead_of_nan(report):
    content = json.loads(json_text(report({"m": {"a": (math.nan, 2.0)}})))
    assert content["methods"]["m"]["mean"] == {"brightness": None, "darkness": 2}


def test_values_that_are_printed_alike_are_marked_alike(report):
    rows = {"m": {"a": (1.00001, 2.0)}, "n": {"a": (1.00002, 2.0)}, "o": {"a": (0.5, 2.0)}}
    (table, *_) = report(rows).tables
    assert [row[1].mark for row in table.rows] == ["best", "best", "second"]


def test_a_column_has_one_number_of_decimals_and_zero_has_no_sign(report):
    rows = {"m": {"a": (-0.00001, 123.456)}, "n": {"a": (1.0, 5.4321)}}
    (table, *_) = report(rows).tables
    assert [row[1].text for row in table.rows] == ["0.0000", "1.0000"]
    assert [row[2].text for row in table.rows] == ["123.46", "5.43"]


def test_infinite_values_are_null_in_json_and_count_as_missing(report):
    result = report({"m": {"a": (math.inf, 1.0), "b": (1.0, 1.0)}, "n": {"a": (1.0, 1.0)}})
    assert json.loads(json_text(result))["methods"]["m"]["values"]["a"]["brightness"] is None
    assert result.scores.method_counts.tolist() == [[1, 2], [1, 1]]


def test_a_problem_of_a_source_is_listed_once(report):
    result = report(TWO, (), [("net_a/rule", "why"), ("pixels/rule", "why")])
    assert result.problems == ["why"]


def test_names_cannot_break_a_table(report):
    name = "a|b <i>"
    (table, *_) = report({name: {"a": (1.0, 2.0)}}).tables
    assert r"a\|b &lt;i&gt;" in to_markdown(table)


def test_ranks_are_averaged_over_the_metrics(report):
    (table, *_) = report(TWO).tables
    # brightness: 2, 1.5 and 1, 1.5; darkness: 2, 2 and 1, 1
    expected = [np.mean([1.75, 2]), np.mean([1.25, 1])]
    assert [row[-1].text for row in table.rows] == [f"{value:.2f}" for value in expected]


def test_marginal_means_are_over_the_rows_of_a_value_and_say_how_many_images_they_have():
    methods = [
        MadeUpMethod(f"r={r} t={t}", made_with(r=r, t=t)) for r, t in ((1, 1), (1, 2), (2, 1))
    ]
    values = [[[1.0], [3], [math.nan]], [[5], [5], [math.nan]], [[7], [math.nan], [math.nan]]]
    result = made_up_report(methods, ["a", "b", "c"], values, ["EN"])
    rows = [list(row.values()) for row in table(contents(result)["marginals.csv"])]
    assert rows == [
        ["set", "r", "1", "EN", "2", "2", "3.5", "1", "1", "1"],
        ["set", "r", "2", "EN", "1", "1", "7", "1", "1", "7"],
        ["set", "t", "1", "EN", "2", "2", "4.5", "1", "2", "2"],
        ["set", "t", "2", "EN", "1", "2", "5", "1", "2", "5"],
    ]
