"""`fusionlab study`: validate, run, status, report."""

import csv
import errno
import json
import re
import shutil
import time
from pathlib import Path

import click
import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner
from faulty_files import FaultyFiles

from fusionlab.cli import main
from fusionlab.cli.evaluate import evaluate
from fusionlab.errors import Terminated
from fusionlab.evaluation.studies.file import SET_KEYS, STUDY_KEYS, read_study
from fusionlab.evaluation.studies.plan import plan_study
from fusionlab.plugins.host import installed

PAGE = Path(__file__).parents[2] / "docs" / "studies.md"

STUDY = """
[study]
metrics = ["EN", "SD"]
range = { grid = ["clip", "minmax"] }
against = "identity/mean"
compare = ["range", "r=1"]
executor = "threads:2"

[sets]
all = "set"
two = { folders = ["set/a", "set/b"], limit = 2 }

[[methods]]
method = { grid = ["identity/mean", "identity/max"] }

[[methods]]
backbone = "identity"
strategy = "l1norm"
r = { grid = [0, 1] }
name = "l1 r={r}"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a study and a set of three pairs."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for letter in "ab":
        (tmp_path / "set" / letter).mkdir(parents=True)
        for stem in ("one", "two", "three"):
            pixels = rng.integers(0, 256, (24, 30), dtype=np.uint8)
            iio.imwrite(tmp_path / "set" / letter / f"{stem}.png", pixels)
    (tmp_path / "grid.toml").write_text(STUDY)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(main, ["study", *map(str, arguments)])


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_validate_says_what_would_run(folder):
    result = run("validate", "grid.toml", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["rows of scores"] == (3 + 2) * 8
    assert content["rows"][:4] == [
        "identity/mean [clip]",
        "identity/max [clip]",
        "l1 r=0 [clip]",
        "l1 r=1 [clip]",
    ]
    assert not (folder / "out").exists()


def test_names_show_a_parameter_that_varies_also_where_it_has_its_default(folder):
    more = """
[[methods]]
method = { grid = ["identity/l2norm", "identity/max"] }
"""
    text = STUDY.replace('name = "l1 r={r}"', more).replace(
        '= "identity/mean"', '= "identity/l1norm"'
    )
    (folder / "grid.toml").write_text(text)
    result = run("validate", "grid.toml", "--json", "--range", "clip")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"] == [
        "identity/mean",
        "identity/max",
        "identity/l1norm,r=0",
        "identity/l1norm,r=1",
        "identity/l2norm,r=1",
    ]


def test_a_study_runs_and_is_not_computed_twice(folder):
    result = run("run", "grid.toml", "-o", "out")
    assert result.exit_code == 0, result.output
    assert "40 rows of scores: 0 from earlier runs, 0 failed" in result.stdout
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {
        "table.md",
        "table.tex",
        "rows.csv",
        "means.csv",
        "marginals.csv",
        "effects.csv",
        "comparisons.csv",
        "study.json",
        "rows.jsonl",
        "status.json",
    }
    rows = read(folder / "out" / "rows.csv")
    assert len(rows) == 40 * 2
    assert {row["range"] for row in rows} == {"clip", "minmax"}
    assert {row["r"] for row in rows if row["strategy"] == "l1norm"} == {"0", "1"}
    comparisons = read(folder / "out" / "comparisons.csv")
    against = [row for row in comparisons if row["kind"] == "against" and row["set"] == "all"]
    assert {row["method"].partition(" [")[2] for row in against} == {"clip]", "minmax]"}
    assert all(
        row["against"].partition(" [")[2] == row["method"].partition(" [")[2] for row in against
    )
    along = [row for row in comparisons if row["kind"] == "range"]
    assert {row["against"].replace("clip", "minmax") for row in along} == {
        row["method"] for row in along
    }
    along = [row for row in comparisons if row["kind"] == "r"]
    assert {(row["method"], row["against"]) for row in along} == {
        (f"l1 r=0 [{policy}]", f"l1 r=1 [{policy}]") for policy in ("clip", "minmax")
    }
    effects = read(folder / "out" / "effects.csv")
    # the two pairs of the set `two` are among the three of `all`
    assert [
        (row["factor"], row["level"], row["reference"], row["set"], row["pairs"], row["images"])
        for row in effects
        if row["metric"] == "SD"
    ] == [
        ("range", "minmax", "clip", "all sets", "4", "3"),
        ("range", "minmax", "clip", "all", "4", "3"),
        ("range", "minmax", "clip", "two", "4", "2"),
        ("r", "0", "1", "all sets", "2", "3"),
        ("r", "0", "1", "all", "2", "3"),
        ("r", "0", "1", "two", "2", "2"),
    ]
    # two contrasts and two metrics over all sets; as many in each of two sets
    assert {row["set"]: row["tests"] for row in effects} == {
        "all sets": "4",
        "all": "8",
        "two": "8",
    }
    for name, part in (("table.md", "## Effects of the factors"), ("table.tex", "grid-effects}")):
        assert part in (folder / "out" / name).read_text()
    again = run("run", "grid.toml", "-o", "out")
    assert "40 from earlier runs" in again.stdout
    assert read(folder / "out" / "rows.csv") == rows


def test_a_run_says_what_it_will_do_and_what_comes_next(folder):
    result = run("run", "grid.toml", "-o", "out", "--only", "two", "--overwrite")
    assert result.stderr.splitlines()[0] == "grid: 16 rows of scores; 2 workers"
    report = "fusionlab study report grid.toml -o out --only two"
    assert result.stdout.splitlines()[-1] == f"next, a page: {report}"
    assert run("report", "grid.toml", "-o", "out").exit_code == 0
    result = run("run", "grid.toml", "-o", "out")
    first = result.stderr.splitlines()[0]
    # two of the three pairs of `all` are those of `two`
    assert first == "grid: 40 rows of scores, 32 from earlier runs; 2 workers"
    assert "its page is older; write it again: fusionlab study report" in result.stdout


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(), 130), (Terminated(), 143)])
def test_a_run_that_is_stopped_says_what_is_kept_and_how_to_continue(
    folder, monkeypatch, stop, code
):
    from fusionlab.evaluation import run as running

    def stop_after_eleven(self, samples, workers, run_all=running.ScoringRun.run):
        rows = 0
        for batch in run_all(self, samples, workers):
            yield batch
            rows += len(batch)
            if rows >= 11:
                raise stop

    monkeypatch.setattr(running.ScoringRun, "run", stop_after_eleven)
    command = ["run", "grid.toml", "-o", "out", "--only", "all"]
    result = run(*command, "--overwrite")
    assert result.exit_code == code
    kept = len((folder / "out" / "rows.jsonl").read_text().splitlines())
    assert kept >= 11
    assert result.stderr.splitlines()[-1] == (
        f"stopped; {kept} of 24 rows of scores are kept in out/; continue with: fusionlab study "
        "run grid.toml -o out --only all"
    )
    status = json.loads(run("status", "out", "--json").stdout)
    assert (status["state"], status["done"], status["total"]) == ("stopped", kept, 24)
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert f"24 rows of scores: {kept} from earlier runs" in run(*command).stdout


def test_status_counts_rows_as_they_are_written(folder, monkeypatch):
    """Also those of samples that come later than one that is still being computed."""
    from fusionlab.evaluation.studies import study

    monkeypatch.setattr(study, "STATUS_SECONDS", 0)
    seen = []

    def compare(progress):
        journal = folder / "out" / "rows.jsonl"
        rows = len(journal.read_text().splitlines()) if journal.exists() else 0
        status = json.loads((folder / "out" / "status.json").read_text())
        seen.append((rows, status["done"], progress.done, status["total"]))

    study.run_study(
        plan_study(read_study(folder / "grid.toml"), installed()),
        folder / "out",
        progress=compare,
    )
    assert {total for *_, total in seen} == {40}
    assert all(rows == done == counted for rows, done, counted, _ in seen)
    assert seen[-1][0] == 40


def test_no_time_is_estimated_from_few_rows():
    from fusionlab.evaluation.studies.study import Progress

    progress = Progress(1000, done=409, reused=400, started=time.time() - 30)
    assert progress.left is None
    progress.done = 430
    assert progress.left == pytest.approx(570, rel=0.01)  # a row a second; the clock runs on


def test_a_larger_grid_computes_what_is_missing(folder):
    run("run", "grid.toml", "-o", "out")
    (folder / "grid.toml").write_text(STUDY.replace("[0, 1]", "[0, 1, 2]"))
    result = run("run", "grid.toml", "-o", "out")
    assert "50 rows of scores: 40 from earlier runs" in result.stdout


def test_options_replace_what_the_file_says(folder):
    result = run(
        "run", "grid.toml", "-o", "out", "--only", "two", "--range", "clip", "--metrics", "SD"
    )
    assert result.exit_code == 0, result.output
    rows = read(folder / "out" / "rows.csv")
    assert {(row["set"], row["range"], row["metric"]) for row in rows} == {("two", "clip", "SD")}
    assert {row["method"] for row in rows} == {"identity/mean", "identity/max", "l1 r=0", "l1 r=1"}


def test_status_and_report_of_a_study_that_was_stopped(folder):
    run("run", "grid.toml", "-o", "out", "--only", "two")
    result = run("status", "out", "--json")
    assert json.loads(result.stdout)["state"] == "complete"
    state = json.loads((folder / "out" / "status.json").read_text())
    (folder / "out" / "status.json").write_text(json.dumps({**state, "state": "running"}))
    assert json.loads(run("status", "out", "--json").stdout)["state"] == "stopped"
    assert "stopped" in run("status", "out").stdout
    result = run("report", "grid.toml", "-o", "out")
    # two of the three pairs of `all` are those of `two`, and have been scored there
    assert "32 of 40 rows of scores" in result.stdout
    assert {row["set"] for row in read(folder / "out" / "rows.csv")} == {"all", "two"}
    page = folder / "out" / "report" / "index.html"
    assert f"open {page.relative_to(folder)}" in result.stdout
    html = page.read_text(encoding="utf-8")
    assert "l1 r=0 [minmax]" in html
    assert "minmax - clip" in html
    assert "32 of 40 rows of scores" in html
    assert "16 of 24</td>" in html
    run("run", "grid.toml", "-o", "out")
    run("report", "grid.toml", "-o", "out")
    assert "Not complete" not in page.read_text(encoding="utf-8")


def test_a_damaged_sample_costs_its_rows_and_is_counted(folder):
    (folder / "set" / "b" / "two.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    text = STUDY.replace("[study]", "[study]\nsave_images = true")
    (folder / "grid.toml").write_text(text)
    result = run("run", "grid.toml", "-o", "out")
    assert result.exit_code == 1
    assert "8 failed" in result.stdout  # `two` has only the first two samples
    problems = read(folder / "out" / "problems.csv")
    assert len(problems) == 8
    assert {row["sample"] for row in problems} == {"two"}
    written = PAGE.read_text(encoding="utf-8").partition("## What it writes")[2].partition("```")[0]
    documented = set(re.findall(r"`([^`/]+)[^`]*`", written.replace("`radius/`", "")))
    assert {path.name for path in (folder / "out").iterdir()} <= documented
    fields = json.loads((folder / "out" / "status.json").read_text())
    paragraph = PAGE.read_text(encoding="utf-8").partition("\n`status.json` has")[2]
    assert set(fields) <= set(re.findall(r"`([a-z_]+)`", paragraph.partition("\n\n")[0]))


def test_events_are_lines_of_json(folder):
    (folder / "set" / "b" / "two.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = run("run", "grid.toml", "-o", "out", "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert {event["event"] for event in events} == {"start", "problem", "complete"}
    assert (events[0]["event"], events[0]["total"], events[0]["workers"]) == ("start", 40, 2)
    assert events[-1]["done"] == events[-1]["total"] == 40


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("identity/max", "identity/maxx", "did you mean"),
        ('"set"', '"sett"', "the set all"),
        ("EN", "ENN", "did you mean 'EN'"),
        ('"identity/mean"\ncompare', '"identity/min"\ncompare', "no row 'identity/min'"),
        ('["range"', '["rang"', "no row has a factor 'rang'"),
        ('"r=1"]', '"r=7"]', "values of r: 0, 1"),
        ('["range"', '["color"', "along color: all rows have color = gray; give it a grid"),
        ('["range"', '["backbone"', "along backbone: all rows have backbone = identity"),
        ('["range"', '["border"', "grid.toml: [study] compare: there is nothing"),
        ('"SD"]', '"sd"]', "did you mean 'SD'?"),
        ('["EN", "SD"]', '"EN,SD"', '[study] metrics must be a list, ["EN", "SD"]; got'),
        ('{ grid = ["clip", "minmax"] }', '["clip"]', 'write range = { grid = ["clip"] }'),
        ("{ grid = [0, 1] }", "[0, 1]", "for several values write r = { grid = [0, 1] }"),
        ("{ grid = [0, 1] }", "{ grid = [1, 1] }", "[[methods]] 2 r has '1' twice in its grid"),
        ("r = {", 'tag = "x"\nr = {', 'a part of the backbone: backbone = "NAME@TAG"'),
        ('"l1norm"\n', '{ grid = ["l1norm", "max"] }\n', "a [[methods]] of their own"),
        ('"l1norm"\n', '["l1norm", "max"]\n', 'write strategy = { grid = ["l1norm", "max"] }'),
        ("l1 r={r}", "l1", "two rows are called"),
        ("threads:2", "threads:0", "expected threads, local or dask"),
        ('["clip", "minmax"]', '["clip", "maxmin"]', "range policy"),
    ],
)
def test_mistakes_end_with_a_sentence_and_exit_code_2(folder, old, new, text):
    assert old in STUDY
    (folder / "grid.toml").write_text(STUDY.replace(old, new, 1))
    result = run("run", "grid.toml", "-o", "out")
    assert result.exit_code == 2, result.output
    assert text in result.stderr
    assert "(--" not in result.stderr  # what is in the file is no option
    assert "Traceback" not in result.output


def test_an_error_about_an_option_names_the_option(folder):
    result = run("run", "grid.toml", "-o", "out", "--against", "nothing")
    assert "(--against)" in result.stderr
    assert "[study]" not in result.stderr


def test_validate_sums_up_factors_and_tests_and_warns_of_those_in_vain(folder):
    result = run("validate", "grid.toml")
    assert result.exit_code == 0, result.output
    facts = [tuple(line.split(maxsplit=1)) for line in result.stdout.splitlines()]
    assert ("color", "gray") in facts
    assert ("range", "clip, minmax") in facts
    assert ("factors", "r: 0, 1") in facts
    # 2 ranges x (3 rows against mean, 1 of r = 0 against 1), 4 rows along range; 2 sets, 2 metrics
    assert ("tests", "against: 24") in facts
    assert ("tests", "range: 16") in facts
    assert ("tests", "r: 8") in facts
    for kind in ("against", "range", "r"):
        assert f"of the comparison {kind!r} can be significant" in result.stderr


def test_validate_names_only_some_of_many_rows(folder):
    (folder / "grid.toml").write_text(STUDY.replace("[0, 1]", str(list(range(30)))))
    assert (
        "rows            ... and 44 more; --json prints them all"
        in run("validate", "grid.toml").stdout.splitlines()
    )
    assert len(json.loads(run("validate", "grid.toml", "--json").stdout)["rows"]) == 64


def test_a_report_needs_only_the_folder(folder, tmp_path_factory, monkeypatch):
    run("run", "grid.toml", "-o", "out", "--only", "two", "--range", "clip")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    result = run("report", folder / "out")
    assert result.exit_code == 0, result.output
    assert (folder / "out" / "report" / "index.html").exists()
    (folder / "grid.toml").rename(folder / "moved.toml")
    result = run("report", folder / "out")
    assert result.exit_code == 2
    assert "grid.toml any more; give it" in result.stderr
    result = run("report", folder / "moved.toml")
    assert result.exit_code == 2
    assert "which folder" in result.stderr


@pytest.mark.parametrize("kind", ["images.jsonl", "rows.jsonl"])
def test_what_cannot_be_kept_is_said_and_the_exit_code_is_2(folder, kind):
    study = STUDY.replace("[sets]", "save_images = true\n[sets]", 1)
    (folder / "grid.toml").write_text(study)
    with FaultyFiles(folder / "out") as files:
        assert run("run", "grid.toml", "-o", "out", "--executor", "threads:1").exit_code == 0
    number = next(n for n, call in enumerate(files.calls) if call == ("write", kind))
    shutil.rmtree(folder / "out")
    with FaultyFiles(folder / "out", number, errno.EIO):
        result = run("run", "grid.toml", "-o", "out", "--executor", "threads:1")
    assert result.exit_code == 2
    assert result.stderr.endswith(f"Error: cannot write out/{kind}: Input/output error\n")
    assert run("run", "grid.toml", "-o", "out").exit_code == 0


def test_two_runs_in_one_folder_are_refused(folder):
    from fusionlab.storage.locking import exclusive_lock

    (folder / "out").mkdir()
    with exclusive_lock(folder / "out"):
        result = run("run", "grid.toml", "-o", "out")
    assert result.exit_code == 2
    assert "another run is writing into out; wait for it" in result.stderr


def test_a_folder_without_a_study_has_no_status(folder):
    result = run("status", "set")
    assert result.exit_code == 2
    assert "no study" in result.stderr


def test_every_option_of_evaluate_is_a_key_or_the_page_says_where_it_is():
    page = PAGE.read_text(encoding="utf-8")
    elsewhere = set(re.findall(r"^\| `--([a-z-]+)` \| .+ \|$", page, re.MULTILINE))
    options = {
        next(name for name in param.opts if name.startswith("--"))[2:]
        for param in evaluate.params
        if isinstance(param, click.Option)
    }
    keys = {name.replace("_", "-") for name in (*STUDY_KEYS, *SET_KEYS)}
    assert options - keys == elsewhere
    table = page.partition("| `[study]` |")[2].partition("Every option")[0]
    for key in (*STUDY_KEYS, *SET_KEYS):
        assert f"`{key}`" in table
