"""`fusionlab fuse` with folders: what is printed, what is left, and going on after a stop."""

import errno
import itertools
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from click.testing import CliRunner
from faulty_files import FaultyFiles

from fusionlab import Card, Fusion
from fusionlab.cli import main
from fusionlab.plugins.host import installed
from fusionlab.runs.file_fusion import FileFusion
from fusionlab.runs.manifest import MANIFEST_NAME

RNG = np.random.default_rng(0)


def noise(path, shape=(20, 30), dtype=np.uint8):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    iio.imwrite(path, RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Five pairs of gray images, `ir/0.png`, `vis/0.png`, ..., in the current folder."""
    monkeypatch.chdir(tmp_path)
    for stem, place in itertools.product("01234", ("ir", "vis")):
        noise(f"{place}/{stem}.png")
    return tmp_path


def fuse(*args, env=None):
    """Run `fuse --backbone identity`, and let no exception of ours pass for an exit code."""
    args = args if "--backbone" in args else ("--backbone", "identity", *args)
    result = CliRunner().invoke(main, ["fuse", *args], env=env)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def statuses(*args):
    """Return {stem: status} of a run with --json."""
    rows = [json.loads(line) for line in fuse("--json", *args).stdout.splitlines()]
    return {row["stem"]: row["status"] for row in rows if "stem" in row}


def tree(folder):
    """Return {path: content} of everything below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


# --- what is printed


def test_each_image_is_a_line_and_the_end_is_a_summary(folder):
    result = fuse("ir", "vis", "-o", "out")
    assert result.exit_code == 0
    assert result.stderr == ""
    *lines, time_, output = result.stdout.splitlines()
    assert lines == [
        "pairs   ir/ with vis/, 5 pairs",
        "method  identity/l1norm,r=1,border=inside",
        "range   clip",
        "color   auto",
        "scale   auto",
        "device  cpu",
        *[f"fused    out/{stem}.png" for stem in "01234"],
        "summary  5 fused, 0 skipped, 0 failed, of 5",
        "color    5 per-channel",
    ]
    assert time_.startswith("time     ")
    assert output == "output   out/"
    assert "\x1b" not in result.stdout


def test_the_end_says_how_many_images_have_which_color_mode(folder):
    noise("vis/2.png", (20, 30, 3))
    assert "color    1 luma, 4 per-channel\n" in fuse("ir", "vis", "-o", "out").stdout
    chosen = fuse("ir", "vis", "-o", "out2", "--preset", "paper").stdout
    assert "color   per-channel, separate weights\n" in chosen
    assert "luma" not in chosen


def test_a_second_run_that_resumes_says_what_it_skips(folder):
    fuse("ir", "vis", "-o", "out")
    Path("out/3.png").unlink()
    result = fuse("ir", "vis", "-o", "out", "--resume")
    assert result.exit_code == 0
    assert [line for line in result.stdout.splitlines() if "out/" in line] == [
        "skipped  out/0.png",
        "skipped  out/1.png",
        "skipped  out/2.png",
        "fused    out/3.png",
        "skipped  out/4.png",
        "output   out/",
    ]
    assert "summary  1 fused, 4 skipped, 0 failed, of 5" in result.stdout


def test_a_bad_pair_does_not_stop_the_others(folder):
    Path("vis/1.png").write_bytes(b"damaged")
    Path("ir/3.png").unlink()
    result = fuse("ir", "vis", "-o", "out")
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first.startswith("failed: 1: cannot read vis/1.png: it is not in a known image format;")
    assert second == "failed: 3 is missing in ir; add it there, or remove it everywhere"
    assert "summary  3 fused, 0 skipped, 2 failed, of 5" in result.stdout
    assert sorted(tree("out")) == ["0.png", "2.png", "4.png", MANIFEST_NAME]


def test_when_every_pair_is_bad_the_exit_code_is_2(folder):
    for path in Path("ir").iterdir():
        path.write_bytes(b"")
    assert fuse("ir", "vis").exit_code == 2
    assert fuse("ir", "vis", "--resume").exit_code == 2
    assert sorted(tree("fused")) == [MANIFEST_NAME]


def test_no_method_is_named_if_every_pair_failed_before_one_was_chosen(folder):
    for stem in "01234":
        Path(f"vis/{stem}.png").write_bytes(b"text")
    result = CliRunner().invoke(main, ["fuse", "ir", "vis"])
    assert result.exit_code == 2, result.output
    assert "method" not in result.stdout
    result = CliRunner().invoke(main, ["fuse", "ir", "vis", "--json"])
    assert json.loads(result.stdout.splitlines()[-1])["summary"]["method"] is None


def test_a_failure_names_the_option_that_it_is_about(folder):
    noise("vis/1.png", (20, 31))
    result = fuse("ir", "vis")
    assert result.stderr.rstrip().endswith("them first (--resize)")
    result = fuse("ir", "--pages", "1,9", "--json", "-o", "out")
    problem = json.loads(result.stdout.splitlines()[0])["problem"]
    assert problem.endswith("there is no page 9 (--pages)")


def test_as_json_each_image_is_a_line_in_order_and_the_last_is_the_summary(folder):
    Path("vis/1.png").write_bytes(b"damaged")
    Path("vis/2.png").write_bytes(Path("ir/2.png").read_bytes())
    fuse("ir", "vis", "-o", "out")
    Path("out/4.png").unlink()
    result = fuse(
        "ir",
        "vis",
        "-o",
        "out",
        "--resume",
        "--json",
        "--preset",
        "medical",
        "--color",
        "auto",
        "--r",
        "1",
        "--range",
        "clip",
    )
    assert result.exit_code == 1
    *rows, last = map(json.loads, result.stdout.splitlines())
    assert [(row["stem"], row["status"]) for row in rows] == [
        ("0", "skipped"),
        ("1", "failed"),
        ("2", "skipped"),
        ("3", "skipped"),
        ("4", "fused"),
    ]
    fields = {"stem", "status", "color", "output", "problem", "warnings"}
    assert all(set(row) == fields for row in rows)
    assert [row["color"] for row in rows] == [None, None, None, None, "per-channel"]
    assert rows[0]["output"] == "out/0.png"
    assert rows[0]["problem"] is None
    assert rows[1]["output"] is None
    assert rows[1]["problem"].startswith("1: cannot read vis/1.png")
    summary = last.pop("summary")
    assert last == {}
    assert summary.pop("seconds") > 0
    assert set(summary.pop("spent")) == {"read", "fuse", "write", "waited"}
    assert summary == {
        "pairs": "ir/ with vis/, 5 pairs",
        "left_out": [],
        "task": None,
        "detected": None,
        "method": "identity/l1norm,r=1,border=inside",
        "preset": "medical",
        "range": "clip",
        "color": "auto",
        "shared_weights": True,
        "scale": "auto",
        "device": "cpu",
        "engine": "eager",
        "stopped": False,
        "fused": 1,
        "skipped": 3,
        "failed": 1,
    }


def test_warnings_are_told_with_their_image(folder):
    Path("vis/2.png").write_bytes(Path("ir/2.png").read_bytes())
    noise("vis/3.png", (21, 30))
    result = fuse("ir", "vis", "--resize", "first", "--json")
    told = [
        "vis/2.png is the same image as ir/2.png",
        "vis/3.png is resized from 30x21 to 30x20; its aspect ratio changes by 5.0%",
    ]
    assert result.stderr.splitlines() == [f"warning: {text}" for text in told]
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row.get("warnings") for row in rows] == [[], [], told[:1], told[1:], [], None]


def test_warnings_of_one_kind_are_told_once_with_their_number(folder):
    for stem in "01234":
        noise(f"vis/{stem}.png", (21 + int(stem), 30))
    noise("ir/3.png", (20, 30), np.uint16)
    result = fuse("ir", "vis", "--resize", "first", "--format", "jpg", "--json")
    resized = "vis/0.png is resized from 30x21 to 30x20; its aspect ratio changes by 5.0%"
    (depth,) = (line for line in result.stderr.splitlines() if "16 bits" in line)
    assert result.stderr.splitlines() == [
        f"warning: {resized}",
        depth,
        f"warning: 5 like this one: {resized}",
    ]
    rows = [json.loads(line) for line in result.stdout.splitlines()[:-1]]
    assert [len(row["warnings"]) for row in rows] == [1, 1, 1, 2, 1]


# --- what is made


def test_letters_in_one_folder_give_as_many_sources_as_there_are(folder):
    for name in ("a/x.png", "b/x.tif", "c/x.bmp", "a/y.PNG", "b/y.jpg", "a/z.png", "c/z.png"):
        noise(f"set/{name}")
    noise("set/masks/x.png")
    result = fuse("set", "--strategy", "mean")
    assert result.exit_code == 1
    assert "failed: z is missing in set/b" in result.stderr
    sources = [iio.imread(f"set/{name}") for name in ("a/x.png", "b/x.tif", "c/x.bmp")]
    assert np.array_equal(iio.imread("fused/x.png"), Fusion("identity", "mean")(sources))
    assert sorted(tree("fused")) == [MANIFEST_NAME, "x.png", "y.png"]


@pytest.mark.parametrize(
    ("suffix", "start"),
    [("png", b"\x89PNG"), ("jpg", b"\xff\xd8\xff"), ("bmp", b"BM"), ("tif", b"II*\0")],
)
def test_pictures_have_the_format_that_is_asked_for(folder, suffix, start):
    assert fuse("ir", "vis", "--format", suffix).exit_code == 0
    fused_images = tree("fused")
    del fused_images[MANIFEST_NAME]
    assert list(fused_images) == [f"{stem}.{suffix}" for stem in "01234"]
    assert all(content.startswith(start) for content in fused_images.values())


def test_weight_maps_and_records_are_made_for_every_image(folder):
    assert fuse("ir", "vis", "-o", "out", "--record", "--save-weights", "maps").exit_code == 0
    assert sorted(tree("out")) == [
        *(f"{stem}.png{end}" for stem in "01234" for end in ("", ".json")),
        MANIFEST_NAME,
    ]
    assert sorted(tree("maps")) == [
        f"{stem}-weights-{number}-{stem}.png" for stem in "01234" for number in (1, 2)
    ]


def test_index_maps_are_made_for_every_image_and_made_again_when_one_is_gone(folder):
    args = ("ir", "vis", "-o", "out", "--save-index", "depth")
    assert fuse(*args).exit_code == 0
    made = tree("depth")
    assert sorted(made) == [f"{stem}-index.png" for stem in "01234"]
    assert set(statuses(*args, "--resume").values()) == {"skipped"}
    Path("depth/3-index.png").unlink()
    assert sorted(statuses(*args, "--resume").values()) == ["fused", *["skipped"] * 4]
    assert tree("depth") == made


def test_maps_may_lie_among_the_images(folder):
    args = ("ir", "vis", "-o", "out", "--save-weights", "out")
    assert fuse(*args).exit_code == 0
    assert len(tree("out")) == 16
    assert set(statuses(*args, "--resume").values()) == {"skipped"}


def test_depth_and_scale_hold_for_every_image(folder):
    for stem in "01234":
        noise(f"counts/{stem}.png", dtype=np.uint16)
    args = ("--scale", "minmax", "--scale", "full", "counts", "vis")
    assert fuse(*args, "-o", "deep").exit_code == 0
    assert fuse(*args, "-o", "flat", "--depth", "8").exit_code == 0
    assert {iio.imread(path).dtype for path in Path("deep").glob("*.png")} == {np.dtype("uint16")}
    assert {iio.imread(path).dtype for path in Path("flat").glob("*.png")} == {np.dtype("uint8")}
    result = fuse(*args, "-o", "narrow", "--format", "jpg")
    assert (
        "warning: 5 like this one: narrow/0.jpg is written with 8 bits instead of 16"
        in result.stderr
    )


# --- mistakes


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["ir", "vis/0.png"], "expected files only or folders only, got ir/ and vis/0.png"),
        (["ir"], "ir is not an image set: expected subfolders a/ b/ c/"),
        (["empty", "empty"], "no images in empty, empty; expected files that end in one of"),
        (["ir", "vis", "-o", "ir"], "ir holds sources; choose another folder for the results"),
        (["ir", "vis", "-o", "./vis/../ir"], "holds sources; choose another folder"),
        (["ir", "vis", "--save-weights", "vis"], "vis holds sources; choose another folder"),
        (
            ["ir", "vis", "-o", "ir/0.png"],
            "the sources are folders, so the output must be one, too",
        ),
        (["ir", "vis", "-o", "there"], "there already contains 1 of the files to be written, such"),
        (["ir", "vis", "-o", "there", "--resume"], "which no earlier run has recorded; "),
        (["ir", "vis", "--format", "gif"], "'gif' is not one of 'png', 'jpg', 'bmp', 'tif'"),
        (["ir", "vis", "--scale", "10,5"], "a scale must be auto, full, minmax"),
        (["ir", "vis", "--strategy", "none"], "there is no strategy 'none'"),
    ],
)
def test_a_mistake_costs_one_sentence_and_nothing_is_written(folder, args, message):
    Path("empty").mkdir()
    Path("there").mkdir()
    Path("there/2.png").write_bytes(b"precious")
    before = tree(folder)
    result = fuse(*args)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert result.stderr.count("Error:") == 1
    assert "fused " not in result.stdout
    assert tree(folder) == before


def test_settings_that_suit_no_image_fail_each_of_them(folder):
    result = fuse("ir", "vis", "--strategy", "max", "--save-weights", "maps")
    assert result.exit_code == 2
    assert result.stderr.count("Max does not weight the sources") == 5


def test_overwrite_replaces(folder):
    fuse("ir", "vis", "-o", "out", "--strategy", "max")
    assert set(statuses("ir", "vis", "-o", "out", "--overwrite").values()) == {"fused"}
    fuse("ir", "vis", "-o", "other")
    assert tree("out") == tree("other")


def test_a_disk_that_fills_up_ends_the_run_with_one_sentence(folder):
    fuse("ir", "vis", "-o", "undisturbed")
    with FaultyFiles("out", 20, errno.ENOSPC, stays=True):
        result = fuse("ir", "vis", "-o", "out")
    assert result.exit_code == 2
    assert re.fullmatch(r"Error: cannot write out/\S+: No space left on device\n", result.stderr)
    assert tree("out").keys() < tree("undisturbed").keys()
    assert fuse("ir", "vis", "-o", "out", "--resume").exit_code == 0
    assert tree("out") == tree("undisturbed")


# --- resuming


def test_nothing_is_made_again_when_nothing_has_changed(folder):
    args = ("ir", "vis", "-o", "out", "--record", "--save-weights", "maps", "--scale", "minmax")
    fuse(*args)
    before = {
        path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != MANIFEST_NAME
    }
    content = tree(folder)
    assert set(statuses(*args, "--resume").values()) == {"skipped"}
    assert tree(folder) == content
    del before[folder / "out"], before[folder / "maps"]  # for a moment they hold a lock
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.parametrize(
    "same",
    ["", "--r 1", "--border inside", "--range clip", "--overwrite", "--max-pixels 0", "--json"],
)
def test_settings_that_change_no_image_make_none_again(folder, same):
    fuse("ir", "vis", "-o", "out")  # --r 1 and the others are what it chooses by itself
    assert set(statuses("ir", "vis", "-o", "out", "--resume", *same.split()).values()) == {
        "skipped"
    }


@pytest.mark.parametrize(
    "change",
    [
        "--r 2",
        "--border reflect",
        "--strategy mean",
        "--range minmax",
        "--scale minmax",
        "--scale full --scale full",
        "--color luma",
        "--separate-weights",
        "--color gray",
        "--depth 8",
        "--depth 16",
        "--resize first",
        "--tile 64",
        "--engine openvino",
        "--precision bf16",
        "--record",
        "--save-weights maps",
        "--format tif",
        "--backbone densefuse",
    ],
)
def test_a_changed_setting_makes_every_image_again(folder, change):
    args = ("ir", "vis", *change.split())
    fuse("ir", "vis", "-o", "out")
    assert set(statuses(*args, "-o", "out", "--resume").values()) == {"fused"}
    assert set(statuses(*args, "-o", "out", "--resume").values()) == {"skipped"}
    fuse(*args, "-o", "fresh", "--overwrite")
    fresh = tree("fresh")
    assert {name: content for name, content in tree("out").items() if name in fresh} == fresh


def test_a_record_that_is_not_wanted_any_more_is_not_left_inside(folder):
    fuse("ir", "vis", "-o", "out", "--record")
    assert set(statuses("ir", "vis", "-o", "out", "--resume").values()) == {"fused"}
    fuse("ir", "vis", "-o", "fresh")
    assert Path("out/0.png").read_bytes() == Path("fresh/0.png").read_bytes()


def test_other_weights_under_the_same_name_are_other_weights(folder):
    import hashlib

    from safetensors.torch import load, save

    shipped = installed().backbones.find("densefuse").ref.checkpoints["1e2"]
    tensors = load(shipped.read_bytes())
    args = ("ir", "vis", "-o", "out", "--backbone", "densefuse@mine.safetensors")

    def put(factor):
        content = save({name: value * factor for name, value in tensors.items()})
        Path("mine.safetensors").write_bytes(content)
        card = json.loads(Card.path_of(shipped).read_text())
        card["sha256"] = hashlib.sha256(content).hexdigest()
        Path("mine.json").write_text(json.dumps(card))

    put(0.5)
    assert fuse(*args).exit_code == 0
    assert set(statuses(*args, "--resume").values()) == {"skipped"}
    put(0.75)
    assert set(statuses(*args, "--resume").values()) == {"fused"}


def test_another_version_of_a_library_makes_everything_again(folder, monkeypatch):
    from fusionlab.runs import record
    from fusionlab.storage.versions import library_versions

    fuse("ir", "vis", "-o", "out")
    versions = {**library_versions(record.LIBRARIES), "torch": "99"}
    monkeypatch.setattr(record, "library_versions", lambda _: versions)
    assert set(statuses("ir", "vis", "-o", "out", "--resume").values()) == {"fused"}


def test_sources_and_results_that_changed_are_made_again(folder):
    fuse("ir", "vis", "-o", "out", "--record")
    noise("vis/0.png")
    Path("out/1.png").write_bytes(Path("out/2.png").read_bytes())
    Path("out/3.png.json").unlink()
    assert statuses("ir", "vis", "-o", "out", "--record", "--resume") == {
        "0": "fused",
        "1": "fused",
        "2": "skipped",
        "3": "fused",
        "4": "skipped",
    }


def test_the_manifest_may_be_cut_off_or_garbage(folder):
    fuse("ir", "vis", "-o", "out")
    content = tree("out")
    manifest = Path("out", MANIFEST_NAME)
    manifest.write_bytes(b"\0garbage\xff\n{}\n" + manifest.read_bytes()[:-30])
    Path("out/4.png").unlink()
    (Path("out") / ".fusionlab-partial-00.png").write_bytes(b"half")
    assert list(statuses("ir", "vis", "-o", "out", "--resume").values()) == ["skipped"] * 4 + [
        "fused"
    ]
    assert tree("out") == content


RULE = """
from dataclasses import dataclass
import fusionlab
from my_rules.shared import FACTOR

@fusionlab.hookimpl
def fusionlab_strategies():
    from fusionlab import StrategyRef
    return [StrategyRef("mine", "my_rules:Mine", "Mine.")]

@dataclass(frozen=True)
class Mine(fusionlab.Strategy):
    def fuse(self, features, scene):
        return FACTOR * features[0]
"""


def test_resume_computes_anew_what_a_module_that_the_rule_imports_decides(folder, install):
    install("my-rules", "")
    site = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    (site / "my_rules.py").unlink()
    (site / "my_rules").mkdir()
    for name, code in (("__init__", RULE), ("shared", "FACTOR = 1"), ("other", "")):
        (site / "my_rules" / f"{name}.py").write_text(code)
    command = ("ir", "vis", "-o", "out", "--strategy", "mine", "--resume")
    assert set(statuses(*command).values()) == {"fused"}
    (site / "my_rules" / "other.py").write_text("OTHER = 1")
    assert set(statuses(*command).values()) == {"skipped"}
    (site / "my_rules" / "shared.py").write_text("FACTOR = 0.5")
    assert set(statuses(*command).values()) == {"fused"}


def test_a_run_without_records_removes_those_of_the_images_it_replaces(folder):
    fuse("ir", "vis", "-o", "out", "--record")
    assert len([*Path("out").glob("*.png.json")]) == 5
    fuse("ir", "vis", "-o", "out", "--overwrite")
    assert len([*Path("out").glob("*.png.json")]) == 0
    assert set(statuses("ir", "vis", "-o", "out", "--resume").values()) == {"skipped"}


# --- stopped and killed

PROGRAM = (
    "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # if it is ignored
    "from fusionlab.cli import main; main()",
    "fuse",
)


def many(python, count, shape):
    """Write pairs of which each takes a while, and return the words that fuse them."""
    for number, place in itertools.product(range(count), ("ir", "vis")):
        noise(f"{place}/{number:03}.bmp", shape)
    return (
        python,
        *PROGRAM,
        "--backbone",
        "identity",
        "--record",
        "ir",
        "vis",
        "-o",
        "out",
        "--resume",
    )


def started(command, count):
    """Start a run and return it once so many images exist."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(list(Path("out").glob("*.png"))) < count:
        time.sleep(0.001)
    return process


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_ctrl_c_ends_a_run_with_a_sentence_and_whole_images(here, python):
    command = many(python, 30, (200, 300, 3))
    process = started(command, 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    done = [line.split()[1] for line in out.splitlines() if line.startswith("fused")]
    assert err == (
        f"stopped after {len(done)} of 30; the files written are complete, continue with --resume\n"
    )
    there = sorted(Path("out").glob("*.png"))
    assert 2 <= len(there) < 30
    assert set(done) <= set(map(str, there))
    assert all(iio.imread(path).shape == (200, 300, 3) for path in there)
    assert sorted(path.name for path in Path("out").iterdir() if path not in there) == sorted(
        [MANIFEST_NAME, *(f"{path.name}.json" for path in there)]
    )
    before = {path: path.read_bytes() for path in there}
    found = statuses("--record", "ir", "vis", "-o", "out", "--resume")
    assert [stem for stem, status in found.items() if status == "skipped"] == [
        path.stem for path in there
    ]
    assert {path: path.read_bytes() for path in there} == before


def killed_and_resumed(command, kills, step):
    """Kill a run several times, each time some images later; then let it end."""
    killed = 0
    for number in range(kills):
        process = started(command, 1 + number * step)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return killed


@pytest.mark.slow  # by default: runs/test_folder_run kills before each step, test_odd_inputs once
def test_a_run_killed_again_and_again_ends_with_the_same_bytes(here):
    command = many(sys.executable, 20, (200, 300, 3))
    assert killed_and_resumed(command, kills=3, step=5) > 0  # a slow test may be late
    fuse("--record", "ir", "vis", "-o", "undisturbed")
    assert tree("out") == tree("undisturbed")


@pytest.mark.slow
def test_fifty_tuples_killed_twenty_times_end_with_the_same_bytes(here):
    for number, letter in itertools.product(range(50), "abc"):
        if letter != "c" or number % 2:
            noise(f"set/{letter}/{number:03}.png", (96, 128, 3))
    options = ("--record", "--save-weights", "maps", "set", "-o")
    assert (
        killed_and_resumed(
            (sys.executable, *PROGRAM, *options, "out", "--resume"), kills=20, step=2
        )
        == 20
    )
    fused_images, maps = tree("out"), tree("maps")
    done = subprocess.run(
        [sys.executable, *PROGRAM, *options, "undisturbed", "--overwrite"], check=True
    )
    assert done.returncode == 0
    undisturbed = tree("undisturbed")
    assert tree("maps") == maps
    assert fused_images == undisturbed
    assert len(fused_images) == 101


def test_a_run_that_was_stopped_says_how_to_resume_it(folder, monkeypatch):
    fuse_one, count = FileFusion.fuse, itertools.count()

    def stop(self, *args):
        if next(count) == 2:
            raise KeyboardInterrupt
        return fuse_one(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(FileFusion, "batch_size", lambda *_: 1)
        patch.setattr(FileFusion, "fuse", stop)
        result = fuse("ir", "vis", "-o", "out", "--json")
    assert result.exit_code == 130
    assert result.stderr.startswith("stopped after 2 of 5; ")
    *lines, last = map(json.loads, result.stdout.splitlines())
    assert sorted(line["output"] for line in lines) == sorted(map(str, Path("out").glob("*.png")))
    assert last["summary"]["stopped"]
    assert last["summary"]["fused"] == 2
    assert not list(Path("out").glob(".*"))
    assert fuse("ir", "vis", "-o", "out", "--resume").exit_code == 0


def test_ctrl_c_before_the_first_image_is_130_too(folder, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("fusionlab.plugins.factory.build_backbone", interrupted)
    result = fuse("ir", "vis", "-o", "out")
    assert result.exit_code == 130
    assert result.stderr == "stopped; nothing has been written\n"
    assert not Path("out").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are bytes")
def test_a_name_that_is_no_text_can_be_printed(folder):
    for place in ("ir", "vis"):
        Path(place, "0.png").rename(Path(place, "\udcff.png"))
    result = fuse("ir", "vis", "-o", "out")
    assert result.exit_code == 0
    assert len(tree("out")) == 6
