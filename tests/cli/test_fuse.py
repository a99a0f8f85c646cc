"""`fusionlab fuse`, from the command line to the written file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from fusionlab import Fusion
from fusionlab.cli import main
from fusionlab.runs.file_fusion import FileFusion

RNG = np.random.default_rng(0)
L1NORM = ("--strategy", "l1norm")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three gray images, one in color, one of another size, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        iio.imwrite(f"{name}.png", RNG.integers(0, 256, (20, 30), dtype=np.uint8))
    iio.imwrite("color.png", RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    iio.imwrite("small.png", RNG.integers(0, 256, (10, 30), dtype=np.uint8))
    return tmp_path


def run(*args, **kwargs):
    return CliRunner().invoke(main, ["fuse", *args], **kwargs)


def test_the_command_of_the_readme(folder):
    result = run("--strategy", "l1norm", "--r", "1", "a.png", "b.png", "c.png")
    assert result.exit_code == 0, result.output
    sources = [iio.imread(f"{name}.png") for name in "abc"]
    assert np.array_equal(
        iio.imread("fused.png"), Fusion("densefuse@1e3-long", "l1norm,r=1")(sources)
    )
    assert result.stdout.splitlines() == [
        "method   densefuse@1e3-long/l1norm,r=1,border=inside",
        "range    clip",
        "color    per-channel",
        "scale    auto",
        "device   cpu",
        "depth    8",
        "sources  3 of 30x20",
        "output   fused.png",
    ]
    assert result.stderr == ""


def test_gray_and_color_give_color(folder):
    assert run("a.png", "color.png", "-o", "x.tif").exit_code == 0
    assert iio.imread("x.tif").shape == (20, 30, 3)


def test_the_preset_changes_defaults_and_nothing_else(folder):
    result = run("--preset", "paper", "a.png", "b.png", "--backbone", "identity")
    assert "method   identity/l1norm,r=0,border=inside\npreset   paper\n" in result.stdout
    assert "range    minmax" in result.stdout
    result = run(
        "--preset", "paper", "a.png", "b.png", "--r", "3", "--range", "clip", "-o", "y.png"
    )
    assert "l1norm,r=3" in result.stdout
    assert "range    clip" in result.stdout
    result = run("--preset", "paper", "--strategy", "mean", "a.png", "b.png", "-o", "z.png")
    assert "range    minmax" in result.stdout


@pytest.mark.parametrize(
    ("args", "printed"),
    [
        (["a.png", "color.png"], "luma"),
        (["color.png", "color.png"], "per-channel"),
        (["a.png", "b.png"], "per-channel"),
        (["--color", "gray", "a.png", "color.png"], "gray"),
        (["--preset", "paper", "a.png", "color.png"], "per-channel, separate weights"),
        (["--preset", "paper", "--shared-weights", "a.png", "color.png"], "per-channel"),
        (["--separate-weights", "a.png", "color.png"], "luma"),
        (["--preset", "medical", "--strategy", "max", "color.png", "color.png"], "luma"),
    ],
    ids=" ".join,
)
def test_the_color_mode_of_the_image_is_printed(folder, args, printed):
    result = run("--backbone", "identity", *args)
    assert f"color    {printed}\n" in result.stdout


def test_a_preset_may_set_the_color_too(folder):
    result = run("--preset", "medical", "--strategy", "addition", "a.png", "b.png", "-o", "x.png")
    assert "range    clip" in result.stdout
    assert "color    luma" in result.stdout


@pytest.mark.parametrize(("backbone", "policy"), [("densefuse", "minmax"), ("identity", "clip")])
def test_own_is_the_range_policy_of_the_authors_program(folder, backbone, policy):
    method = ("--backbone", backbone, "--strategy", "mean")
    result = run(*method, "--range", "own", "a.png", "b.png", "-o", "x.png")
    assert f"range    {policy}" in result.stdout


def test_weight_maps_are_written_one_a_source(folder):
    result = run(*L1NORM, "--save-weights", "maps", "a.png", "b.png", "color.png", "-o", "f.png")
    assert result.exit_code == 0, result.output
    assert [line for line in result.stdout.splitlines() if "weights" in line] == [
        "weights  maps/f-weights-1-a.png",
        "weights  maps/f-weights-2-b.png",
        "weights  maps/f-weights-3-color.png",
    ]
    names = ["f-weights-1-a.png", "f-weights-2-b.png", "f-weights-3-color.png"]
    assert sorted(path.name for path in (folder / "maps").iterdir()) == names
    total = sum(iio.imread(f"maps/{name}").astype(int) for name in names)
    assert np.abs(total - 255).max() <= 2  # three roundings


def test_the_index_map_has_the_number_of_the_largest_weight(folder):
    args = ("--save-weights", "maps", "--save-index", "index.png", "a.png", "b.png", "-o", "f.png")
    result = run(*L1NORM, *args)
    assert result.exit_code == 0, result.output
    assert "index    index.png\n" in result.stdout
    index = iio.imread("index.png")
    first, second = (iio.imread(f"maps/f-weights-{name}.png") for name in ("1-a", "2-b"))
    assert index.dtype == np.uint8
    assert set(np.unique(index)) == {0, 1}
    assert (index[first > second] == 0).all()  # where the rounded weights differ
    assert (index[first < second] == 1).all()
    assert run(*L1NORM, *args).exit_code == 2  # it exists


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["a.png", "b.png", "--save-index", "x.tif"], "an index map must end in .png"),
        (
            ["a.png", "b.png", "--strategy", "max", "--save-index", "x.png"],
            "Max does not weight the sources",
        ),
        (
            ["a.png"],
            "Error: a fusion needs at least two sources, got 1, a.png: it holds one image; give a "
            "second source\n",
        ),
        (["a.png", "gone.png"], "Error: gone.png does not exist\n"),
        (["a.png", "small.png"], "Error: the sources must have the same size, got 30x20, 30x10"),
        (["a.png", "text.png"], "Error: cannot read text.png: it is not in a known image format"),
        (["a.png", "cut.png"], "Error: cannot read cut.png: "),
        (["a.png", "b.png", "-o", "no/x.png"], "the folder no does not exist"),
        (["a.png", "b.png", "-o", "x.xyz"], "must end in one of .png"),
        (["a.png", "b.png", "-o", "there.png"], "there.png already exists"),
        (
            ["a.png", "b.png", "--strategy", "max", "--save-weights", "w"],
            "Max does not weight the sources",
        ),
        (["a.png", "b.png", "--backbone", "densefuse@9"], "has no weights '9'; known: 1e3-long"),
        (["a.png", "b.png", "--device", "tpu9"], "the device tpu9 is not available"),
        (["a.png", "b.png", "--preset", "papre"], "there is no preset 'papre'; known: "),
        (["a.png", "b.png", "--strategy", "l1nrm"], "did you mean 'l1norm'?"),
        ([*L1NORM, "a.png", "b.png", "--r", "99"], "99 is not in the range 0<=x<=64"),
        ([*L1NORM, "a.png", "b.png", "--r", "x"], "'x' is not a valid integer"),
        ([*L1NORM, "a.png", "b.png", "--border", "wrap"], "'wrap' is not one of"),
        (["--strategy", "max", "a.png", "b.png", "-o"], "Option '-o' requires an argument"),
        (["a.png", "gone.png", "--save-weights", "new/maps"], "gone.png does not exist"),
        (["a.png", "b.png", "--strategy", "addition", "--r", "1"], "Options of addition: none."),
        (
            [*L1NORM, "small.png", "small.png", "--r", "20", "--border", "reflect"],
            "needs an image larger",
        ),
        (["a.png", "b.png", "--r", "1"], "Options of a strategy need --strategy or --task"),
        (["a.png", "b.png", "--scale", "most"], "a scale must be auto, full, minmax, percentile"),
        (["a.png", "b.png", "--scale", "full", "--scale", "full", "--scale", "full"], "got 3"),
        (["a.png", "b.png", "--depth", "12"], "'12' is not one of '8', '16', '32'"),
        (["a.png", "b.png", "--resize", "largest"], "'largest' is not one of"),
        (["a.png", "b.png", "--resume"], "--resume is for folders; give folders as sources"),
        (["a.png", "folder"], "expected files only or folders only, got folder/ and a.png"),
        (["folder", "a.png"], "expected files only or folders only, got folder/ and a.png"),
        (["a.png", "b.png", "-o", "new"], "must end in one of .png"),
        (["a.png", "b.png", "-o", "a.png", "--overwrite"], "a.png is the source a.png itself"),
        (["a.png", "b.png", "--max-pixels", "599"], "a.png claims 30x20 pixels, more than the"),
        (["a.png", "b.png", "--record", "-o", "taken.png"], "taken.png.json already exists"),
        ([], "Missing argument 'SOURCES...'"),
    ],
)
def test_a_mistake_costs_one_sentence_and_nothing_is_written(folder, args, message):
    (folder / "text.png").write_text("no image")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:200])
    (folder / "there.png").write_bytes(b"precious")
    (folder / "taken.png.json").write_bytes(b"precious")
    (folder / "folder").mkdir()
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


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(folder, monkeypatch, number):
    left = iter(range(number - 1))

    def full(descriptor):
        if next(left, None) is None:
            raise OSError(28, "No space left on device")

    before = sorted(folder.iterdir())
    monkeypatch.setattr(os, "fsync", full)
    result = run(*L1NORM, "a.png", "b.png", "--record", "--save-weights", ".")
    assert result.exit_code == 2
    ends = [".png", ".png.json", "-weights-1-a.png", "-weights-2-b.png"]
    assert (
        result.stderr == f"Error: cannot write fused{ends[number - 1]}: No space left on device\n"
    )
    assert sorted(folder.iterdir()) == before


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
def test_the_strategy_is_found_however_it_is_spelled(folder, spelling):
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
    assert "fields (0.2, 0.8) False 2.0 y 2 hi" in result.stderr  # stdout is the command's own
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
        assert f"the preset or task sets '{key}', which is not an option" in result.stderr


def test_weights_from_elsewhere_are_named_with_their_hash(folder):
    from fusionlab import Card
    from fusionlab.plugins.host import installed

    shipped = installed().backbones.find("densefuse").ref.checkpoints["1e2"]
    for path in (shipped, Card.path_of(shipped)):
        (folder / path.name).write_bytes(path.read_bytes())
    same = run("a.png", "b.png", "--backbone", "densefuse@densefuse-1e2.safetensors")
    assert "densefuse@1e2/" in same.stdout
    import hashlib

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
    assert {item.value for item in found} == {"--backbone", "--batch", "--border"}


def test_help_works_without_any_strategy_installed():
    result = CliRunner().invoke(main, ["--no-plugin", "fusionlab-imaging", "fuse", "--help"])
    assert result.exit_code == 0
    assert "--save-weights PATH" in result.stdout


@pytest.mark.parametrize("stage", ["load", "fuse", "encode"])
def test_ctrl_c_leaves_nothing_behind(folder, monkeypatch, stage):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    before = sorted(folder.iterdir())
    monkeypatch.setattr(FileFusion, stage, interrupted)
    result = run(*L1NORM, "a.png", "b.png", "--record", "--save-weights", "maps")
    assert result.exit_code == 130
    assert result.stderr == "stopped; nothing has been written\n"
    assert sorted(folder.iterdir()) == before


def test_as_json_it_is_one_line_for_scripts(folder):
    result = run(
        *("--record", "--save-weights", "maps", "--json", "--backbone", "identity"),
        *("--preset", "paper", "a.png", "color.png", "-o", "f.tif"),
    )
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "task": None,
        "detected": None,
        "method": "identity/l1norm,r=0,border=inside",
        "preset": "paper",
        "range": "minmax",
        "color": "per-channel",
        "shared_weights": False,
        "scale": "auto",
        "device": "cpu",
        "engine": "eager",
        "depth": 8,
        "width": 30,
        "height": 20,
        "sources": ["a.png", "color.png"],
        "registrations": [None, None],
        "weights": ["maps/f-weights-1-a.png", "maps/f-weights-2-color.png"],
        "no_data": [0, 0],
        "index": None,
        "overlay": None,
        "record": "f.tif.json",
        "output": "f.tif",
        "warnings": [],
    }
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


def test_as_json_a_mistake_prints_no_json(folder):
    result = run("--json", "a.png", "gone.png")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == "Error: gone.png does not exist\n"


def test_the_same_file_twice_is_fused_with_a_warning(folder):
    (folder / "copy.tif").write_bytes((folder / "a.png").read_bytes())
    result = run("a.png", "a.png", "copy.tif", "--json", "--backbone", "identity")
    told = ["a.png is the same image as a.png", "copy.tif is the same image as a.png"]
    assert result.exit_code == 0
    assert result.stderr == "".join(f"warning: {text}\n" for text in told)
    assert json.loads(result.stdout)["warnings"] == told


def test_resize_brings_sources_to_one_size_with_a_warning(folder):
    assert run("a.png", "small.png", "--resize", "first", "-o", "f.png").stderr == (
        "warning: small.png is resized from 30x10 to 30x20; its aspect ratio changes by 50.0%\n"
    )
    assert iio.imread("f.png").shape == (20, 30)
    assert (
        "a.png is resized from 30x20 to 30x10"
        in run("a.png", "small.png", "--resize", "smallest", "-o", "s.png").stderr
    )
    assert iio.imread("s.png").shape == (10, 30)


def test_a_format_that_cannot_hold_the_depth_warns(folder):
    iio.imwrite("deep.png", RNG.integers(0, 65536, (20, 30), dtype=np.uint16))
    result = run("a.png", "deep.png", "-o", "f.jpg")
    assert result.stderr == (
        "warning: f.jpg is written with 8 bits instead of 16 bits: .jpg can hold no more, .tif "
        "can\n"
    )
    assert "depth    8\n" in result.stdout
    result = run("a.png", "b.png", "--depth", "32", "-o", "f.png")
    assert "f.png is written with 16 bits instead of 32-bit floats" in result.stderr
    assert iio.imread("f.png").dtype == np.uint16
    assert run("a.png", "deep.png", "--depth", "8", "-o", "g.jpg").stderr == ""


def test_nothing_is_printed_that_only_a_terminal_understands(folder):
    result = run("a.png", "small.png", "--resize", "first", "--tile", "16", "--record")
    assert "\x1b" not in result.stdout + result.stderr
    assert "\r" not in result.stdout + result.stderr


def test_python_m_fusionlab_is_the_command():
    shown = subprocess.run(
        [sys.executable, "-m", "fusionlab", "strategies"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "l1norm" in shown.stdout


@pytest.mark.parametrize("name", ["maps.tif", "new/maps.npz"])
@pytest.mark.parametrize("second", ["b.png", "color.png"])
def test_all_weight_maps_in_one_file(folder, name, second):
    args = ("--color", "per-channel", *L1NORM, "a.png", second)
    result = run(*args, "--save-weights", name, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["weights"] == [name]
    sources = [iio.imread(source) for source in ("a.png", second)]
    expected = Fusion("densefuse", "l1norm", color="per-channel").fuse(sources, weights=True)
    if name.endswith(".npz"):
        with np.load(name) as stored:
            maps, names = stored["weights"], list(stored["sources"])
    else:
        with tifffile.TiffFile(name) as file:
            maps = np.stack([page.asarray() for page in file.pages])
            names = [page.tags[285].value for page in file.pages]
    assert maps.dtype == np.float32
    assert np.array_equal(maps, np.stack(expected.weights))
    assert names == ["a", Path(second).stem]
    again = Path(name).read_bytes()
    assert run(*args, "--save-weights", name, "--overwrite").exit_code == 0
    assert Path(name).read_bytes() == again  # the same input gives the same bytes


def test_a_folder_as_output_names_the_image_after_its_sources(folder):
    for band, image in (("ir", "a.png"), ("vis", "b.png")):
        Path(band).mkdir()
        Path(image).rename(f"{band}/7.png")
    for sources, output, written in [
        (("ir/7.png", "vis/7.png"), "new/er/", "new/er/7.png"),
        (("ir/7.png", "c.png"), "new/", "new/fused.png"),
        (("ir/7.png", "vis/7.png"), "new", "new/7.png"),
    ]:
        result = run(*L1NORM, *sources, "-o", output, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["output"] == written
        assert iio.imread(written).shape == (20, 30)
    result = run(*L1NORM, "ir/7.png", "vis/7.png", "-o", "vis/", "--overwrite")
    assert result.exit_code == 2
    assert "is the source vis/7.png itself" in result.stderr


def test_a_picture_with_a_long_name_keeps_its_record(folder):
    name = f"{'x' * 251}.png"
    assert run(*L1NORM, "a.png", "b.png", "-o", name, "--record").exit_code == 0
    (record,) = Path().glob("*.json")
    expected = json.loads(record.read_text())
    explained = CliRunner().invoke(main, ["explain", name, "--json"])
    assert expected["result"]["name"] == name
    assert explained.exit_code == 0, explained.output


@pytest.mark.parametrize(
    "given",
    [["--strategy", "l1norm,r=2"], ["--task", "infrared", "--strategy", "l1norm,r=2"]],
    ids=["alone", "with a task"],
)
def test_a_strategy_may_be_written_with_its_values(folder, given):
    result = run(*given, "a.png", "b.png", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["method"].endswith("/l1norm,r=2,border=inside")


def test_the_environment_may_name_values_too(folder):
    result = run("a.png", "b.png", "--json", env={"FUSIONLAB_STRATEGY": "l1norm,r=2"})
    assert json.loads(result.stdout)["method"].endswith("/l1norm,r=2,border=inside")


def test_the_name_of_a_method_that_is_printed_can_be_typed_again(folder):
    first = json.loads(run(*L1NORM, "a.png", "b.png", "--json").stdout)
    backbone, _, strategy = first["method"].partition("/")
    args = ("--backbone", backbone, "--strategy", strategy, "a.png", "b.png", "--overwrite")
    assert json.loads(run(*args, "--json").stdout)["method"] == first["method"]
