"""What a fusion accepts and returns: kinds of sources, range policies, errors."""

import numpy as np
import pytest
import torch
from fusion_doubles import images

from fusionlab import Fusion, FusionlabError, Level
from fusionlab_encoders.identity import Identity
from fusionlab_strategies.addition import Addition
from fusionlab_strategies.l1norm import L1Norm
from fusionlab_strategies.max import Max
from fusionlab_strategies.mean import Mean


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
    fused = Fusion(Identity(), Mean(), scale="full")(sources)
    assert type(fused) is type(sources[0])
    assert fused.shape == sources[0].shape
    assert check(fused)


def test_scales_agree_between_kinds():
    """The same image, for any type of array."""
    eight = images()
    sixteen = [image.astype(np.uint16) * 257 for image in eight]
    floats = [image / 255 for image in eight]
    fusion = Fusion(Identity(), Mean())
    np.testing.assert_allclose(fusion(sixteen) / 65535, fusion(floats), atol=0.51 / 65535)
    np.testing.assert_allclose(fusion(eight) / 255, fusion(floats), atol=0.51 / 255)


@pytest.mark.parametrize("depth", [0, 12, "16"])
def test_an_invalid_depth_is_refused_before_the_work(depth):
    with pytest.raises(FusionlabError, match="the depth must be 8, 16, 32 or None, got"):
        Fusion(Identity(), Mean()).fuse(images(), depth=depth)


def test_the_number_of_names_must_fit_the_sources():
    with pytest.raises(FusionlabError, match="one name for each of 2 sources, got 1"):
        Fusion(Identity(), Mean()).fuse(images(), names=["a.png"])


def test_an_asymmetric_image_comes_out_neither_mirrored_nor_transposed(densefuse):
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
    fusion = Fusion(Identity(), Mean(), color="per-channel")
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
        ([np.zeros((4, 4)), np.full((4, 4), np.inf)], "source 2 holds NaN or infinity at 16 of 16"),
        ([np.zeros((4, 4)), np.full((4, 4), np.nan)], "source 2 has no pixel that is data; leave"),
        ([np.zeros((4, 4), np.int32)] * 2, "source 1 has values of the type int32, which has no"),
        ([np.zeros((4, 4), complex)] * 2, "got the dtype complex128; take its magnitude"),
        ([np.array([["a"]])] * 2, "got the dtype <U1"),
        ([np.zeros((4, 4, 4))] * 2, "shape"),
        ([np.zeros((0, 4), np.uint8)] * 2, "no pixels"),
        ([np.zeros(4)] * 2, "an array is .H, W. or .H, W, 3."),
        ([torch.zeros(2, 1, 4, 4), torch.zeros(3, 1, 4, 4)], "batches of the same size, got 2, 3"),
        (["gone.png", "b.png"], "gone.png does not exist"),
        ([None, None], "source 1 must be an image, got the type NoneType"),
    ],
)
def test_invalid_sources_are_refused_in_one_sentence(sources, message):
    with pytest.raises(FusionlabError, match=message):
        Fusion(Identity(), Mean())(sources)


def test_a_strategy_may_limit_the_number_of_sources():
    class Pair(Mean):
        max_k = 2

    with pytest.raises(FusionlabError, match="the strategy Pair takes exactly 2 sources, got 3"):
        Fusion(Identity(), Pair())(images(3))


def test_a_wrong_shape_of_a_result_is_reported():
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
def test_other_mistakes_of_a_strategy_are_reported_with_its_name(result, message):
    class Odd(Mean):
        def fuse(self, features, scene):
            return result(features)

    with pytest.raises(FusionlabError, match=message):
        Fusion(Identity(), Odd())(images())


@pytest.mark.parametrize("device", ["toaster", "cuda:99", "meta"])
def test_unavailable_devices_are_refused(device):
    with pytest.raises(FusionlabError, match=f"the device {device} is not available: .*; try cpu"):
        Fusion(Identity(), Mean(), device=device)


def test_a_backbone_without_a_receptive_field_is_refused():
    class Silent(Identity):
        @property
        def receptive_field(self):
            raise AttributeError

    with pytest.raises(FusionlabError, match="Silent must define its `receptive_field`"):
        Fusion(Silent(), Mean())


@pytest.mark.parametrize(
    ("declared", "code"),
    [
        ({"receptive_field": 3}, "receptive-field"),
        ({"receptive_field": (-3, 0)}, "receptive-field"),
        ({"receptive_field": (1.5, 2)}, "receptive-field"),
        ({"size_divisor": 0}, "size-divisor"),
        ({"size_divisor": 2, "levels": (Level(1, 1), Level(1, 4))}, "size-divisor"),
    ],
)
def test_declarations_of_a_backbone_that_cannot_be_tiled_are_refused(declared, code):
    backbone = type("Odd", (Identity,), declared)()
    with pytest.raises(FusionlabError) as refusal:
        Fusion(backbone, Mean())
    assert refusal.value.code == code


def test_a_negative_support_is_refused():
    class Negative(Mean):
        support = -1

    with pytest.raises(
        FusionlabError, match="support of a strategy must be at least 0, or None .*, got -1"
    ):
        Fusion(Identity(), Negative())


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


def test_minmax_treats_color_jointly_and_images_of_a_batch_separately():
    dark = torch.rand(2, 3, 8, 8) * torch.tensor([0.1, 0.5]).view(2, 1, 1, 1)
    fused = Fusion(Identity(), Mean(), range_policy="minmax")([dark, dark])
    for image in fused:
        assert image.min() == 0
        assert image.max() == 1
    assert (fused.amax(dim=(2, 3)) < 1).any()


def test_minmax_clips_an_image_of_a_single_value():
    flat = np.full((5, 5), 77, dtype=np.uint8)
    fused = Fusion(Identity(), Mean(), range_policy="minmax")([flat, flat])
    assert np.array_equal(fused, flat)


def test_auto_clips_convex_strategies_and_normalizes_all_others():
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
    with pytest.raises(FusionlabError, match="range policy must be auto, clip, .* or None"):
        Fusion(Identity(), Mean(), range_policy="stretch")


@pytest.mark.parametrize(("backbone", "strategy"), [(Identity, Mean()), (Identity(), Mean)])
def test_a_class_in_the_place_of_an_instance_is_refused(backbone, strategy):
    with pytest.raises(FusionlabError, match="must be a name or an instance, got <class"):
        Fusion(backbone, strategy)
