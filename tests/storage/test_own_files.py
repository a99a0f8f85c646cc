"""What has the place of one of our own files, and is none."""

import os
import signal

import pytest
from refusals import refused

from fusionlab import Card, FusionlabError
from fusionlab.evaluation.saved_images import JOURNAL, SavedImages
from fusionlab.evaluation.score_journal import NAME, ScoreJournal
from fusionlab.evaluation.studies.study import STATUS, read_status
from fusionlab.runs.manifest import MANIFEST_NAME, RunManifest
from fusionlab.runs.record import read_record
from fusionlab.storage.locking import LOCK_NAME, exclusive_lock
from fusionlab.storage.own_files import check_own_file
from fusionlab.training.log import FILE_NAME, read_log
from fusionlab.training.run_folder import OPTIONS, STATE, load_state, read_options


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


def read_beside(folder):
    (folder / "x.jpg").write_bytes(b"")
    read_record(folder / "x.jpg")


READERS = {
    MANIFEST_NAME: RunManifest,
    LOCK_NAME: lambda folder: exclusive_lock(folder).__enter__(),
    NAME: lambda folder: ScoreJournal(folder, resume=True),
    JOURNAL: lambda folder: SavedImages(folder, resume=True),
    STATUS: read_status,
    FILE_NAME: lambda folder: read_log(folder / FILE_NAME),
    OPTIONS: read_options,
    STATE: load_state,
    "x.jpg.json": read_beside,
    "x.png": lambda folder: read_record(folder / "x.png"),
    "w.json": lambda folder: Card.read(folder / "w.safetensors"),
}
"""Each of our own files, and what reads it."""


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="needs signals")
@pytest.mark.parametrize("name", READERS)
def test_none_of_our_files_is_waited_for_where_it_is_a_pipe(tmp_path, name):
    os.mkfifo(tmp_path / name)
    signal.alarm(20)  # without the check it would be waited for until then
    try:
        with pytest.raises(FusionlabError, check=refused("not-a-regular-file", tmp_path / name)):
            READERS[name](tmp_path)
    finally:
        signal.alarm(0)
