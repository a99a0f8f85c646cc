"""Multi-scale blending by identities, against SciPy, in tiles, and with wrong names."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d, uniform_filter

from fusionlab import Fusion, FusionlabError, Law, Scene, load_strategy
from fusionlab_strategies.multi_scale import MultiScale

KERNEL = np.array([0.05, 0.25, 0.4, 0.25, 0.05])
INFRARED = "multi_scale,levels=5,r=1,power=4,base=saliency,detail=saliency;side:bright"


def random_features(k, channels, height, width, seed=0):
    values = np.random.default_rng(seed).normal(0, 50, (k, channels, height, width))
    return torch.from_numpy(values)[:, None]


def fuse(features, sources=None, **parameters):
    """Fuse features (k, 1, C, h, w) in float64, and return (C, h, w)."""
    scene = Scene(sources=features[:, :, :1] / 255 if sources is None else sources)
    return MultiScale(**parameters).fuse(features, scene)[0].numpy()


# ------------------------------------------------- an independent program


def filtered(maps, kernel):
    for axis in (-2, -1):
        maps = correlate1d(maps, kernel, axis=axis, mode="mirror")
    return maps


def expanded(maps, shape):
    with_zeros = np.zeros(shape)
    with_zeros[..., ::2, ::2] = maps
    return filtered(with_zeros, 2 * KERNEL)


def window_mean(activity, r):
    """Average over the pixels of a window that lie inside the image."""
    size, ones = 2 * r + 1, np.ones_like(activity[0])
    inside = uniform_filter(ones, size, mode="constant")
    return np.array([uniform_filter(a, size, mode="constant") / inside for a in activity])


def reference(features, base, detail, levels, r, power):
    """Features (k, C, h, w), weights (k, h, w)."""
    merged = []
    for _ in range(levels):
        coarser = filtered(features, KERNEL)[..., ::2, ::2]
        details = features - expanded(coarser, features.shape)
        weights = (detail + 1e-3) * window_mean(np.abs(details).sum(axis=1), r) ** power
        weights /= weights.sum(axis=0)
        merged.append((weights[:, None] * details).sum(axis=0))
        features = coarser
        base, detail = (filtered(w, KERNEL)[..., ::2, ::2] for w in (base, detail))
    fused = (base[:, None] * features).sum(axis=0)
    for details in reversed(merged):
        fused = expanded(fused, details.shape) + details
    return fused


@pytest.mark.parametrize(("r", "power"), [(0, 1.0), (2, 4.0), (1, 0.0)])
@pytest.mark.parametrize("size", [(16, 24), (21, 35)])
def test_the_result_is_that_of_an_independent_program(r, power, size):
    features = random_features(3, 4, *size)
    sources = torch.rand(3, 1, 1, *size, dtype=torch.float64)
    fused = fuse(
        features, sources, levels=3, r=r, power=power, base="saliency", detail="l1norm;r:2"
    )
    scene = Scene(sources=sources)
    base, detail = (
        load_strategy(name).weights(features, scene)[:, 0, 0].numpy()
        for name in ("saliency", "l1norm,r=2")
    )
    expected = reference(features[:, 0].numpy(), base, detail, 3, r, power)
    np.testing.assert_allclose(fused, expected, rtol=1e-9, atol=1e-9)


# ------------------------------------------------- identities


def test_equal_weights_without_activity_are_the_average():
    features = random_features(3, 2, 20, 30)
    expected = features.mean(dim=0)[0].numpy()
    np.testing.assert_allclose(fuse(features, power=0.0), expected, rtol=1e-9, atol=1e-9)


def test_global_weights_are_not_changed_by_the_pyramid():
    features = random_features(2, 2, 20, 30)
    sources = torch.rand(2, 1, 1, 20, 30, dtype=torch.float64)
    name = {"base": "entropy_global", "detail": "entropy_global", "power": 0.0}
    expected = load_strategy("entropy_global").fuse(features, Scene(sources=sources))[0].numpy()
    # the floor of 0.001 makes the weights of the details more alike
    np.testing.assert_allclose(fuse(features, sources, **name), expected, atol=2e-3 * 255)


def test_detail_that_one_source_has_is_kept_whole():
    features = torch.zeros(2, 1, 3, 32, 32, dtype=torch.float64)
    features[0, 0, :, 10:14, 10:14] = 100  # its mean over the coarsest level is halved
    fused = fuse(features, levels=4, r=0, power=8.0)
    contrast = fused[:, 11, 11] - fused[:, 11, 30]
    assert (contrast > 97).all()


def test_nearly_tied_details_are_blended_not_chosen():
    """Where activities cross, the result changes smoothly."""
    features = random_features(1, 2, 16, 16).repeat(2, 1, 1, 1, 1)
    first = fuse(features * torch.tensor([1.0, 1.0001]).view(2, 1, 1, 1, 1))
    second = fuse(features * torch.tensor([1.0001, 1.0]).view(2, 1, 1, 1, 1))
    np.testing.assert_allclose(first, second, atol=1e-2)


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (3, 3), (5, 4)])
def test_small_images_get_fewer_levels(size):
    features = random_features(2, 2, *size)
    assert np.isfinite(fuse(features)).all()
    if min(size) < 3:
        np.testing.assert_allclose(fuse(features), features.mean(dim=0)[0].numpy())


# ------------------------------------------------- the weights of other strategies


@pytest.mark.parametrize("backbone", ["identity", "densefuse"])
@pytest.mark.parametrize("method", [INFRARED, "multi_scale,base=well_exposed,detail=well_exposed"])
def test_tiles_give_the_whole_image_with_weights_that_need_statistics(backbone, method):
    rng = np.random.default_rng(0)
    sources = [rng.uniform(0, 1, (70, 90)) * np.linspace(0.2, 1, 90) for _ in range(2)]
    whole = Fusion(backbone, method, range_policy=None, tile=10**4)(sources)
    tiled = Fusion(backbone, method, range_policy=None, tile=32)(sources)
    # rounding of float32 in up to five levels; one gray level is 4e-3
    np.testing.assert_allclose(tiled, whole, atol=2e-5)


def test_the_laws_and_the_support_follow_from_the_weights():
    assert Law.SCALE in MultiScale().laws
    assert Law.SCALE not in MultiScale(base="spatial_softmax").laws
    assert MultiScale(levels=3, r=2).support == 4 * 7 + 8
    assert MultiScale(levels=1, r=0, base="l1norm;r:9").support == 4 + 9
    assert MultiScale(base="saliency").two_pass
    assert not MultiScale().two_pass


@pytest.mark.parametrize(
    ("name", "code"),
    [("max", "not-weights"), ("multi_scale", "not-weights"), ("nothing", "unknown-name")],
)
def test_what_does_not_weight_the_sources_is_refused(name, code):
    with pytest.raises(FusionlabError) as error:
        MultiScale(base=name)
    assert error.value.code == code


def test_the_method_can_be_read_back_from_its_name():
    strategy = load_strategy(INFRARED)
    assert strategy.detail == "saliency;side:bright"
    assert Fusion("identity", INFRARED).method.endswith(
        "multi_scale,levels=5,r=1,power=4.0,base=saliency,detail=saliency;side:bright"
    )
