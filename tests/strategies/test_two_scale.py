"""Two scales by identities, against SciPy, at an edge, in tiles, and with wrong names."""

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from fusionlab import Fusion, FusionlabError, Law, Scene, load_strategy
from fusionlab_strategies.two_scale import TwoScale

WARM = "two_scale,radius=4,power=4,base=saliency,detail=saliency;side:bright"


def random_features(k, channels, height, width, seed=0):
    values = np.random.default_rng(seed).normal(0, 50, (k, channels, height, width))
    return torch.from_numpy(values)[:, None]


def fuse(features, sources=None, **parameters):
    """Fuse features (k, 1, C, h, w) in float64, and return (C, h, w)."""
    scene = Scene(sources=features[:, :, :1] / 255 if sources is None else sources)
    return TwoScale(**parameters).fuse(features, scene)[0].numpy()


# ------------------------------------------------- an independent program


def mean(maps, r):
    """Average over the pixels of a window that lie inside the image."""
    size = (*(1,) * (maps.ndim - 2), 2 * r + 1, 2 * r + 1)
    ones = np.ones_like(maps)
    return uniform_filter(maps, size, mode="constant") / uniform_filter(ones, size, mode="constant")


def smoothed(maps, guide, smooth):
    """Smooth (k, C, h, w), guided by (k, 1, h, w)."""
    if smooth == "box":
        return mean(mean(maps, 3), 3)
    covariance = mean(guide * maps, 3) - mean(guide, 3) * mean(maps, 3)
    slope = covariance / (mean(guide**2, 3) - mean(guide, 3) ** 2 + 0.02)
    return mean(slope, 3) * guide + mean(mean(maps, 3) - slope * mean(guide, 3), 3)


@pytest.mark.parametrize("smooth", ["guided", "box"])
def test_the_result_is_that_of_an_independent_program(smooth):
    features = random_features(3, 4, 21, 30)
    sources = torch.rand(3, 1, 1, 21, 30, dtype=torch.float64)
    settings = {"radius": 3, "eps": 0.02, "smooth": smooth, "r": 1, "power": 2.0}
    fused = fuse(features, sources, **settings, base="saliency", detail="l1norm;r:2")
    scene = Scene(sources=sources)
    base, detail = (
        load_strategy(name).weights(features, scene)[:, 0].numpy()
        for name in ("saliency", "l1norm,r=2")
    )
    values, guide = features[:, 0].numpy(), sources[:, 0].numpy()
    bases = smoothed(values, guide, smooth)
    weights = smoothed(base, guide, smooth).clip(min=0)
    details = values - bases
    activity = mean(np.abs(details).sum(axis=1, keepdims=True), 1)
    favors = (detail + 1e-3) * activity**2
    expected = (weights / weights.sum(axis=0) * bases).sum(axis=0)
    expected += (favors / favors.sum(axis=0) * details).sum(axis=0)
    np.testing.assert_allclose(fused, expected, rtol=1e-9, atol=1e-9)


# ------------------------------------------------- identities


def test_equal_weights_without_activity_are_the_average():
    features = random_features(3, 2, 20, 30)
    expected = features.mean(dim=0)[0].numpy()
    np.testing.assert_allclose(fuse(features, power=0.0), expected, rtol=1e-9, atol=1e-9)


def test_an_edge_has_a_halo_with_box_averages_and_none_along_edges():
    step = torch.zeros(2, 1, 1, 40, 60, dtype=torch.float64)
    step[0, ..., 30:] = 200
    step[1] = 100
    row = {smooth: fuse(step, radius=4, smooth=smooth)[0, 20] for smooth in ("guided", "box")}
    flat = row["box"][15], row["box"][45]
    assert row["box"].min() < flat[0] - 20
    assert row["box"].max() > flat[1] + 20
    assert row["guided"].min() > flat[0] - 4
    assert row["guided"].max() < flat[1] + 4


# ------------------------------------------------- the weights of other strategies


@pytest.mark.parametrize("backbone", ["identity", "densefuse"])
@pytest.mark.parametrize("smooth", ["guided", "box"])
def test_tiles_give_the_whole_image_with_weights_that_need_statistics(backbone, smooth):
    rng = np.random.default_rng(0)
    sources = [rng.uniform(0, 1, (70, 90)) * np.linspace(0.2, 1, 90) for _ in range(2)]
    method = f"{WARM},smooth={smooth}"
    whole = Fusion(backbone, method, range_policy=None, tile=10**4)(sources)
    tiled = Fusion(backbone, method, range_policy=None, tile=32)(sources)
    # rounding of float32, divided by the variance of the guide; one gray level is 4e-3
    np.testing.assert_allclose(tiled, whole, atol=2e-5)


def test_the_laws_and_the_support_follow_from_the_weights():
    assert Law.SCALE in TwoScale().laws
    assert Law.SCALE not in TwoScale(base="spatial_softmax").laws
    assert TwoScale(radius=7, r=3).support == 2 * 7 + 3
    assert TwoScale(radius=1, r=0, base="l1norm;r:9").support == 2 + 9
    assert TwoScale(radius=1, r=0, detail="l1norm;r:9").support == 9
    assert TwoScale(detail="saliency").two_pass
    assert not TwoScale().two_pass


@pytest.mark.parametrize(
    ("name", "code"),
    [("max", "not-weights"), ("two_scale", "not-weights"), ("nothing", "unknown-name")],
)
def test_what_does_not_weight_the_sources_is_refused(name, code):
    with pytest.raises(FusionlabError) as error:
        TwoScale(detail=name)
    assert error.value.code == code
