"""The folder of a run: its tag, and its options."""

from pathlib import Path

import pytest

from fusionlab import FusionlabError
from fusionlab.training.run_folder import RunFolder, read_options, write_options


def test_the_weights_are_named_like_the_folder_or_by_a_tag(tmp_path):
    assert RunFolder(tmp_path / "mine").weights == tmp_path / "mine/mine.safetensors"
    assert RunFolder(tmp_path / "my run", "x").weights == tmp_path / "my run/x.safetensors"
    for path, tag in ((tmp_path / "my run", ""), (tmp_path, "a/b")):
        with pytest.raises(FusionlabError) as caught:
            RunFolder(path, tag)
        assert (caught.value.code, caught.value.option) == ("invalid-tag", "tag")


@pytest.mark.parametrize(("path", "tag"), [("run", ""), ("mine", "run"), ("Run", "")])
def test_the_card_of_the_weights_never_replaces_the_options_of_the_run(tmp_path, path, tag):
    with pytest.raises(FusionlabError, match="another") as caught:
        RunFolder(tmp_path / path, tag)
    assert (caught.value.code, caught.value.option) == ("invalid-tag", "tag")
    assert RunFolder(tmp_path / path, "mine").tag == "mine"


@pytest.mark.parametrize("name", ["last.pt", "mine.safetensors"])
def test_a_run_is_not_overwritten_unless_it_is_resumed(tmp_path, name):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / name).touch()
    with pytest.raises(FusionlabError) as caught:
        RunFolder(folder)
    assert (caught.value.code, caught.value.path) == ("run-exists", folder)
    assert RunFolder(folder, resume=True).tag == "mine"


def test_options_are_read_as_they_were_written_but_for_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_options(tmp_path, {"data": (Path("photos"), Path("/x")), "size": (16, 24), "tag": None})
    data = [str(tmp_path / "photos"), "/x"]
    assert read_options(tmp_path) == {"data": data, "size": [16, 24], "tag": None}


def test_options_of_an_earlier_version_have_the_names_of_today(tmp_path):
    write_options(tmp_path, {"data": [], "averaging": 0.9, "cooldown": 3, "schedule": "cosine"})
    names = {"data": [], "ema_decay": 0.9, "lr_decay": 3, "lr_schedule": "cosine"}
    assert read_options(tmp_path) == names


@pytest.mark.parametrize("content", ["{", "[]", "3", "{}", '{"data": 7}'])
def test_damaged_options_are_one_sentence(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(FusionlabError) as caught:
        read_options(tmp_path)
    assert (caught.value.code, caught.value.path) == ("damaged-options", tmp_path / "run.json")


def test_without_options_there_is_nothing_to_resume(tmp_path):
    with pytest.raises(FusionlabError) as caught:
        read_options(tmp_path)
    assert caught.value.code == "nothing-to-resume"


def test_a_folder_that_another_run_uses_or_has_just_used_is_refused(tmp_path):
    first, second = RunFolder(tmp_path / "mine"), RunFolder(tmp_path / "mine")
    with first.locked():
        with pytest.raises(FusionlabError) as caught, second.locked():
            pytest.fail("two runs in one folder")
        assert (caught.value.code, caught.value.path) == ("locked", tmp_path / "mine")
        first.weights.touch()
    with pytest.raises(FusionlabError) as caught, second.locked():
        pytest.fail("the weights of the first run would be replaced")
    assert caught.value.code == "run-exists"
    with RunFolder(tmp_path / "mine", resume=True).locked():
        pass
