"""Locks of folders: between processes and within one, and what is left of them."""

import errno
import os
import subprocess
import sys
import textwrap

import pytest

from fusionlab.errors import FusionlabError, FusionlabWarning
from fusionlab.storage import locking
from fusionlab.storage.locking import LOCK_NAME, exclusive_lock, is_locked, run_folder_lock


def refused(*folders):
    with pytest.raises(FusionlabError) as refusal, exclusive_lock(*folders):
        pytest.fail("the block ran")
    return refusal.value.code, refusal.value.path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_locked_for_the_length_of_the_block_and_nothing_is_left(tmp_path):
    with exclusive_lock(tmp_path):
        assert refused(tmp_path) == ("locked", tmp_path)
        assert is_locked(tmp_path)
    with pytest.raises(ZeroDivisionError), exclusive_lock(tmp_path):
        raise ZeroDivisionError
    with exclusive_lock(tmp_path):
        pass
    assert not is_locked(tmp_path)
    assert names(tmp_path) == []


def test_of_several_folders_each_is_locked_once_however_it_is_written(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (tmp_path / "link").symlink_to("one")
    with exclusive_lock(one, tmp_path / "link", two, tmp_path / "two" / ".." / "one"):
        assert refused(two) == ("locked", two)
        assert refused(tmp_path / "link") == ("locked", tmp_path / "link")
    with exclusive_lock(two):
        assert refused(one, two) == ("locked", two)
        assert not is_locked(one)
    assert names(one) == names(two) == []


def test_a_process_that_is_killed_leaves_no_lock_that_blocks(tmp_path):
    code = """
        import os, sys
        from pathlib import Path
        from fusionlab.storage.locking import exclusive_lock
        with exclusive_lock(Path(sys.argv[1])):
            print("locked", flush=True)
            sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"locked\n"
        assert refused(tmp_path) == ("locked", tmp_path)
        process.kill()
        process.wait()
    assert names(tmp_path) == [LOCK_NAME]
    assert not is_locked(tmp_path)
    with exclusive_lock(tmp_path):
        assert is_locked(tmp_path)
    assert names(tmp_path) == []


def test_a_lock_whose_file_its_last_holder_has_removed_is_taken_again(tmp_path, monkeypatch):
    """Else two processes hold two files of one name."""
    lock = locking.try_lock
    removals = iter([True, False])

    def late(descriptor):
        if next(removals):
            (tmp_path / LOCK_NAME).unlink()
        return lock(descriptor)

    monkeypatch.setattr(locking, "try_lock", late)
    with exclusive_lock(tmp_path):
        monkeypatch.setattr(locking, "try_lock", lock)
        assert refused(tmp_path) == ("locked", tmp_path)


def test_what_killed_runs_left_is_removed_when_a_folder_is_locked(tmp_path):
    (tmp_path / ".fusionlab-partial-0").touch()
    with exclusive_lock(tmp_path):
        assert names(tmp_path) == [LOCK_NAME]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert refused(file) == ("unwritable", file)
    assert refused(tmp_path / "missing") == ("unwritable", tmp_path / "missing")


def test_a_pipe_or_a_link_in_the_place_of_the_lock_is_refused(tmp_path):
    os.mkfifo(tmp_path / LOCK_NAME)
    assert refused(tmp_path) == ("not-a-regular-file", tmp_path / LOCK_NAME)
    (tmp_path / LOCK_NAME).unlink()
    (tmp_path / LOCK_NAME).symlink_to("elsewhere")
    assert refused(tmp_path) == ("not-a-regular-file", tmp_path / LOCK_NAME)
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_system_without_locks_is_told_and_used(tmp_path, monkeypatch):
    def unsupported(_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locking, "try_lock", unsupported)
    ran = False
    with pytest.warns(FusionlabWarning, match="has no locks"), exclusive_lock(tmp_path):
        ran = True
    assert ran
    assert names(tmp_path) == []


def test_errors_of_the_block_are_not_taken_for_those_of_the_lock(tmp_path):
    with pytest.raises(FileNotFoundError), exclusive_lock(tmp_path):
        (tmp_path / "missing").read_bytes()


def test_a_folder_is_checked_before_it_is_made_and_again_under_the_lock(tmp_path):
    """Another run may end between the two."""
    answers = []

    def check():
        answers.append((tmp_path / "x").exists() and is_locked(tmp_path / "x"))
        if len(answers) == 2:
            raise FusionlabError("there is a run", code="run-exists")

    with (
        pytest.raises(FusionlabError, match="there is a run"),
        run_folder_lock(tmp_path / "x", check),
    ):
        pytest.fail("the block ran")
    assert answers == [False, True]
    assert names(tmp_path / "x") == []
