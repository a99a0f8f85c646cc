"""What has the place of one of our own files, and is none."""

import os

import pytest
from refusals import refused

from fusionlab import FusionlabError
from fusionlab.storage.own_files import check_own_file


def test_a_regular_file_will_do_and_so_will_none(tmp_path):
    (tmp_path / "x").touch()
    for name in ("x", "y", "x/y", "n" * 300):
        check_own_file(tmp_path / name)
        check_own_file(tmp_path / name, reading=True)


def test_a_link_to_a_file_is_read_and_never_written(tmp_path):
    (tmp_path / "x").touch()
    (tmp_path / "link").symlink_to("x")
    check_own_file(tmp_path / "link", reading=True)
    with pytest.raises(FusionlabError, check=refused("not-a-regular-file", tmp_path / "link")):
        check_own_file(tmp_path / "link")


def test_a_link_to_a_pipe_is_not_even_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(FusionlabError, match="got a pipe; remove it, or choose another folder"):
        check_own_file(tmp_path / "link", reading=True)
