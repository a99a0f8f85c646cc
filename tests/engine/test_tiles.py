"""Tiles give the result of the whole image, and strategies are told where they lie."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from fusion_doubles import TwoLevels, images, uniform
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from fusionlab import Backbone, Fusion, FusionlabError, Scene, WeightedStrategy
from fusionlab.engine.feature_cache import FeatureCache
from fusionlab_encoders.densefuse import DenseFuse
from fusionlab_encoders.identity import Identity
from fusionlab_strategies.addition import Addition
from fusionlab_strategies.l1norm import L1Norm
from fusionlab_strategies.max import Max
from fusionlab_strategies.mean import Mean


@pytest.mark.parametrize("strategy", [Addition(), Mean(), Max(), L1Norm(), L1Norm(r=4)])
def test_tiled_equals_whole(densefuse, strategy):
    """At most 1e-3 gray levels: other sizes may choose other convolution kernels."""

    @settings(max_examples=8)
    @given(
        st.integers(2, 3), st.integers(2, 70), st.integers(2, 70), st.integers(16, 40), st.data()
    )
    def check(k, height, width, tile, data):
        sources = images(k, height, width, seed=data.draw(st.integers(0, 99)))
        whole = Fusion(densefuse, strategy, range_policy=None, tile=999)(sources)
        tiled = Fusion(densefuse, strategy, range_policy=None, tile=tile)(sources)
        assert np.abs(whole - tiled).max() <= 1e-3 / 255

    check()


def test_the_halo_is_needed_to_the_last_pixel():
    """Eight layers that each look one pixel up and left have a receptive field of 8 pixels."""

    class Far(DenseFuse):
        def __init__(self, missing):
            super().__init__()
            self.receptive_field = (4, 4 - missing)
            for name, parameter in self.named_parameters():
                parameter.data.zero_()
                if name.endswith("weight"):
                    parameter.data[:, -1, 0, 0] = 1  # of the newest map

        def decode(
            self, features
        ):  # so that the default tile methods are used, which rely on `receptive_field`
            return super().decode(features)

    sources = images(2, 64, 64)
    whole = Fusion(Far(0), Mean(), tile=999)(sources)
    assert np.array_equal(whole[8:, 8:], Fusion(Identity(), Mean())(sources)[:-8, :-8])
    assert np.array_equal(Fusion(Far(0), Mean(), tile=20)(sources), whole)
    assert not np.array_equal(Fusion(Far(1), Mean(), tile=20)(sources), whole)


def test_tile_methods_follow_overrides_of_encode_and_decode():
    class Dark:
        def encode(self, images):
            return tuple(0 * maps for maps in super().encode(images))

    class Mixin(Dark, DenseFuse):
        pass

    class Override(DenseFuse):
        def encode(self, images):
            return tuple(0 * maps for maps in super().encode(images))

    class Deeper(Override):
        def decode(self, features):
            return 0 * super().decode(features)

    class Both(DenseFuse):
        def encode_tile(self, images, borders):
            return super().encode_tile(images, borders)

    for backbone in (Mixin().freeze(), Override().freeze(), Deeper().freeze()):
        fusion = Fusion(backbone, Mean(), range_policy=None)
        expected = backbone.decode((torch.zeros(1, 64, 20, 30),))[0]
        found = fusion([uniform(seed, 1, 20, 30) for seed in (0, 1)])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert Deeper.decode_tile is Backbone.decode_tile
    assert Both.encode_tile is not Backbone.encode_tile
    assert Both.decode_tile is DenseFuse.decode_tile


@given(st.integers(1, 50), st.integers(1, 50), st.sampled_from([16, 23, 999]))
def test_several_levels_strides_and_sizes_that_do_not_divide(height, width, tile):
    """Idempotence through two levels: three times one image is that image."""
    image = images(1, height, width)[0]
    fused = Fusion(TwoLevels(), L1Norm(r=2), tile=tile)([image] * 3)
    assert np.array_equal(fused, image)


def test_two_levels_tiled_equal_whole():
    sources = images(3, 61, 45)
    whole = Fusion(TwoLevels(), L1Norm(r=2), range_policy=None, tile=999)(sources)
    tiled = Fusion(TwoLevels(), L1Norm(r=2), range_policy=None, tile=16)(sources)
    np.testing.assert_allclose(tiled, whole, atol=1e-6)


def test_gradients_through_tiles_are_those_of_the_whole(densefuse):
    def gradient(tile):
        sources = [torch.from_numpy(image / 255).requires_grad_() for image in images(2, 40, 50)]
        fusion = Fusion(densefuse, L1Norm(), range_policy=None, tile=tile)
        fusion(sources).square().sum().backward()
        return torch.stack([source.grad for source in sources])

    torch.testing.assert_close(gradient(16), gradient(999), rtol=1e-4, atol=1e-4)


class Recording(Mean):
    """Records the scenes it is given."""

    seen: list[Scene] = []  # noqa: RUF012

    def weights(self, features, scene):
        self.seen.append(scene)
        return super().weights(features, scene)


def test_the_scene_tells_where_a_tile_lies():
    sources = images(2, 40, 60)
    Recording.seen.clear()
    Fusion(Identity(), Recording(), tile=20)(sources)
    assert {(s.top, s.left) for s in Recording.seen} == {
        (y, x) for y in (0, 20) for x in (0, 20, 40)
    }
    for scene in Recording.seen:
        assert (scene.height, scene.width, scene.level, scene.stride) == (40, 60, 0, 1)
        expected = sources[1][scene.top : scene.top + 20, scene.left : scene.left + 20]
        assert np.array_equal(scene.sources[1, 0, 0].numpy() * 255, expected)


def test_the_scene_tells_the_level():
    Recording.seen.clear()
    Fusion(TwoLevels(), Recording())(images(2, 13, 8))
    assert [(s.level, s.stride, s.height, s.width) for s in Recording.seen] == [
        (0, 1, 16, 8),
        (1, 4, 16, 8),
    ]


class Whole(Recording):
    """Needs the whole image at once."""

    support = None


@pytest.mark.parametrize("tile", [None, 60, 4000])
def test_a_strategy_that_declares_no_support_sees_the_whole_image(tile):
    Recording.seen.clear()
    Fusion(Identity(), Whole(), tile=tile)(images(2, 40, 60))
    assert [tuple(s.sources.shape[-2:]) for s in Recording.seen] == [(40, 60)]


def test_images_that_cannot_be_cut_are_refused_with_the_bytes_they_need(monkeypatch, densefuse):
    with pytest.raises(FusionlabError, match=r"2 sources of 60x40 .* \(19200 bytes\).*tile of 60"):
        Fusion(Identity(), Whole(), tile=32)(images(2, 40, 60))
    monkeypatch.setattr("fusionlab.engine.pipeline.MAX_UNTILED_BYTES", 2 * 64 * 4 * 40 * 60)
    Fusion(densefuse, Whole())(images(2, 40, 60))
    with pytest.raises(FusionlabError, match="needs the whole image at once"):
        Fusion(densefuse, Whole())(images(2, 40, 61))


@dataclass(frozen=True)
class Share(WeightedStrategy):
    """Weight the sources by their sums over the whole image; records its passes."""

    support = 0
    seen: ClassVar[list] = []

    def statistics(self, features, scene):
        self.seen.append(tuple(scene.valid_region(features).shape[-2:]))
        # not negative, so that the weights are not
        return {"sum": scene.valid_region(features).abs().sum(dim=(2, 3, 4), dtype=torch.float64)}

    def weights(self, features, scene):
        sums = self.image_statistics(features, scene)["sum"][..., None, None, None]
        return (sums / sums.sum(dim=0)).float()


@pytest.mark.parametrize(("height", "width", "tile"), [(40, 60, 16), (41, 59, 13), (8, 8, 4)])
def test_statistics_count_every_pixel_once_at_every_level(height, width, tile):
    """The levels of the backbone are as coarse as 4 pixels; 1e-6 of the range is float32."""
    sources = [image / 255 for image in images(3, height, width)]
    whole = Fusion(TwoLevels(), Share(), tile=4000)(sources)
    cut = Fusion(TwoLevels(), Share(), tile=tile)(sources)
    np.testing.assert_allclose(cut, whole, atol=1e-6)


def test_statistics_of_a_batch_are_gathered_for_each_image():
    batch = [torch.rand(3, 1, 30, 30) for _ in range(2)]
    fusion = Fusion(Identity(), Share(), tile=16, range_policy=None)
    fused = fusion(batch)
    for n in range(3):
        alone = fusion([sources[n : n + 1] for sources in batch])
        torch.testing.assert_close(fused[n : n + 1], alone, rtol=0, atol=1e-6)


def test_two_passes_are_made_only_where_an_image_is_cut():
    Share.seen.clear()
    calls = []
    sources = images(2, 40, 40)
    fusion = Fusion(Identity(), Share(), tile=20)
    fusion.fuse(
        sources, progress=lambda *call: calls.append(call), feature_cache=FeatureCache(max_bytes=0)
    )
    assert calls == [(n, 8) for n in range(1, 9)]
    assert Share.seen == [(20, 20)] * 4
    calls.clear()
    Fusion(Identity(), Share()).fuse(sources, progress=lambda *call: calls.append(call))
    assert calls == [(1, 1)]


class Greedy(Mean):
    """Runs out of memory beyond a hundred pixels per tile, as GPUs do for larger tiles."""

    def weights(self, features, scene):
        if features[0, 0, 0].numel() > 100:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().weights(features, scene)


def test_tiles_are_halved_where_memory_does_not_suffice_and_the_result_says_so(monkeypatch):
    monkeypatch.setattr("fusionlab.fusion.SMALLEST_EDGE", 4)
    sources = images(2, 37, 25)
    fused = Fusion(Identity(), Greedy(), tile=32).fuse(sources)
    assert fused.tile == 8
    assert np.array_equal(fused.image, Fusion(Identity(), Mean())(sources))
    assert Fusion(Identity(), Mean(), tile=32).fuse(sources).tile is None


def test_there_is_an_end_to_halving():
    with pytest.raises(FusionlabError, check=refused("out-of-memory")):
        Fusion(Identity(), Greedy())(images(2, 100, 100))


def test_features_that_are_needed_twice_are_kept_if_they_are_small():
    """Encoding is then a separate step and happens once; the result is the same bit for bit."""
    calls, sources = [], images(2, 40, 40)
    fusion = Fusion(Identity(), Share(), tile=20)
    kept = fusion.fuse(sources, progress=lambda *call: calls.append(call)).image
    assert calls == [(n, 12) for n in range(1, 13)]
    assert np.array_equal(kept, fusion.fuse(sources, feature_cache=FeatureCache(max_bytes=0)).image)


def test_many_images_are_fused_in_batches_and_none_is_lost():
    batch = torch.rand(40, 1, 200, 200)
    fused = Fusion(Identity(), Max())([batch, batch.flip(0)])
    torch.testing.assert_close(fused, torch.maximum(batch, batch.flip(0)))


def test_progress_counts_the_tiles():
    calls = []
    Fusion(Identity(), Mean(), tile=20).fuse(
        images(2, 40, 40), progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
