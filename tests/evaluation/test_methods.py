"""The rows of a table that are fused here: their names, images, baselines, and refusals."""

import numpy as np
import pytest

from fusionlab import Fusion, FusionlabError, Strategy
from fusionlab.engine.eager import Eager
from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.evaluation.methods import MethodBuilder
from fusionlab.evaluation.sample import Sample
from fusionlab.imaging.reading import read_image
from fusionlab.plugins.host import installed


def read_sample(image_set, name="one"):
    images = [read_image(image_set / letter / f"{name}.png") for letter in "ab"]
    return Sample.from_images(name, images)


def build(methods, **settings):
    return MethodBuilder(installed(), **settings).build(methods)


def labels(*names, **settings):
    return [(m.label, m.baseline) for m in build(names, **settings)]


def test_a_learned_backbone_adds_a_row_for_its_baseline():
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


def test_a_preset_may_keep_the_weights_of_the_color_channels_apart():
    def shared(methods, **settings):
        rows = build(methods, color="per-channel", **settings)
        return [row.fusion.shared_weights for row in rows]

    assert shared("densefuse@1e2/mean") == [True, True]  # with its baseline
    assert shared("densefuse@1e2/mean", preset="paper") == [False, False]
    assert shared(Fusion("densefuse@1e2", "mean", shared_weights=False)) == [False, False]


def test_baselines_can_be_left_out():
    assert labels("densefuse@1e2/mean", baselines=False) == [("densefuse@1e2/mean", None)]


def test_an_unknown_range_policy_is_refused():
    with pytest.raises(FusionlabError) as refused:
        build("identity/mean", range_policy="stretch")
    assert (refused.value.code, refused.value.option) == ("range-policy", "range_policy")


def test_by_default_each_row_has_the_range_policy_of_a_fusion():
    """A sum needs min-max normalization, all others are clipped: the image that users get."""
    names = ["densefuse@1e2/addition", "densefuse@1e2/l1norm", "laplacian_pyramid"]
    rows = build(names)
    assert {row.label: row.range_policy for row in rows} == {
        "densefuse@1e2/addition": "minmax",
        "densefuse@1e2/l1norm": "clip",
        "identity/laplacian_pyramid": "clip",
        "identity/addition": "minmax",
        "identity/l1norm": "clip",
    }
    for row in rows:
        assert row.range_policy == Fusion("identity", row.fusion.strategy).range_policy


def test_with_own_each_row_has_the_range_policy_that_its_method_declares():
    rows = build(["densefuse@1e2/l1norm", "laplacian_pyramid"], range_policy="own")
    assert {row.label: row.range_policy for row in rows} == {
        "densefuse@1e2/l1norm": "minmax",
        "identity/laplacian_pyramid": "clip",
        "identity/l1norm": "minmax",
    }


def test_with_own_a_baseline_has_the_range_policy_of_its_row():
    """Otherwise the gain would be that of another range policy."""
    rows = build(["densefuse@1e2/mean", "identity/mean"], range_policy="own")
    assert [(row.label, row.range_policy, row.baseline) for row in rows] == [
        ("densefuse@1e2/mean", "minmax", "identity/mean (minmax)"),
        ("identity/mean", "clip", None),
        ("identity/mean (minmax)", "minmax", None),
    ]


def test_a_method_without_a_slash_is_refused():
    with pytest.raises(FusionlabError, match="BACKBONE.*/STRATEGY.*got 'addition'"):
        build("addition")


def test_what_is_not_a_method_is_refused():
    with pytest.raises(FusionlabError) as refused:
        build(["identity/mean", 3])
    assert refused.value.code == "not-a-method"


def test_the_image_is_the_one_that_would_be_written(image_set):
    (method,) = build("identity/addition")
    sample = read_sample(image_set)
    sums = sample.sources[0].astype(int) + sample.sources[1]
    low, high = sums.min(), sums.max()
    expected = np.floor(255 * (sums - low) / (high - low) + 0.5)
    image = method.result(sample, FeatureCache()).pixels
    assert image.dtype == np.uint8
    assert np.array_equal(image, expected)


def test_strategies_share_the_features_of_an_image(image_set, monkeypatch):
    """Also those with a larger support than others; and no bit changes."""
    names = ["densefuse@1e2/addition", "densefuse@1e2/max", "densefuse@1e2/l1norm,r=3"]
    methods = build(names, baselines=False)
    assert len({id(method.fusion.backbone) for method in methods}) == 1
    sample = read_sample(image_set)
    separate = [method.result(sample, FeatureCache(0)).pixels for method in methods]
    calls, encode = [], Eager.encode
    monkeypatch.setattr(Eager, "encode", lambda *args: calls.append(1) or encode(*args))
    cache = FeatureCache()
    shared = [method.result(sample, cache).pixels for method in methods]
    assert len(calls) == 1
    assert all(np.array_equal(a, b) for a, b in zip(separate, shared, strict=True))


class First(Strategy):
    """Take the first source."""

    support = 0

    def fuse(self, features, scene):
        return features[0]


def test_a_strategy_that_is_in_no_package_has_a_row_under_its_own_name(image_set):
    rows = build([First()])
    backbone = f"{Fusion().method.partition('/')[0]}/First"
    assert [(row.label, row.baseline) for row in rows] == [
        (backbone, "identity/First"),
        ("identity/First", None),
    ]
    sample = read_sample(image_set)
    stretched = rows[1].result(sample, FeatureCache()).pixels
    assert np.argmax(stretched) == np.argmax(sample.sources[0])


def test_a_fusion_takes_the_range_policy_and_color_of_the_table():
    fusion = Fusion("identity", "mean", range_policy="clip", tile=64)
    (row,) = build(fusion, range_policy="minmax")
    settings = row.fusion.range_policy, row.fusion.color, row.fusion.tile
    assert settings == ("minmax", "gray", 64)
    assert row.fusion.backbone is fusion.backbone


def test_a_mapping_gives_the_labels(image_set):
    rows = build({"a": "identity/l1norm,r=0", "b": "identity/l1norm,r=2"})
    assert [row.label for row in rows] == ["a", "b"]
    assert [row.fusion.strategy.r for row in rows] == [0, 2]


def test_two_different_methods_of_one_label_are_refused():
    with pytest.raises(FusionlabError) as refused:
        build([{"a": "identity/mean"}, {"a": "identity/max"}])
    assert refused.value.code == "duplicate-label"
    assert len(build([{"a": "identity/mean"}, {"a": "identity/mean"}])) == 1


def test_the_settings_of_a_row_are_those_of_a_record():
    (method,) = build("identity/mean", range_policy="clip")
    assert method.describe()["range"] == "clip"
    assert method.describe()["method"] == "identity/mean"


def test_weights_without_a_card_are_part_of_the_description():
    """Otherwise a network that a script trains on would reuse scores of its earlier state."""
    fusion = Fusion("densefuse@1e2", "mean")
    fusion.backbone.card = None
    (row,) = build(fusion)
    before = row.describe()
    weight = next(fusion.backbone.parameters())
    weight.data += 1
    assert row.describe()["states"] != before["states"]
