"""Pairing: which files are the sources of one fusion, and what keeps others from being one."""

import json
import os
import random
import unicodedata
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from refusals import refused

from fusionlab.cli import main
from fusionlab.errors import FusionlabError
from fusionlab.runs.image_sets import find_image_set, stack_files, stacks

COMPOSED = unicodedata.normalize("NFC", "Wärme")
DECOMPOSED = unicodedata.normalize("NFD", "Wärme")


def put(root, *names):
    """Make empty files: only names matter here."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(root, *folders):
    """Return {stem: the sources relative to `root`} of sound entries, {stem: problem} of others."""
    entries = find_image_set([root / folder for folder in folders] or [root])
    return {
        entry.stem: entry.problem or [path.relative_to(root).as_posix() for path in entry.sources]
        for entry in entries
    }


def test_each_stem_has_as_many_sources_as_there_are_letters_with_it(tmp_path):
    put(tmp_path, "a/x.png", "b/x.png", "c/x.png", "a/y.png", "b/y.png")
    assert found(tmp_path) == {
        "x": ["a/x.png", "b/x.png", "c/x.png"],
        "y": ["a/y.png", "b/y.png"],
    }


def test_of_all_ways_to_be_in_three_folders_two_are_sound(tmp_path):
    ways = ["a", "ab", "abc", "ac", "b", "bc", "c"]
    put(tmp_path, *(f"{letter}/{way}.png" for way in ways for letter in way))
    here = tmp_path
    assert found(tmp_path) == {
        "a": f"a is only in {here}/a; a fusion needs at least two sources",
        "ab": ["a/ab.png", "b/ab.png"],
        "abc": ["a/abc.png", "b/abc.png", "c/abc.png"],
        "ac": f"ac is missing in {here}/b; add it there, or remove it everywhere",
        "b": f"b is missing in {here}/a; add it there, or remove it everywhere",
        "bc": f"bc is missing in {here}/a; add it there, or remove it everywhere",
        "c": f"c is missing in {here}/a; add it there, or remove it everywhere",
    }


def test_a_letter_without_a_folder_is_a_gap_like_any_other(tmp_path):
    put(tmp_path, "a/x.png", "c/x.png")
    assert found(tmp_path)["x"].startswith(f"x is missing in {tmp_path}/b;")


def test_an_image_set_may_be_given_as_text(tmp_path):
    put(tmp_path, "a/x.png", "b/x.png")
    expected = find_image_set([tmp_path])
    assert find_image_set(str(tmp_path)) == find_image_set(tmp_path) == expected
    assert find_image_set([str(tmp_path / "a"), str(tmp_path / "b")]) == expected


def test_other_folders_and_files_of_an_image_set_are_ignored(tmp_path):
    put(tmp_path, "a/x.png", "b/x.png")
    put(tmp_path, "masks/x.png", "ab/x.png", "A/x.png", "1/x.png", ".c/x.png", "x.png", "d")
    assert found(tmp_path) == {"x": ["a/x.png", "b/x.png"]}


def test_folders_inside_the_letters_are_not_searched(tmp_path):
    put(tmp_path, "a/x.png", "b/x.png", "a/b/y.png", "a/z.png/z.png", "b/z.png")
    assert list(found(tmp_path)) == ["x", "z"]
    assert found(tmp_path)["z"].startswith("z is missing in")


def test_named_folders_keep_the_order_in_which_they_are_given(tmp_path):
    put(tmp_path, "vis/x.png", "ir/x.png", "uv/x.png")
    assert found(tmp_path, "vis", "ir", "uv") == {"x": ["vis/x.png", "ir/x.png", "uv/x.png"]}
    assert found(tmp_path, "uv", "vis", "ir") == {"x": ["uv/x.png", "vis/x.png", "ir/x.png"]}


def test_named_folders_need_a_stem_in_each_of_them(tmp_path):
    put(tmp_path, "ir/x.png", "vis/x.png", "uv/x.png", "ir/y.png", "vis/y.png")
    assert found(tmp_path, "ir", "vis")["y"] == ["ir/y.png", "vis/y.png"]
    assert found(tmp_path, "ir", "vis", "uv")["y"].startswith(f"y is missing in {tmp_path}/uv;")


def test_folders_named_by_letters_are_named_folders_when_both_are_given(tmp_path):
    put(tmp_path, "b/x.png", "d/x.png")
    assert found(tmp_path, "b", "d") == {"x": ["b/x.png", "d/x.png"]}


def test_the_same_folder_twice_is_the_same_source_twice(tmp_path):
    put(tmp_path, "ir/x.png")
    assert found(tmp_path, "ir", "ir") == {"x": ["ir/x.png", "ir/x.png"]}


def test_sources_are_paired_across_suffixes_in_upper_and_lower_case(tmp_path):
    put(tmp_path, "a/x.PNG", "b/x.jpeg", "c/x.TIF", "d/x.Webp", "e/x.gif", "f/x.bmp")
    (sources,) = found(tmp_path).values()
    assert [Path(name).suffix for name in sources] == [
        ".PNG",
        ".jpeg",
        ".TIF",
        ".Webp",
        ".gif",
        ".bmp",
    ]


def test_stems_that_differ_by_case_are_paired_where_no_other_is_equal(tmp_path):
    put(tmp_path, "a/x.png", "b/X.png")
    assert found(tmp_path) == {"x": ["a/x.png", "b/X.png"]}
    put(tmp_path, "b/x.png")
    assert found(tmp_path)["x"] == ["a/x.png", "b/x.png"]
    assert found(tmp_path)["X"].startswith("X is missing in")


def test_a_stem_twice_in_a_folder_is_named_with_both_files(tmp_path):
    put(tmp_path, "a/x.png", "b/x.jpg", "b/x.png", "a/y.png", "b/y.png")
    assert found(tmp_path) == {
        "x": f"x has several files in {tmp_path}/b: x.jpg, x.png; keep one of them",
        "y": ["a/y.png", "b/y.png"],
    }


def test_hidden_files_and_other_files_are_no_sources(tmp_path):
    put(tmp_path, "a/x.png", "b/x.png")
    put(tmp_path, "a/.y.png", "b/.y.png", "a/._x.png", "a/.fusionlab-partial-0.png", "a/.png")
    put(tmp_path, "a/z.txt", "b/z.txt", "a/png", "a/x.png.json", "b/Thumbs.db")
    assert found(tmp_path) == {"x": ["a/x.png", "b/x.png"]}


def test_a_name_spelled_in_two_unicode_forms_is_one_stem(tmp_path):
    put(tmp_path, f"a/{COMPOSED}.png", f"b/{DECOMPOSED}.png")
    assert found(tmp_path) == {COMPOSED: [f"a/{COMPOSED}.png", f"b/{DECOMPOSED}.png"]}


def test_both_unicode_forms_in_one_folder_are_the_same_stem_twice(tmp_path):
    put(tmp_path, f"a/{COMPOSED}.png", f"a/{DECOMPOSED}.png", f"b/{COMPOSED}.png")
    if len(list((tmp_path / "a").iterdir())) == 1:
        pytest.skip("this file system takes both for one file")
    assert "has several files in" in found(tmp_path)[COMPOSED]


def test_spaces_dots_and_other_characters_belong_to_the_stem(tmp_path):
    stems = [" x ", "x.1", "x.1.2", "-x", "x;y", "x\ny", "[x]", "*", "日本"]
    put(tmp_path, *(f"{letter}/{stem}.png" for stem in stems for letter in "ab"))
    assert sorted(found(tmp_path)) == sorted(stems)
    assert all(len(sources) == 2 for sources in found(tmp_path).values())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_that_nobody_writes_into_is_not_waited_for(tmp_path):
    put(tmp_path, "a/x.png", "b/x.png", "b/y.png")
    os.mkfifo(tmp_path / "a/y.png")
    assert found(tmp_path)["y"].startswith("y is missing in")


def test_links_that_lead_in_circles_end_no_search(tmp_path):
    put(tmp_path, "a/x.png", "b/x.png")
    (tmp_path / "c").symlink_to("c")
    (tmp_path / "a/up").symlink_to("..")
    (tmp_path / "b/y.png").symlink_to("..")  # a folder, whatever it is called
    assert found(tmp_path) == {"x": ["a/x.png", "b/x.png"]}


def test_a_file_that_is_a_broken_link_is_a_source_and_will_be_missed(tmp_path):
    put(tmp_path, "a/x.png", "b/z.png")
    (tmp_path / "b/x.png").symlink_to("nowhere.png")
    (tmp_path / "a/z.png").symlink_to("z.png")
    assert found(tmp_path) == {"x": ["a/x.png", "b/x.png"], "z": ["a/z.png", "b/z.png"]}


def test_linked_folders_are_folders(tmp_path):
    put(tmp_path, "infrared/x.png", "set/b/x.png")
    (tmp_path / "set/a").symlink_to("../infrared")
    assert found(tmp_path / "set") == {"x": ["a/x.png", "b/x.png"]}


@pytest.mark.parametrize("folders", [[], ["a", "b"]])
def test_empty_folders_hold_no_images(tmp_path, folders):
    put(tmp_path, "a/readme.txt", "b/.x.png")
    with pytest.raises(FusionlabError, match="in .*/a, .*/b;", check=refused("no-images")):
        found(tmp_path, *folders)


def test_an_empty_folder_beside_a_full_one_misses_everything(tmp_path):
    put(tmp_path, "ir/x.png", "ir/y.png")
    (tmp_path / "vis").mkdir()
    assert all("is missing in" in problem for problem in found(tmp_path, "ir", "vis").values())


@pytest.mark.parametrize("names", [["x.png", "y.png"], ["a/x.png"], ["left/x.png", "right/x.png"]])
def test_one_folder_without_two_letters_is_no_image_set(tmp_path, names):
    put(tmp_path, *names)
    with pytest.raises(FusionlabError, check=refused("not-an-image-set", tmp_path)):
        found(tmp_path)


@pytest.mark.parametrize("name", ["gone", "file"])
def test_what_is_not_a_folder_is_refused_with_its_name(tmp_path, name):
    put(tmp_path, "file", "ir/x.png")
    for folders in ([name], ["ir", name]):
        with pytest.raises(FusionlabError, match=f"/{name}: ", check=refused("unreadable")):
            found(tmp_path, *folders)


def test_the_order_is_that_of_the_stems_whatever_the_file_system_says(tmp_path, monkeypatch):
    stems = ["B", "a", "ä", "b", "10", "9", "b-1", "b.1"]
    put(tmp_path, *(f"{letter}/{stem}.png" for stem in stems for letter in "ba"))
    listed, rng = Path.iterdir, random.Random(0)

    def shuffled(folder):
        paths = list(listed(folder))
        rng.shuffle(paths)
        return iter(paths)

    monkeypatch.setattr(Path, "iterdir", shuffled)
    for _ in range(5):
        assert list(found(tmp_path)) == sorted(stems)
        assert all(sources[0].startswith("a/") for sources in found(tmp_path).values())


def test_a_stack_is_in_the_order_of_its_numbers(tmp_path):
    for number in (1, 2, 3, 9, 10, 11, 12):
        (tmp_path / f"i{number}.png").touch()
    files = [path.name for path in stack_files(tmp_path)]
    assert files == [f"i{number}.png" for number in (1, 2, 3, 9, 10, 11, 12)]
    *complete, rest = stacks(tmp_path, 3).items
    assert [[path.stem for path in item.sources] for item in complete] == [
        ["i1", "i2", "i3"],
        ["i9", "i10", "i11"],
    ]
    assert rest.problem.startswith("i12 ")


@pytest.mark.parametrize(("stack", "counts"), [("all", [4]), ("2", [2, 2])])
def test_pairs_shows_stacks(tmp_path, stack, counts):
    for number in range(4):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
    result = CliRunner().invoke(main, ["pairs", str(tmp_path), "--stack", stack, "--json"])
    assert result.exit_code == 0, result.output
    items = json.loads(result.stdout)["items"]
    assert [len(item["sources"]) for item in items] == counts


def test_a_folder_without_images_is_no_stack(tmp_path):
    with pytest.raises(FusionlabError, check=refused("no-images", tmp_path)):
        stacks(tmp_path, 2)
