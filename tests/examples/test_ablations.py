"""The ablations run on the small images, write their files, and find what must be true."""

import csv
import json
import runpy
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

import fusionlab
from fusionlab.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"
DETAILS = EXAMPLES / "images" / "details"
ABLATIONS = ("every_strategy", "joint_or_pairwise")
EDGE = 64  # of the images below, so that strategies and metrics take little time


@pytest.fixture
def ablate(tmp_path, monkeypatch, capsys):
    """Run a script as its command line does; return its folder and what it printed."""

    def run(name, *args):
        output = tmp_path / "out"
        monkeypatch.setattr(sys, "argv", [name, *map(str, args), "-o", str(output)])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return output, capsys.readouterr().out

    return run


@pytest.fixture
def mixed(tmp_path):
    """Two places of the street: three sources of the car, two of the sign."""
    for path in DETAILS.glob("?/*.png"):
        if path.stem == "car" or (path.stem == "sign" and path.parent.name != "c"):
            copy = tmp_path / "mixed" / path.parent.name / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            iio.imwrite(copy, iio.imread(path)[:EDGE, :EDGE])
    return tmp_path / "mixed"


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def study(*arguments):
    result = CliRunner().invoke(main, ["study", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_study_is_valid(path, tmp_path):
    text = path.read_text(encoding="utf-8")
    for name in ("tno", "vifb", "roadscene"):  # the reader's copies of public sets
        text = text.replace(f"data/{name}", "images/details")
    copy = tmp_path / path.name
    copy.write_text(text.replace("images/details", DETAILS.as_posix()), encoding="utf-8")
    content = json.loads(study("validate", copy, "--json").stdout)
    assert content["rows of scores"] >= 48
    assert not content["problems"]
    assert not content["left out"] or path.stem == "leaderboard"  # two sources, the set has three


@pytest.mark.slow
def test_the_study_of_radii_has_the_rows_that_an_evaluation_has(tmp_path):
    for path in DETAILS.glob("?/*.png"):
        copy = tmp_path / "small" / path.relative_to(DETAILS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        iio.imwrite(copy, iio.imread(path)[:EDGE, :EDGE])
    text = (EXAMPLES / "radius.toml").read_text(encoding="utf-8")
    (tmp_path / "radius.toml").write_text(text.replace("images/details", "small"))
    study("run", tmp_path / "radius.toml", "-o", tmp_path, "--metrics", "EN,SSIM")
    options = ["--metrics", "EN,SSIM", "--range", "clip", "--json"]
    evaluate = ["evaluate", tmp_path / "small", "--method", "densefuse@1e0/l1norm,r=0", *options]
    printed = CliRunner().invoke(main, list(map(str, evaluate))).stdout
    expected = json.loads(printed)["methods"]["densefuse@1e0/l1norm,r=0"]["values"]
    rows = [row for row in read(tmp_path / "rows.csv") if row["tag"] == "1e0"]
    assert list(dict.fromkeys(row["r"] for row in rows)) == ["0", "1", "2", "4", "8", "16"]
    first = [row for row in rows if row["r"] == "0"]
    assert len(first) == 12
    for row in first:
        value = expected[row["sample"]][row["metric"]]
        assert float(row["value"]) == pytest.approx(value, rel=1e-9)  # ten digits
    against = {row["against"] for row in read(tmp_path / "comparisons.csv") if row["kind"] == "r"}
    assert against == {"densefuse@1e0/l1norm,r=0", "densefuse@1e3-long/l1norm,r=0"}


@pytest.mark.usefixtures("only_what_ships")
def test_every_strategy_that_fits_has_a_row_and_a_column(ablate, mixed, install):
    code = """
        from dataclasses import dataclass
        from fusionlab import Strategy, StrategyRef, hookimpl

        @dataclass(frozen=True)
        class Pairs(Strategy):
            max_k = 2
            def fuse(self, features, scene):
                return features[0]

        @dataclass(frozen=True)
        class Needy(Pairs):
            share: float

        @hookimpl
        def fusionlab_strategies():
            refs = ("pairs", "Pairs"), ("needy", "Needy")
            return [StrategyRef(name, f"{__name__}:{cls}", "") for name, cls in refs]
    """
    shipped = fusionlab.list_strategies()
    install("pairs-only", code)
    output, printed = ablate("every_strategy", mixed, "--metrics", "EN,SD")
    assert "left out: pairs takes 2 to 2 sources, the set has 2 to 3" in printed
    assert "needs a value for share" in printed
    rows = {
        (row["method"], row["metric"]): float(row["mean"]) for row in read(output / "means.csv")
    }
    assert [method for method, metric in rows if metric == "EN"] == shipped
    assert rows["weighted", "SD"] == pytest.approx(rows["mean", "SD"], rel=1e-3)

    sheet = iio.imread(output / "every_strategy.png")
    columns = len(shipped) + 3
    place = sheet.shape[1] / columns
    assert place == 200
    third = sheet[:, int(2.3 * place) : int(2.7 * place), :3]  # inside the column of source c
    bottom = int(0.6 * len(third)), int(0.9 * len(third))
    assert third[: bottom[0]].min() < 255
    assert third[slice(*bottom)].min() == 255, "the sign has no third source"


def test_order_matters_to_strategies_that_are_not_associative(ablate, mixed):
    output, printed = ablate(
        "joint_or_pairwise", mixed, "--strategies", "addition", "max", "mean", "l1norm"
    )
    assert "left out: sign: it has 2 sources" in printed
    assert (output / "table.md").read_text() in printed
    rows = {(row["strategy"], row["way"]): row for row in read(output / "images.csv")}
    assert len(rows) == 8
    between = {key: float(row["between orders"]) for key, row in rows.items()}
    for strategy in ("addition", "max"):  # float32 rounds sums of some 500 gray levels to 3e-5
        assert between[strategy, "features"] < 1e-3
        assert between[strategy, "images"] > 1e-3, "the network reconstructs nothing exactly"
    assert min(between["l1norm", way] for way in ("features", "images")) > 1

    # the mean of a mean and a third, less the mean of three, is (2 third - first - second) / 12
    a, b, c = (iio.imread(mixed / letter / "car.png").astype(float) for letter in "abc")
    for order, (first, second, third) in {"((a,b),c)": (a, b, c), "((b,c),a)": (b, c, a)}.items():
        expected = np.abs(2 * third - first - second).mean() / 12
        assert float(rows["mean", "features"][order]) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("name", ABLATIONS)
def test_a_folder_that_is_no_image_set_costs_a_sentence(ablate, tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="error: .* is not an image set"):
        ablate(name, tmp_path / "empty")
    assert not (tmp_path / "out").exists()


def test_the_readme_of_the_examples_names_them_all():
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for script in [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.toml")]:
        assert f"[`{script.name}`]({script.name})" in text
