"""TIF against the images of its authors' program, by hand, and its laws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import median_filter

from fusionlab import Fusion, Scene
from fusionlab.testing import StrategyLaws
from fusionlab_classics.common.filters import extend
from fusionlab_classics.tif import TIF, median_3x3


def fuse(images, **parameters):
    """Fuse images (k, h, w) in gray levels."""
    features = torch.as_tensor(np.asarray(images, dtype=float))[:, None, None]
    return TIF(**parameters).fuse(features, Scene(sources=features / 255))[0, 0].numpy()


def random_images(k, height, width, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (k, height, width))


@pytest.mark.parametrize("pair", ["s64", "s61"])
def test_synthetic_images_are_those_of_the_authors(assert_as_published, pair):
    assert_as_published(TIF(variant="authors"), "tif", pair)


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["01", "05", "08"])
def test_real_images_are_those_of_the_authors(assert_as_published, pair):
    assert_as_published(TIF(variant="authors"), "tif", pair)


@pytest.mark.parametrize(("border", "mode"), [("zero", "constant"), ("replicate", "nearest")])
@pytest.mark.parametrize("shape", [(12, 9), (1, 1), (2, 5)])
def test_the_median_is_that_of_scipy(shape, border, mode):
    image = np.random.default_rng(0).integers(0, 9, shape).astype(float)  # with many ties
    median = median_3x3(extend(torch.from_numpy(image), 1, 1, border))
    assert np.array_equal(median, median_filter(image, 3, mode=mode))


def test_by_hand():
    """A dot of 9 on black: mean 1, median 0. The flat image has no saliency, so no detail."""
    dot = np.zeros((3, 3))
    dot[1, 1] = 9
    fused = fuse([dot, np.full((3, 3), 6)], radius=1)
    assert fused[1, 1] == pytest.approx((1 + 6) / 2 + (9 - 1))
    # at the corner the window has four pixels
    assert fused[0, 0] == pytest.approx((9 / 4 + 6) / 2 + (0 - 9 / 4))


def test_flat_images_are_averaged_and_black_in_the_program_of_the_authors():
    flat = np.stack([np.full((40, 40), level) for level in (100, 50, 30)])
    np.testing.assert_allclose(fuse(flat), 60)
    inner = fuse(flat, variant="authors")[1:-1, 1:-1]
    assert (inner == 0).all()


@given(st.integers(0, 99), st.integers(1, 20), st.integers(1, 20), st.floats(0, 100))
@settings(max_examples=20, deadline=None)
def test_brightness_negatives_order_and_transposition(seed, height, width, offset):
    images = random_images(3, height, width, seed)
    fused = fuse(images, radius=3)
    np.testing.assert_allclose(fuse(images + offset, radius=3), fused + offset, atol=1e-6)
    np.testing.assert_allclose(fuse(255 - images, radius=3), 255 - fused, atol=1e-6)
    np.testing.assert_allclose(fuse(images[[2, 0, 1]], radius=3), fused, atol=1e-6)
    np.testing.assert_allclose(fuse(images.transpose(0, 2, 1), radius=3), fused.T, atol=1e-6)


@given(st.integers(0, 99), st.integers(0, 19), st.integers(0, 29))
@settings(max_examples=10, deadline=None)
def test_the_program_of_the_authors_has_an_image_without_borders_for_the_mean(seed, down, right):
    """Inside, where the median needs no border, a rolled image gives the result rolled."""
    images = random_images(2, 20, 30, seed)
    fused = fuse(images, variant="authors", radius=4)
    rolled = fuse(np.roll(images, (down, right), (1, 2)), variant="authors", radius=4)
    back = np.roll(rolled, (-down, -right), (0, 1))
    inside = np.pad(np.ones((18, 28), bool), 1)
    both = inside & np.roll(inside, (-down, -right), (0, 1))
    np.testing.assert_allclose(back[both], fused[both], atol=1e-6)


@pytest.mark.parametrize("tile", [16, 37])
def test_tiles_give_the_whole_image(tile):
    images = list(random_images(2, 90, 71) / 255)
    whole, tiled = (
        Fusion("identity", TIF(radius=5), range_policy=None, tile=edge).fuse(images).image
        for edge in (999, tile)
    )
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)


def test_only_the_corrected_variant_is_local():
    assert TIF().support == 17
    assert TIF(variant="authors").support is None


def test_laws_hold_for_a_few_inputs(broken_laws):
    assert broken_laws(TIF) == []


@pytest.mark.slow
class TestTIF(StrategyLaws):
    strategy = TIF
