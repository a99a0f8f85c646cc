"""What strategies see of color, and weights that the color channels share."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from fusionlab import Fusion, FusionlabError, WeightedStrategy
from fusionlab.engine.feature_cache import FeatureCache
from fusionlab_encoders.identity import Identity
from fusionlab_strategies.l1norm import L1Norm
from fusionlab_strategies.mean import Mean

WEIGHTS = torch.tensor([0.299, 0.587, 0.114])


def colors(k=2, height=40, width=50, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.random((height, width, 3), np.float32) for _ in range(k)]


@dataclass(frozen=True)
class Saturation(WeightedStrategy):
    """Weight the sources by their saturation, averaged over 3x3 pixels; records its scenes."""

    shares_weights: ClassVar = False
    support: ClassVar = 1
    seen: ClassVar[list] = []

    def weights(self, features, scene):
        self.seen.append((features, scene))
        color = scene.color_sources
        if color is None:
            return torch.full_like(features[:, :, :1], 1 / len(features))
        saturation = color.amax(2) - color.amin(2) + 1e-3
        smooth = avg_pool2d(saturation.flatten(0, 1)[:, None], 3, 1, 1, count_include_pad=False)
        smooth = smooth.unflatten(0, saturation.shape[:2])
        return smooth / smooth.sum(0)


class Shared(Saturation):
    shares_weights = True


class SharedByFeatures(L1Norm):
    """Weights of the features of the luminance."""

    shares_weights = True


@pytest.fixture(autouse=True)
def _forget():
    Saturation.seen.clear()


def test_the_planes_of_a_color_image_have_the_same_color_sources():
    sources = colors()
    Fusion(Identity(), Saturation())(sources)
    ((features, scene),) = Saturation.seen
    assert features.shape == (2, 3, 1, 40, 50)
    expected = torch.from_numpy(np.stack(sources)).permute(0, 3, 1, 2)
    for plane in range(3):
        assert torch.equal(scene.color_sources[:, plane], expected)
        assert torch.equal(scene.sources[:, plane, 0], expected[:, plane])


def test_gray_sources_beside_color_have_three_equal_channels_and_gray_sets_have_none():
    color, gray = colors(1)[0], colors(1, seed=1)[0][..., 0]
    Fusion(Identity(), Saturation(), color="per-channel")([color, gray])
    assert (Saturation.seen[-1][1].color_sources[1] == torch.from_numpy(gray)).all()
    Fusion(Identity(), Saturation())([gray, gray])
    assert Saturation.seen[-1][1].color_sources is None
    Fusion(Identity(), Saturation()).fuse_planes(torch.rand(2, 1, 1, 8, 8))
    assert Saturation.seen[-1][1].color_sources is None


@pytest.mark.parametrize("mode", ["luma", "gray"])
def test_color_is_seen_where_only_the_luminance_is_fused(mode):
    Fusion(Identity(), Saturation(), color=mode)(colors())
    ((features, scene),) = Saturation.seen
    assert features.shape == (2, 1, 1, 40, 50)
    assert scene.color_sources.shape == (2, 1, 3, 40, 50)


@pytest.mark.parametrize("strategy", [Saturation, Shared])
@pytest.mark.parametrize("mode", ["per-channel", "luma"])
def test_color_in_tiles_equals_the_whole_image(strategy, mode):
    sources = [*colors(), colors(1, seed=2)[0][..., 1]]
    options = {"color": mode, "range_policy": None}
    whole = Fusion(Identity(), strategy(), tile=999, **options).fuse(sources, weights=True)
    tiled = Fusion(Identity(), strategy(), tile=16, **options).fuse(sources, weights=True)
    assert len(Saturation.seen) > 10
    # float32 rounding of the window's mean
    np.testing.assert_allclose(tiled.image, whole.image, rtol=0, atol=1e-6)
    np.testing.assert_allclose(tiled.weights, whole.weights, rtol=0, atol=1e-6)


@pytest.mark.parametrize("tile", [16, 999])
@pytest.mark.parametrize("cached", [True, False])
def test_shared_weights_are_computed_of_the_luminance_and_applied_to_all_channels(tile, cached):
    sources = colors(3)
    planes = torch.from_numpy(np.stack(sources)).permute(0, 3, 1, 2)
    gray = (planes * WEIGHTS[:, None, None]).sum(1).numpy()
    fusion = Fusion(Identity(), SharedByFeatures(r=1), range_policy=None, tile=tile)
    cache = FeatureCache() if cached else None
    fused = fusion.fuse(sources, weights=True, feature_cache=cache)
    maps = Fusion(Identity(), L1Norm(r=1)).fuse(list(gray), weights=True).weights
    for found, expected in zip(fused.weights, maps, strict=True):
        assert found.shape == (40, 50, 3)
        for channel in range(3):
            np.testing.assert_allclose(found[..., channel], expected, rtol=0, atol=1e-5)
    expected = sum(w[..., None] * s for w, s in zip(maps, sources, strict=True))
    np.testing.assert_allclose(fused.image, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("declared", [None, True, False])
@pytest.mark.parametrize("setting", [True, False])
def test_a_strategy_may_declare_what_the_pipeline_decides_otherwise(declared, setting):
    class Mine(L1Norm):
        shares_weights = declared

    planes = np.stack(colors())
    fusion = Fusion(Identity(), Mine(), color="per-channel", shared_weights=setting)
    red, green, blue = np.moveaxis(fusion.fuse(list(planes), weights=True).weights[0], -1, 0)
    shared = setting if declared is None else declared
    assert np.array_equal(red, green) == np.array_equal(red, blue) == shared
    if not shared:
        alone = Fusion(Identity(), L1Norm()).fuse(list(planes[..., 1]), weights=True).weights[0]
        np.testing.assert_allclose(green, alone, rtol=0, atol=1e-6)


def test_weights_are_shared_by_default_but_not_where_they_do_not_say_how_features_are_merged():
    class Largest(L1Norm):
        """Overrides `fuse`: not a weighted sum."""

        def fuse(self, features, scene):
            return features.amax(0)

    sources = colors()
    fused = Fusion(Identity(), Largest(), range_policy=None)(sources)
    np.testing.assert_allclose(fused, np.maximum(*sources), rtol=0, atol=1e-6)
    default = Fusion(Identity(), L1Norm(), range_policy=None)(sources)
    shared = Fusion(Identity(), SharedByFeatures(), range_policy=None)(sources)
    assert np.array_equal(default, shared)


def test_a_strategy_that_shares_weights_sees_one_plane_per_image():
    batch = [torch.rand(2, 3, 20, 30) for _ in range(2)]
    fused = Fusion(Identity(), Shared(), range_policy=None)(batch)
    ((features, scene),) = Saturation.seen
    assert features.shape == (2, 2, 1, 20, 30)
    luminance = (torch.stack(batch) * WEIGHTS[:, None, None]).sum(2, keepdim=True)
    torch.testing.assert_close(scene.sources, luminance)
    torch.testing.assert_close(features, luminance * 255)
    assert torch.equal(scene.color_sources, torch.stack(batch))
    for n in range(2):
        alone = Fusion(Identity(), Shared(), range_policy=None)([images[n] for images in batch])
        torch.testing.assert_close(fused[n], alone)


def test_gray_sources_are_not_affected_by_shared_weights():
    gray = [image[..., 0] for image in colors(3)]
    found = Fusion(Identity(), SharedByFeatures(r=1))(gray)
    assert np.array_equal(found, Fusion(Identity(), L1Norm(r=1))(gray))


def test_large_images_in_one_piece_are_fused_plane_by_plane_with_the_same_weights(monkeypatch):
    class Whole(SharedByFeatures):
        support = None

    sources = colors(2)
    together = Fusion(Identity(), Whole(), range_policy=None)(sources)
    monkeypatch.setattr("fusionlab.engine.tiled_run.CACHE_BYTES", 1000)
    apart = Fusion(Identity(), Whole(), range_policy=None)(sources)
    np.testing.assert_allclose(apart, together, rtol=0, atol=1e-6)


def test_statistics_of_shared_weights_are_those_of_the_luminance():
    @dataclass(frozen=True)
    class ByMean(WeightedStrategy):
        shares_weights: ClassVar = True
        support: ClassVar = 0
        shapes: ClassVar[list] = []

        def statistics(self, features, scene):
            self.shapes.append(features.shape[1])
            sums = scene.valid_region(features).sum((2, 3, 4), dtype=torch.float64)
            return {"sum": sums}

        def weights(self, features, scene):
            sums = self.image_statistics(features, scene)["sum"][..., None, None, None]
            return (sums / sums.sum(0)).float()

    sources = [image * scale for image, scale in zip(colors(), (0.3, 0.9), strict=True)]
    whole = Fusion(Identity(), ByMean(), tile=999, range_policy=None)(sources)
    tiled = Fusion(Identity(), ByMean(), tile=16, range_policy=None)(sources)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)
    assert set(ByMean.shapes) == {1}


def test_gradients_reach_color_sources_through_shared_weights():
    sources = [torch.rand(1, 3, 12, 12, requires_grad=True) for _ in range(2)]
    Fusion(Identity(), Shared(), range_policy=None)(sources).square().sum().backward()
    assert all(source.grad.abs().sum() > 0 for source in sources)


def test_shared_weights_of_a_learned_backbone_in_tiles_equal_the_whole_image():
    sources = colors(2, 60, 70)
    fusions = [
        Fusion("densefuse@1e2", SharedByFeatures(r=1), range_policy=None, tile=tile)
        for tile in (24, 999)
    ]
    tiled, whole = (fusion(sources) for fusion in fusions)
    assert np.abs(tiled - whole).max() <= 1e-3 / 255  # other sizes may use other kernels


def test_overriding_the_sum_of_shared_weights_is_refused():
    class Odd(Mean):
        shares_weights = True

        def fuse(self, features, scene):
            return features[0]

    with pytest.raises(FusionlabError) as error:
        Fusion(Identity(), Odd())
    assert error.value.code == "shared-weights"
