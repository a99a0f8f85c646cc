"""What is in a folder beside the images that are paired: named with the reason, or left alone."""

import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from click.testing import CliRunner

from fusionlab.cli import main
from fusionlab.runs.image_sets import pair_images

PNG = imagecodecs.png_encode(np.zeros((4, 4), np.uint8))
PSD = b"8BPS\0\1"


def left_out(*sources):
    return {entry.path.as_posix(): entry.reason for entry in pair_images(sources).left_out}


def problems(*sources):
    return {item.stem: item.problem for item in pair_images(sources).items if item.problem}


def test_side_files_are_left_alone(put):
    put("ir/1.png", "vis/1.png")
    put("ir/Thumbs.db", "ir/.DS_Store", "vis/desktop.ini", "ir/1.png.json", "ir/._1.png")
    put("ir/fusionlab-manifest.jsonl")
    assert left_out("ir", "vis") == problems("ir", "vis") == {}


def test_files_that_are_no_images_are_named(put):
    put("ir/1.png", "vis/1.png", "ir/notes.txt", "vis/1.xml")
    expected = dict.fromkeys(["ir/notes.txt", "vis/1.xml"], "is not an image")
    assert left_out("ir", "vis") == expected
    assert problems("ir", "vis") == {}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("2.psd", PSD, "Photoshop"),
        ("2.png_", PNG, "rename it to 2.png"),
        ("2.dng", b"II*\0", "raw camera"),
    ],
)
def test_an_image_that_is_not_read_is_a_problem_of_its_own(put, name, content, says):
    put("ir/1.png", "vis/1.png", "vis/2.png")
    put(f"ir/{name}", content=content)
    assert says in problems("ir", "vis")["2"]


@pytest.mark.parametrize(
    ("name", "content"), [("1.png.bak", PNG), ("1.psd", PSD), ("1.dng", b"II*\0")]
)
def test_a_copy_or_a_raw_file_beside_an_image_is_named_only(put, name, content):
    put("ir/1.png", "vis/1.png")
    put(f"ir/{name}", content=content)
    assert [*left_out("ir", "vis")] == [f"ir/{name}"]
    assert problems("ir", "vis") == {}


def test_images_that_match_no_template_are_named(put):
    put("set/1_ir.png", "set/1_vis.png", "set/1_uv.png")
    assert left_out("set/{}_ir.*", "set/{}_vis.*") == {"set/1_uv.png": "matches no template"}


def test_pairs_prints_what_pairs_and_what_does_not(put):
    put("ir/1.png", "vis/01.jpg", "ir/2.png", "vis/3.png", content=PNG)
    put("ir/notes.txt")
    result = CliRunner().invoke(main, ["pairs", "ir", "vis"])
    assert result.exit_code == 1, result.output
    assert "1  ir/1.png  vis/01.jpg" in result.stdout
    assert "1 file that is not an image: ir/notes.txt" in result.stdout
    assert [line.split(" is ")[0] for line in result.stderr.splitlines()] == [
        "problem: 2",
        "problem: 3",
    ]
    content = json.loads(CliRunner().invoke(main, ["pairs", "ir", "vis", "--json"]).stdout)
    assert content["templates"] == ["ir/", "vis/"]
    assert [item["name"] for item in content["items"]] == ["1", "2", "3"]
    assert content["items"][0]["sources"] == ["ir/1.png", "vis/01.jpg"]
    assert content["differing"] == ["1"]
    assert len(content["problems"]) == 2
    assert content["left_out"] == [{"path": "ir/notes.txt", "reason": "is not an image"}]


def test_pairs_prints_sizes_and_bits_and_says_which_sizes_differ(put):
    put("ir/1.png", "vis/1.png", "ir/2.png", content=PNG)
    put("vis/2.png", content=imagecodecs.png_encode(np.zeros((4, 6), np.uint16)))
    result = CliRunner().invoke(main, ["pairs", "ir", "vis"])
    assert result.exit_code == 0, result.output
    lines = [line.split()[3:] for line in result.stdout.splitlines()[:2]]
    assert lines == [["4x4", "8"], ["4x4", "and", "6x4", "differ", "8,", "16"]]
    assert "1 of 2 have sources of different sizes, such as 2" in result.stderr
    content = json.loads(CliRunner().invoke(main, ["pairs", "ir", "vis", "--json"]).stdout)
    assert [item["sizes_differ"] for item in content["items"]] == [False, True]
    assert content["items"][1]["headers"][1] == {"width": 6, "height": 4, "bits": 16}


def test_a_size_that_is_not_known_is_neither_the_same_nor_another(put):
    put("ir/1.png", "ir/2.png", "vis/2.png", content=PNG)
    put("vis/1.png", content=PNG[:10])
    content = json.loads(CliRunner().invoke(main, ["pairs", "ir", "vis", "--json"]).stdout)
    assert [item["sizes_differ"] for item in content["items"]] == [None, False]


@pytest.mark.parametrize(
    ("args", "option"),
    [(["--pages", "1,9"], "--pages"), (["--channels", "1,rgb"], "--channels")],
)
def test_a_page_or_channel_that_is_not_there_is_a_problem(put, args, option):
    put("set/1.png", content=PNG)
    result = CliRunner().invoke(main, ["pairs", "set", *args])
    assert result.exit_code == 2
    assert result.stderr.startswith("problem: 1: set/1.png holds one ")
    assert result.stderr.endswith(f" ({option})\n")


@pytest.mark.parametrize(
    "args", [["set", "--pages", "all"], ["set", "--stack", "all"], ["set/{}.*[channels=1]"]]
)
def test_an_item_with_one_source_is_a_problem(put, args):
    put("set/1.png", content=PNG)
    result = CliRunner().invoke(main, ["pairs", *args])
    assert (result.exit_code, result.stderr.count("problem: ")) == (2, 1)
    assert "got 1, set/1.png" in result.stderr


@pytest.mark.parametrize(
    ("names", "code"), [(["ir/1.png", "vis/1.png"], 0), (["ir/1.png", "vis/2.png"], 2), ([], 2)]
)
def test_the_exit_code_of_pairs_says_whether_everything_pairs(put, names, code):
    Path("ir").mkdir()
    Path("vis").mkdir()
    put(*names, content=PNG)
    assert CliRunner().invoke(main, ["pairs", "ir", "vis"]).exit_code == code


def test_pairs_looks_into_the_files(put):
    put("ir/1.png", "vis/1.png", "ir/2.png", "ir/3.png", "vis/3.png", content=PNG)
    put("vis/2.png", content=b"text")
    put("vis/3.png", content=PSD)
    result = CliRunner().invoke(main, ["pairs", "ir", "vis"])
    assert result.exit_code == 1
    assert "problem: 2: vis/2.png is not an image\n" in result.stderr
    assert "problem: 3: vis/3.png is a Photoshop image" in result.stderr


def test_a_refusal_gives_the_command_that_works(put):
    put("a b/1_ir.png", "a b/1_vis.png", "a b/x.png")
    result = CliRunner().invoke(main, ["pairs", "a b"])
    assert result.exit_code == 2
    assert result.stderr.rstrip().endswith("fusionlab pairs 'a b/{}_ir.*' 'a b/{}_vis.*'")
