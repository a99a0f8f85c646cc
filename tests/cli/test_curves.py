"""`fusionlab curves`, from logs to figures."""

import json
import sys

import imageio.v3 as iio
import pytest
from click.testing import CliRunner

from fusionlab.cli import main


@pytest.fixture
def log(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    lines = [
        {"iteration": 50 * n, "pixel": 2.0 / n, "structure": 0.1 / n, "total": 12.0 / n}
        for n in (1, 2)
    ]
    lines += [
        {"iteration": 50 * n, "loss": 1.0, "validation": {"pixel": 2.0 / n, "ssim": 1 - 0.1**n}}
        for n in (1, 2)
    ]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def run(*args):
    return CliRunner().invoke(main, ["curves", *args])


def test_two_figures_are_drawn_and_not_replaced_unasked(log):
    result = run("log.jsonl", "-o", "figures")
    assert result.exit_code == 0, result.output
    assert "validation  figures/validation.png" in result.stdout
    assert iio.imread("figures/training.png").shape[1] > 1000
    result = run("log.jsonl", "-o", "figures")
    assert result.exit_code == 2
    assert "figures/training.png already exists; add --overwrite" in result.stderr
    assert run("log.jsonl", "-o", "figures", "--overwrite").exit_code == 0


def test_a_run_without_validation_yet_has_one_figure(log):
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:2]))
    assert run(".", "--format", "svg").exit_code == 0
    assert [path.name for path in log.parent.glob("*.svg")] == ["training.svg"]


def test_without_matplotlib_it_says_how_to_get_it(log, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run("log.jsonl")
    assert result.exit_code == 2
    assert "drawing needs matplotlib; install fusionlab-imaging[plots]" in result.stderr
