"""ADF against the images of its authors' program, by hand, and its laws."""

from math import exp

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab import Fusion, Scene
from fusionlab.testing import StrategyLaws
from fusionlab_classics.adf import ADF


def fuse(images, **parameters):
    """Fuse images (k, h, w) in gray levels."""
    features = torch.as_tensor(np.asarray(images, dtype=float))[:, None, None]
    return ADF(**parameters).fuse(features, Scene(sources=features / 255))[0, 0].numpy()


def random_images(k, height, width, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (k, height, width))


@pytest.mark.parametrize("pair", ["s64", "s61"])
def test_synthetic_images_are_those_of_the_authors(assert_as_published, pair):
    assert_as_published(ADF(variant="authors"), "adf", pair)


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["01", "05", "08"])
def test_real_images_are_those_of_the_authors(assert_as_published, pair):
    assert_as_published(ADF(variant="authors"), "adf", pair)


def test_one_step_by_hand():
    """A dot of 30 = kappa on black: every neighbor receives 0.15 x 30/e, or half of that."""
    dot = np.zeros((3, 3))
    dot[1, 1] = 30
    flow = 0.15 * 30 * exp(-1)
    base = [[flow / 2, flow, flow / 2], [flow, 30 - 6 * flow, flow], [flow / 2, flow, flow / 2]]
    # the flat image has no detail: the dot has weight 1
    expected = (np.array(base) + 90) / 2 + (dot - base)
    np.testing.assert_allclose(fuse([dot, np.full((3, 3), 90.0)], steps=1), expected)


def test_the_border_drains_only_the_base_of_the_authors():
    """Flat gray: one step takes 0.15 g(d) d from the rim for each neighbor that is missing."""
    flat = torch.full((1, 1, 1, 5, 5), 20.0, dtype=torch.float64)
    assert torch.equal(ADF(steps=1).bases(flat), flat)
    drained = ADF(steps=1, variant="authors").bases(flat)[0, 0, 0]
    loss = 0.15 * exp(-((20 / 30) ** 2)) * 20
    assert drained[2, 2] == 20
    assert drained[0, 2].item() == pytest.approx(20 - 2 * loss)  # one direct, two diagonal ones
    assert drained[0, 0].item() == pytest.approx(20 - 3.5 * loss)  # two direct, three diagonal ones


@given(st.integers(0, 99), st.integers(1, 12), st.integers(1, 12), st.floats(0, 100))
@settings(max_examples=10, deadline=None)
def test_brightness_negatives_order_and_transposition(seed, height, width, offset):
    images = random_images(3, height, width, seed)
    fused = fuse(images)
    np.testing.assert_allclose(fuse(images + offset), fused + offset, atol=1e-6)
    np.testing.assert_allclose(fuse(255 - images), 255 - fused, atol=1e-6)
    np.testing.assert_allclose(fuse(images[[2, 0, 1]]), fused, atol=1e-6)
    np.testing.assert_allclose(fuse(images.transpose(0, 2, 1)), fused.T, atol=1e-6)


@given(st.integers(0, 99), st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=10, deadline=None)
def test_the_base_keeps_the_mean_and_the_range(seed, height, width):
    images = torch.from_numpy(random_images(1, height, width, seed))[:, None, None]
    base = ADF().bases(images)
    assert base.mean().item() == pytest.approx(images.mean().item())
    assert images.min() - 1e-9 <= base.min() <= base.max() <= images.max() + 1e-9


@pytest.mark.parametrize("variant", ["corrected", "authors"])
@pytest.mark.parametrize("tile", [16, 37])
def test_tiles_give_the_whole_image(variant, tile):
    images = list(random_images(2, 90, 71) / 255)
    whole, tiled = (
        Fusion("identity", ADF(variant=variant), range_policy=None, tile=edge).fuse(images).image
        for edge in (999, tile)
    )
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)


@pytest.mark.slow
class TestADF(StrategyLaws):
    strategy = ADF
