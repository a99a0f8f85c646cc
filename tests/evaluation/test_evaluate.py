"""`fusionlab.evaluate`: the function behind the command, and the report that it returns."""

import csv
import json
import math
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

import fusionlab
from fusionlab import Fusion, FusionlabError
from fusionlab.cli import main


@pytest.fixture(autouse=True)
def _metrics(metrics):
    """All tests here may use the metrics that are easy to work out."""


def refusal(*args, **options):
    with pytest.raises(FusionlabError) as refused:
        fusionlab.evaluate(*args, **options)
    return refused.value


def test_values_and_means_are_plain_dictionaries(image_set):
    report = fusionlab.evaluate(image_set, "identity/mean", "brightness,darkness")
    assert list(report.values) == ["identity/mean"]
    values = report.values["identity/mean"]
    assert list(values) == ["one", "three", "two"]
    mean = np.mean([row["brightness"] for row in values.values()])
    assert report.means["identity/mean"] == pytest.approx(
        {"brightness": mean, "darkness": 255 - mean}
    )
    assert report.problems == []


def test_a_row_to_compare_with_may_be_named_as_its_folder_is_given(image_set, tmp_path):
    results = tmp_path / "theirs"
    results.mkdir()
    iio.imwrite(results / "one.png", np.full((24, 30), 9, dtype=np.uint8))
    folder = f"Theirs={results}"
    report = fusionlab.evaluate(image_set, ["identity/mean", folder], "brightness", against=folder)
    assert report.against == "Theirs"
    error = refusal(image_set, "identity/mean", "brightness", against=folder)
    assert (error.code, error.option) == ("no-such-row", "against")


def test_the_command_prints_the_same_values(image_set):
    report = fusionlab.evaluate(image_set, ["densefuse@1e2/mean"], ["EN"], range_policy="clip")
    args = ["evaluate", str(image_set), "--method", "densefuse@1e2/mean", "--metrics", "EN"]
    printed = CliRunner().invoke(main, [*args, "--range", "clip", "--json"])
    methods = json.loads(printed.stdout)["methods"]
    assert {label: method["values"] for label, method in methods.items()} == report.values


def test_several_kinds_of_methods_stand_in_one_table(image_set, tmp_path):
    results = tmp_path / "theirs"
    results.mkdir()
    for name in ("one", "two", "three"):
        iio.imwrite(results / f"{name}.png", np.full((24, 30), 9, dtype=np.uint8))
    methods = [
        "identity/mean",
        Fusion("identity", "max"),
        {"sum": "identity/addition", "Theirs": results},
        f"Theirs again={results}",
    ]
    report = fusionlab.evaluate(image_set, methods, "brightness", against="Theirs")
    assert list(report.means) == [
        "identity/mean",
        "identity/max",
        "sum",
        "Theirs",
        "Theirs again",
    ]
    assert report.means["Theirs"] == {"brightness": 9}
    assert {entry.against for entry in report.differences} == {"Theirs"}


def test_gains_and_differences_are_comparisons(image_set):
    report = fusionlab.evaluate(
        image_set, "densefuse@1e2/mean", "brightness", against="identity/mean"
    )
    assert [(entry.method, entry.against) for entry in report.gains] == [
        ("densefuse@1e2/mean", "identity/mean")
    ]
    assert report.comparisons == [*report.gains, *report.differences]
    means = report.means
    assert report.gains[0].difference == pytest.approx(
        means["densefuse@1e2/mean"]["brightness"] - means["identity/mean"]["brightness"]
    )


def test_without_baselines_there_are_only_the_rows_that_were_asked_for(image_set):
    report = fusionlab.evaluate(image_set, "densefuse@1e2/mean", "brightness", baselines=False)
    assert list(report.means) == ["densefuse@1e2/mean"]
    assert report.gains == []


def test_an_image_set_is_a_path_or_folders_or_a_mapping_of_one(image_set):
    folders = [image_set / "a", str(image_set / "b")]
    reports = [
        fusionlab.evaluate(given, "identity/mean", "brightness")
        for given in (str(image_set), folders, {"ours": image_set}, {"ours": folders})
    ]
    assert all(report.values == reports[0].values for report in reports)


def test_several_image_sets_are_refused(image_set):
    sets = {"one": image_set, "two": image_set}
    assert refusal(sets, "identity/mean", "brightness").code == "several-sets"
    assert refusal([], "identity/mean", "brightness").code == "no-set"


def test_a_run_is_resumed_in_its_folder(image_set, tmp_path):
    output = tmp_path / "out"
    arguments = image_set, "identity/mean", "brightness"
    first = fusionlab.evaluate(*arguments, output=output)
    assert refusal(*arguments, output=output).code == "earlier-run"
    again = fusionlab.evaluate(*arguments, output=str(output), resume=True)
    assert all(row.reused for row in again.rows)
    assert again.values == first.values
    assert not any(
        row.reused for row in fusionlab.evaluate(*arguments, output=output, overwrite=True).rows
    )


def test_resuming_needs_a_folder(image_set):
    error = refusal(image_set, "identity/mean", "brightness", resume=True)
    assert (error.code, error.option) == ("resume-without-output", "output")


def test_no_method_at_all_is_refused(image_set):
    assert refusal(image_set).code == "nothing-to-evaluate"


def test_a_row_to_compare_with_must_exist(image_set):
    error = refusal(image_set, "identity/mean", "brightness", against="me")
    assert (error.code, error.option) == ("no-such-row", "against")


@pytest.mark.usefixtures("only_what_ships")
def test_a_preset_gives_methods_metrics_and_published_rows(image_set):
    report = fusionlab.evaluate(image_set, preset="paper", metrics="EN")
    assert "densefuse@1e3/l1norm,r=0" in report.means
    assert report.published["densefuse@1e2/addition"]["EN"] == pytest.approx(6.65426)
    assert "20 images, ours over 3" in report.published_note


def test_a_bad_image_costs_its_values_and_is_reported_at_once(image_set):
    (image_set / "a" / "two.png").write_bytes(b"nothing")
    problems = []
    report = fusionlab.evaluate(
        image_set, ["identity/mean", "identity/max"], "brightness", on_problem=problems.append
    )
    assert report.problems == problems
    assert [problem.partition(":")[0] for problem in problems] == ["two"]
    assert math.isnan(report.values["identity/mean"]["two"]["brightness"])
    assert not math.isnan(report.means["identity/mean"]["brightness"])


def test_progress_is_called_for_every_row(image_set):
    calls = []
    fusionlab.evaluate(
        image_set, "identity/mean", "brightness", progress=lambda *call: calls.append(call)
    )
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_report_prints_its_settings_problems_and_tables(image_set):
    (image_set / "a" / "two.png").write_bytes(b"nothing")
    report = fusionlab.evaluate(image_set, "identity/mean", "brightness", range_policy="clip")
    for text in (str(report), report._repr_markdown_()):
        assert "range: clip" in text
        assert "no score: two" in text
        assert f"{report.means['identity/mean']['brightness']:.2f}" in text  # large: fewer decimals
    assert repr(report) == "<Report: 1 methods, 3 images, 1 metrics>"


def test_the_table_shows_the_range_policies_of_the_rows_where_they_differ(image_set, tmp_path):
    results = tmp_path / "theirs"
    results.mkdir()
    iio.imwrite(results / "one.png", np.full((24, 30), 9, dtype=np.uint8))
    methods = ["identity/mean", "identity/addition", {"Theirs": results}]
    report = fusionlab.evaluate(image_set, methods, "brightness", range_policy="own")
    assert report.range_policies == {
        "identity/mean": "clip",
        "identity/addition": "minmax",
        "Theirs": None,
    }
    table = report.tables[0]
    assert table.heads[:2] == ("method", "range")
    assert [row[1].text for row in table.rows] == ["clip", "minmax", "as is"]
    one_policy = fusionlab.evaluate(image_set, "identity/mean", "brightness", range_policy="own")
    assert "range" not in one_policy.tables[0].heads


def test_a_row_says_how_many_values_lay_outside_the_range(image_set, tmp_path):
    """The sum of two uniform images exceeds white at half of the pixels, their mean nowhere."""
    results = tmp_path / "theirs"
    results.mkdir()
    iio.imwrite(results / "one.png", np.full((24, 30), 9, dtype=np.uint8))
    output, shares = tmp_path / "out", []
    methods = ["identity/mean", "identity/addition", {"Theirs": results}]
    for stem in ("one", "two", "three"):
        sources = [iio.imread(image_set / letter / f"{stem}.png").astype(int) for letter in "ab"]
        shares.append((sum(sources) > 255).mean())
    expected = 100 * np.mean(shares)
    for resume in (False, True):
        report = fusionlab.evaluate(image_set, methods, "brightness", output=output, resume=resume)
        assert report.outside == pytest.approx(
            {"identity/mean": 0, "identity/addition": expected, "Theirs": math.nan}, nan_ok=True
        )
        table = report.tables[0]
        assert table.heads[:3] == ("method", "range", "outside %")
        assert [row[2].text for row in table.rows] == ["0.00", f"{expected:.2f}", "-"]
        assert any(note.startswith("outside %") for note in table.notes)
    content = json.loads((output / "study.json").read_text())["sets"]["set"]["methods"]
    assert content["identity/addition"]["outside_percent"] == pytest.approx(expected)
    assert content["Theirs"]["outside_percent"] is None
    lines = (output / "means.csv").read_text().splitlines()
    assert lines[0].endswith(",rank,outside_percent")
    assert lines[2].endswith(f",{expected:.10g}")
    inside = fusionlab.evaluate(image_set, "identity/mean", "brightness").tables[0]
    assert inside.heads[1] != "outside %"


def test_a_report_can_be_pickled(image_set):
    report = fusionlab.evaluate(image_set, "densefuse@1e2/mean", "brightness")
    copy = pickle.loads(pickle.dumps(report))
    assert str(copy) == str(report)
    assert copy.values == report.values
    assert repr(copy.comparisons) == repr(report.comparisons)  # nan is not equal to nan


def test_a_report_describes_the_weights_that_were_evaluated(image_set, tmp_path):
    fusion = Fusion("densefuse@1e2", "mean")
    fusion.backbone.card = None  # as if trained in this script
    report = fusionlab.evaluate(image_set, fusion, "brightness")
    (label,) = report.means
    descriptions = []
    for _ in range(2):
        report.write(tmp_path)
        content = json.loads((tmp_path / "study.json").read_text())["sets"]["set"]
        descriptions.append(content["methods"][label]["made"])
        next(fusion.backbone.parameters()).data += 1
    assert descriptions[0]["states"] == descriptions[1]["states"]


def test_a_report_is_written_and_replaced(image_set, tmp_path):
    report = fusionlab.evaluate(image_set, "identity/mean", "brightness")
    for _ in range(2):
        report.write(tmp_path / "deep" / "out")
    with (tmp_path / "deep" / "out" / "rows.csv").open(newline="") as file:
        values = {row["sample"]: float(row["value"]) for row in csv.DictReader(file)}
    expected = {name: row["brightness"] for name, row in report.values["identity/mean"].items()}
    assert values == pytest.approx(expected, rel=1e-9)  # ten digits


def test_a_report_that_cannot_be_written_is_returned_all_the_same(image_set, tmp_path, monkeypatch):
    def full(self, folder):
        raise FusionlabError("cannot write table.md: No space left on device")

    monkeypatch.setattr(fusionlab.Report, "write", full)
    report = fusionlab.evaluate(image_set, "identity/mean", "brightness", output=tmp_path / "out")
    assert report.means
    assert "No space left on device" in report.unsaved


def test_a_data_frame_has_a_row_for_each_method_image_and_metric(image_set, monkeypatch):
    frame = SimpleNamespace(DataFrame=lambda rows, columns: (rows, columns))
    monkeypatch.setitem(sys.modules, "pandas", frame)
    report = fusionlab.evaluate(image_set, "identity/mean", "brightness,darkness")
    rows, columns = report.to_pandas()
    assert columns == ["method", "image", "metric", "value"]
    assert len(rows) == 6
    one = report.values["identity/mean"]["one"]
    assert rows[:2] == [
        ("identity/mean", "one", "brightness", one["brightness"]),
        ("identity/mean", "one", "darkness", one["darkness"]),
    ]


def test_a_data_frame_needs_pandas(image_set, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    report = fusionlab.evaluate(image_set, "identity/mean", "brightness")
    with pytest.raises(FusionlabError) as refused:
        report.to_pandas()
    assert refused.value.code == "no-pandas"


def test_no_message_of_this_package_names_an_option_of_the_command_line():
    for path in Path(fusionlab.__file__).parent.glob("evaluation/*.py"):
        assert " --" not in path.read_text(encoding="utf-8"), path


def test_a_folder_that_another_run_uses_or_has_just_used_is_refused(image_set, tmp_path):
    arguments = image_set, "identity/mean", "brightness"
    refused = []

    def second(done, total):
        refused.append(refusal(*arguments, output=tmp_path / "out", overwrite=True).code)

    fusionlab.evaluate(*arguments, output=tmp_path / "out", progress=second)
    assert set(refused) == {"locked"}
    assert refusal(*arguments, output=tmp_path / "out").code == "earlier-run"
    assert fusionlab.evaluate(*arguments, output=tmp_path / "out", resume=True).problems == []
