"""Evaluations and studies of sets whose sources do not lie on each other."""

import csv
import json

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

import fusionlab
from fusionlab.cli import main

CODE = """
import numpy as np
from fusionlab import Estimate, RegistrationRef, hookimpl

@hookimpl
def fusionlab_registrations():
    return [RegistrationRef("square", f"{__name__}:square", "Find the bright square.")]

def square(moving, fixed, *, model, **masks):
    if np.count_nonzero(moving == 1) != 16:
        return Estimate(None, 0.0, "insufficient_structure", "there is no square")
    (y, x), (v, u) = (np.argwhere(image == 1)[0] for image in (moving, fixed))
    return Estimate(np.array([[1, 0, x - u], [0, 1, y - v], [0, 0, 1.0]]), 0.9)
"""
METHODS = ["identity/max", "identity/addition"]
METRICS = "EN,MI"


@pytest.fixture
def folder(tmp_path, monkeypatch, install):
    """Two sets of the same pairs: of `moved`, the first sources lie elsewhere and reach further."""
    install("lab-square", CODE)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for name in ("moved/ir", "moved/vis", "right/ir", "right/vis"):
        (work / name).mkdir(parents=True)
    for number in range(3):
        rng = np.random.default_rng(number)
        ir, vis = (rng.integers(20, 200, (40, 50), np.uint8) for _ in range(2))
        for image in (ir, vis):
            image[20:24, 30:34] = 255
        x, y = 2 + number, 3
        iio.imwrite(f"moved/ir/{number}.png", ir[y:, x:])
        iio.imwrite(f"moved/vis/{number}.png", vis)
        iio.imwrite(f"right/ir/{number}.png", ir[y:, x:])
        iio.imwrite(f"right/vis/{number}.png", vis[y:, x:])
    return work


def values(report):
    return {(row.sample, row.method): row.values for row in report.rows}


def test_rows_are_those_of_the_sources_cropped_to_where_all_are_data(folder):
    arguments = METHODS, METRICS
    options = {"baselines": False, "executor": "threads:1"}
    right = fusionlab.evaluate(["right/ir", "right/vis"], *arguments, **options)
    moved = fusionlab.evaluate(
        ["moved/ir", "moved/vis"], *arguments, register="lab-square:square", **options
    )
    assert moved.settings["registered"] == "lab-square:square,model=similarity"
    assert values(moved) == values(right)
    assert len(values(moved)) == 6


def test_a_refusal_costs_its_rows_and_other_settings_are_other_rows(folder):
    iio.imwrite("moved/ir/1.png", np.tile(np.arange(48, dtype=np.uint8) * 4, (37, 1)))
    words = ["evaluate", "moved/ir", "moved/vis", "--method", METHODS[0], "--metrics", METRICS]
    words += ["-o", "out", "--resume", "--no-baselines"]
    run = CliRunner().invoke(main, [*words, "--register", "lab-square:square"])
    assert run.exit_code == 1, run.output
    assert "moved/ir/1.png cannot be registered to moved/vis/1.png" in run.stderr
    assert json.loads((folder / "out/study.json").read_text())
    again = CliRunner().invoke(main, [*words, "--register", "lab-square:square"])
    assert "2 of 3 rows of scores come from the earlier run" in again.stderr
    other = CliRunner().invoke(main, [*words, "--register", "lab-square:square,model=affine"])
    assert "earlier run" not in other.stderr


def test_a_study_takes_known_transforms_and_its_page_shows_registered_sources(folder):
    for number in range(3):  # one rig: the same shift
        iio.imwrite(f"moved/ir/{number}.png", iio.imread("moved/ir/0.png"))
    words = ["fuse", "moved/ir", "moved/vis", "--strategy", "max", "--backbone", "identity"]
    words += ["--register", "lab-square:square", "--rig", "--save-rig", "rig.json", "-o", "fused"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    (folder / "study.toml").write_text("""
        [study]
        metrics = ["EN"]
        executor = "threads:1"
        save_images = true
        [sets.known]
        folders = ["moved/ir", "moved/vis"]
        transforms = "rig.json"
        [sets.estimated]
        folders = ["moved/ir", "moved/vis"]
        register = "lab-square:square"
        reference = 2
        [[methods]]
        method = "identity/max"
    """)
    done = CliRunner().invoke(main, ["study", "run", "study.toml", "-o", "out"])
    assert done.exit_code == 0, done.output
    with (folder / "out/rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    by_set = {
        name: [row["value"] for row in rows if row["set"] == name]
        for name in ("known", "estimated")
    }
    assert len(by_set["known"]) == 3
    assert by_set["known"] == by_set["estimated"]
    page = CliRunner().invoke(main, ["study", "report", "out"])
    assert page.exit_code == 0, page.output
    sizes = {iio.imread(path).shape[:2] for path in (folder / "out").rglob("*-[sr]*.png")}
    assert sizes == {(37, 48)}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('register = "auto"\ntransforms = "x.json"', "takes register, with or without reference"),
        ("reference = 1", "takes register, with or without reference"),
        ('transforms = "gone.json"', "gone.json does not exist"),
        ('register = "square,size=3"', "METHOD[,model=MODEL]"),
    ],
)
def test_a_study_that_registers_in_no_way_is_refused(folder, keys, message):
    (folder / "study.toml").write_text(f"""
[study]
metrics = ["EN"]
[sets.moved]
folders = ["moved/ir", "moved/vis"]
{keys}
[[methods]]
method = "identity/max"
""")
    result = CliRunner().invoke(main, ["study", "run", "study.toml", "-o", "out"])
    assert result.exit_code == 2
    assert message in result.stderr
