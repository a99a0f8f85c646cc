"""Whatever takes an image set takes templates and names of sources, and pairs by the same rules."""

import json

import imagecodecs
import numpy as np
import pytest
from click.testing import CliRunner

import fusionlab
from fusionlab.cli import main
from fusionlab.evaluation.studies.file import parse_study
from fusionlab.evaluation.studies.plan import plan_study
from fusionlab.plugins.host import installed

RNG = np.random.default_rng(0)
TEMPLATES = ["set/{}_ir.*", "set/{}_vis.*"]
NAMES = ["01_ir", "01_vis", "02_ir", "02_vis"]


@pytest.fixture
def pairs(put):
    for name in NAMES:
        pixels = RNG.integers(0, 256, (24, 32), dtype=np.uint8)
        put(f"set/{name}.png", content=imagecodecs.png_encode(pixels))


@pytest.mark.usefixtures("pairs")
def test_an_evaluation_takes_templates():
    report = fusionlab.evaluate(TEMPLATES, "identity/mean", "EN")
    assert report.scores.samples == ["01", "02"]
    assert report.settings["pairs"] == "set/{}_ir.* with set/{}_vis.*, 2 pairs"
    assert report.name == "set"
    same = fusionlab.evaluate("set", "identity/mean", "EN")
    assert same.values == report.values


@pytest.mark.usefixtures("pairs")
def test_the_command_evaluates_templates_and_folders_with_such_names():
    args = ["--method", "identity/mean", "--metrics", "EN", "--json"]
    results = [CliRunner().invoke(main, ["evaluate", *s, *args]) for s in (TEMPLATES, ["set"])]
    assert [result.exit_code for result in results] == [0, 0], results[0].output
    means = [json.loads(result.stdout)["methods"] for result in results]
    assert means[0] == means[1]


@pytest.mark.usefixtures("pairs")
def test_a_sheet_takes_templates():
    sheet = fusionlab.contact_sheet(TEMPLATES)
    assert (sheet == fusionlab.contact_sheet("set")).all()


def test_a_study_takes_templates(pairs, tmp_path):
    text = '[sets]\nx = ["set/{}_ir.*", "set/{}_vis.*"]\n[[methods]]\nmethod = "identity/mean"\n'
    (one,) = plan_study(parse_study(text, tmp_path, "study.toml"), installed()).sets
    assert [item.stem for item in one.items] == ["01", "02"]
    assert all(path.is_file() for item in one.items for path in item.sources)


@pytest.mark.usefixtures("pairs")
def test_results_are_called_after_what_the_names_share():
    args = ["--strategy", "mean", "--backbone", "identity", "--record", "-o", "out", "--json"]
    result = CliRunner().invoke(main, ["fuse", *TEMPLATES, *args])
    assert result.exit_code == 0, result.output
    *rows, last = map(json.loads, result.stdout.splitlines())
    assert [row["output"] for row in rows] == ["out/01.png", "out/02.png"]
    assert last["summary"]["pairs"] == "set/{}_ir.* with set/{}_vis.*, 2 pairs"
    explained = CliRunner().invoke(main, ["explain", "out/01.png", "--json"])
    assert [source["name"] for source in json.loads(explained.stdout)["sources"]] == [
        "set/01_ir.png",
        "set/01_vis.png",
    ]
