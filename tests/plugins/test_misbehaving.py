"""A matrix: every way to misbehave x every command; none ends the program, each is named.

`tests/doubles/misbehaving.py` has the parts. A few of them run by default, all as slow tests.
"""

import json
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner
from misbehaving import (
    BACKBONES,
    ENGINES,
    FAILS,
    METRICS,
    PLUGIN,
    READERS,
    STRATEGIES,
    TASKS,
    TWO_PASS,
    class_name,
    hooks_code,
    parts_code,
)

from fusionlab import list_methods
from fusionlab.cli import main

PARTS = "lab_odd_parts"

# for users a warning is no error, as it is for these tests otherwise
pytestmark = pytest.mark.filterwarnings("default")

OFTEN = {
    "exits-in-weights",
    "closes-the-generator",
    "lacks-memory",
    "weighs-negatively",
    "writes-to-features",
    "fuses-to-1e30",
    "exits-in-support",
    "takes-text-sources",
    "exits-in-statistics",
    "has-no-levels",
    "has-other-channels",
    "encodes-to-nan",
    "exits-in-decode",
    "changes-its-parameters",
    "exits",
    "writes-to-images",
    "has-no-dtype",
}
"""The parts that are tested by default."""


def rows(table):
    return [
        pytest.param(name, outcome, marks=[] if name in OFTEN else pytest.mark.slow, id=name)
        for name, (_, outcome) in table.items()
    ]


@pytest.fixture
def image_set(tmp_path, monkeypatch, install):
    """Two pairs, in the folder the user is in, and the plugin."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for letter in "ab":
        Path("set", letter).mkdir(parents=True)
        for number in (1, 2):
            pixels = rng.integers(0, 256, (24, 32), dtype=np.uint8)
            iio.imwrite(f"set/{letter}/{number}.png", pixels)
    install(PLUGIN, hooks_code(PARTS))
    Path("site-packages", f"{PARTS}.py").write_text(parts_code())
    monkeypatch.delitem(sys.modules, PARTS, raising=False)
    yield
    sys.modules.pop(PARTS, None)


def run(*args):
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    ended = result.exception
    assert ended is None or isinstance(ended, SystemExit), repr(ended)
    assert "Traceback" not in result.output
    return result


def check(result, outcome, name, prefix, codes):
    """The exit code is right, and one sentence names the part, where it fails."""
    if outcome != FAILS:
        assert result.exit_code == 0, result.output
        return
    assert result.exit_code in codes, result.output
    names = (class_name(prefix, name), f"{PLUGIN}:{name}")
    said = [line for line in result.stderr.splitlines() if any(n in line for n in names)]
    assert said, result.stderr


def fuse_both(name, outcome, prefix, *options):
    """Fuse a pair, and a folder."""
    single = run("fuse", *options, "set/a/1.png", "set/b/1.png", "-o", "one.png")
    check(single, outcome, name, prefix, (2,))
    assert Path("one.png").exists() == (outcome != FAILS)
    folder = run("fuse", *options, "set", "-o", "out")
    check(folder, outcome, name, prefix, (1, 2))


def evaluate(name, outcome, prefix, method):
    """Evaluate a method beside another one, whose row is complete whatever happens."""
    result = run(
        *("evaluate", "set", "--method", method, "--method", "identity/max"),
        *("--metrics", "EN", "--executor", "threads:1", "--json"),
    )
    check(result, outcome, name, prefix, (1,))
    assert len(json.loads(result.stdout)["methods"]["identity/max"]["values"]) == 2


@pytest.mark.usefixtures("image_set")
@pytest.mark.parametrize(("name", "outcome"), rows(STRATEGIES))
def test_a_strategy(name, outcome):
    options = ("--backbone", "identity", "--strategy", name)
    fuse_both(name, outcome, "S", *options)
    evaluate(name, outcome, "S", f"identity/{name}")
    checked = run("check", name, "--law", "shape")
    assert checked.exit_code in (0, 1, 2)
    if checked.exit_code:
        check(checked, FAILS, name, "S", (1, 2))


@pytest.mark.usefixtures("image_set")
@pytest.mark.parametrize(("name", "outcome"), rows(TWO_PASS))
def test_a_strategy_of_two_passes(name, outcome):
    options = ("--backbone", "identity", "--strategy", name, "--tile", "16")
    fuse_both(name, outcome, "S", *options)


@pytest.mark.usefixtures("image_set")
@pytest.mark.parametrize(("name", "outcome"), rows(BACKBONES))
def test_a_backbone(name, outcome):
    fuse_both(name, outcome, "B", "--backbone", f"{PLUGIN}:{name}", "--strategy", "mean")
    evaluate(name, outcome, "B", f"{PLUGIN}:{name}/mean")


@pytest.mark.usefixtures("image_set")
@pytest.mark.parametrize(("name", "outcome"), rows(ENGINES))
def test_an_engine(name, outcome):
    options = ("--backbone", "identity", "--strategy", "mean", "--engine", name)
    fuse_both(name, outcome, "E", *options)


@pytest.mark.usefixtures("image_set")
@pytest.mark.parametrize(("name", "outcome"), rows(METRICS))
def test_a_metric(name, outcome):
    metrics = ("--metrics", f"{PLUGIN}:{name},EN")
    table = run(
        *("evaluate", "set", "--method", "identity/max", *metrics),
        *("--executor", "threads:1", "--json"),
    )
    check(table, outcome, name, "m", (1,))
    values = json.loads(table.stdout)["methods"]["identity/max"]["values"]
    assert len(values) == 2
    scored = run("score", "set/a/1.png", "set/a/1.png", "set/b/1.png", *metrics)
    check(scored, outcome, name, "m", (1, 2))


@pytest.mark.usefixtures("image_set")
@pytest.mark.parametrize(("name", "outcome"), rows(READERS))
def test_a_reader(name, outcome):
    Path(f"odd.{name}").write_bytes(f"ODD {name};".encode() + bytes(100))
    options = ("--backbone", "identity", "--strategy", "mean")
    result = run("fuse", *options, f"odd.{name}", "set/b/1.png", "-o", "one.png")
    assert result.exit_code == (2 if outcome == FAILS else 0)
    assert name in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["image_set"])
def test_tasks(kind, request, install):
    """Another task is detected, with a warning for each."""
    request.getfixturevalue(kind)
    install("lab-tasks", hooks_code(PARTS, only="tasks"))
    result = run("fuse", "set/a/1.png", "set/b/1.png", "-o", "one.png")
    assert result.exit_code == 0, result.output
    for name, (_, outcome) in TASKS.items():
        assert (f"lab-tasks:{name}" in result.stderr) == (outcome == FAILS), name


@pytest.mark.usefixtures("image_set")
def test_lists_import_nothing_and_survive():
    for listed in ("strategies", "backbones", "metrics", "engines", "readers", "plugins"):
        result = run(listed, "--json")
        assert result.exit_code == 0
        assert PLUGIN in result.stdout
    assert PARTS not in sys.modules
    assert list_methods("identity/mean") == ["identity/mean"]


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit("odd"), GeneratorExit()])
def test_what_no_translator_has_caught_is_an_error_too(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(main.commands["strategies"], "callback", fail)
    result = run("strategies")
    assert result.exit_code == 2
    assert "the code of a plugin ended the command" in result.stderr
