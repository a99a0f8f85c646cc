"""HMSD_GF and Hybrid_MSD against the images of their authors' programs, by hand, and their laws."""

import numpy as np
import pytest
import torch

from fusionlab import Fusion, FusionlabError, Scene
from fusionlab.testing import StrategyLaws
from fusionlab_classics.common.filters import gaussian_filter
from fusionlab_classics.common.hybrid_scales import BASE_RADIUS, BASE_SIGMA, smoothed_widely
from fusionlab_classics.hmsd_gf import HMSDGF
from fusionlab_classics.hybrid_msd import HybridMSD

METHODS = {"hmsd_gf": HMSDGF, "hybrid_msd": HybridMSD}

each_method = pytest.mark.parametrize("name", METHODS)


def fuse(strategy, infrared, visible):
    """Fuse two images (h, w) in gray levels."""
    features = torch.as_tensor(np.stack([infrared, visible]).astype(float))[:, None, None]
    return strategy.fuse(features, Scene(sources=features / 255))[0, 0].numpy()


def random_image(height, width, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (height, width))


@each_method
@pytest.mark.parametrize("pair", ["s64", "s61"])
def test_synthetic_images_are_those_of_the_authors(assert_as_published, name, pair):
    assert_as_published(METHODS[name](variant="authors"), name, pair)


@pytest.mark.slow
@each_method
@pytest.mark.parametrize("pair", ["01", "05", "08"])
def test_real_images_are_those_of_the_authors(assert_as_published, name, pair):
    assert_as_published(METHODS[name](variant="authors"), name, pair)


@each_method
def test_an_infrared_image_without_edges_leaves_the_visible_one(name):
    visible = random_image(20, 33)
    fused = fuse(METHODS[name](), np.full((20, 33), 200), visible)
    np.testing.assert_allclose(fused, visible, atol=1e-9)


@each_method
def test_a_visible_image_without_edges_has_infrared_details_where_they_are_largest(name):
    """Far from the dot nothing changes; at its center the infrared details are added in full."""
    infrared, visible = np.full((61, 61), 50.0), np.full((61, 61), 120.0)
    infrared[28:33, 28:33] = 250
    fused = fuse(METHODS[name](), infrared, visible)
    assert fused[30, 30] > fused[0, 0] + 100
    assert fused.max() == fused[28:33, 28:33].max()


@each_method
def test_equal_images_give_that_image(name):
    image = random_image(21, 18)
    np.testing.assert_allclose(fuse(METHODS[name](), image, image), image, atol=1e-9)


@pytest.mark.parametrize("strategy", [HMSDGF(), HMSDGF(variant="authors"), HybridMSD()])
@pytest.mark.parametrize("shape", [(12, 700), (640, 9)])
def test_tiles_give_the_whole_image(strategy, shape):
    """Strips longer than two halos, so that tiles see a part of the image only."""
    smooth = torch.from_numpy(np.stack([random_image(*shape, seed) for seed in (0, 1)]) / 255)
    smooth[0] = gaussian_filter(smooth[0], 6, 2, "symmetric")
    images = list(smooth.numpy())
    whole, tiled = (
        Fusion("identity", strategy, range_policy=None, tile=edge).fuse(images).image
        for edge in (999, 150)
    )
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)


def test_only_local_variants_have_a_support():
    assert HMSDGF().support == 2 * (2 + 4 + 8 + 16) + 192
    assert HMSDGF(variant="authors").support == 252
    assert HybridMSD().support == 7 + 14 + 28 + 56 + 192
    assert HybridMSD(variant="authors").support is None


@pytest.mark.parametrize(
    ("ratio", "corrected", "authors"),
    [(0.5, 100, 100), (0.8, 100, 100), (1, 600, 600), (1.58, 2000, 2050), (3, 2000, 2000)],
)
def test_the_steepness_follows_from_the_saliencies(ratio, corrected, authors):
    statistics = {
        "weighted": torch.tensor([ratio, 2.0], dtype=torch.float64).view(1, 2, 1, 1),
        "total": torch.tensor([1.0, 2], dtype=torch.float64).view(1, 2, 1, 1),
    }
    assert HMSDGF().steepness(statistics).item() == pytest.approx(corrected)
    assert HMSDGF(variant="authors").steepness(statistics).item() == pytest.approx(authors)


def test_the_authors_result_of_guided_filters_is_brighter():
    images = random_image(20, 25), random_image(20, 25, 1)
    expected = fuse(HMSDGF(), *images) * 275 / 255
    np.testing.assert_allclose(fuse(HMSDGF(variant="authors"), *images), expected)


@pytest.mark.parametrize("shape", [(5, 300), (1, 1)])
def test_the_wide_gaussian_mirrors_its_image_repeatedly(shape):
    image = torch.from_numpy(random_image(*shape))
    expected = gaussian_filter(image, BASE_RADIUS, BASE_SIGMA, "symmetric")
    torch.testing.assert_close(smoothed_widely(image), expected)


def test_images_too_large_for_the_variant_of_the_authors_are_refused_with_the_bytes():
    images = torch.zeros(2, 1, 1, 1, 1).expand(2, 1, 1, 3000, 4000)
    with pytest.raises(FusionlabError, match=r"6\.7 GiB \(7200000000 bytes\)") as error:
        HybridMSD(variant="authors").decompose(images, Scene(sources=images))
    assert error.value.code == "too-large"


def test_three_sources_are_refused_with_the_roles():
    with pytest.raises(FusionlabError, match="infrared, visible"):
        Fusion(strategy=HMSDGF())([random_image(9, 9).astype(np.uint8)] * 3)


@pytest.mark.slow
class TestHMSDGF(StrategyLaws):
    strategy = HMSDGF


@pytest.mark.slow
class TestHybridMSD(StrategyLaws):
    strategy = HybridMSD
