"""All of a file or nothing, whatever happens; and several files together."""

import os
import resource
import stat
from pathlib import Path

import pytest
from refusals import refused

from fusionlab import FusionlabError
from fusionlab.storage import file_lock
from fusionlab.storage.atomic import (
    atomic_write_all,
    atomic_write_folder,
    make_folder,
    remove_partial,
    replace_folder,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def default_mode():
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


# ---------------------------------------------------------------- one file


def test_a_file_is_replaced_only_at_the_end(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with atomic_write_all({path: b"new"}) as written:
        assert path.read_text() == "old"
        assert written[path].read_text() == "new"
        assert written[path].parent == tmp_path
    assert path.read_text() == "new"
    assert names(tmp_path) == ["x.txt"]


@pytest.mark.parametrize(
    "problem", [OSError(28, "No space left"), KeyboardInterrupt(), SystemExit()]
)
def test_whatever_interrupts_leaves_the_old_file_and_nothing_else(tmp_path, problem):
    path = tmp_path / "x.txt"
    path.write_text("old")
    expected = FusionlabError if isinstance(problem, OSError) else type(problem)
    with pytest.raises(expected), atomic_write_all({path: b"new"}):
        raise problem
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x.txt"]


def test_of_a_link_the_target_is_replaced(tmp_path):
    (tmp_path / "link.txt").symlink_to("real.txt")
    (tmp_path / "real.txt").write_text("old")
    with atomic_write_all({tmp_path / "link.txt": b"new"}):
        pass
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"
    assert names(tmp_path) == ["link.txt", "real.txt"]


def test_a_file_has_the_rights_that_the_user_gives_new_files(tmp_path):
    with atomic_write_all({tmp_path / "x.txt": b"new"}):
        pass
    assert (tmp_path / "x.txt").stat().st_mode & 0o777 == default_mode()


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "x.txt"
    with atomic_write_all({path: b"first"}), atomic_write_all({path: b"second"}):
        assert len(names(tmp_path)) == 2
    assert path.read_text() == "first"  # whose block ended last
    assert names(tmp_path) == ["x.txt"]


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path):
    path = tmp_path / f"{'y' * 251}.txt"
    with atomic_write_all({path: b"new"}):
        pass
    assert path.read_text() == "new"


def test_a_file_of_ours_never_replaces_what_a_link_leads_to(tmp_path):
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real").write_text("theirs")
    with (
        pytest.raises(FusionlabError, check=refused("not-a-regular-file", tmp_path / "link")),
        atomic_write_all({tmp_path / "link": b"ours"}, own=True),
    ):
        pass
    assert (tmp_path / "real").read_text() == "theirs"
    assert names(tmp_path) == ["link", "real"]


def test_everything_is_on_the_disk_before_it_has_its_name_and_the_name_afterwards(
    tmp_path, monkeypatch
):
    """In this order a power cut leaves the old content or the new; nothing else tests that."""
    calls = []
    fsync, replace = os.fsync, Path.replace

    def synchronized(descriptor):
        status = os.fstat(descriptor)
        calls.append(("folder" if stat.S_ISDIR(status.st_mode) else "file", status.st_size))
        fsync(descriptor)

    def renamed(self, target):
        calls.append(("rename", target.name))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synchronized)
    monkeypatch.setattr(Path, "replace", renamed)
    with atomic_write_all(
        {tmp_path / "a": b"12345", tmp_path / "b": lambda file: file.write(b"1")}
    ):
        pass
    assert calls[:4] == [("file", 5), ("file", 1), ("rename", "b"), ("rename", "a")]
    assert [kind for kind, _ in calls[4:]] == ["folder"]


# ---------------------------------------------------------------- several files


def test_files_appear_together_once_the_block_has_ended(tmp_path):
    files = {tmp_path / "a.png": b"image", tmp_path / "a.png.json": b"record"}
    with atomic_write_all(files):
        assert not any(path.exists() for path in files)
    assert {path: path.read_bytes() for path in files} == files
    assert names(tmp_path) == ["a.png", "a.png.json"]


def test_whoever_sees_the_first_sees_them_all(tmp_path, monkeypatch):
    files = {tmp_path / name: name.encode() for name in "abc"}
    order = []
    replace = type(tmp_path).replace

    def watched(self, target):
        order.append(target.name)
        return replace(self, target)

    monkeypatch.setattr(type(tmp_path), "replace", watched)
    with atomic_write_all(files):
        pass
    assert order == ["c", "b", "a"]


@pytest.mark.parametrize("problem", [ValueError("no"), KeyboardInterrupt()])
def test_a_block_that_fails_leaves_every_file_as_it_was(tmp_path, problem):
    (tmp_path / "b").write_text("old")
    with (
        pytest.raises(type(problem)),
        atomic_write_all({tmp_path / name: b"new" for name in "abc"}),
    ):
        raise problem
    assert names(tmp_path) == ["b"]
    assert (tmp_path / "b").read_text() == "old"


def test_a_missing_folder_is_one_sentence(tmp_path):
    files = {tmp_path / "a": b"first", tmp_path / "nowhere" / "b": b"second"}
    with (
        pytest.raises(FusionlabError, check=refused("unwritable", tmp_path / "nowhere/b")),
        atomic_write_all(files),
    ):
        pass
    assert names(tmp_path) == []


def test_a_path_that_is_taken_in_the_meantime_leaves_only_complete_files(tmp_path):
    files = {tmp_path / "a": b"first", tmp_path / "b": b"second", tmp_path / "c": b"third"}
    unwritable = refused("unwritable", tmp_path / "b")
    with pytest.raises(FusionlabError, check=unwritable), atomic_write_all(files):
        (tmp_path / "b").mkdir()
    assert names(tmp_path) == ["b", "c"]  # from the last on; a would say that all are there
    assert (tmp_path / "c").read_bytes() == b"third"


# ---------------------------------------------------------------- written bit by bit


def test_a_file_may_be_written_by_whoever_knows_its_content(tmp_path):
    def write(file):
        file.write(b"later")
        file.seek(0)
        file.write(b"first")
        assert names(tmp_path)[0].startswith(".fusionlab-partial-")

    with atomic_write_all({tmp_path / "a": write, tmp_path / "b": b"bytes"}):
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_bytes() == b"first"
    assert (tmp_path / "a").stat().st_mode & 0o777 == default_mode()
    assert names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(
    "problem",
    [
        OSError(28, "No space left on device"),
        KeyboardInterrupt(),
        FusionlabError("cannot read x"),
        MemoryError(),
    ],
    ids=repr,
)
def test_a_writer_that_ends_halfway_leaves_every_file_as_it_was(tmp_path, problem, number):
    (tmp_path / "b").write_text("old")

    def write(file):
        file.write(b"half")
        raise problem

    files = {tmp_path / name: b"new" for name in "abc"}
    files[tmp_path / "ab"[number]] = write
    full = isinstance(problem, OSError)
    expected = (
        f"cannot write .*/{'ab'[number]}: No space left on device$" if full else f"^{problem}$"
    )
    with (
        pytest.raises(FusionlabError if full else type(problem), match=expected),
        atomic_write_all(files),
    ):
        pytest.fail("a file is half written, and the block ran")
    assert names(tmp_path) == ["b"]
    assert (tmp_path / "b").read_text() == "old"


def test_a_disk_that_is_full_only_when_the_file_is_closed_is_noticed(tmp_path):
    """What is left in a buffer is written then. The limit on the size of files stands for it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, limits[1]))
    try:
        with (
            pytest.raises(
                FusionlabError, match="File too large", check=refused("unwritable", tmp_path / "a")
            ),
            atomic_write_all({tmp_path / "a": lambda file: file.write(b"longer than five")}),
        ):
            pytest.fail("the file is half written, and the block ran")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == []


def test_no_files_are_nothing_to_do():
    with atomic_write_all({}):
        pass


# ---------------------------------------------------------------- folders


def test_a_folder_is_made_with_those_above_it_and_may_be_there(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_in_the_place_of_a_file_cannot_be_made(tmp_path):
    (tmp_path / "x").touch()
    for folder in (tmp_path / "x", tmp_path / "x" / "y"):
        with pytest.raises(FusionlabError, check=refused("unwritable", folder)):
            make_folder(folder)


def test_a_folder_of_files_appears_whole_with_lines_that_end_as_they_are_given(tmp_path):
    atomic_write_folder(tmp_path / "x", {"a": "one\ntwo\n", "b/c": "ü"})
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x" / "a").read_bytes() == b"one\ntwo\n"
    assert (tmp_path / "x" / "b" / "c").read_text(encoding="utf-8") == "ü"
    (tmp_path / "ordinary").mkdir()
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_a_folder_of_files_replaces_nothing_and_makes_no_folder_above_it(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(FusionlabError, check=refused("exists", tmp_path / "x")):
        atomic_write_folder(tmp_path / "x", {"a": "one"})
    with pytest.raises(FusionlabError, check=refused("unwritable", tmp_path / "nowhere/y")):
        atomic_write_folder(tmp_path / "nowhere" / "y", {"a": "one"})
    assert names(tmp_path) == ["x"]
    assert names(tmp_path / "x") == []


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    """Killed: as if by SIGKILL, without a chance to clean up."""
    (tmp_path / "x.png").touch()
    (tmp_path / ".hidden.png").touch()
    (tmp_path / ".fusionlab-partial-0" / "tests").mkdir(parents=True)
    (tmp_path / ".fusionlab-partial-1").write_text("half")
    (tmp_path / ".fusionlab-partial-2").symlink_to("x.png")
    os.mkfifo(tmp_path / ".fusionlab-partial-3")
    expected = [".fusionlab-partial-2", ".fusionlab-partial-3", ".hidden.png", "x.png"]
    for _ in range(2):
        remove_partial(tmp_path)
        assert names(tmp_path) == expected


def test_what_somebody_is_writing_is_not_removed(tmp_path):
    with atomic_write_all({tmp_path / "x.png": b"new", tmp_path / "y.png": b"new"}):
        remove_partial(tmp_path)
    with replace_folder(tmp_path / "page") as page:
        remove_partial(tmp_path)
        (page / "index.html").touch()
    assert names(tmp_path) == ["page", "x.png", "y.png"]
    assert names(tmp_path / "page") == ["index.html"]


def test_a_partial_file_that_is_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    """The one moment at which `remove_partial` cannot see that somebody is writing."""
    removals = iter([True, False])
    lock = file_lock.try_lock

    def late(descriptor):
        if next(removals):
            remove_partial_elsewhere(tmp_path)
        return lock(descriptor)

    def remove_partial_elsewhere(folder):
        for path in folder.glob(".fusionlab-partial-*"):
            path.unlink()

    monkeypatch.setattr("fusionlab.storage.atomic.try_lock", late)
    with atomic_write_all({tmp_path / "x.png": b"new"}):
        pass
    assert names(tmp_path) == ["x.png"]


def test_of_two_that_replace_a_folder_at_once_the_last_stays(tmp_path):
    (tmp_path / "page").mkdir()
    with replace_folder(tmp_path / "page") as first:
        (first / "first").touch()
        with replace_folder(tmp_path / "page") as second:
            (second / "second").touch()
        assert names(tmp_path / "page") == ["second"]
    assert names(tmp_path / "page") == ["first"]
    assert names(tmp_path) == ["page"]
