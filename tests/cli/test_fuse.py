"""`fusionlab fuse`, from the command line to the written file."""

import os
import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

from fusionlab import Fusion
from fusionlab.cli import main

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three gray images, one in colour, one of another size, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        iio.imwrite(f"{name}.png", RNG.integers(0, 256, (20, 30), dtype=np.uint8))
    iio.imwrite("colour.png", RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    iio.imwrite("small.png", RNG.integers(0, 256, (10, 30), dtype=np.uint8))
    return tmp_path


def run(*args, **kwargs):
    return CliRunner().invoke(main, ["fuse", *args], **kwargs)


def test_the_command_of_the_readme(folder):
    result = run("--strategy", "l1norm", "--r", "1", "a.png", "b.png", "c.png")
    assert result.exit_code == 0, result.output
    sources = [iio.imread(f"{name}.png") for name in "abc"]
    assert np.array_equal(iio.imread("fused.png"), Fusion("densefuse@1e2", "l1norm,r=1")(sources))
    assert result.stdout.splitlines() == [
        "method   densefuse@1e2/l1norm,r=1,border=inside",
        "range    clip",
        "device   cpu",
        "sources  3 of 30x20",
        "output   fused.png",
    ]
    assert result.stderr == ""


def test_gray_and_colour_give_colour(folder):
    assert run("a.png", "colour.png", "-o", "x.tif").exit_code == 0
    assert iio.imread("x.tif").shape == (20, 30, 3)


def test_the_preset_changes_defaults_and_nothing_else(folder):
    result = run("--preset", "paper", "a.png", "b.png", "--backbone", "identity")
    assert "method   identity/l1norm,r=0,border=inside  (preset paper)" in result.stdout
    assert "range    minmax" in result.stdout
    result = run(
        "--preset", "paper", "a.png", "b.png", "--r", "3", "--range", "clip", "-o", "y.png"
    )
    assert "l1norm,r=3" in result.stdout
    assert "range    clip" in result.stdout
    result = run("--preset", "paper", "--strategy", "mean", "a.png", "b.png", "-o", "z.png")
    assert "range    minmax" in result.stdout


def test_weight_maps_are_written_one_a_source(folder):
    result = run("--save-weights", "maps", "a.png", "b.png", "colour.png", "-o", "f.png")
    assert result.exit_code == 0, result.output
    names = ["f-weights-1-a.png", "f-weights-2-b.png", "f-weights-3-colour.png"]
    assert sorted(path.name for path in (folder / "maps").iterdir()) == names
    total = sum(iio.imread(f"maps/{name}").astype(int) for name in names)
    assert np.abs(total - 255).max() <= 2  # three roundings


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["a.png"], "Error: a fusion needs at least two sources, got 1\n"),
        (["a.png", "gone.png"], "Error: gone.png does not exist\n"),
        (["a.png", "small.png"], "Error: the sources must have the same size, got 30x20, 30x10"),
        (["a.png", "text.png"], "Error: cannot read text.png: it is in no known image format"),
        (["a.png", "cut.png"], "Error: cannot read cut.png: "),
        (["a.png", "b.png", "-o", "no/x.png"], "the folder no does not exist"),
        (["a.png", "b.png", "-o", "x.xyz"], "must end in one of .png"),
        (["a.png", "b.png", "-o", "there.png"], "there.png exists already"),
        (
            ["a.png", "b.png", "--strategy", "max", "--save-weights", "w"],
            "Max gives the sources no",
        ),
        (["a.png", "b.png", "--backbone", "densefuse@9"], "has no weights '9'; known: 1e2"),
        (["a.png", "b.png", "--device", "tpu9"], "the device tpu9 is not available"),
        (["a.png", "b.png", "--preset", "papre"], "there is no preset 'papre'; known: paper"),
        (["a.png", "b.png", "--strategy", "l1nrm"], "did you mean 'l1norm'?"),
        (["a.png", "b.png", "--r", "99"], "99 is not in the range 0<=x<=64"),
        (["a.png", "b.png", "--r", "x"], "'x' is not a valid integer"),
        (["a.png", "b.png", "--border", "wrap"], "'wrap' is not one of"),
        (["--strategy", "max", "a.png", "b.png", "-o"], "Option '-o' requires an argument"),
        (["a.png", "gone.png", "--save-weights", "new/maps"], "gone.png does not exist"),
        (["a.png", "b.png", "--strategy", "addition", "--r", "1"], "Options of addition: none."),
        (["small.png", "small.png", "--r", "20", "--border", "reflect"], "needs an image larger"),
        ([], "Missing argument 'SOURCES...'"),
    ],
)
def test_a_mistake_costs_one_sentence_and_nothing_is_written(folder, args, message):
    (folder / "text.png").write_text("no image")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:200])
    (folder / "there.png").write_bytes(b"precious")
    before = sorted(path.name for path in folder.rglob("*.*"))
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert result.stderr.count("Error:") == 1
    assert sorted(path.name for path in folder.rglob("*.*")) == before
    assert (folder / "there.png").read_bytes() == b"precious"


def test_overwrite_replaces(folder):
    (folder / "fused.png").write_bytes(b"old")
    assert run("a.png", "b.png", "--overwrite").exit_code == 0
    assert iio.imread("fused.png").shape == (20, 30)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into read-only folders")
def test_a_read_only_folder_is_one_sentence(folder):
    (folder / "locked").mkdir(mode=0o555)
    result = run("a.png", "b.png", "-o", "locked/x.png")
    assert result.exit_code == 2
    assert "cannot write locked/x.png: Permission denied" in result.stderr


def test_a_full_disk_is_one_sentence(folder, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(iio, "imwrite", full)
    result = run("a.png", "b.png")
    assert result.exit_code == 2
    assert "cannot write fused.png: No space left on device" in result.stderr
    assert not (folder / "fused.png").exists()


def test_the_strategy_and_the_backbone_may_come_from_the_environment(folder):
    env = {"FUSIONLAB_STRATEGY": "addition", "FUSIONLAB_BACKBONE": "identity"}
    assert "identity/addition" in run("a.png", "b.png", env=env).stdout
    assert (
        "identity/max" in run("a.png", "b.png", "--strategy", "max", "--overwrite", env=env).stdout
    )


@pytest.mark.parametrize(
    "spelling",
    [
        ["--strategy", "wrong", "--strategy", "addition"],
        ["--strategy=addition"],
        ["-o", "--strategy.png", "--strategy", "addition"],
    ],
)
def test_the_strategy_is_found_however_it_is_spelt(folder, spelling):
    assert "/addition" in run("a.png", "b.png", *spelling).stdout


GREEDY = """
    from dataclasses import dataclass, fields
    from typing import Annotated, Literal
    from fusionlab import Strategy, StrategyRef, hookimpl

    @hookimpl
    def fusionlab_strategies(): return [StrategyRef("mine", __name__ + ":Mine", "Mine.")]

    @dataclass(frozen=True)
    class Mine(Strategy):
        "Mine."
        FIELDS
        def fuse(self, features, scene):
            print("fields", *[getattr(self, f.name) for f in fields(self)])
            return features[0]
"""


@pytest.mark.parametrize("name", ["output", "sources", "strategy", "help", "backbone", "range"])
def test_an_option_of_fuse_cannot_be_taken_by_a_strategy(folder, install, name):
    install("lab-greedy", GREEDY.replace("FIELDS", f"{name}: int = 1"))
    result = run("a.png", "b.png", "--strategy", "mine")
    assert result.exit_code == 2
    assert "already belongs to 'fusionlab fuse'" in result.stderr


def test_every_type_of_field_becomes_an_option(folder, install):
    fields = (
        "theta: Annotated[tuple[float, ...], 'One a source.'] = (0.5, 0.5); soft_edge: bool = True;"
        " gain: float | None = None; kind: Literal['x', 'y'] = 'x'; power: Literal[1, 2] = 1;"
        " label: str | None = None"
    )
    install("lab-types", GREEDY.replace("FIELDS", fields))
    shown = run("--strategy", "mine", "--help").stdout
    assert "Options of strategy mine (from lab-types):" in shown
    assert "--theta FLOAT,..." in shown
    assert "[default: (0.5,0.5)]" in shown
    assert "--soft-edge / --no-soft-edge" in shown
    options = [
        "--theta",
        "0.2,0.8",
        "--no-soft-edge",
        "--gain",
        "2",
        "--kind",
        "y",
        "--power",
        "2",
        "--label",
        "hi",
    ]
    result = run("a.png", "b.png", "--strategy", "mine", *options)
    assert "fields (0.2, 0.8) False 2.0 y 2 hi" in result.stdout
    result = run("a.png", "b.png", "--strategy", "mine", "--theta", "0.2,x", "-o", "q.png")
    assert "'theta' must be float, got 'x'" in result.stderr


def test_two_fields_that_would_share_an_option_are_refused(folder, install):
    install("lab-clash", GREEDY.replace("FIELDS", "soft: bool = True; no_soft: int = 1"))
    result = run("a.png", "b.png", "--strategy", "mine")
    assert result.exit_code == 2
    assert "--no-soft already belongs to" in result.stderr


@pytest.mark.parametrize("body", ["1 / 0", "raise SystemExit(7)"])
def test_a_strategy_that_cannot_be_built_is_one_sentence(folder, install, body):
    install("lab-post", GREEDY.replace("FIELDS", f"def __post_init__(self): {body}"))
    result = run("a.png", "b.png", "--strategy", "mine")
    assert result.exit_code == 2
    assert "lab-post:mine cannot be used" in result.stderr
    assert "report this to the authors of lab-post" in result.stderr


def test_a_preset_may_only_set_what_a_preset_may_set(folder, install):
    install(
        "lab-preset",
        """
        from fusionlab import Preset, hookimpl

        @hookimpl
        def fusionlab_presets():
            return [Preset("bold", "", {"overwrite": True}), Preset("typo", "", {"range": "clip"})]
        """,
    )
    for preset, key in (("bold", "overwrite"), ("typo", "range")):
        result = run("a.png", "b.png", "--preset", preset)
        assert result.exit_code == 2
        assert f"the preset sets '{key}', which is no option it may set here" in result.stderr


def test_weights_from_elsewhere_are_named_with_their_hash(folder):
    from fusionlab import Card
    from fusionlab.plugins import installed

    shipped = installed().backbones.find("densefuse").ref.checkpoints["1e2"]
    for path in (shipped, Card.path_of(shipped)):
        (folder / path.name).write_bytes(path.read_bytes())
    same = run("a.png", "b.png", "--backbone", "densefuse@densefuse-1e2.safetensors")
    assert "densefuse@1e2/" in same.stdout
    import hashlib
    import json

    from safetensors.torch import load, save

    changed = save({k: v * 0.5 for k, v in load(shipped.read_bytes()).items()})
    (folder / "x.safetensors").write_bytes(changed)
    card = json.loads(Card.path_of(shipped).read_text())
    card["sha256"] = hashlib.sha256(changed).hexdigest()
    (folder / "x.json").write_text(json.dumps(card))
    other = run("a.png", "b.png", "--backbone", "densefuse@x.safetensors", "--overwrite")
    assert f"densefuse@1e2-{card['sha256'][:8]}/" in other.stdout


def test_completion_in_the_shell_knows_the_options_of_the_strategy():
    from click.shell_completion import BashComplete

    complete = BashComplete(main, {}, "fusionlab", "_FUSIONLAB_COMPLETE")
    found = complete.get_completions(["fuse", "--strategy", "l1norm"], "--b")
    assert {item.value for item in found} == {"--backbone", "--border"}


def test_help_works_without_any_strategy_installed():
    result = CliRunner().invoke(main, ["--no-plugin", "fusionlab-imaging", "fuse", "--help"])
    assert result.exit_code == 0
    assert "--save-weights DIR" in result.stdout


def test_ctrl_c_leaves_nothing_behind(folder, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Fusion, "fuse", interrupted)
    result = run("a.png", "b.png")
    assert result.exit_code == 1
    assert not (folder / "fused.png").exists()


def test_python_m_fusionlab_is_the_command():
    shown = subprocess.run(
        [sys.executable, "-m", "fusionlab", "strategies"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "l1norm" in shown.stdout
