"""`fusionlab fuse` for sequences, from the command line to the written video, stack or frames."""

import json
import shlex
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from fusionlab import Fusion
from fusionlab.cli import main
from fusionlab.cli.fuse_sequence import _Shown

av = pytest.importorskip("av")

COUNT = 6
METHOD = ("--backbone", "identity", "--strategy", "l1norm")
RNG = np.random.default_rng(0)
THERMAL = RNG.integers(0, 2**16, (COUNT, 24, 32)).astype(np.uint16)
VISIBLE = RNG.integers(0, 2**8, (COUNT, 24, 32)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two folders of frames, and the same frames as stacks, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name, images in (("ir", THERMAL), ("vis", VISIBLE)):
        Path(name).mkdir()
        for number, image in enumerate(images):
            iio.imwrite(f"{name}/f{number + 7}.png", image)  # f10 comes after f9
        tifffile.imwrite(f"{name}.tif", images, photometric="minisblack")
    return tmp_path


def run(*args):
    return CliRunner().invoke(main, ["fuse", *METHOD, *map(str, args)])


def expected():
    fusion = Fusion("identity", "l1norm")
    return [fusion(pair) for pair in zip(THERMAL, VISIBLE, strict=True)]


def frames_of(path):
    path = Path(path)
    if path.suffix == ".mkv":
        with av.open(str(path)) as file:
            return [frame.to_ndarray(format="gray16le") for frame in file.decode(video=0)]
    if path.suffix == ".tif":
        return [*tifffile.imread(path)]
    return [iio.imread(path / f"f{number + 7}.png") for number in range(COUNT)]


@pytest.mark.parametrize("output", ["fused.mkv", "fused.tif", "fused/"])
def test_frames_of_folders_and_stacks_give_the_images_that_pairs_give(folder, output):
    result = run("ir", "vis", "--sequence", "-o", output, "--rate", "30000/1001")
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(frames_of(output), expected())
    assert f"summary  {COUNT} fused, 0 skipped, 0 failed" in result.stdout
    if output.endswith("tif"):
        result = run("ir.tif", "vis.tif", "--sequence", "-o", "other.tif")
        assert result.exit_code == 0, result.output
        np.testing.assert_array_equal(frames_of("other.tif"), expected())
    assert not [path for path in folder.rglob("*") if "part" in path.name]


def test_videos_are_sequences_by_themselves(folder):
    assert run("ir", "vis", "--sequence", "-o", "a.mkv", "--rate", "10").exit_code == 0
    assert run("vis", "ir", "--sequence", "-o", "b.mkv", "--rate", "10").exit_code == 0
    result = run("a.mkv", "b.mkv")
    assert result.exit_code == 0, result.output
    assert "rate    10" in result.stdout
    fusion = Fusion("identity", "l1norm")
    sources = zip(frames_of("a.mkv"), frames_of("b.mkv"), strict=True)
    np.testing.assert_array_equal(frames_of("fused.mkv"), [*map(fusion, sources)])


def test_weights_and_index_maps_go_with_frames_in_a_folder(folder):
    args = ("ir", "vis", "--sequence", "-o", "fused/", "--save-weights", "w", "--save-index", "i")
    result = run(*args)
    assert result.exit_code == 0, result.output
    assert len([*Path("w").glob("*.png")]) == 2 * COUNT
    assert len([*Path("i").glob("*.png")]) == COUNT
    again = run(*args, "--resume")
    assert f"0 fused, {COUNT} skipped" in again.stdout


def test_json_has_a_line_for_each_frame_and_a_summary(folder):
    Path("ir/f9.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    result = run("ir", "vis", "--sequence", "-o", "fused.tif", "--json")
    assert result.exit_code == 1
    *lines, last = map(json.loads, result.stdout.splitlines())
    assert [line["status"] for line in lines] == ["fused", "fused", "failed", *["fused"] * 3]
    assert "f9.png" in lines[2]["problem"]
    summary = last["summary"]
    assert (summary["fused"], summary["failed"], summary["frames"]) == (5, 1, COUNT)
    assert summary["layout"] == {"height": 24, "width": 32, "channels": 1, "depth": 16}
    assert summary["latency"]["max"] >= summary["latency"]["median"] > 0
    assert len(frames_of("fused.tif")) == 5


def test_a_run_that_ctrl_c_stops_says_how_to_continue(folder, monkeypatch):
    args = ("ir", "vis", "--sequence", "-o", "fused.tif", "--temporal", "0.5")
    tell = _Shown._tell

    def interrupted(self, outcome):
        tell(self, outcome)
        if outcome.number == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_Shown, "_tell", interrupted)
        result = run(*args)
    assert (result.exit_code, result.stderr) == (
        130,
        "stopped after 3 frames; continue with --resume\n",
    )
    assert not Path("fused.tif").exists()
    result = run(*args, "--resume")
    assert result.exit_code == 0, result.output
    assert run(*args[:4], "other.tif", *args[5:]).exit_code == 0
    np.testing.assert_array_equal(frames_of("fused.tif"), frames_of("other.tif"))


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("ir", "vis", "--rate", "25"), "--rate is for sequences; give --sequence, or videos"),
        (("ir", "vis", "--sequence", "-o", "x.png"), "-o x/ for a folder"),
        (("ir", "vis", "--sequence", "-o", "x.avi"), ".mp4, .mov, .mkv"),
        (("ir", "vis", "--sequence", "--pages", "all"), "--pages is not for sequences"),
        (("ir", "--sequence", "--stack", "2"), "--stack is not for sequences"),
        (("ir", "vis", "--sequence", "--register", "auto"), "the result would shake"),
        (("ir", "vis", "--sequence", "-o", "x.tif", "--save-weights", "w"), "--save-weights is"),
        (("ir", "vis", "--sequence", "-o", "x.tif", "--format", "tif"), "--format is for folders"),
        (("ir", "vis", "--sequence", "-o", "x.tif", "--audio"), "--audio is for videos"),
        (("ir", "vis", "--sequence", "-o", "x.mkv", "--audio"), "--audio copies the audio of"),
        (("ir", "vis", "--sequence", "--offset", "1"), "--offset is for frames"),
        (("ir.tif", "vis.tif", "--sequence", "--sync", "name"), "--sync name is for folders"),
        (("ir.tif", "vis.tif", "--sequence", "--sync", "time"), "(--rate)"),
        (("ir.tif", "vis.tif", "--sequence", "--rig", "--register", "auto"), "--rig is for"),
        (("ir", "vis", "--sequence", "--rate", "0"), "not a positive number"),
        (("ir", "vis", "--sequence", "-o", "ir"), "holds sources"),
        (("ir.tif", "vis.tif", "--sequence", "-o", "ir.tif", "--overwrite"), "the source ir.tif"),
        (("ir.tif", "none.tif", "--sequence"), "none.tif does not exist"),
        (("ir.tif", "--sequence"), "two sources"),
        (("ir", "vis", "--sequence", "--limits", "wild"), "(--limits)"),
        (
            ("ir", "vis", "--sequence", "--limits", "fixed=0,255", "--scale", "minmax"),
            "not measured, too, such as full or LO,HI (--scale)",
        ),
        (
            ("ir", "vis", "--sequence", "--temporal", "0.5", "--strategy", "max"),
            "does not merge by weights alone",
        ),
    ],
)
def test_what_makes_no_sense_costs_a_sentence_and_writes_nothing(folder, args, told):
    before = sorted(folder.rglob("*"))
    result = run(*args)
    assert result.exit_code == 2
    assert told in result.stderr
    assert sorted(folder.rglob("*")) == before


def test_the_task_is_detected_from_the_first_frame(folder):
    result = CliRunner().invoke(main, ["fuse", "ir", "vis", "--sequence", "-o", "x.tif", "--json"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout.splitlines()[-1])["summary"]
    assert summary["detected"] == {"votes": 1, "images": 1}
    assert summary["task"]


def test_frames_are_recorded_with_what_carries_over(folder):
    assert run("ir", "vis", "--sequence", "-o", "fused/", "--record").exit_code == 0
    record = json.loads(Path("fused/f10.png.json").read_text())
    assert record["temporal"] == {"limits": "causal=0.95", "smoothing": 0.0}
    result = CliRunner().invoke(main, ["explain", "fused/f10.png", "--json"])
    assert result.exit_code == 0, result.output


def test_the_record_of_a_video_is_explained_and_gives_the_command_that_makes_it_again(folder):
    args = ("--temporal", "0.5", "--sync", "time", "--offset", "0", "--offset", "0.2")
    assert run("ir", "vis", "--sequence", "--rate", "10", *args, "--record", "-o", "a.mkv").stdout
    frames = frames_of("a.mkv")
    result = CliRunner().invoke(main, ["explain", "a.mkv"])
    assert result.exit_code == 0, result.output
    assert "result    a.mkv  4 frames, 32x24 16-bit gray" in result.stdout
    command = shlex.split(result.stdout.splitlines()[-1])
    assert command[0] == "fusionlab"
    record = Path("a.mkv.json").read_bytes()
    again = CliRunner().invoke(main, [*command[1:], "--overwrite"])
    assert again.exit_code == 0, again.output
    np.testing.assert_array_equal(frames_of("a.mkv"), frames)
    assert Path("a.mkv.json").read_bytes() == record

    Path("a.mkv.json").write_text(json.dumps({**json.loads(record), "sequence": {}}))
    damaged = CliRunner().invoke(main, ["explain", "a.mkv"])
    assert damaged.exit_code == 2
    assert "is damaged: sequence.name is missing" in damaged.stderr
