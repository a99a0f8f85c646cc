"""The cross bilateral filter by its definition, by hand, and against its author's program."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab import Fusion, FusionlabError, Law, Scene
from fusionlab.testing import StrategyLaws
from fusionlab_classics.cbf import CBF, _strengths, cross_bilateral


def random_images(k, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (k, height, width)).astype(float)


def fuse(images, **parameters):
    """Fuse images (k, h, w) in gray levels."""
    features = torch.as_tensor(np.asarray(images))[:, None, None]
    return CBF(**parameters).fuse(features, Scene(sources=features))[0, 0].numpy()


def windows(maps, half):
    """Return the windows `(..., h, w, edge, edge)` of mirrored maps."""
    padded = np.pad(maps, [(0, 0)] * (maps.ndim - 2) + [(half, half)] * 2, mode="reflect")
    edge = 2 * half + 1
    return np.lib.stride_tricks.sliding_window_view(padded, (edge, edge), axis=(-2, -1))


def reference(images, sigma_s, sigma_r):
    """Return what the filter makes of each image, and its weights before normalization."""
    y, x = np.mgrid[-5:6, -5:6]
    neighbors = windows(images, 5)
    distances = (neighbors - images[..., None, None]) ** 2
    filtered = []
    for i in range(len(images)):
        others = sum(distances[j] for j in range(len(images)) if j != i)
        weights = np.exp(-(x**2 + y**2) / (2 * sigma_s**2) - others / (2 * sigma_r**2))
        filtered.append((weights * neighbors[i]).sum((-2, -1)) / weights.sum((-2, -1)))
    details = windows(images - filtered, 2)
    strengths = sum(details.var(axis=axis, ddof=1).sum(axis=-1) for axis in (-2, -1))
    return np.array(filtered), strengths


@pytest.mark.parametrize("shape", [(17, 14), (4, 3), (1, 6)])
@pytest.mark.parametrize("k", [2, 4])
def test_the_definition_pixel_by_pixel(k, shape):
    """Written down once more in numpy; also for images smaller than the windows."""
    images = random_images(k, *shape)
    filtered, strengths = reference(images, 1.8, 25)
    result = cross_bilateral(torch.tensor(images), 1.8, 25).numpy()
    np.testing.assert_allclose(result, filtered, rtol=0, atol=1e-10)
    expected = (strengths * images).sum(axis=0) / strengths.sum(axis=0)
    for variant in ("corrected", "authors"):
        np.testing.assert_allclose(fuse(images, variant=variant), expected, rtol=0, atol=1e-7)


def test_the_strength_of_a_ramp_by_hand():
    """Five rows of variance 2.5; the columns are constant."""
    ramp = torch.arange(9, dtype=torch.float64).expand(7, 9)
    assert (_strengths(ramp)[:, 2:-2] == 12.5).all()


@pytest.mark.parametrize("pair", ["s64", "s61"])
@pytest.mark.parametrize("variant", ["authors", "corrected"])
def test_the_image_of_the_authors_program(assert_as_published, pair, variant):
    """Both variants: these pairs have noise everywhere."""
    assert_as_published(CBF(variant=variant), "cbf", pair)


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["05", "08"])
@pytest.mark.parametrize("variant", ["authors", "corrected"])
def test_the_images_of_the_authors_program_for_real_pairs(assert_as_published, pair, variant):
    assert_as_published(CBF(variant=variant), "cbf", pair)


def test_where_no_source_has_detail_the_result_is_their_mean():
    flat = np.broadcast_to(np.array([10.3, 90.7]).reshape(2, 1, 1), (2, 24, 20)).copy()
    np.testing.assert_allclose(fuse(flat), 50.5, atol=1e-6)


def test_the_authors_program_prefers_no_detail_to_faint_detail():
    """It replaces weights of exactly zero by 2^-52."""
    images = np.full((2, 20, 20), 10.0)
    images[1] += 80 + 1e-9 * random_images(1, 20, 20)[0] / 255
    assert fuse(images, variant="authors").max() < 15
    assert fuse(images).min() > 40


def test_a_source_without_detail_has_no_weight():
    images = random_images(2, 20, 20)
    images[1] = 128
    np.testing.assert_allclose(fuse(images), images[0], atol=1e-6)


@given(st.integers(2, 3), st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_negatives_give_the_negative_and_brighter_images_a_brighter_result(k, height, width, seed):
    images = random_images(k, height, width, seed) / 2
    fused = fuse(images)
    np.testing.assert_allclose(fuse(127 - images), 127 - fused, atol=1e-6)
    np.testing.assert_allclose(fuse(images + 100), fused + 100, atol=1e-6)


def test_tiles_give_the_whole_image():
    images = list(random_images(2, 61, 47).astype(np.uint8))
    whole, tiled = (
        Fusion("identity", CBF(), range_policy=None, tile=tile)(images) for tile in (99, 16)
    )
    assert np.array_equal(whole, tiled)


def test_gradients_are_those_of_finite_differences():
    images = torch.tensor(random_images(2, 3, 4))[:, None, None].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: CBF().fuse(x, Scene(sources=x.detach())), (images,), fast_mode=True
    )


@pytest.mark.parametrize("wrong", [{"sigma_s": 0.1}, {"sigma_r": 0}, {"variant": "paper"}])
def test_parameters_out_of_bounds_are_refused(wrong):
    with pytest.raises(FusionlabError, match=f"'{next(iter(wrong))}'"):
        CBF(**wrong)


def test_laws_hold_for_a_few_inputs(broken_laws):
    assert broken_laws(CBF, without={Law.DERIVATIVE}) == []


@pytest.mark.slow
class TestCBF(StrategyLaws):
    strategy = CBF
