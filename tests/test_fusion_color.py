"""Color modes: per channel, luminance with the chroma of the sources, and gray."""

import numpy as np
import pytest
import torch
from fusion_doubles import images, uniform

from fusionlab import Fusion, FusionlabError
from fusionlab.imaging.color import MergedChroma, chroma, luminance, recolored
from fusionlab_encoders.identity import Identity
from fusionlab_strategies.addition import Addition
from fusionlab_strategies.l1norm import L1Norm
from fusionlab_strategies.max import Max
from fusionlab_strategies.mean import Mean


def colorful(seed, dtype=np.uint8, k=1, shape=(20, 30, 3)):
    """Colors in the middle of the range, where any luminance near theirs has room for them."""
    rng = np.random.default_rng(seed)
    sources = [rng.integers(100, 150, shape, np.uint8) for _ in range(k)]
    return sources if dtype == np.uint8 else [(source / 255).astype(dtype) for source in sources]


def planes_of(image):
    return torch.from_numpy(image.astype(float)).permute(2, 0, 1)[None]


def luma_of(image):
    return luminance(planes_of(image))[0, 0].numpy()


@pytest.mark.parametrize(("dtype", "off"), [(np.float64, 1e-6), (np.float32, 1e-6), (np.uint8, 3)])
def test_a_color_image_and_its_own_luminance_give_that_image(dtype, off):
    """Without loss but for float32; in 8 bits the luminance itself has been rounded.

    It is off by up to a third of a level then. A pure blue has no room below its luminance, and
    7.8 times as much above: its chroma gets smaller by up to 2.6 levels.
    """
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
def test_copies_of_a_color_image_give_that_image(dtype, strategy):
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


# ---------------------------------------------------------------- auto

GRAY, GRAY_IN_THREE, COLOR = "gray", "gray in three channels", "color"


def source_of(kind, seed):
    if kind == COLOR:
        return images(1, channels=3, seed=seed)[0]
    gray = images(1, seed=seed)[0]
    return gray if kind == GRAY else np.dstack([gray] * 3)


@pytest.mark.parametrize(
    ("kinds", "mode"),
    [
        ([GRAY, COLOR], "luma"),
        ([COLOR, GRAY_IN_THREE], "luma"),
        ([COLOR, COLOR, GRAY], "luma"),
        ([COLOR, COLOR], "per-channel"),
        ([GRAY, GRAY], "per-channel"),
        ([GRAY, GRAY_IN_THREE], "per-channel"),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_auto_fuses_the_luminance_where_gray_meets_color(kinds, mode, dtype):
    sources = [source_of(kind, seed) for seed, kind in enumerate(kinds)]
    if dtype != np.uint8:
        sources = [(source / 255).astype(dtype) for source in sources]
        sources = [source * 65535 if dtype == np.uint16 else source for source in sources]
    scale = "minmax" if dtype == np.uint16 else "full"
    fused = Fusion(Identity(), L1Norm(), scale=scale).fuse(sources)
    assert fused.colors == (mode,)
    chosen = Fusion(Identity(), L1Norm(), scale=scale, color=mode)(sources)
    assert np.array_equal(fused.image, chosen)


def test_the_images_of_a_batch_have_their_own_mode():
    firsts, seconds = [GRAY_IN_THREE, COLOR, GRAY_IN_THREE], [COLOR, COLOR, GRAY_IN_THREE]
    batch = [
        torch.from_numpy(np.stack([source_of(kind, seed) for kind in kinds])).permute(0, 3, 1, 2)
        for seed, kinds in enumerate([firsts, seconds])
    ]
    fusion = Fusion(Identity(), L1Norm())
    together = fusion.fuse(batch, weights=True)
    assert together.colors == ("luma", "per-channel", "per-channel")
    for number in range(3):
        alone = fusion.fuse([source[number] for source in batch], weights=True)
        assert torch.equal(together.image[number], alone.image)
        for found, expected in zip(together.weights, alone.weights, strict=True):
            assert torch.equal(found[number], expected.expand(3, -1, -1))


def test_gradients_flow_in_every_mode_of_a_batch():
    gray = uniform(1, 1, 1, 6, 7).expand(-1, 3, -1, -1)
    first = torch.cat([gray, uniform(2, 1, 3, 6, 7)]).requires_grad_()
    second = uniform(3, 2, 3, 6, 7).requires_grad_()
    Fusion(Identity(), Mean(), range_policy=None)([first, second]).square().sum().backward()
    for source in (first, second):
        assert (source.grad.abs().sum((1, 2, 3)) > 0).all()


@pytest.mark.parametrize("strategy", [L1Norm(), Max()])
def test_gray_in_three_channels_gives_what_gray_gives(densefuse, strategy):
    gray = images(2, seed=24)
    fused = Fusion(densefuse, strategy)([np.dstack([image] * 3) for image in gray])
    assert np.array_equal(fused, np.dstack([Fusion(densefuse, strategy)(gray)] * 3))


def test_separate_weights_make_each_channel_a_fusion_of_its_own(densefuse):
    sources = images(2, channels=3, seed=25)
    fused = Fusion(densefuse, L1Norm(), shared_weights=False)(sources)
    for channel in range(3):
        alone = Fusion(densefuse, L1Norm())([source[..., channel] for source in sources])
        assert np.array_equal(fused[..., channel], alone)


# ---------------------------------------------------------------- gray


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
def test_color_images_of_a_batch_do_not_influence_each_other(policy):
    batches = [uniform(seed, 3, 3, 8, 9) for seed in range(2)]
    fusion = Fusion(Identity(), Addition(), color="luma", range_policy=policy, scale="minmax")
    together = fusion(batches)
    for n in range(3):
        assert torch.equal(together[n], fusion([batch[n] for batch in batches]))


def test_in_luma_the_luminance_is_normalized_and_the_chroma_kept():
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
    # there is no color as bright as white
    fitted = Fusion(Identity(), Max(), color="luma", range_policy="clip")([white, blue])
    np.testing.assert_allclose(fitted, np.ones(raw.shape), atol=1e-6)


def test_chroma_is_that_of_the_scaled_source():
    """12 bits in 16: as if the image had been full."""
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


def test_a_luma_fusion_gives_the_pinned_values(densefuse):
    """Pinned in November 2026, with the weights densefuse@1e2; to a tenth of a gray level."""
    ramp = np.tile(np.arange(50, 170, 5, dtype=np.uint8), (16, 1))
    color = np.dstack([ramp + 40, ramp, ramp - 20])
    gray = np.tile(np.arange(0, 240, 15, dtype=np.uint8)[:, None], (1, 24))
    fused = Fusion(densefuse, L1Norm(r=1), color="luma", range_policy=None)([color, gray]) * 255
    pinned = [[71.15, 31.15, 11.15], [149.74, 109.74, 89.74], [233.07, 193.07, 173.07]]
    found = [fused[0, 0], fused[8, 12], fused[15, 23]]
    np.testing.assert_allclose(found, pinned, atol=0.1)


def test_other_color_modes_are_refused():
    with pytest.raises(FusionlabError, match="one of auto, per-channel, luma, gray, got 'hsv'"):
        Fusion(Identity(), Mean(), color="hsv")
