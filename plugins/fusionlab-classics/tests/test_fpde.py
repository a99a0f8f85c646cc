"""FPDE against the images of its authors' program, by hand, and its laws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab import Fusion, Scene
from fusionlab.testing import StrategyLaws
from fusionlab_classics.fpde import FPDE


def fuse(images, **parameters):
    """Fuse images (k, h, w) in gray levels."""
    features = torch.as_tensor(np.asarray(images, dtype=float))[:, None, None]
    return FPDE(**parameters).fuse(features, Scene(sources=features / 255))[0, 0].numpy()


def random_images(k, height, width, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (k, height, width))


@pytest.mark.parametrize("pair", ["s64", "s61"])
def test_synthetic_images_are_those_of_the_authors(assert_as_published, pair):
    assert_as_published(FPDE(variant="authors"), "fpde", pair)


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["01", "05", "08"])
def test_real_images_are_those_of_the_authors(assert_as_published, pair):
    assert_as_published(FPDE(variant="authors"), "fpde", pair)


@pytest.mark.parametrize("shape", [(7, 9), (2, 2), (3, 5)])
def test_the_base_follows_its_equation_with_the_gradients_of_numpy(shape):
    image = random_images(1, *shape)[0]
    expected = image
    for _ in range(15):
        second = [np.gradient(np.gradient(expected, axis=axis), axis=axis) for axis in (0, 1)]
        speed = 1 / (1 + (second[0] ** 2 + second[1] ** 2) / 16)
        for axis in (0, 1):
            flux = np.gradient(np.gradient(speed * second[axis], axis=axis), axis=axis)
            expected = expected - 0.9 * flux
    base = FPDE().bases(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(base, expected)


def test_ramps_have_no_detail_and_are_averaged():
    down, right = np.mgrid[0:12, 0:15].astype(float)
    ramps = [20 + 3 * down + right, 200 - 7 * right, 50 + 0 * down]
    np.testing.assert_allclose(fuse(ramps), np.mean(ramps, axis=0), atol=1e-9)


def test_the_authors_round_each_half_of_an_odd_gray_level_up():
    flat = np.stack([np.full((6, 6), level) for level in (101.0, 51)])
    np.testing.assert_allclose(fuse(flat), 76)
    np.testing.assert_allclose(fuse(flat, variant="authors"), 77)


@given(st.integers(0, 99), st.integers(1, 12), st.integers(1, 12), st.floats(0, 100))
@settings(max_examples=10, deadline=None)
def test_brightness_negatives_order_and_transposition(seed, height, width, offset):
    images = random_images(3, height, width, seed)
    fused = fuse(images)
    np.testing.assert_allclose(fuse(images + offset), fused + offset, atol=1e-6)
    np.testing.assert_allclose(fuse(255 - images), 255 - fused, atol=1e-6)
    np.testing.assert_allclose(fuse(images[[2, 0, 1]]), fused, atol=1e-6)
    np.testing.assert_allclose(fuse(images.transpose(0, 2, 1)), fused.T, atol=1e-6)


@pytest.mark.parametrize("variant", ["corrected", "authors"])
@pytest.mark.parametrize("tile", [16, 37])
def test_tiles_give_the_whole_image(variant, tile):
    images = list(random_images(2, 90, 71) / 255)
    strategy = FPDE(variant=variant, steps=4)
    whole, tiled = (
        Fusion("identity", strategy, range_policy=None, tile=edge).fuse(images).image
        for edge in (999, tile)
    )
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)


@pytest.mark.slow
class TestFPDE(StrategyLaws):
    strategy = FPDE
