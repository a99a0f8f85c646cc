"""The pipeline: kinds of sources, range policies, tiles, gradients, weight maps."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

from fusionlab import Backbone, Fusion, FusionlabError, Level, Scene, WeightedStrategy
from fusionlab.engine.feature_cache import FeatureCache
from fusionlab.engine.precision import convolutions
from fusionlab.imaging.color import MergedChroma, chroma, luminance, recolored
from fusionlab.strategy import LearnedStrategy
from fusionlab_encoders.densefuse import DenseFuse
from fusionlab_encoders.identity import Identity
from fusionlab_strategies.addition import Addition
from fusionlab_strategies.l1norm import L1Norm
from fusionlab_strategies.max import Max
from fusionlab_strategies.mean import Mean


def images(k=2, height=20, width=30, channels=None, seed=0):
    shape = (height, width) if channels is None else (height, width, channels)
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(k)]


def uniform(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def densefuse():
    """With trained weights: the output of random ones is too small to show an error."""
    return Fusion("densefuse@1e2").backbone


class TwoLevels(Backbone):
    """A backbone with two levels: the pixels, and their 4x4 averages."""

    levels = (Level(channels=1, stride=1), Level(channels=1, stride=4))
    size_divisor = 4
    receptive_field = (0, 0)

    def encode(self, images):
        coarse = avg_pool2d(images, 4)
        return images - interpolate(coarse, scale_factor=4), coarse

    def decode(self, features):
        return features[0] + interpolate(features[1], scale_factor=4)


# ---------------------------------------------------------------- kinds of sources


@pytest.mark.parametrize(
    ("make", "check"),
    [
        (lambda a: a, lambda f: f.dtype == np.uint8),
        (lambda a: a.astype(np.uint16) * 257, lambda f: f.dtype == np.uint16),
        (lambda a: (a / 255).astype(np.float32), lambda f: f.dtype == np.float32),
        (lambda a: a / 255, lambda f: f.dtype == np.float64),
        (torch.from_numpy, lambda f: f.dtype == torch.uint8),
        (lambda a: torch.from_numpy(a / 255), lambda f: f.dtype == torch.float64),
        (lambda a: torch.from_numpy(a)[None], lambda f: f.dtype == torch.uint8),
        (lambda a: torch.from_numpy(a).expand(2, 3, -1, -1), lambda f: f.dtype == torch.uint8),
        (lambda a: np.stack([a] * 3, axis=2), lambda f: f.dtype == np.uint8),
        (lambda a: a[::-1, ::-1], lambda f: f.dtype == np.uint8),
        (lambda a: a.astype(">u2"), lambda f: f.dtype == np.uint16),
        (lambda a: (a / 255).astype(">f4"), lambda f: f.dtype == np.float32),
    ],
)
def test_the_result_is_of_the_kind_of_the_sources(make, check):
    sources = [make(image) for image in images()]
    fused = Fusion(Identity(), Mean())(sources)
    assert type(fused) is type(sources[0])
    assert fused.shape == sources[0].shape
    assert check(fused)


def test_scales_agree_between_kinds():
    """The same picture, whatever type carries it."""
    eight = images()
    sixteen = [image.astype(np.uint16) * 257 for image in eight]
    floats = [image / 255 for image in eight]
    fusion = Fusion(Identity(), Mean())
    np.testing.assert_allclose(fusion(sixteen) / 65535, fusion(floats), atol=0.51 / 65535)
    np.testing.assert_allclose(fusion(eight) / 255, fusion(floats), atol=0.51 / 255)


@pytest.mark.parametrize("depth", [0, 12, "16"])
def test_a_depth_that_is_none_is_refused_before_the_work(depth):
    with pytest.raises(FusionlabError, match="the depth must be 8, 16, 32 or None, got"):
        Fusion(Identity(), Mean()).fuse(images(), depth=depth)


def test_names_are_as_many_as_sources():
    with pytest.raises(FusionlabError, match="one name for each of 2 sources, got 1"):
        Fusion(Identity(), Mean()).fuse(images(), names=["a.png"])


def test_an_asymmetric_picture_comes_out_neither_mirrored_nor_transposed(densefuse):
    """The HEAD of the authors' program saves gray images transposed."""
    picture = np.full((40, 60), 30, dtype=np.uint8)
    picture[5:12, 4:50] = 220
    picture[5:35, 4:10] = 180
    fused = Fusion(densefuse, Mean())([picture, picture])
    assert fused.shape == picture.shape
    errors = {
        name: np.abs(fused.astype(int) - turned).mean()
        for name, turned in {
            "as it was": picture,
            "mirrored": picture[:, ::-1],
            "upside down": picture[::-1],
            "rotated": picture[::-1, ::-1],
        }.items()
    }
    assert errors.pop("as it was") < 2 < min(errors.values())


def test_a_gray_source_counts_for_all_channels_of_a_color_source():
    gray, color = images(1)[0], images(1, channels=3, seed=1)[0]
    fusion = Fusion(Identity(), Mean())
    fused = fusion([gray, color])
    assert fused.shape == color.shape
    for channel in range(3):
        assert np.array_equal(fused[..., channel], fusion([gray, color[..., channel]]))


def test_equal_channels_stay_equal(densefuse):
    gray = images(3)
    fusion = Fusion(densefuse, L1Norm())
    fused = fusion([np.stack([image] * 3, axis=2) for image in gray])
    assert np.array_equal(fused[..., 0], fused[..., 1])
    assert np.array_equal(fused[..., 0], fusion(gray))


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (images(1), "at least two sources, got 1"),
        ([images()[0], torch.zeros(20, 30)], "all be arrays or all be tensors, got both"),
        ([*images(1), *images(1, 30, 20)], "same size, got 30x20, 20x30"),
        ([np.zeros((4, 4)), np.full((4, 4), 1.5)], "source 2 must hold floats in 0..1, got values"),
        ([np.zeros((4, 4)), np.full((4, 4), np.nan)], "source 2 holds NaN or infinity at 16 of 16"),
        ([np.zeros((4, 4), np.int32)] * 2, "source 1 has values of the type int32, which has no"),
        ([np.zeros((4, 4), complex)] * 2, "got dtype complex128"),
        ([np.zeros((4, 4), bool)] * 2, "got dtype bool"),
        ([np.array([["a"]])] * 2, "got dtype <U1"),
        ([np.zeros((4, 4, 4))] * 2, "shape"),
        ([np.zeros((0, 4), np.uint8)] * 2, "no pixels"),
        ([np.zeros(4)] * 2, "an array is .H, W. or .H, W, 3."),
        ([torch.zeros(2, 1, 4, 4), torch.zeros(3, 1, 4, 4)], "batches of the same size, got 2, 3"),
        (["a.png", "b.png"], "source 1 is not an image: .* got str"),
    ],
)
def test_what_is_no_set_of_sources_is_refused_in_one_sentence(sources, message):
    with pytest.raises(FusionlabError, match=message):
        Fusion(Identity(), Mean())(sources)


def test_a_strategy_may_limit_the_number_of_sources():
    class Pair(Mean):
        max_k = 2

    with pytest.raises(FusionlabError, match="the strategy Pair takes exactly 2 sources, got 3"):
        Fusion(Identity(), Pair())(images(3))


def test_a_strategy_that_returns_the_wrong_shape_is_told_so():
    class Wrong(Mean):
        def fuse(self, features, scene):
            return features

    with pytest.raises(
        FusionlabError, match=r"Wrong must merge .* into \(1, 1, 20, 30\) torch.float32"
    ):
        Fusion(Identity(), Wrong())(images())


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda f: f[0].double(), "got .1, 1, 20, 30. torch.float64 on cpu"),
        (lambda f: None, "got NoneType"),
        (lambda f: f[0] * float("nan"), "Odd returned values that are not finite"),
        (lambda f: 1 / 0, "Odd failed: ZeroDivisionError: division by zero"),
    ],
)
def test_whatever_else_a_strategy_does_wrong_is_said_with_its_name(result, message):
    class Odd(Mean):
        def fuse(self, features, scene):
            return result(features)

    with pytest.raises(FusionlabError, match=message):
        Fusion(Identity(), Odd())(images())


@pytest.mark.parametrize("device", ["toaster", "cuda:99", "meta"])
def test_devices_that_are_not_there_are_refused(device):
    with pytest.raises(FusionlabError, match=f"the device {device} is not available: .*; try cpu"):
        Fusion(Identity(), Mean(), device=device)


def test_a_backbone_that_does_not_say_how_far_it_sees_is_refused():
    class Silent(Identity):
        @property
        def receptive_field(self):
            raise AttributeError

    with pytest.raises(FusionlabError, match="Silent must define its `receptive_field`"):
        Fusion(Silent(), Mean())


def test_a_negative_support_is_refused():
    class Negative(Mean):
        support = -1

    with pytest.raises(FusionlabError, match="support of a strategy must be at least 0, got -1"):
        Fusion(Identity(), Negative())


# ---------------------------------------------------------------- range policies


@pytest.mark.parametrize("k", [2, 3, 4])
def test_identity_and_addition_equal_the_formula_bit_for_bit(k):
    """floor(255 (s - min) / (max - min) + 0.5) of the pixel sum, in integers."""
    for seed in range(20):
        sources = images(k, seed=seed)
        total = sum(image.astype(int) for image in sources)
        span = total.max() - total.min()
        expected = (2 * 255 * (total - total.min()) + span) // (2 * span)
        fused = Fusion(Identity(), Addition(), range_policy="minmax")(sources)
        assert np.array_equal(fused, expected)


def test_color_is_stretched_jointly_and_images_of_a_batch_singly():
    dark = torch.rand(2, 3, 8, 8) * torch.tensor([0.1, 0.5]).view(2, 1, 1, 1)
    fused = Fusion(Identity(), Mean(), range_policy="minmax")([dark, dark])
    for image in fused:
        assert image.min() == 0
        assert image.max() == 1
    assert (fused.amax(dim=(2, 3)) < 1).any()


def test_an_image_of_one_value_is_clipped_instead_of_stretched():
    flat = np.full((5, 5), 77, dtype=np.uint8)
    fused = Fusion(Identity(), Mean(), range_policy="minmax")([flat, flat])
    assert np.array_equal(fused, flat)


def test_auto_clips_what_claims_convexity_and_stretches_the_rest():
    assert Fusion(Identity(), Mean()).range_policy == "clip"
    assert Fusion(Identity(), Max()).range_policy == "clip"
    assert Fusion(Identity(), Addition()).range_policy == "minmax"


def test_none_is_the_raw_decode():
    sources = images()
    fused = Fusion(Identity(), Addition(), range_policy=None)(sources)
    assert fused.dtype == np.float32
    expected = sources[0].astype(int) + sources[1]
    assert np.array_equal(fused * np.float32(255), expected)


def test_other_policies_are_refused():
    with pytest.raises(FusionlabError, match="range policy must be auto, clip, minmax or None"):
        Fusion(Identity(), Mean(), range_policy="stretch")


@pytest.mark.parametrize(("backbone", "strategy"), [(Identity, Mean()), (Identity(), Mean)])
def test_a_class_in_the_place_of_an_instance_is_refused(backbone, strategy):
    with pytest.raises(FusionlabError, match="must be a name or an instance, got <class"):
        Fusion(backbone, strategy)


# ---------------------------------------------------------------- depths and scales


def levels(depth, seed, k=2, shape=(20, 30)):
    """Random sources over the whole range of a depth: uint8, uint16 or float32."""
    rng = np.random.default_rng(seed)
    if depth == 32:
        return [rng.random(shape, np.float32) for _ in range(k)]
    return [rng.integers(0, 2**depth, shape, f"u{depth // 8}") for _ in range(k)]


@pytest.mark.parametrize("depth", [8, 16])
def test_every_level_of_a_depth_survives_an_identity(depth):
    every = np.arange(2**depth, dtype=f"u{depth // 8}").reshape(2, -1)
    fused = Fusion(Identity(), Mean())([every, every])
    assert fused.dtype == every.dtype
    assert np.array_equal(fused, every)


@pytest.mark.parametrize("wanted", [8, 16, 32])
@pytest.mark.parametrize("given_", [8, 16, 32])
def test_the_result_has_the_depth_that_is_asked_for(given_, wanted):
    """One source twice: its values, spread to the range of the depth and rounded, halves up."""
    source = levels(given_, seed=1, k=1)[0]
    white = {8: 255, 16: 65535, 32: 1}
    fused = Fusion(Identity(), Mean()).fuse([source, source], depth=wanted).image
    expected = source.astype(float) / white[given_] * white[wanted]
    assert fused.dtype == {8: np.uint8, 16: np.uint16, 32: np.float32}[wanted]
    # half a level of rounding and, in 16 bits, the rounding of 0..1 in float32
    slack = {8: 0.5 + 1e-4, 16: 0.5 + 2**-7, 32: 2**-23}[wanted]
    assert np.abs(fused - expected).max() <= slack
    if wanted < 32 and wanted <= given_ < 32:
        assert np.array_equal(fused, np.floor(expected + 0.5))


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        ((np.uint8, np.uint16), np.uint16),
        ((np.uint16, np.float32), np.float32),
        ((np.float32, np.float64), np.float64),
        ((np.uint8, np.int16), np.uint16),
        ((np.uint8, np.int32), np.float32),
        ((np.uint16, np.float16), np.float16),
        ((np.int8, np.int8), np.uint8),
    ],
)
def test_the_result_is_as_deep_as_the_deepest_source(dtypes, expected):
    sources = [np.array([[0, 1, 1]], dtype) for dtype in dtypes]
    for order in (sources, sources[::-1]):
        fused = Fusion(Identity(), Mean(), scale="minmax")(order)
        assert fused.dtype == expected
        white = {np.uint8: 255, np.uint16: 65535}.get(expected, 1)
        assert fused.tolist() == [[0, white, white]]


def test_a_depth_asked_for_counts_for_tensors_and_not_for_raw_output():
    sources = [torch.from_numpy(source) for source in levels(16, seed=2)]
    assert Fusion(Identity(), Mean()).fuse(sources, depth=8).image.dtype == torch.uint8
    assert Fusion(Identity(), Mean()).fuse(sources, depth=32).image.dtype == torch.float32
    raw = Fusion(Identity(), Mean(), range_policy=None).fuse(sources, depth=8).image
    assert raw.dtype == torch.float32


def test_a_stretch_uses_the_range_of_the_depth():
    """16 (s - min) / (max - min), in exact integers, to one level of 65535."""
    sources = levels(16, seed=3)
    total = sum(source.astype(int) for source in sources)
    span = int(np.ptp(total))
    expected = (2 * 65535 * (total - total.min()) + span) // (2 * span)
    fused = Fusion(Identity(), Addition(), range_policy="minmax")(sources).astype(int)
    # a sum of two float32 in 0..2 is off by 2^-24, of 65535 x 2
    assert np.abs(fused - expected).max() <= 1
    assert (fused.min(), fused.max()) == (0, 65535)


def test_sources_are_scaled_each_by_its_own():
    """Counts of a thermal camera in half a percent of 16 bits, and a picture."""
    rng = np.random.default_rng(4)
    counts = rng.integers(29_000, 29_300, (20, 30), np.int16)
    picture = rng.integers(0, 256, (20, 30), np.uint8)
    fusion = Fusion(Identity(), Mean(), scale=["minmax", "full"])
    fused = fusion.fuse([counts, picture], depth=32)
    unit = (counts - counts.min()) / np.ptp(counts.astype(float))
    np.testing.assert_allclose(fused.image, (unit + picture / 255) / 2, atol=2**-22)
    assert fused.limits.tolist() == [[[counts.min(), counts.max()]], [[0, 255]]]


def test_the_limits_are_those_of_every_image_of_a_batch():
    batch = torch.tensor([[1.0, 3.0], [-2.0, 8.0]]).view(2, 1, 1, 2)
    fused = Fusion(Identity(), Mean(), scale="minmax").fuse([batch, batch * 10])
    assert fused.limits.dtype == torch.float64
    assert fused.limits.tolist() == [[[1, 3], [-2, 8]], [[10, 30], [-20, 80]]]
    assert fused.image.flatten().tolist() == [0, 1, 0, 1]


def test_the_number_of_scales_must_fit_the_sources():
    with pytest.raises(FusionlabError, match="one scale for all 2 sources .* got 3"):
        Fusion(Identity(), Mean(), scale=["full"] * 3)(images())
    with pytest.raises(FusionlabError, match="a scale must be full, minmax"):
        Fusion(Identity(), Mean(), scale="bright")


def test_errors_call_the_sources_by_their_names():
    sources = [np.zeros((4, 4)), np.zeros((4, 4), np.int16)]
    with pytest.raises(FusionlabError, match="^thermal.tif has values of the type int16"):
        Fusion(Identity(), Mean()).fuse(sources, names=["visible.png", "thermal.tif"])


def test_gradients_flow_through_a_scale():
    sources = [uniform(seed, 1, 1, 8, 9).mul(50).requires_grad_() for seed in range(2)]
    Fusion(Identity(), Mean(), scale="minmax", range_policy=None)(sources).sum().backward()
    for source in sources:
        # each counts one half, in units of its range; in float32
        expected = torch.full_like(source, 0.5) / (source.max() - source.min()).detach()
        torch.testing.assert_close(source.grad, expected)


# ---------------------------------------------------------------- color


def colorful(seed, dtype=np.uint8, k=1, shape=(20, 30, 3)):
    """Colors in the middle of the range, where any luminance near theirs has room for them."""
    rng = np.random.default_rng(seed)
    sources = [rng.integers(100, 150, shape, np.uint8) for _ in range(k)]
    return sources if dtype == np.uint8 else [(source / 255).astype(dtype) for source in sources]


def planes_of(image):
    return torch.from_numpy(image.astype(float)).permute(2, 0, 1)[None]


def luma_of(image):
    return luminance(planes_of(image))[0, 0].numpy()


@pytest.mark.parametrize(("dtype", "off"), [(np.float64, 1e-6), (np.float32, 1e-6), (np.uint8, 1)])
def test_a_color_picture_and_its_own_luminance_give_that_picture(dtype, off):
    """Without loss but for float32; in 8 bits the luminance itself has been rounded."""
    picture = np.random.default_rng(5).random((20, 30, 3))
    picture = (picture * 255).astype(dtype) if dtype == np.uint8 else picture.astype(dtype)
    gray = luma_of(picture)
    gray = (gray + 0.5).astype(dtype) if dtype == np.uint8 else gray.astype(dtype)
    for sources in ([picture, gray], [gray, picture, gray]):
        fused = Fusion(Identity(), Mean(), color="luma")(sources)
        assert fused.dtype == dtype
        assert fused.shape == picture.shape
        assert np.abs(fused.astype(float) - picture).max() <= off


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("strategy", [Mean(), Max(), L1Norm()])
def test_copies_of_a_color_picture_give_that_picture(dtype, strategy):
    every = np.random.default_rng(6).integers(0, np.iinfo(dtype).max, (20, 30, 3), dtype, True)
    fused = Fusion(Identity(), strategy, color="luma")([every] * 3)
    assert np.array_equal(fused, every)


def test_luma_by_hand():
    """Y of the color is 124.2, the mean with 120 is 122.1: every channel is 2.1 less."""
    color = np.array([[[200, 100, 50]]], dtype=np.uint8)
    gray = np.array([[120]], dtype=np.uint8)
    fused = Fusion(Identity(), Mean(), color="luma")([color, gray])
    assert fused.tolist() == [[[198, 98, 48]]]
    raw = Fusion(Identity(), Mean(), color="luma", range_policy=None)([color, gray])
    assert raw.flatten() * 255 == pytest.approx([197.9, 97.9, 47.9], abs=1e-4)
    fused = Fusion(Identity(), Mean(), color="per-channel")([color, gray])
    assert fused.tolist() == [[[160, 110, 85]]]  # paler
    fused = Fusion(Identity(), Mean(), color="gray")([color, gray])
    assert fused.tolist() == [[122]]


@pytest.mark.parametrize("k", [2, 3, 4])
def test_luma_is_the_fusion_of_the_luminances_in_the_merged_chroma(k):
    """Put together from its parts, for sources in color and gray."""
    sources = [*colorful(7, k=k - 1), images(1, seed=8)[0] // 4 + 100]
    fusion = Fusion(Identity(), L1Norm(), color="luma", range_policy=None)
    grays = [luma_of(source / 255) for source in sources[:-1]] + [sources[-1] / 255]
    luma = Fusion(Identity(), L1Norm(), range_policy=None)(grays)
    gathered = MergedChroma()
    for source in sources[:-1]:
        gathered.add(planes_of(source / 255))
    expected = recolored(torch.from_numpy(luma)[None, None].double(), gathered.result())
    # float32 against float64
    np.testing.assert_allclose(fusion(sources), expected[0].permute(1, 2, 0), atol=1e-6)


def test_the_chroma_of_one_color_source_is_kept_whatever_the_gray_ones_are():
    color = colorful(9, np.float32)[0]
    grays = [image.astype(np.float32) / 255 / 4 + 0.4 for image in images(3, seed=10)]
    fused = Fusion(Identity(), Mean(), color="luma")([grays[0], color, *grays[1:]])
    # float32, magnified by no more than the inverse of 0.587
    torch.testing.assert_close(
        chroma(planes_of(fused)), chroma(planes_of(color)), rtol=0, atol=1e-6
    )


def test_the_order_of_color_sources_does_not_matter():
    sources = [*colorful(11, k=3), images(1, seed=12)[0]]
    fusion = Fusion(Identity(), Max(), color="luma", range_policy=None)
    # sums in another order, in float32
    np.testing.assert_allclose(fusion(sources), fusion(sources[::-1]), atol=1e-6)


@pytest.mark.parametrize("color", ["luma", "gray", "per-channel"])
def test_gray_sources_give_the_same_in_every_color_mode(densefuse, color):
    sources = images(3, seed=13)
    fused = Fusion(densefuse, L1Norm(), color=color)(sources)
    assert fused.shape == (20, 30)
    assert np.array_equal(fused, Fusion(densefuse, L1Norm())(sources))


def test_per_channel_is_the_default_and_each_channel_a_fusion_of_its_own(densefuse):
    sources = images(2, channels=3, seed=14)
    fused = Fusion(densefuse, Mean(), color="per-channel")(sources)
    assert np.array_equal(fused, Fusion(densefuse, Mean())(sources))
    for channel in range(3):
        alone = Fusion(densefuse, Mean())([source[..., channel] for source in sources])
        assert np.array_equal(fused[..., channel], alone)


def test_gray_is_the_fusion_of_the_luminances(densefuse):
    sources = colorful(15, np.float32, k=2)
    fused = Fusion(densefuse, L1Norm(), color="gray")(sources)
    assert fused.shape == (20, 30)
    alone = Fusion(densefuse, L1Norm())([luma_of(source).astype(np.float32) for source in sources])
    # luminance in float32 or in float64, through eight layers
    np.testing.assert_allclose(fused, alone, atol=1e-5)


@pytest.mark.parametrize(
    ("color", "shape", "expected"),
    [
        ("gray", (3, 8, 9), (1, 8, 9)),
        ("gray", (2, 3, 8, 9), (2, 1, 8, 9)),
        ("luma", (3, 8, 9), (3, 8, 9)),
        ("luma", (2, 3, 8, 9), (2, 3, 8, 9)),
        ("luma", (2, 1, 8, 9), (2, 1, 8, 9)),
    ],
)
def test_tensors_keep_their_axes_in_every_color_mode(color, shape, expected):
    sources = [uniform(seed, *shape) for seed in range(2)]
    assert Fusion(Identity(), Mean(), color=color)(sources).shape == expected
    gray = sources[0][..., :1, :, :]
    assert Fusion(Identity(), Mean(), color=color)([gray, sources[1]]).shape == expected


@pytest.mark.parametrize("policy", ["clip", "minmax", None])
def test_the_images_of_a_color_batch_do_not_meet(policy):
    batches = [uniform(seed, 3, 3, 8, 9) for seed in range(2)]
    fusion = Fusion(Identity(), Addition(), color="luma", range_policy=policy, scale="minmax")
    together = fusion(batches)
    for n in range(3):
        assert torch.equal(together[n], fusion([batch[n] for batch in batches]))


def test_in_luma_the_luminance_is_stretched_and_the_chroma_left_alone():
    """Colors so weak that there is room for them between black and white, but at the ends."""
    rng = np.random.default_rng(17)
    gray = rng.random((20, 30, 1))
    sources = [0.1 + 0.8 * gray + 0.02 * rng.random((20, 30, 3)) for _ in range(2)]
    fusion = Fusion(Identity(), Addition(), color="luma", range_policy="minmax")
    fused = fusion(sources)
    total = sum(luma_of(source) for source in sources)
    stretched = (total - total.min()) / np.ptp(total)
    inside = (stretched > 0.05) & (stretched < 0.95)
    assert inside.sum() > 400
    # float32
    np.testing.assert_allclose(luma_of(fused)[inside], stretched[inside], atol=1e-6)
    found, gathered = chroma(planes_of(fused))[0].numpy(), MergedChroma()
    for source in sources:
        gathered.add(planes_of(source))
    expected = gathered.result()[0].numpy()
    np.testing.assert_allclose(found[:, inside], expected[:, inside], atol=1e-6)
    assert fused.min() >= 0
    assert fused.max() <= 1


def test_what_luma_gives_without_a_range_policy_may_lie_beyond_0_to_1():
    white, blue = np.full((2, 2), 1.0), np.zeros((2, 2, 3))
    blue[..., 2] = 1
    raw = Fusion(Identity(), Max(), color="luma", range_policy=None)([white, blue])
    assert raw.dtype == np.float64
    # blue has Y = 0.114: white is 0.886 more in every channel
    np.testing.assert_allclose(raw, np.broadcast_to([0.886, 0.886, 1.886], raw.shape), atol=1e-6)
    clipped = Fusion(Identity(), Max(), color="luma", range_policy="clip")([white, blue])
    np.testing.assert_allclose(clipped, np.broadcast_to([0.886, 0.886, 1], raw.shape), atol=1e-6)


def test_chroma_is_that_of_the_scaled_source():
    """12 bits in 16: as if the picture had been full."""
    picture = images(1, channels=3, seed=18)[0]
    gray = images(1, seed=19)[0]
    narrow = picture.astype(np.uint16) * 16
    fusion = Fusion(Identity(), Mean(), color="luma", scale=["0,4080", "full"])
    fused = fusion.fuse([narrow, gray], depth=8).image
    assert np.array_equal(fused, Fusion(Identity(), Mean(), color="luma")([picture, gray]))


def test_weight_maps_of_a_luminance_are_gray():
    sources = [*colorful(20, k=1), images(1, seed=21)[0]]
    fused = Fusion(Identity(), L1Norm(), color="luma").fuse(sources, weights=True)
    assert [one.shape for one in fused.weights] == [(20, 30)] * 2
    np.testing.assert_allclose(sum(fused.weights), 1, rtol=1e-6)


def test_tiles_do_not_show_in_luma(densefuse):
    sources = [*images(1, 50, 60, channels=3, seed=22), *images(1, 50, 60, seed=23)]
    options = {"color": "luma", "range_policy": None}
    whole = Fusion(densefuse, L1Norm(), tile=999, **options)(sources)
    tiled = Fusion(densefuse, L1Norm(), tile=16, **options)(sources)
    # as without color: 1e-3 gray levels of luminance, which each channel takes over as it is
    assert np.abs(whole - tiled).max() <= 1e-3 / 255


def test_gradients_flow_through_luminance_and_chroma():
    shapes = enumerate([(1, 3, 6, 7), (1, 3, 6, 7), (1, 1, 6, 7)])
    sources = [uniform(seed, *shape).double().requires_grad_() for seed, shape in shapes]
    fusion = Fusion(Identity(), Mean(), color="luma", range_policy=None)
    fused = fusion(sources)
    assert fused.dtype == torch.float64
    fused.square().sum().backward()
    assert all(source.grad.isfinite().all() for source in sources)
    assert all(source.grad.abs().sum() > 0 for source in sources)


def test_a_luma_fusion_gives_what_it_has_always_given(densefuse):
    """Pinned in November 2026, with the weights densefuse@1e2; to a tenth of a gray level."""
    ramp = np.tile(np.arange(50, 170, 5, dtype=np.uint8), (16, 1))
    color = np.dstack([ramp + 40, ramp, ramp - 20])
    gray = np.tile(np.arange(0, 240, 15, dtype=np.uint8)[:, None], (1, 24))
    fused = Fusion(densefuse, L1Norm(r=1), color="luma", range_policy=None)([color, gray]) * 255
    pinned = [[71.15, 31.15, 11.15], [149.74, 109.74, 89.74], [233.07, 193.07, 173.07]]
    found = [fused[0, 0], fused[8, 12], fused[15, 23]]
    np.testing.assert_allclose(found, pinned, atol=0.1)


def test_other_color_modes_are_refused():
    with pytest.raises(FusionlabError, match="one of per-channel, luma, gray, got 'hsv'"):
        Fusion(Identity(), Mean(), color="hsv")


# ---------------------------------------------------------------- tiles


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


def test_the_margin_is_needed_to_the_last_pixel():
    """A network whose eight layers each look one pixel up and left sees 8 pixels far."""

    class Far(DenseFuse):
        def __init__(self, missing):
            super().__init__()
            self.receptive_field = (4, 4 - missing)
            for name, parameter in self.named_parameters():
                parameter.data.zero_()
                if name.endswith("weight"):
                    parameter.data[:, -1, 0, 0] = 1  # of the newest map

        def decode(self, features):  # in tiles of the general kind, which trust `receptive_field`
            return super().decode(features)

    sources = images(2, 64, 64)
    whole = Fusion(Far(0), Mean(), tile=999)(sources)
    assert np.array_equal(whole[8:, 8:], Fusion(Identity(), Mean())(sources)[:-8, :-8])
    assert np.array_equal(Fusion(Far(0), Mean(), tile=20)(sources), whole)
    assert not np.array_equal(Fusion(Far(1), Mean(), tile=20)(sources), whole)


def test_tiles_follow_whoever_changes_the_encoder_or_the_decoder():
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
    """Remembers the scenes it was given."""

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
    """Needs the image in one piece."""

    support = None


@pytest.mark.parametrize("tile", [None, 60, 4000])
def test_a_strategy_that_declares_no_support_sees_the_whole_image(tile):
    Recording.seen.clear()
    Fusion(Identity(), Whole(), tile=tile)(images(2, 40, 60))
    assert [tuple(s.sources.shape[-2:]) for s in Recording.seen] == [(40, 60)]


def test_what_cannot_be_cut_is_refused_with_the_bytes_it_would_take(monkeypatch, densefuse):
    with pytest.raises(FusionlabError, match=r"2 sources of 60x40 .* \(19200 bytes\).*tile of 60"):
        Fusion(Identity(), Whole(), tile=32)(images(2, 40, 60))
    monkeypatch.setattr("fusionlab.engine.pipeline.MAX_UNTILED_BYTES", 2 * 64 * 4 * 40 * 60)
    Fusion(densefuse, Whole())(images(2, 40, 60))
    with pytest.raises(FusionlabError, match="needs the whole image at once"):
        Fusion(densefuse, Whole())(images(2, 40, 61))


@dataclass(frozen=True)
class Share(WeightedStrategy):
    """Weight the sources by their sums over the whole image; counts its passes."""

    support = 0
    seen: ClassVar[list] = []

    def statistics(self, features, scene):
        self.seen.append(tuple(scene.valid_region(features).shape[-2:]))
        return {"sum": scene.valid_region(features).sum(dim=(2, 3, 4), dtype=torch.float64)}

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
    """Finds memory for tiles of a hundred pixels at most, as a GPU does for larger ones."""

    def weights(self, features, scene):
        if features[0, 0, 0].numel() > 100:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().weights(features, scene)


def test_where_memory_does_not_suffice_tiles_are_halved_and_the_result_says_so(monkeypatch):
    monkeypatch.setattr("fusionlab.fusion.SMALLEST_EDGE", 4)
    sources = images(2, 37, 25)
    fused = Fusion(Identity(), Greedy(), tile=32).fuse(sources)
    assert fused.tile == 8
    assert np.array_equal(fused.image, Fusion(Identity(), Mean())(sources))
    assert Fusion(Identity(), Mean(), tile=32).fuse(sources).tile is None


def test_there_is_an_end_to_halving():
    with pytest.raises(torch.OutOfMemoryError):
        Fusion(Identity(), Greedy())(images(2, 100, 100))


def test_features_that_are_needed_twice_are_kept_if_they_are_small():
    """Encoding is then a step of its own, and happens once; the result is the same bit for bit."""
    calls, sources = [], images(2, 40, 40)
    fusion = Fusion(Identity(), Share(), tile=20)
    kept = fusion.fuse(sources, progress=lambda *call: calls.append(call)).image
    assert calls == [(n, 12) for n in range(1, 13)]
    assert np.array_equal(kept, fusion.fuse(sources, feature_cache=FeatureCache(max_bytes=0)).image)


def test_many_images_are_fused_in_portions_and_none_is_lost():
    batch = torch.rand(40, 1, 200, 200)
    fused = Fusion(Identity(), Max())([batch, batch.flip(0)])
    torch.testing.assert_close(fused, torch.maximum(batch, batch.flip(0)))


def test_progress_counts_the_tiles():
    calls = []
    Fusion(Identity(), Mean(), tile=20).fuse(
        images(2, 40, 40), progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


# ---------------------------------------------------------------- weights, gradients, state


def test_weight_maps_look_like_the_image_and_sum_to_one():
    sources = images(3, 40, 60, channels=3)
    fused = Fusion(Identity(), L1Norm(r=1), tile=16).fuse(sources, weights=True)
    assert [w.shape for w in fused.weights] == [(40, 60, 3)] * 3
    np.testing.assert_allclose(sum(fused.weights), 1, rtol=1e-6)
    again = sum(w * s for w, s in zip(fused.weights, sources, strict=True))
    np.testing.assert_allclose(fused.image, again, atol=0.51)


def test_weight_maps_of_a_coarse_strategy_have_the_size_of_the_image():
    class PerChannel(WeightedStrategy):
        support = 0

        def weights(self, features, scene):
            return torch.tensor([0.25, 0.75]).view(2, 1, 1, 1, 1).expand(*features.shape[:3], 1, 1)

    fused = Fusion(TwoLevels(), PerChannel()).fuse(images(2, 21, 33), weights=True)
    assert [float(w.mean()) for w in fused.weights] == [0.25, 0.75]
    assert fused.weights[0].shape == (21, 33)


def test_a_weight_map_is_the_mean_over_the_channels(densefuse):
    class Ramp(WeightedStrategy):
        support = 0

        def weights(self, features, scene):
            ramp = torch.linspace(0, 1, features.shape[2]).view(1, 1, -1, 1, 1)
            return torch.cat([ramp, 1 - ramp])

    fused = Fusion(densefuse, Ramp()).fuse(images(2, 5, 6), weights=True)
    np.testing.assert_allclose(fused.weights[0], 0.5, rtol=1e-5)


def test_naming_a_backbone_leaves_the_random_numbers_alone():
    state = torch.random.get_rng_state()
    Fusion("densefuse@1e2", "mean")
    assert torch.equal(state, torch.random.get_rng_state())


def test_large_color_images_in_one_piece_are_fused_plane_by_plane(monkeypatch):
    """All three at once would take three times the memory that is allowed."""
    seen = []

    class Whole(Mean):
        support = None

        def fuse(self, features, scene):
            seen.append(features.shape[1])
            return super().fuse(features, scene)

    sources = images(2, 200, 200, channels=3)
    small = Fusion(Identity(), Whole())(sources)
    monkeypatch.setattr("fusionlab.engine.tiled_run.CACHE_BYTES", 1000)
    assert np.array_equal(Fusion(Identity(), Whole())(sources), small)
    assert seen == [3, 1, 1, 1]


def test_a_strategy_without_weights_has_no_weight_maps():
    with pytest.raises(FusionlabError, match="the strategy Max does not weight the sources"):
        Fusion(Identity(), Max()).fuse(images(), weights=True)


def test_gradients_reach_the_sources_and_the_strategy_but_not_the_backbone(densefuse):
    class Learned(WeightedStrategy):
        support = 0
        theta = nn.Parameter(torch.zeros(2))

        def weights(self, features, scene):
            return self.theta.softmax(0).view(2, 1, 1, 1, 1)

    sources = [torch.rand(1, 1, 24, 24, requires_grad=True) for _ in range(2)]
    fused = Fusion(densefuse, Learned(), range_policy=None, tile=16)(sources)
    fused.square().sum().backward()
    assert all(source.grad.abs().sum() > 0 for source in sources)
    assert Learned.theta.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in densefuse.parameters())


class Mixing(nn.Module):
    """A network that mixes the channels of the mean."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(64, 64, 1)

    def forward(self, features):
        return self.mix(features.mean(0))


class Mixed(LearnedStrategy):
    support = 0

    def network(self, level):  # the test gives one
        return Mixing()

    def losses(self, *_):
        return {}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("from_sources", [True, False])
def test_gradients_reach_a_network_in_every_precision(densefuse, precision, from_sources):
    networks = nn.ModuleList([Mixing()])
    fusion = Fusion(densefuse, Mixed(), range_policy=None, networks=networks, precision=precision)
    sources = [uniform(seed, 24, 24).requires_grad_(from_sources) for seed in (0, 1)]
    fusion(sources).sum().backward()
    assert networks[0].mix.weight.grad.abs().sum() > 0
    assert all((source.grad is not None) is from_sources for source in sources)


def test_a_fusion_never_changes_the_backbone(densefuse):
    fusion = Fusion(densefuse, L1Norm())

    def digest():
        state = fusion.backbone.state_dict()
        return hashlib.sha256(b"".join(t.numpy().tobytes() for t in state.values())).hexdigest()

    before = digest()
    fusion(images(3))
    assert digest() == before
    assert not fusion.backbone.training


def test_the_same_call_gives_the_same_bytes(densefuse):
    fusion, sources = Fusion(densefuse, L1Norm()), images(3, 70, 90)
    assert fusion(sources).tobytes() == fusion(sources).tobytes()


def test_no_global_switch_is_left_changed(densefuse):
    """On CUDA they are set for the length of a call; here, that they come back at all."""
    cudnn = torch.backends.cudnn
    before = [cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic, cudnn.enabled]
    for allow in (True, False):
        with convolutions(torch.device("cuda"), allow_tf32=allow):
            tf32 = (
                cudnn.conv.fp32_precision == "tf32" if hasattr(cudnn, "conv") else cudnn.allow_tf32
            )
            assert tf32 is allow
            assert cudnn.deterministic
        assert [cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic, cudnn.enabled] == before
    with torch.no_grad():
        Fusion(densefuse, Mean())(images())
        assert not torch.is_grad_enabled()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("strategy", ["addition", "mean", "max", "l1norm,r=1"])
def test_cuda_equals_cpu(strategy):
    """Without TF32 both are float32; 8 layers of up to 576 terms in another order."""
    sources = images(3, 300, 400)
    cpu = Fusion("densefuse@1e2", strategy, range_policy=None)(sources)
    cuda = Fusion("densefuse@1e2", strategy, range_policy=None, device="cuda")(sources)
    assert np.abs(cpu - cuda).max() <= 1e-4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("policy", [None, "clip", "minmax"])
@pytest.mark.parametrize("color", ["per-channel", "luma", "gray"])
@pytest.mark.parametrize("make", [lambda a: a, lambda a: torch.from_numpy(a).movedim(-1, 0)])
def test_pictures_come_back_from_cuda(policy, color, make):
    sources = [make(image / 255) for image in images(2, 100, 150, channels=3)]
    settings = {"range_policy": policy, "color": color}
    cpu = Fusion("densefuse@1e2", "addition", **settings)(sources)
    cuda = Fusion("densefuse@1e2", "addition", **settings, device="cuda")(sources)
    assert type(cuda) is type(cpu)
    assert abs(cpu - cuda).max() <= 1e-4
