"""`fusionlab score` of sequences: a table over all frames, CSV, and a plot."""

import csv
import json
import sys

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from fusionlab.cli import main


def write_stack(name, images):
    with tifffile.TiffWriter(name) as file:
        for image in images:
            file.write(image, contiguous=False)


@pytest.fixture
def stacks(tmp_path, monkeypatch):
    """Write a result and two sources, 4 frames of 24x30, as stacks, and the result as a folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    sources = rng.integers(40, 200, (2, 1, 24, 30)) + rng.integers(0, 9, (2, 4, 24, 30))
    fused = sources.mean(axis=0) + np.array([0, 6, 0, 0])[:, None, None]
    for name, images in zip(("out", "a", "b"), (fused.round(), *sources), strict=True):
        write_stack(f"{name}.tif", images.astype(np.uint8))
    return ["out.tif", "a.tif", "b.tif"]


def run(*args):
    return CliRunner().invoke(main, ["score", *args])


def test_a_sequence_is_scored_in_a_table_as_csv_and_in_a_plot(stacks, tmp_path):
    pytest.importorskip("matplotlib")
    files = ["--csv", "frames.csv", "--plot", "frames.svg"]
    result = run("--sequence", *stacks, "--metrics", "EN,flicker", *files)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["frames", "4"] in lines
    (flicker,) = [line for line in lines if line[0] == "flicker"]
    assert 3 < float(flicker[3]) <= 6  # the maximum
    assert flicker[4] in {"1", "2"}  # where it is
    rows = [*csv.DictReader((tmp_path / "frames.csv").read_text().splitlines())]
    assert [row["frame"] for row in rows] == ["0", "1", "2", "3"]
    assert rows[0]["flicker"] == ""
    assert float(rows[int(flicker[4])]["flicker"]) == pytest.approx(float(flicker[3]), rel=1e-5)
    assert (tmp_path / "frames.svg").read_text().count("lower is better") == 1
    again = run("--sequence", *stacks, "--metrics", "EN", *files)
    assert again.exit_code == 2
    assert "frames.csv already exists" in again.stderr


def test_several_results_are_compared(stacks):
    further = ["--fused", "other=a.tif", "--metrics", "flicker"]
    result = run("--sequence", *stacks, *further, "--json")
    assert result.exit_code == 0, result.output
    first, other = json.loads(result.stdout)["results"]
    assert (first["name"], other["name"], other["fused"]) == ("out", "other", "a.tif")
    assert first["values"]["flicker"]["mean"] > 2
    assert other["values"]["flicker"]["maximum"] == 0
    assert other["frames"] == 4
    table = run("--sequence", *stacks, *further).stdout.splitlines()
    assert [line.split()[:2] for line in table[-2:]] == [["flicker", "out"], ["flicker", "other"]]


def test_frames_that_cannot_be_scored_are_named(stacks):
    write_stack("c.tif", np.zeros((2, 24, 30), np.uint8))
    result = run("--sequence", *stacks[:2], "c.tif", "--metrics", "EN")
    assert result.exit_code == 0
    assert "c.tif ends after 2 frames" in result.stderr
    write_stack("d.tif", [np.zeros((24, 30), np.uint8), np.zeros((9, 30), np.uint8)])
    result = run("--sequence", *stacks[:2], "d.tif", "--metrics", "EN")
    assert result.exit_code == 1
    assert "frame 1 (000001): the images must have the same size" in result.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--truth", "a.tif"], "--truth is for single images"),
        (["--fused", "a.tif"], "--fused must be NAME=PATH, got 'a.tif'"),
        (["--fused", "out=a.tif"], "--fused must give each result its own name, got 'out' twice"),
        (["--plot", "x.pdf"], "--plot must end in .png or .svg, got x.pdf"),
        (["--sync", "name"], "but out.tif is a file"),
        (["--metrics", "flickr"], "there is no metric 'flickr'"),
    ],
)
def test_what_makes_no_sense_is_refused(stacks, args, message):
    result = run("--sequence", *stacks, *args)
    assert result.exit_code == 2
    assert message in result.stderr


def test_options_of_sequences_are_refused_for_images(stacks):
    iio.imwrite("a.png", np.zeros((24, 30), np.uint8))
    for option in (["--plot", "x.png"], ["--csv", "x.csv"], ["--fused", "a=a"], ["--rate", "25"]):
        result = run("a.png", "a.png", *option)
        assert result.exit_code == 2
        assert f"{option[0]} is for sequences: give videos, or --sequence" in result.stderr
    result = run("a.png", ".", "--metrics", "EN")
    assert result.exit_code == 2
    assert ". is a folder; --sequence scores folders, frame by frame" in result.stderr
    result = run("a.png", "a.png", "--metrics", "EN,flicker")
    assert result.exit_code == 2
    assert "flicker compares the frames of a sequence" in result.stderr


def test_without_matplotlib_nothing_is_scored_for_a_plot(stacks, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run("--sequence", *stacks, "--plot", "x.png")
    assert result.exit_code == 2
    assert "drawing needs matplotlib" in result.stderr


def test_videos_are_scored_without_being_called_sequences(stacks):
    av = pytest.importorskip("av")
    for name in stacks:
        with av.open(name.replace(".tif", ".mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 30, 24, "gray"
            for image in tifffile.imread(name, key=range(4)):
                frame = av.VideoFrame.from_ndarray(image, format="gray")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    videos = [name.replace(".tif", ".mkv") for name in stacks]
    options = ["--metrics", "EN,flicker,MS2R", "--json"]
    of_videos, of_stacks = run(*videos, *options), run("--sequence", *stacks, *options)
    assert of_videos.exit_code == 0, of_videos.output
    first, second = (json.loads(r.stdout)["results"][0]["values"] for r in (of_videos, of_stacks))
    assert first == second
