"""Destinations: every file is known, and checked, before any work."""

import os
from pathlib import Path

import pytest
from refusals import refused

from fusionlab.errors import FusionlabError
from fusionlab.imaging.writing import FORMATS
from fusionlab.runs.destination import (
    Destination,
    check_writable,
    is_record_path,
    record_path,
)

SOURCES = [Path("ir/a.png"), Path("vis/a.tif")]


def test_an_image_alone_is_one_file():
    destination = Destination.plan(Path("out/fused.tif"), SOURCES)
    assert destination.files == [Path("out/fused.tif")]
    assert destination.format is FORMATS[".tif"]
    assert (destination.record, destination.weight_maps) == (None, ())


def test_the_files_come_in_order_the_image_first():
    destination = Destination.plan(
        Path("out/fused.PNG"), SOURCES, record=True, weights=Path("maps")
    )
    assert destination.image == Path("out/fused.PNG")
    assert destination.record == Path("out/fused.PNG.json")
    assert destination.weight_maps == (
        Path("maps/fused-weights-1-a.png"),
        Path("maps/fused-weights-2-a.png"),
    )
    assert destination.files == [
        destination.image,
        destination.record,
        *destination.weight_maps,
    ]


def test_a_suffix_that_is_no_format_is_refused_at_once():
    with pytest.raises(FusionlabError, check=refused("output-format")):
        Destination.plan(Path("fused.gif"), SOURCES)


@pytest.mark.parametrize("image", ["fused.png", "maps/fused.png"])
def test_a_folder_for_weight_maps_may_be_missing(tmp_path, image):
    maps = tmp_path / "maps"
    Destination.plan(tmp_path / image, SOURCES, weights=maps).check([], overwrite=False)
    assert not maps.exists()


def test_what_cannot_be_written_is_refused_beforehand(tmp_path):
    file = tmp_path / "file.png"
    file.touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "dangling.png").symlink_to("nowhere")
    (tmp_path / "loop.png").symlink_to("loop.png")
    for path, message in [
        (tmp_path / "nowhere" / "image.png", "the folder .*/nowhere does not exist; make it first"),
        (file / "image.png", "the folder .*/file.png does not exist|Not a directory"),
        (tmp_path / "folder.png", "it is a folder; choose another name"),
        (tmp_path / "dangling.png", "it is not a file; choose another name"),
        (tmp_path / "loop.png", "cannot write .*[Ss]ymlink loop|symbolic links"),
        (tmp_path / f"{'y' * 300}.png", "File name too long"),
    ]:
        with pytest.raises(FusionlabError, match=message) as caught:
            check_writable(path, overwrite=False)
        assert (caught.value.code, caught.value.path) == ("unwritable", path)
    with pytest.raises(FusionlabError, check=refused("exists")) as caught:
        check_writable(file, overwrite=False)
    assert (caught.value.option, caught.value.path) == ("overwrite", file)
    check_writable(file, overwrite=True)
    check_writable(tmp_path / "new.png", overwrite=False)
    assert file.read_bytes() == b""


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_never_overwritten(tmp_path, overwrite):
    (tmp_path / "x.png").mkdir()
    with pytest.raises(FusionlabError, check=refused("unwritable")):
        check_writable(tmp_path / "x.png", overwrite=overwrite)


@pytest.mark.parametrize("letter", ["x", "ä", "熱"])
def test_names_that_are_too_long_are_shortened_and_stay_different(letter, tmp_path):
    longest = (255 - len(".png")) // len(os.fsencode(letter))
    stems = [letter * (longest - 1) + end for end in "xy"]
    names = []
    for stem in stems:
        sources = [Path(f"{stem}.png")] * 2
        destination = Destination.plan(
            tmp_path / f"{stem}.png", sources, record=True, weights=tmp_path / "maps"
        )
        assert destination.image.name == f"{stem}.png"
        assert destination.record == record_path(destination.image)
        assert is_record_path(destination.record)
        names += [path.name for path in destination.files]
    assert len(set(names)) == len(names) == 8
    for name in names:
        (tmp_path / name).touch()  # the file system takes it


def test_one_file_for_all_weight_maps_is_named_after_the_image():
    for weights, expected in [
        ("maps/all.tif", "maps/all.tif"),
        ("maps/{}.npz", "maps/fused.npz"),
        ("{}-maps.tiff", "fused-maps.tiff"),
    ]:
        destination = Destination.plan(Path("out/fused.png"), SOURCES, weights=Path(weights))
        assert destination.weight_files == [Path(expected)]
        assert destination.files == [destination.image, Path(expected)]
        assert destination.needs_weights
        assert destination.folders == (Path(expected).parent,)
