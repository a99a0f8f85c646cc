"""Saliency and weighted least squares: by hand, against the authors' program, in tiles."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab import Fusion, FusionlabError, Scene
from fusionlab.testing import StrategyLaws
from fusionlab_classics.wls import WLS, _saliency

FOLDERS = {"visible_first": "wls_vis_first", "infrared_first": "wls_ir_first"}


def random_images(k, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (k, height, width)).astype(float)


def fuse(images, **parameters):
    """Fuse images (2, h, w) in gray levels."""
    features = torch.as_tensor(np.asarray(images, dtype=float))[:, None, None]
    return WLS(**parameters).fuse(features, Scene(sources=features / 255))[0, 0].numpy()


@pytest.mark.parametrize("pair", ["s64", "s61"])
@pytest.mark.parametrize("order", FOLDERS)
def test_the_image_of_the_authors_program(assert_as_published, order, pair):
    """Both variants are the same where no source is constant."""
    variant = "authors" if pair == "s64" else "corrected"
    assert_as_published(WLS(order=order, variant=variant), FOLDERS[order], pair)


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["01", "05", "08"])
@pytest.mark.parametrize("order", FOLDERS)
@pytest.mark.parametrize("variant", ["authors", "corrected"])
def test_the_images_of_the_authors_program_for_real_pairs(
    assert_as_published, variant, order, pair
):
    assert_as_published(WLS(order=order, variant=variant), FOLDERS[order], pair)


def test_saliency_by_hand():
    """Half of the pixels 0, the others 1 and 3: distances 4, 1 + 1 + 2 and 3 + 3 + 2."""
    levels = torch.tensor([[0, 0], [1, 3]]).view(1, 1, 1, 2, 2)
    counts = torch.zeros(1, 1, 1, 256, dtype=torch.float64)
    counts[..., 0], counts[..., 1], counts[..., 3] = 2, 1, 1
    saliency, constant = _saliency(levels, counts)
    assert saliency.flatten().tolist() == [0, 0, 0, 1]
    assert not constant.any()


def test_saliency_is_the_mean_distance_to_all_pixels():
    image = random_images(1, 9, 8)[0]
    distances = np.abs(image.ravel()[:, None] - image.ravel()).mean(axis=1).reshape(9, 8)
    expected = (distances - distances.min()) / np.ptp(distances)
    levels = torch.tensor(image).long().view(1, 1, 1, 9, 8)
    counts = torch.bincount(levels.flatten(), minlength=256).double().view(1, 1, 1, 256)
    np.testing.assert_allclose(_saliency(levels, counts)[0][0, 0, 0], expected, atol=1e-12)


def test_two_constant_sources_give_their_mean_or_in_the_authors_program_black():
    flat = np.broadcast_to(np.array([40.0, 90]).reshape(2, 1, 1), (2, 20, 20)).copy()
    np.testing.assert_allclose(fuse(flat), 65, atol=1e-9)
    assert (fuse(flat, variant="authors") == 0).all()


def test_a_constant_visible_source_leaves_the_details_of_the_infrared_one():
    """Without `lam`, nothing holds the details near the source that has none."""
    images = random_images(2, 30, 30)
    images[1] = 128
    fused = fuse(images, lam=0, order="infrared_first")
    base = fuse([images[1], images[1]])
    assert np.corrcoef((fused - base).ravel(), images[0].ravel())[0, 1] > 0.9


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_negatives_give_the_negative_and_transposed_images_the_result_transposed(h, w, seed):
    images = random_images(2, h, w, seed)
    fused = fuse(images)
    np.testing.assert_allclose(fuse(255 - images), 255 - fused, atol=1e-8)
    np.testing.assert_allclose(fuse(images.transpose(0, 2, 1).copy()), fused.T, atol=1e-8)


def test_copies_of_one_source_give_that_source():
    image = random_images(1, 25, 31)[0]
    np.testing.assert_allclose(fuse([image, image]), image, atol=1e-10)


def test_tiles_give_the_whole_image():
    """Wider than two halos, so that no tile is the whole image."""
    images = list(random_images(2, 40, 420).astype(np.uint8))
    whole, tiled = (
        Fusion("identity", WLS(), range_policy=None, tile=tile)(images) for tile in (999, 60)
    )
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-7)


def test_it_looks_no_further_than_its_support():
    """With the statistics given, and a column changed in both sources."""
    strategy, width = WLS(), 420
    images = torch.from_numpy(random_images(2, 12, width))[:, None, None]
    statistics = strategy.statistics(images, Scene(sources=images / 255))
    changed = images.clone()
    changed[..., 200] = 255 - changed[..., 200]
    before, after = (
        strategy.fuse(x, Scene(sources=x / 255, statistics=statistics)) for x in (images, changed)
    )
    reached = ((after - before).abs() > 1e-12).nonzero()[:, -1] - 200
    assert reached.abs().max() <= strategy.support
    assert reached.abs().max() > 60


@pytest.mark.parametrize("wrong", [{"order": "first"}, {"lam": -1}, {"sigma_r": 0}])
def test_parameters_out_of_bounds_are_refused(wrong):
    with pytest.raises(FusionlabError, match=f"'{next(iter(wrong))}'"):
        WLS(**wrong)


def test_sources_moved_within_a_black_surround_give_the_result_moved():
    surround = WLS().support
    images = np.pad(random_images(2, 12, 9), ((0, 0), (surround, surround), (surround, surround)))
    moved = fuse(np.roll(images, (2, 1), axis=(1, 2)))
    np.testing.assert_allclose(moved, np.roll(fuse(images), (2, 1), (0, 1)), atol=1e-9)


def test_gradients_are_those_of_finite_differences():
    images = torch.tensor(random_images(2, 3, 4))[:, None, None].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: WLS().fuse(x, Scene(sources=x.detach())), (images,), fast_mode=True
    )


@pytest.mark.slow
class TestWLS(StrategyLaws):
    strategy = WLS
