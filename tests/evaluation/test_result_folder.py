"""Folders of results that other programs have made: how their files are found, and refusals."""

import re

import imageio.v3 as iio
import numpy as np
import pytest

from fusionlab import FusionlabError
from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.evaluation.methods import MethodBuilder
from fusionlab.evaluation.result_folder import FolderMethod, parse_result_folder
from fusionlab.evaluation.sample import Sample
from fusionlab.evaluation.sample_files import SampleFiles
from fusionlab.imaging.reading import read_image
from fusionlab.plugins.host import installed


def read_sample(image_set, name="one"):
    images = [read_image(image_set / letter / f"{name}.png") for letter in "ab"]
    return Sample.from_images(name, images)


SAMPLES = ["one", "two", "three"]


@pytest.fixture
def results(tmp_path):
    """A folder with results called as somebody else calls them."""
    folder = tmp_path / "results"
    folder.mkdir()
    for name, level in (("fused_one_cbf.bmp", 1), ("one.png", 2), ("one.bmp", 3)):
        iio.imwrite(folder / name, np.full((24, 30), level, dtype=np.uint8))
    return folder


@pytest.mark.parametrize(
    ("pattern", "level"),
    [
        ("fused_{}_cbf", 1),
        ("fused_{}_cbf.bmp", 1),
        ("{}.png", 2),
        ("{}.BMP", 3),
        ("{}e.png", None),
    ],
)
def test_a_folder_of_results_is_paired_by_stem(image_set, results, pattern, level):
    method = FolderMethod.find("CBF", results / pattern, ["one", "two", "on"])
    assert method.label == "CBF"
    sample = read_sample(image_set)
    if level is None:  # matches another sample only
        with pytest.raises(FusionlabError, match="there is no"):
            method.result(sample, FeatureCache())
    else:
        assert np.unique(method.result(sample, FeatureCache()).pixels).tolist() == [level]


def test_a_result_that_is_missing_or_ambiguous_is_named(image_set, results):
    method = FolderMethod.find("CBF", results, SAMPLES)
    for name, text in (
        ("two", f"there is no {results / 'two.*'}"),
        ("one", f"one has several files in {results}: one.bmp, one.png"),
    ):
        with pytest.raises(FusionlabError, match=re.escape(text)) as refused:
            method.result(read_sample(image_set, name), FeatureCache())
        assert refused.value.code == "not-one-result"


@pytest.mark.parametrize(
    ("path", "files", "expected"),
    [
        ("", ["One.PNG", "two.tif"], {"one": "One.PNG", "two": "two.tif"}),
        ("", ["07.png", "7.tif"], {"7": "7.tif"}),  # the equal name wins
        ("", ["007.png", "8.png"], {"7": "007.png"}),
        ("", ["07.png", "007.png"], {"7": "is ambiguous"}),
        ("{}_b*", ["one_b_v2.png", "two_b.bmp"], {"one": "one_b_v2.png", "two": "two_b.bmp"}),
        ("{}/fused.png", ["one/fused.png", "two/other.png"], {"one": "one/fused.png"}),
        ("", ["one.jxl"], {"one": "is a JPEG XL image"}),
    ],
)  # fmt: skip
def test_results_are_paired_as_the_sources_of_a_set_are(tmp_path, path, files, expected):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        content = b"\xff\x0a" if name.endswith("jxl") else b""  # the rest is never read
        (tmp_path / name).write_bytes(content)
    found = SampleFiles.find(tmp_path / path, ["one", "two", "7"], "results")
    shown = {name: str(file.relative_to(tmp_path)) for name, file in found.files.items()}
    for name, problem in found.problems.items():
        shown[name] = next((text for text in expected.values() if text in problem), problem)
    assert shown == expected


def test_a_folder_without_any_result_is_refused_at_once(results):
    with pytest.raises(FusionlabError, match=r"y_\{\}\.\*") as refused:
        FolderMethod.find("x", results / "y_{}", SAMPLES)
    assert refused.value.code == "no-results"


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(FusionlabError) as refused:
        FolderMethod.find("x", tmp_path / "nowhere", SAMPLES)
    assert (refused.value.code, refused.value.path) == ("no-folder", tmp_path / "nowhere")


def test_a_result_of_another_size_is_refused(image_set, tmp_path):
    iio.imwrite(tmp_path / "one.png", np.zeros((30, 24), dtype=np.uint8))
    with pytest.raises(FusionlabError, match="has 24x30 pixels, its sources 30x24") as refused:
        FolderMethod.find("x", tmp_path, SAMPLES).result(read_sample(image_set), FeatureCache())
    assert refused.value.code == "size-mismatch"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("r=2=theirs", ("r=2", "theirs")),
        ("l1,r=2,t=0.5=theirs/x_{}.png", ("l1,r=2,t=0.5", "theirs/x_{}.png")),
        ("x=out/r=2", ("x", "out/r=2")),
        ("r=2=out/r=2/{}_fused", ("r=2", "out/r=2/{}_fused")),
        ("r=theirs=theirs", ("r=theirs", "theirs")),
        ("x=a=theirs", ("x", "a=theirs")),  # both exist: the name ends early
        ("x=gone=away", ("x", "gone=away")),
    ],
)
def test_names_and_folders_may_hold_equals_signs(tmp_path, monkeypatch, text, expected):
    monkeypatch.chdir(tmp_path)
    for folder in ("theirs", "out/r=2", "a=theirs"):
        (tmp_path / folder).mkdir(parents=True)
    label, folder = parse_result_folder(text)
    assert (label, str(folder)) == expected


@pytest.mark.parametrize("text", ["results", "=results", "x=", "x\ny=."])
def test_a_folder_needs_a_name(text):
    with pytest.raises(FusionlabError) as refused:
        parse_result_folder(text)
    assert refused.value.code == "not-name-and-folder"


@pytest.mark.parametrize("pattern", ["", "/fused_{}_cbf", "/fused_{}_cbf.bmp"])
def test_a_folder_of_results_is_a_method_like_others(results, pattern):
    methods = ["identity/mean", f"CBF={results}{pattern}"]
    rows = MethodBuilder(installed()).build(methods, SAMPLES)
    assert [row.label for row in rows] == ["identity/mean", "CBF"]
