"""What a folder run has finished: noted before it appears, and never believed unseen."""

import json

import pytest
from refusals import refused

from fusionlab.errors import FusionlabError
from fusionlab.runs.manifest import MANIFEST_NAME, RunManifest


def note(manifest, stem, key, contents):
    """Note files whose content is next to them."""
    written = {}
    for path, content in contents.items():
        written[path] = path.with_name(f"beside-{path.name}")
        written[path].write_bytes(content)
    manifest.add(stem, key, written)
    for beside in written.values():
        beside.unlink()


def noted(folder, stem="x", key="k", content=b"pixels"):
    """Write an image and note it, as a run does."""
    path = folder / f"{stem}.png"
    path.write_bytes(content)
    manifest = RunManifest(folder)
    note(manifest, stem, key, {path: content})
    return path


def test_an_image_that_is_noted_and_exists_is_finished(tmp_path):
    path = noted(tmp_path)
    assert RunManifest(tmp_path).is_finished("x", "k", [path])


def test_a_manifest_remembers_what_it_notes_itself(tmp_path):
    manifest = RunManifest(tmp_path)
    (tmp_path / "x.png").write_bytes(b"1")
    note(manifest, "x", "k", {tmp_path / "x.png": b"1"})
    assert manifest.is_finished("x", "k", [tmp_path / "x.png"])
    assert manifest.has_file("x", tmp_path / "x.png")


def test_another_key_is_another_image(tmp_path):
    path = noted(tmp_path)
    assert not RunManifest(tmp_path).is_finished("x", "other", [path])


@pytest.mark.parametrize("content", [b"", b"pixel", b"Pixels", b"pixels "])
def test_other_bytes_are_not_finished(tmp_path, content):
    path = noted(tmp_path)
    path.write_bytes(content)
    assert not RunManifest(tmp_path).is_finished("x", "k", [path])


def test_a_deleted_image_is_not_finished(tmp_path):
    path = noted(tmp_path)
    path.unlink()
    assert not RunManifest(tmp_path).is_finished("x", "k", [path])
    path.mkdir()
    assert not RunManifest(tmp_path).is_finished("x", "k", [path])


def test_more_files_or_fewer_than_noted_are_not_finished(tmp_path):
    path = noted(tmp_path)
    beside = tmp_path / "x.png.json"
    beside.write_bytes(b"{}")
    assert not RunManifest(tmp_path).is_finished("x", "k", [path, beside])
    note(RunManifest(tmp_path), "x", "k", {path: b"pixels", beside: b"{}"})
    assert RunManifest(tmp_path).is_finished("x", "k", [path, beside])
    assert not RunManifest(tmp_path).is_finished("x", "k", [path])


def test_what_was_never_noted_is_neither_known_nor_finished(tmp_path):
    (tmp_path / "x.png").write_bytes(b"")
    manifest = RunManifest(tmp_path)
    assert not manifest.has_file("x", tmp_path / "x.png")
    assert not manifest.is_finished("x", "k", [tmp_path / "x.png"])


def test_only_the_files_of_a_stem_are_known_of_it(tmp_path):
    path = noted(tmp_path)
    manifest = RunManifest(tmp_path)
    assert manifest.has_file("x", path)
    assert not manifest.has_file("y", path)
    assert not manifest.has_file("x", tmp_path / "x.tif")
    assert not manifest.has_file("x", tmp_path / "sub" / "x.png")


def test_files_in_another_folder_are_known_by_their_relative_path(tmp_path):
    out, maps = tmp_path / "out", tmp_path / "maps"
    for folder in (out, maps):
        folder.mkdir()
    (maps / "x.png").write_bytes(b"map")
    note(RunManifest(out), "x", "k", {maps / "x.png": b"map"})
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    tmp_path.rename(moved)
    assert RunManifest(moved / "out").is_finished("x", "k", [moved / "maps/x.png"])
    assert str(tmp_path) not in (moved / "out" / MANIFEST_NAME).read_text()


def test_reading_changes_nothing(tmp_path):
    noted(tmp_path)
    with (tmp_path / MANIFEST_NAME).open("ab") as file:
        file.write(b'{"stem": "half')
    before = (tmp_path / MANIFEST_NAME).read_bytes()
    RunManifest(tmp_path)
    assert (tmp_path / MANIFEST_NAME).read_bytes() == before
    RunManifest(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_tidying_leaves_one_line_a_stem_in_their_order(tmp_path):
    for stem, content in (("b", b"1"), ("a", b"2"), ("b", b"3")):
        noted(tmp_path, stem, content=content)
    RunManifest(tmp_path).tidy()
    lines = [json.loads(line) for line in (tmp_path / MANIFEST_NAME).read_text().splitlines()]
    assert [line["stem"] for line in lines] == ["a", "b"]
    assert RunManifest(tmp_path).is_finished(
        "b", "k", [tmp_path / "b.png"]
    )  # the later line counts
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", MANIFEST_NAME]


def test_tidying_twice_changes_nothing(tmp_path):
    for stem in "cab":
        noted(tmp_path, stem)
    RunManifest(tmp_path).tidy()
    first = (tmp_path / MANIFEST_NAME).read_bytes()
    RunManifest(tmp_path).tidy()
    assert (tmp_path / MANIFEST_NAME).read_bytes() == first


def test_a_last_line_cut_off_anywhere_costs_that_line_only(tmp_path):
    first, second = noted(tmp_path, "x"), noted(tmp_path, "y")
    whole = (tmp_path / MANIFEST_NAME).read_bytes()
    start = whole.index(b"\n") + 1
    for end in range(start, len(whole) - 1):
        (tmp_path / MANIFEST_NAME).write_bytes(whole[:end])
        manifest = RunManifest(tmp_path)
        assert manifest.is_finished("x", "k", [first])
        assert not manifest.is_finished("y", "k", [second])
        manifest.tidy()
        note(manifest, "y", "k", {second: b"pixels"})
        assert (
            tmp_path / MANIFEST_NAME
        ).read_bytes() == whole  # the rest of the line spoils no other


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xfe\x00garbage",
        b"not json",
        b"null",
        b"3",
        b'"text"',
        b"[]",
        b"{}",
        b'{"stem": "x"}',
        b'{"stem": ["x"], "key": "k", "files": {}}',
        b'{"stem": 5, "key": "k", "files": {}}',
        b'{"stem": null, "key": "k", "files": {}}',
        b'{"stem": "x", "key": 1, "files": {}}',
        b'{"stem": "x", "key": "k", "files": 3}',
        b'{"stem": "x", "key": "k", "files": ["x.png"]}',
        b'{"stem": "x", "key": "k", "files": "x.png"}',
        b'{"stem": "x", "key": "k", "files": null}',
        b"[" * 100_000,
        b"\0" * 1000,
        b"",
    ],
    ids=range(19),
)
def test_garbage_is_no_line_and_spoils_no_other(tmp_path, garbage):
    path = noted(tmp_path, "good")
    whole = (tmp_path / MANIFEST_NAME).read_bytes()
    (tmp_path / MANIFEST_NAME).write_bytes(garbage + b"\r\n" + whole + garbage)
    manifest = RunManifest(tmp_path)
    assert manifest.is_finished("good", "k", [path])
    assert not manifest.has_file("x", tmp_path / "x.png")
    assert not manifest.is_finished("x", "k", [tmp_path / "x.png"])
    manifest.tidy()
    assert (tmp_path / MANIFEST_NAME).read_bytes() == whole


@pytest.mark.parametrize("files", [{"x.png": 3}, {"x.png": None}, {"x.png": ["a"]}, {}])
def test_a_line_with_hashes_that_are_none_finishes_nothing(tmp_path, files):
    (tmp_path / MANIFEST_NAME).write_text(json.dumps({"stem": "x", "key": "k", "files": files}))
    (tmp_path / "x.png").write_bytes(b"")
    assert not RunManifest(tmp_path).is_finished("x", "k", [tmp_path / "x.png"])


def test_a_hash_of_nothing_does_not_finish_a_file_that_is_not_there(tmp_path):
    (tmp_path / MANIFEST_NAME).write_text('{"stem": "x", "key": "k", "files": {"x.png": null}}')
    assert not RunManifest(tmp_path).is_finished("x", "k", [tmp_path / "x.png"])


def test_a_tidy_manifest_is_not_written_again(tmp_path):
    """A resumed run that has nothing to do does not write 100,000 lines."""
    for stem in ("b", "a"):
        noted(tmp_path, stem)
    file = tmp_path / MANIFEST_NAME
    RunManifest(tmp_path).tidy()
    before = file.stat().st_ino, file.read_bytes()
    RunManifest(tmp_path).tidy()
    assert (file.stat().st_ino, file.read_bytes()) == before
    for garbage in (b"{", before[1]):
        file.write_bytes(before[1] + garbage)
        RunManifest(tmp_path).tidy()
        assert file.read_bytes() == before[1]


def test_names_that_are_not_ascii_come_back(tmp_path):
    for stem in ("Wärme", "日本", "line\nbreak", "line\u2028break", '"quoted"', "bad\udcff"):
        path = tmp_path / f"{stem}.png"
        note(RunManifest(tmp_path), stem, "k", {path: b""})
        assert RunManifest(tmp_path).has_file(stem, path)
    RunManifest(tmp_path).tidy()
    assert RunManifest(tmp_path).has_file("bad\udcff", tmp_path / "bad\udcff.png")


def test_a_manifest_that_cannot_be_read_or_written_is_one_sentence(tmp_path):
    manifest = RunManifest(tmp_path)
    (tmp_path / MANIFEST_NAME).mkdir()
    for do in (lambda: manifest.add("x", "k", {}), manifest.tidy):
        with pytest.raises(FusionlabError, check=refused("not-a-regular-file", manifest.path)):
            do()
    with pytest.raises(FusionlabError, check=refused("not-a-regular-file", manifest.path)):
        RunManifest(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_NAME]
