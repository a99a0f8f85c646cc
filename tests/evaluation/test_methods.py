"""The rows of a table: how they are named, what they make, and what they refuse."""

import imageio.v3 as iio
import numpy as np
import pytest

from fusionlab import Fusion, FusionlabError
from fusionlab.engine.eager import Eager
from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.evaluation.methods import FolderMethod, Subject, build_methods
from fusionlab.imaging.reading import read_image
from fusionlab.plugins.host import installed


def subject(image_set, stem="one"):
    return Subject.of(stem, [read_image(image_set / letter / f"{stem}.png") for letter in "ab"])


def labels(*names, **settings):
    return [(m.label, m.baseline) for m in build_methods(names, installed(), **settings)]


def test_a_learned_backbone_brings_its_baseline_along():
    assert labels("densefuse@1e2/l1norm,r=0") == [
        ("densefuse@1e2/l1norm,r=0", "identity/l1norm,r=0"),
        ("identity/l1norm,r=0", None),
    ]


def test_the_tag_stands_in_the_name_even_where_it_is_the_default():
    assert labels("densefuse/addition")[0][0].startswith("densefuse@")


def test_a_row_is_there_once_however_often_it_is_named():
    names = ["identity/addition", "densefuse@1e2/addition", "identity/addition"]
    assert [label for label, _ in labels(*names)] == ["identity/addition", "densefuse@1e2/addition"]


def test_parameters_stand_in_the_name_where_they_are_not_the_default():
    assert labels("identity/l1norm,r=1") == [("identity/l1norm", None)]
    assert labels("identity/l1norm,r=2,border=inside") == [("identity/l1norm,r=2", None)]


def test_a_preset_replaces_defaults_and_explicit_parameters_win():
    assert labels("identity/l1norm", preset="paper") == [("identity/l1norm,r=0", None)]
    assert labels("identity/l1norm,r=3", preset="paper") == [("identity/l1norm,r=3", None)]


def test_a_range_policy_that_depends_on_the_strategy_is_refused():
    with pytest.raises(FusionlabError, match="need one range policy, clip or minmax; got 'auto'"):
        build_methods(["identity/mean"], installed(), range_policy="auto")


def test_a_method_without_a_slash_is_refused():
    with pytest.raises(FusionlabError, match="BACKBONE.*/STRATEGY.*got 'addition'"):
        build_methods(["addition"], installed())


def test_the_picture_is_the_one_that_would_be_written(image_set):
    (method,) = build_methods(["identity/addition"], installed())
    one = subject(image_set)
    sums = one.sources[0].astype(int) + one.sources[1]
    low, high = sums.min(), sums.max()
    expected = np.floor(255 * (sums - low) / (high - low) + 0.5)
    found = method.picture(one, FeatureCache())
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)


def test_strategies_share_the_encodings_of_an_image(image_set, monkeypatch):
    """Also those that look further than others; and no bit changes."""
    names = ["densefuse@1e2/addition", "densefuse@1e2/max", "densefuse@1e2/l1norm,r=3"]
    methods = [m for m in build_methods(names, installed()) if m.baseline]
    assert len({id(method.fusion.backbone) for method in methods}) == 1
    alone = [method.picture(subject(image_set), FeatureCache(max_bytes=0)) for method in methods]
    calls, encode = [], Eager.encode
    monkeypatch.setattr(Eager, "encode", lambda *args: calls.append(1) or encode(*args))
    shared = FeatureCache()
    pictures = [method.picture(subject(image_set), shared) for method in methods]
    assert len(calls) == 1
    assert all(np.array_equal(a, b) for a, b in zip(alone, pictures, strict=True))


STEMS = ["one", "two", "three"]


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
    method = FolderMethod.parse(f"CBF={results}/{pattern}", ["one", "two", "on"])
    assert method.label == "CBF"
    one = subject(image_set, "one")
    if level is None:  # matches another stem only
        with pytest.raises(FusionlabError, match="found none"):
            method.picture(one, FeatureCache())
    else:
        assert np.unique(method.picture(one, FeatureCache())).tolist() == [level]


def test_a_result_that_is_missing_or_there_twice_is_named(image_set, results):
    method = FolderMethod.parse(f"CBF={results}", STEMS)
    with pytest.raises(FusionlabError, match=r"for two, found none"):
        method.picture(subject(image_set, "two"), FeatureCache())
    with pytest.raises(FusionlabError, match=r"for one, found one.bmp, one.png"):
        method.picture(subject(image_set), FeatureCache())


def test_a_folder_without_any_result_is_refused_at_once(results):
    with pytest.raises(FusionlabError, match=r"x has no result for any image.*y_\{\}\.\*"):
        FolderMethod.parse(f"x={results}/y_{{}}", STEMS)


def test_a_result_of_another_size_is_refused(image_set, tmp_path):
    iio.imwrite(tmp_path / "one.png", np.zeros((30, 24), dtype=np.uint8))
    with pytest.raises(FusionlabError, match="has 24x30 pixels, its sources 30x24"):
        FolderMethod.parse(f"x={tmp_path}", STEMS).picture(subject(image_set), FeatureCache())


@pytest.mark.parametrize("text", ["results", "=results", "x=", "x\ny=.", "x=nowhere/at/all"])
def test_a_folder_that_is_not_named_or_not_there_is_refused(text):
    with pytest.raises(FusionlabError, match=r"NAME=DIR|is not a folder"):
        FolderMethod.parse(text, STEMS)


def test_the_settings_of_a_row_are_those_of_a_record():
    (method,) = build_methods(["identity/mean"], installed(), range_policy="clip")
    assert method.describe()["range"] == "clip"
    assert method.describe()["method"] == "identity/mean"
    assert isinstance(method.fusion, Fusion)
