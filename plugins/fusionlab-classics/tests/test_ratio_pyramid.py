"""The ratio pyramid by hand, in numpy, and both pyramids against the toolbox of the literature."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import correlate1d

from fusionlab import Fusion, Scene, load_strategy
from fusionlab.testing import StrategyLaws
from fusionlab_classics.ratio_pyramid import RatioPyramid

KERNEL = np.array([0.05, 0.25, 0.4, 0.25, 0.05])
TOOLBOX = "select=consistency,variant=authors"


def test_laws_hold_for_a_few_inputs(broken_laws):
    assert not broken_laws(RatioPyramid)


@pytest.mark.slow
class TestLaws(StrategyLaws):
    strategy = RatioPyramid


@pytest.mark.parametrize("method", ["laplacian_pyramid", "ratio_pyramid"])
@pytest.mark.parametrize("pair", ["s64", "s61"])
def test_the_toolbox_saves_the_same_image(method, pair, assert_as_published):
    assert_as_published(load_strategy(f"{method},{TOOLBOX}"), method, pair)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["laplacian_pyramid", "ratio_pyramid"])
@pytest.mark.parametrize("pair", ["01", "05", "08"])
def test_the_toolbox_saves_the_same_image_of_real_pairs(method, pair, assert_as_published):
    assert_as_published(load_strategy(f"{method},{TOOLBOX}"), method, pair)


def fuse(images, **parameters):
    features = torch.as_tensor(np.asarray(images, dtype=np.float64))[:, None, None]
    return RatioPyramid(**parameters).fuse(features, Scene(sources=features / 255))[0, 0].numpy()


def random_images(k, height, width, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (k, height, width))


def filtered(image, kernel):
    for axis in (0, 1):
        image = correlate1d(image, kernel, axis=axis, mode="mirror")
    return image


def expanded(image, shape):
    with_zeros = np.zeros(shape)
    with_zeros[::2, ::2] = image
    return filtered(with_zeros, 2 * KERNEL)


def reference(images, levels):
    gaussian, ratios = list(np.asarray(images) + 1), []
    while levels > len(ratios) and min(gaussian[0].shape) > 2:
        coarser = [filtered(image, KERNEL)[::2, ::2] for image in gaussian]
        parts = np.stack([g / expanded(c, g.shape) for g, c in zip(gaussian, coarser, strict=True)])
        chosen = np.abs(parts - 1).argmax(axis=0)[None]
        ratios.append(np.take_along_axis(parts, chosen, axis=0)[0])
        gaussian = coarser
    fused = np.mean(gaussian, axis=0)
    for ratio in reversed(ratios):
        fused = expanded(fused, ratio.shape) * ratio
    return fused - 1


@pytest.mark.parametrize("shape", [(3, 3), (53, 61), (17, 200), (2, 30)])
@pytest.mark.parametrize("k", [2, 3])
def test_the_filters_of_scipy_agree(k, shape):
    images = random_images(k, *shape)
    np.testing.assert_allclose(fuse(images, levels=4), reference(images, 4), rtol=1e-9, atol=1e-9)


def test_the_larger_contrast_is_kept_whether_bright_or_dark():
    """A dark dot of contrast -0.7 or so in one source, a bright one of +0.3 in the other."""
    images = np.full((2, 31, 31), 99.0)
    images[0, 15, 15], images[1, 15, 15] = 19, 139
    assert fuse(images)[15, 15] < 60
    assert fuse(images, variant="authors")[15, 15] > 120


@given(st.integers(0, 99), st.floats(1, 8))
def test_images_so_much_brighter_give_a_result_so_much_brighter(seed, factor):
    """Ratios do not depend on the light, apart from the gray level that is added."""
    images = random_images(2, 12, 15, seed)
    brighter = factor * (images + 1) - 1
    np.testing.assert_allclose(fuse(brighter) + 1, factor * (fuse(images) + 1), rtol=1e-9)


@pytest.mark.parametrize("options", [{}, {"select": "consistency"}])
def test_black_images_stay_black(options):
    assert np.abs(fuse(np.zeros((2, 20, 30)), **options)).max() < 1e-9


@pytest.mark.parametrize("options", [{}, {"select": "consistency", "variant": "authors"}])
def test_tiles_give_exactly_the_whole_image(options):
    sources = list(random_images(2, 150, 233).astype(np.uint8))
    whole, tiled = (
        Fusion("identity", RatioPyramid(levels=3, **options), range_policy=None, tile=tile)(sources)
        for tile in (10**6, 50)
    )
    assert np.array_equal(whole, tiled)


def test_a_pinned_value():
    """Made by this program, after the tests above had passed."""
    images = np.arange(2 * 21 * 30.0).reshape(2, 21, 30)
    assert np.square(fuse(100 * np.sin(images) + 128)).sum() == pytest.approx(
        14847392.431, rel=1e-6
    )
