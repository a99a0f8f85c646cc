"""IFEVIP against the images of its authors' program, by hand, and its laws."""

import numpy as np
import pytest
import torch
from scipy.ndimage import minimum_filter

from fusionlab import Scene
from fusionlab.testing import StrategyLaws
from fusionlab_classics.ifevip import IFEVIP, bezier_background, quadtree, window_minimum


def fuse(infrared, visible, **parameters):
    """Fuse two images (h, w) in gray levels."""
    images = np.stack([infrared, visible]).astype(float)
    features = torch.as_tensor(images)[:, None, None]
    return IFEVIP(**parameters).fuse(features, Scene(sources=features / 255))[0, 0].numpy()


def random_square(seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 255, (1, 1, 512, 512)))


@pytest.mark.parametrize("pair", ["s64", "s61"])
def test_synthetic_images_are_those_of_the_authors(assert_as_published, pair):
    assert_as_published(IFEVIP(variant="authors"), "ifevip", pair)


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["01", "05", "08"])
def test_real_images_are_those_of_the_authors(assert_as_published, pair):
    assert_as_published(IFEVIP(variant="authors"), "ifevip", pair)


# ------------------------------------------------- parts


def test_the_minimum_is_that_of_scipy():
    image = random_square()[..., :70, :90]
    expected = minimum_filter(image[0, 0].numpy(), 32, mode="constant", cval=np.inf, origin=-1)
    assert np.array_equal(window_minimum(image)[0, 0], expected)


def test_a_single_bright_pixel_divides_the_blocks_around_it():
    image = torch.zeros(1, 1, 512, 512)
    image[..., 40, 300] = 52
    tree = quadtree(image)
    assert [edge for edge, _ in tree] == [512, 256, 128, 64, 32]
    assert [blocks.sum().item() for _, blocks in tree] == [0, 3, 3, 3, 4]
    assert sum(edge**2 * blocks.sum().item() for edge, blocks in tree) == 512**2
    assert tree[4][1][0, 0, 1, 9]  # rows 32 to 63, columns 288 to 319
    assert quadtree(image - image / 52)[0][1].all()  # 51 is still flat


@pytest.mark.parametrize("level", [0.0, 77.5])
def test_a_flat_image_is_its_own_background(level):
    flat = torch.full((1, 1, 512, 512), level, dtype=torch.float64)
    torch.testing.assert_close(bezier_background(flat), flat)


def test_surfaces_pass_through_the_minima_at_the_corners_of_their_blocks():
    image = random_square() * (torch.arange(512) > 200)  # flat on the left: blocks of all sizes
    background, minima = bezier_background(image), window_minimum(image)
    for edge, blocks in quadtree(image):
        for _, _, row, column in blocks.nonzero().tolist():
            corner = (..., edge * row, edge * column)
            torch.testing.assert_close(background[corner], minima[corner])


def test_the_bezier_surface_of_one_block_by_hand():
    """Minima 16 from a dark row: the control values along a column are those of four rows."""
    image = torch.full((1, 1, 512, 512), 50.0, dtype=torch.float64)
    image[..., 400:, :] = 10  # minima are 10 from row 384 on; control rows are 0, 255, 383, 512
    t = torch.arange(512, dtype=torch.float64) / 512
    expected = 50 - 40 * t**3
    torch.testing.assert_close(bezier_background(image)[0, 0, :, 7], expected)


# ------------------------------------------------- the whole


def test_flat_images_by_hand():
    """No features but a difference of 40, of which 0.8 is added: nothing would be saturated."""
    infrared, visible = np.full((10, 12), 100), np.full((10, 12), 60)
    np.testing.assert_allclose(fuse(infrared, visible), 60 + 0.8 * 40)
    np.testing.assert_allclose(fuse(infrared, visible, variant="authors"), 60)
    np.testing.assert_allclose(fuse(visible, infrared), 100)


def test_the_brightest_pixels_become_white_and_no_more():
    """Half of the infrared image is 250 brighter than the visible one."""
    visible = np.tile([0.0, 1], (40, 20))
    infrared = visible.copy()
    infrared[20:] += 250
    fused = fuse(infrared, visible)
    assert 253 < fused.max() <= 255
    assert np.abs(fused[0] - visible[0]).max() < 1


def test_equal_images_gain_their_own_features():
    image = np.random.default_rng(0).uniform(0, 150, (30, 40))
    assert (fuse(image, image) >= image - 1e-9).all()


@pytest.mark.parametrize("variant", ["corrected", "authors"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (30, 7)])
def test_any_size_zeros_and_batches_are_finite_with_finite_gradients(variant, shape):
    generator = torch.Generator().manual_seed(0)
    features = 255 * torch.rand(2, 3, 1, *shape, generator=generator)
    features[:, 1] = 0
    features[1, 2] = 255
    features.requires_grad_()
    fused = IFEVIP(variant=variant).fuse(features, Scene(sources=features.detach() / 255))
    assert fused.shape == features.shape[1:]
    assert fused.isfinite().all()
    (gradient,) = torch.autograd.grad(fused.square().sum(), features)
    assert gradient.isfinite().all()
    alone = features[:, :1].detach()
    torch.testing.assert_close(
        IFEVIP(variant=variant).fuse(alone, Scene(sources=alone / 255)), fused[:1].detach()
    )


@pytest.mark.slow
class TestIFEVIP(StrategyLaws):
    strategy = IFEVIP
