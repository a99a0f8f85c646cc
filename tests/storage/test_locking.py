"""Locks between processes."""

import pytest

from fusionlab.errors import FusionlabError
from fusionlab.storage.locking import exclusive_lock


def refused(folder):
    with pytest.raises(FusionlabError) as refusal, exclusive_lock(folder):
        pass
    return refusal.value.code, refusal.value.path


def test_a_folder_is_locked_for_the_length_of_the_block(tmp_path):
    with exclusive_lock(tmp_path):
        assert refused(tmp_path) == ("locked", tmp_path)
    with pytest.raises(ZeroDivisionError), exclusive_lock(tmp_path):
        raise ZeroDivisionError
    with exclusive_lock(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert refused(file) == ("unwritable", file)


def test_errors_of_the_block_are_not_taken_for_those_of_the_lock(tmp_path):
    with pytest.raises(FileNotFoundError), exclusive_lock(tmp_path):
        (tmp_path / "missing").read_bytes()
