"""`fusionlab fuse` with tasks: chosen, detected, or neither."""

import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner

from fusionlab import Fusion
from fusionlab.cli import main

COLUMNS = np.arange(8, dtype=np.uint8)
DARK, BRIGHT = (np.full((6, 8), value, np.uint8) + COLUMNS for value in (9, 99))

TASKS = """
    from fusionlab import Task, hookimpl

    @hookimpl
    def fusionlab_tasks():
        return [
            Task("dim", "Dim.", "identity/l1norm,r=2", __name__ + ":dim", "x", "gray", "minmax"),
            Task("odd", "Odd.", "identity/mean,parameter=1", __name__ + ":never", "x"),
            Task("light", "Light.", "identity/max", __name__ + ":light", "x"),
        ]

    def dim(thumbnails, gray): return float(thumbnails.mean() < 0.1)
    def light(thumbnails, gray): return float(thumbnails.mean() >= 0.1)
    def never(thumbnails, gray): return 0
"""


def run(*args, **kwargs):
    return CliRunner().invoke(main, ["fuse", *args], **kwargs)


@pytest.fixture
def folder(tmp_path, monkeypatch, install):
    """Two dark sources and two brighter ones in the current folder, and only the tasks above."""
    monkeypatch.chdir(tmp_path)
    for name, pixels in {"a": DARK, "b": DARK[::-1], "c": BRIGHT, "d": BRIGHT[:, ::-1]}.items():
        iio.imwrite(f"{name}.png", pixels)
    iio.imwrite("color.png", np.stack([DARK, DARK // 2, DARK // 3], axis=-1))
    hide_what_ships(monkeypatch)
    install("lab-tasks", TASKS)
    return tmp_path


def hide_what_ships(monkeypatch):
    """Leave the strategies and backbones that ship, without their tasks."""
    import fusionlab_strategies

    monkeypatch.delattr(fusionlab_strategies, "fusionlab_tasks")


def lines(result):
    assert result.exit_code == 0, result.output
    return dict(line.split(maxsplit=1) for line in result.stdout.splitlines())


def image_set(folder, brightness):
    """Write pairs into a/ and b/: d a dark one, l a light one, x one that cannot be read."""
    for name in "ab":
        Path(folder, name).mkdir(parents=True)
        for number, kind in enumerate(brightness):
            path = Path(folder, name, f"{number:02}.png")
            iio.imwrite(path, DARK if kind == "d" else BRIGHT)
            if kind == "x":
                path.write_bytes(b"no image")


def test_without_a_choice_the_task_is_detected_printed_and_taken(folder):
    printed = lines(run("a.png", "b.png"))
    assert printed["task"] == "dim (detected; choose with --task)"
    assert printed["method"] == "identity/l1norm,r=2,border=inside"
    assert (printed["color"], printed["range"]) == ("gray", "minmax")
    expected = Fusion(task="dim")([DARK, DARK[::-1]])
    assert np.array_equal(iio.imread("fused.png"), expected)
    assert lines(run("c.png", "d.png", "-o", "x.png"))["method"] == "identity/max"


@pytest.mark.parametrize(
    "choice",
    [
        ["--strategy", "mean"],
        ["--backbone", "identity"],
        ["--preset", "paper", "--backbone", "identity"],
    ],
)
def test_an_explicit_method_is_no_task(folder, choice):
    printed = lines(run("a.png", "b.png", *choice))
    assert "task" not in printed
    assert printed["color"].startswith("per-channel")
    assert "r=2" not in printed["method"]


def test_a_method_from_the_environment_is_no_task(folder):
    for name, value in (("STRATEGY", "mean"), ("BACKBONE", "identity")):
        env = {f"FUSIONLAB_{name}": value}
        assert "task" not in lines(run("a.png", "b.png", "-o", f"{name}.png", env=env))


@pytest.mark.parametrize("task", ["dim", "auto"])
def test_explicit_options_win_over_the_task(folder, task):
    sources = ("--task", task, "a.png", "color.png", "--overwrite")
    assert lines(run(*sources, "--color", "luma"))["color"] == "luma"
    assert lines(run(*sources, "--range", "auto"))["range"] == "clip"
    printed = lines(run(*sources, "--backbone", "densefuse@1e0"))
    assert printed["method"] == "densefuse@1e0/l1norm,r=2,border=inside"
    printed = lines(run(*sources, "--strategy", "mean"))  # replaces the whole method
    assert printed["method"] == f"{Fusion().method.partition('/')[0]}/mean"
    assert (printed["color"], printed["range"]) == ("gray", "minmax")


def test_a_chosen_task_gives_the_options_of_its_strategy(folder):
    printed = lines(run("--task", "dim", "c.png", "d.png", "--border", "reflect", "--r", "1"))
    assert printed["task"] == "dim"
    assert printed["method"] == "identity/l1norm,r=1,border=reflect"
    assert "--border" in run("--task", "dim", "--help").stdout
    assert "--border" not in run("--help").stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--task", "dim", "--preset", "paper"], "--task and --preset both set the defaults"),
        (["--task", "auto", "--preset", "paper"], "--task and --preset both set the defaults"),
        (["--task", "lightt"], "there is no task 'lightt'; did you mean 'light'? (see 'fusion"),
        (["--task", "odd"], "the preset or task sets 'parameter'"),
        (["--r", "3"], "Options of a strategy need --strategy or --task"),
        (["-o", "a.png", "--overwrite"], "a.png is the source a.png itself"),
    ],
)
def test_a_mistake_costs_one_sentence(folder, args, message):
    result = run("a.png", "b.png", *args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("Error:") == 1
    assert not Path("fused.png").exists()


def test_without_any_task_the_default_strategy_is_taken(folder, install):
    blocked = ["--no-plugin", "lab-tasks", "fuse", "a.png", "b.png"]
    result = CliRunner().invoke(main, blocked)
    assert lines(result)["method"] == Fusion().method
    assert "task" not in lines(result)
    result = CliRunner().invoke(main, [*blocked, "--task", "auto", "--overwrite"])
    assert result.exit_code == 2
    assert "no installed plugin offers one; choose a strategy (--strategy)" in result.stderr


def test_a_broken_task_costs_a_warning(folder, install):
    broken = TASKS.replace("return 0", "raise KeyError('lost')").replace('"dim"', '"dim2"')
    install("lab-broken", broken)
    result = run("a.png", "b.png", "--json")
    assert json.loads(result.stdout)["detected"] == {"votes": 1, "images": 1}
    assert result.stderr.count("warning: lab-broken:odd cannot be used: KeyError: 'lost'") == 1


def test_a_record_says_what_was_detected_and_explain_replays_it(folder):
    assert run("a.png", "color.png", "--record").exit_code == 0
    before = iio.imread("fused.png")
    record = json.loads(Path("fused.png.json").read_text())
    assert record["task"] == {"name": "dim", "detected": True}
    assert (record["color"], record["range"]) == ("gray", "minmax")
    shown = CliRunner().invoke(main, ["explain", "fused.png"]).stdout.splitlines()
    assert shown[0].split(maxsplit=1) == ["task", "dim (detected)"]
    command = shown[-1].split()
    assert command[:2] == ["fusionlab", "fuse"]
    result = CliRunner().invoke(main, [*command[1:], "--overwrite"])
    assert result.exit_code == 0, result.output
    assert np.array_equal(iio.imread("fused.png"), before)
    run("--task", "dim", "a.png", "b.png", "--record", "-o", "x.png")
    assert json.loads(Path("x.png.json").read_text())["task"] == {"name": "dim", "detected": False}
    run("--strategy", "mean", "a.png", "b.png", "--record", "-o", "y.png")
    assert "task" not in json.loads(Path("y.png.json").read_text())


def test_a_folder_has_the_task_of_most_of_its_images(folder):
    image_set("set", "ddl")
    result = run("set", "-o", "out")
    assert lines(result)["task"] == "dim (detected in 2 of 3 images)"
    light = Fusion("identity", "l1norm,r=2", color="gray", range_policy="minmax")([BRIGHT, BRIGHT])
    assert np.array_equal(iio.imread("out/02.png"), light)
    last = json.loads(run("set", "-o", "json", "--json").stdout.splitlines()[-1])["summary"]
    assert (last["task"], last["detected"]) == ("dim", {"votes": 2, "images": 3})


def test_a_file_name_for_the_images_of_a_folder_is_refused_before_anything_is_read(folder):
    image_set("set", "xx")
    result = run("set", "-o", "x.png")
    assert result.exit_code == 2
    assert "the output must be one, too" in result.stderr
    assert "warning" not in result.stderr


def test_resume_detects_the_same_task_again(folder):
    image_set("set", "ddll" + "d" * 16)
    assert run("set", "-o", "out").exit_code == 0
    Path("out/03.png").unlink()
    result = run("set", "-o", "out", "--resume")
    assert lines(result)["summary"] == "1 fused, 19 skipped, 0 failed, of 20"


def test_images_that_cannot_be_read_fail_by_themselves(folder):
    image_set("set", "xdl")
    result = run("set", "-o", "out")
    assert result.exit_code == 1
    assert "dim (detected in 1 of 2 images)" in result.stdout
    image_set("all", "xx")
    result = run("all", "-o", "none")
    assert result.exit_code == 2
    assert result.stderr.count("failed:") == 2


def test_ctrl_c_while_detecting_leaves_nothing_behind(folder, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fusionlab.detection.score", interrupted)
    before = sorted(folder.iterdir())
    assert run("a.png", "b.png", "--record").exit_code == 130
    assert sorted(folder.iterdir()) == before


def test_the_shell_completes_the_names_of_tasks(folder):
    from click.shell_completion import ShellComplete

    complete = ShellComplete(main, {}, "fusionlab", "_FUSIONLAB_COMPLETE")
    items = complete.get_completions(["fuse", "--task"], "")
    assert [item.value for item in items] == ["auto", "dim", "light", "odd"]
