"""GFF against the images of its authors' program, by hand, and its laws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab import Fusion, FusionlabError, Scene
from fusionlab.testing import StrategyLaws
from fusionlab_classics.gff import GFF

SMALL = {"base_radius": 4, "detail_radius": 2}


def fuse(images, **parameters):
    """Fuse images (k, h, w) in gray levels."""
    features = torch.as_tensor(np.asarray(images, dtype=float))[:, None, None]
    return GFF(**parameters).fuse(features, Scene(sources=features / 255))[0, 0].numpy()


def random_images(k, height, width, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (k, height, width))


@pytest.mark.parametrize("pair", ["s64", "s61"])
def test_synthetic_images_are_those_of_the_authors(assert_as_published, pair):
    """With base radius 20, since their program refuses images below 91 pixels with 45."""
    assert_as_published(GFF(variant="authors", base_radius=20), "gff", pair)


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["01", "05", "08"])
def test_real_images_are_those_of_the_authors(assert_as_published, pair):
    assert_as_published(GFF(variant="authors"), "gff", pair)


@pytest.mark.parametrize("pair", ["s64", "s61"])
def test_the_correction_changes_at_most_one_gray_level(sources, published, pair):
    fused = fuse(sources(pair), base_radius=20)
    # weights in steps of 1/255, and details up to 170 gray levels
    assert np.abs(fused - published("gff", pair)).max() < 1.5


def test_flat_images_tie_and_are_averaged():
    flat = np.stack([np.full((20, 20), level) for level in (100, 50)])
    np.testing.assert_allclose(fuse(flat), 75)
    np.testing.assert_allclose(fuse(flat, variant="authors"), 100, atol=1e-6)


@pytest.mark.parametrize("variant", ["corrected", "authors"])
def test_a_textured_image_beside_flat_ones_is_the_result(variant):
    images = np.stack([np.full((20, 30), 90), random_images(1, 20, 30)[0], np.full((20, 30), 7)])
    np.testing.assert_allclose(fuse(images, variant=variant), images[1], atol=1e-6)


@given(st.integers(0, 99), st.integers(1, 20), st.integers(1, 20), st.floats(0, 100))
@settings(max_examples=20, deadline=None)
def test_brightness_negatives_order_and_transposition(seed, height, width, offset):
    images = random_images(3, height, width, seed)
    fused = fuse(images, **SMALL)
    np.testing.assert_allclose(fuse(images + offset, **SMALL), fused + offset, atol=1e-6)
    np.testing.assert_allclose(fuse(255 - images, **SMALL), 255 - fused, atol=1e-6)
    np.testing.assert_allclose(fuse(images[[2, 0, 1]], **SMALL), fused, atol=1e-6)
    np.testing.assert_allclose(fuse(images.transpose(0, 2, 1), **SMALL), fused.T, atol=1e-6)


@pytest.mark.parametrize("variant", ["corrected", "authors"])
@pytest.mark.parametrize("tile", [16, 37])
def test_tiles_give_the_whole_image(variant, tile):
    images = list(random_images(2, 90, 71) / 255)
    strategy = GFF(variant=variant, **SMALL)
    whole, tiled = (
        Fusion("identity", strategy, range_policy=None, tile=edge).fuse(images).image
        for edge in (999, tile)
    )
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)


def test_the_support_covers_windows_saliency_and_mean():
    assert GFF().support == 96
    assert GFF(base_radius=1, detail_radius=1).support == 15
    assert GFF(base_radius=1, detail_radius=10).support == 26


@pytest.mark.parametrize("wrong", [{"base_radius": 0}, {"detail_eps": 0.0}, {"variant": "best"}])
def test_parameters_out_of_bounds_are_refused(wrong):
    with pytest.raises(FusionlabError, match=f"'{next(iter(wrong))}'"):
        GFF(**wrong)


@pytest.mark.slow
class TestGFF(StrategyLaws):
    strategy = GFF
