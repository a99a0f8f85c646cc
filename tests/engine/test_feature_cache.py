"""The cache of features: each image encoded once, recognized by its pixels, within bounds."""

import weakref

import pytest
import torch

from fusionlab import Fusion
from fusionlab.backbone import WHOLE
from fusionlab.engine.eager import Eager
from fusionlab.engine.feature_cache import FeatureCache, encode_distinct, feature_bytes
from fusionlab_encoders.densefuse import DenseFuse

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def engine():
    return Eager(Fusion("densefuse").backbone, CPU, "fp32")


class Counting(Eager):
    """Counts the images it encodes."""

    count = 0

    def encode(self, images, borders):
        self.count += len(images)
        return super().encode(images, borders)


@pytest.fixture
def counting(engine):
    return Counting(engine.backbone, CPU, "fp32")


def planes(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_cached_features_do_not_depend_on_the_tiles_they_were_encoded_in(engine):
    images = planes(2, 1, 1, 70, 90)
    (whole,) = engine.encode(images.flatten(0, 1), WHOLE)
    for edge in (16, 33, 200):
        (found,) = FeatureCache().of(engine, images, edge)
        assert torch.equal(found, whole)


def test_an_image_is_encoded_once_and_recognized_by_its_pixels(counting):
    cache, images = FeatureCache(), planes(2, 1, 1, 20, 20)
    first = cache.of(counting, images, 64)
    assert cache.of(counting, images.clone(), 64)[0] is first[0]
    assert counting.count == 2
    cache.of(counting, images + 1e-6, 64)
    assert counting.count == 4


def test_engines_do_not_share_features(engine, counting):
    cache, images = FeatureCache(), planes(2, 1, 1, 20, 20)
    other = Counting(DenseFuse().freeze(), CPU, "fp32")
    half = Counting(engine.backbone, CPU, "bf16")
    for one in (counting, other, half, counting, other, half):
        cache.of(one, images, 64)
    assert [one.count for one in (counting, other, half)] == [2, 2, 2]
    assert cache.of(half, images, 64)[0].dtype == torch.bfloat16


def test_the_capacity_is_not_exceeded(counting):
    """There is room for one of the images."""
    cache = FeatureCache(max_bytes=feature_bytes(counting, 2, 20, 20))
    for seed in (0, 1, 0, 0):
        cache.of(counting, planes(2, 1, 1, 20, 20, seed=seed), 64)
    assert counting.count == 3 * 2


def test_features_have_the_predicted_size(engine):
    (found,) = FeatureCache().of(engine, planes(2, 3, 1, 20, 30), 64)
    assert feature_bytes(engine, 6, 20, 30) == found.numel() * found.element_size()


def test_equal_images_are_encoded_once(counting):
    """A gray source among color ones stands for three channels: 4 of 6 images differ."""
    gray, color = planes(1, 1, 40, 50), planes(3, 1, 40, 50, seed=1)
    images = torch.cat([gray, gray, gray, color])
    (expected,) = counting.backbone.encode_tile(images.to(memory_format=torch.channels_last), WHOLE)
    (found,) = encode_distinct(counting, images, WHOLE)
    assert counting.count == 4
    assert torch.equal(found, expected)


def test_images_with_equal_sums_are_distinguished(counting):
    image = planes(1, 1, 8, 8)
    encode_distinct(counting, torch.cat([image, image.flip(-1)]), WHOLE)
    assert counting.count == 2


def test_a_batch_changes_no_bit_of_its_images(engine):
    """Runs over folders are repeatable, whatever is encoded at the same time."""
    images = planes(7, 1, 60, 80)
    (together,) = encode_distinct(engine, images, WHOLE)
    for number in range(7):
        (alone,) = engine.encode(images[number : number + 1], WHOLE)
        assert torch.equal(together[number], alone[0])


def test_a_small_image_is_decoded_alone_as_in_a_batch(engine):
    """It does not matter in which batch of a folder an image is fused."""
    for shape in ((1, 1), (5, 7), (32, 32), (40, 40), (90, 90)):
        features = engine.encode(planes(3, 1, *shape), WHOLE)
        together = engine.decode(features, WHOLE)
        alone = engine.decode((features[0][:1],), WHOLE)
        assert torch.equal(alone, together[:1])


def test_writing_to_the_planes_invalidates_their_features(counting):
    fusion, images = Fusion(counting.backbone, "l1norm"), planes(2, 1, 1, 20, 20)
    cache = FeatureCache()
    fusion.fuse_planes(images, feature_cache=cache)
    images *= 0.5
    found, _ = fusion.fuse_planes(images, feature_cache=cache)
    assert torch.equal(found, fusion.fuse_planes(images)[0])


def test_a_new_backbone_is_not_mistaken_for_a_deleted_one(engine):
    """It often has the same address, and so the same id."""
    cache, images = FeatureCache(), planes(2, 1, 1, 20, 20)
    for seed in range(10):
        torch.manual_seed(seed)
        found = cache.of(Eager(DenseFuse().freeze(), CPU, "fp32"), images, 64)[0]
        torch.manual_seed(seed)
        expected = FeatureCache().of(Eager(DenseFuse().freeze(), CPU, "fp32"), images, 64)[0]
        assert torch.equal(found, expected)


@pytest.mark.parametrize("first", ["without gradients", "with them"])
def test_gradients_reach_the_sources_in_spite_of_cached_features(engine, first):
    fusion = Fusion(engine.backbone, "l1norm", range_policy=None)
    cache, images = FeatureCache(), list(planes(2, 1, 20, 20))
    before = [one.clone().requires_grad_(first == "with them") for one in images]
    fusion.fuse(before, feature_cache=cache)
    sources = [one.clone().requires_grad_() for one in images]
    fusion.fuse(sources, feature_cache=cache).image.sum().backward()
    assert all(source.grad is not None for source in sources)
    assert all(source.grad is None for source in before)


def test_old_features_are_dropped_before_an_image_is_encoded(counting):
    """Otherwise memory would hold twice the capacity."""
    cache = FeatureCache(max_bytes=feature_bytes(counting, 2, 20, 20))
    cache.of(counting, planes(2, 1, 1, 20, 20), 64)
    gone = weakref.ref(cache.of(counting, planes(2, 1, 1, 20, 20), 64)[0])
    seen = []
    encode, counting.encode = counting.encode, lambda *args: seen.append(gone()) or encode(*args)
    cache.of(counting, planes(2, 1, 1, 20, 20, seed=1), 64)
    assert seen == [None]


def test_features_of_inference_mode_are_not_used_outside_it(counting):
    cache, images = FeatureCache(), planes(2, 1, 1, 20, 20)
    with torch.inference_mode():
        assert cache.of(counting, images, 64)[0].is_inference()
    assert not cache.of(counting, images, 64)[0].is_inference()
