"""The losses by hand, and SSIM and its parts against scikit-image."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from fusionlab.training.losses import (
    contrast_structure_loss,
    euclidean,
    mean_square,
    ssim,
    ssim_loss,
)


def pair(seed, height=40, width=33):
    rng = np.random.default_rng(seed)
    smooth = np.cumsum(rng.normal(0, 3, (height, width)), axis=1)
    image = np.clip(128 + smooth + rng.normal(0, 5, smooth.shape), 0, 255)
    return image, np.clip(0.8 * image + 20 + rng.normal(0, 8, smooth.shape), 0, 255)


@pytest.mark.parametrize("seed", range(3))
def test_ssim_is_that_of_scikit_image(seed):
    """Wang's window; scikit-image averages over the same windows: those inside the image."""
    a, b = pair(seed)
    expected = structural_similarity(
        a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    tensors = [torch.from_numpy(x)[None, None] for x in (a, b)]
    # both in float64: what remains is the order of summation
    assert ssim(*tensors).item() == pytest.approx(expected, abs=1e-9)


def test_identical_images_have_ssim_1_and_no_loss():
    image = torch.from_numpy(pair(0)[0])[None, None]
    assert ssim(image, image).item() == pytest.approx(1, abs=1e-12)
    assert ssim_loss(image, image).item() == pytest.approx(0, abs=1e-12)
    assert mean_square(image, image).item() == 0


def test_the_mean_square_by_hand():
    """(0 + 9 + 16 + 25) / 4"""
    output = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    target = torch.tensor([[1.0, 5.0], [-1.0, 9.0]])
    assert mean_square(output, target).item() == 12.5


def test_the_mean_over_a_batch_is_the_mean_of_its_images():
    pairs = [[torch.from_numpy(x)[None, None] for x in pair(seed)] for seed in range(3)]
    together = ssim(*(torch.cat(images) for images in zip(*pairs, strict=True)))
    alone = torch.stack([ssim(*images) for images in pairs]).mean()
    torch.testing.assert_close(together, alone)


def test_the_euclidean_distance_by_hand_image_by_image():
    """sqrt(0 + 9 + 16 + 0) = 5 and sqrt(144 + 0 + 0 + 25) = 13; (5 + 13) / 2"""
    output = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[12.0, 0.0], [0.0, 5.0]]]])
    target = torch.tensor([[[[1.0, 5.0], [-1.0, 4.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    assert euclidean(output, target).item() == 9


def test_the_gradient_of_the_euclidean_distance_is_zero_where_the_distance_is():
    output = torch.ones(1, 1, 4, 4, requires_grad=True)
    euclidean(output, torch.ones(1, 1, 4, 4)).backward()
    assert not output.grad.any()


@pytest.mark.parametrize("seed", range(3))
def test_the_contrast_structure_loss_is_what_scikit_image_gives_without_luminance(seed):
    """With K1 so large that the luminance term is 1, and K2 and the range of the released code."""
    a, b = pair(seed)
    expected = structural_similarity(
        a, b, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, K1=1e9
    )
    tensors = [torch.from_numpy(x)[None, None] for x in (a, b)]
    # c1 = 1e18 leaves 1 - 1e-14 of the luminance term; the rest is the order of summation
    assert contrast_structure_loss(*tensors).item() == pytest.approx(1 - expected, abs=1e-9)


def test_the_contrast_structure_loss_holds_in_float32():
    """Flat and bright, where a variance in float32 is off by ten times c2."""
    target = torch.full((1, 1, 64, 64), 200.0)
    output = target + 0.01 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    exact = contrast_structure_loss(output.double(), target.double()).item()
    assert contrast_structure_loss(output, target).item() == pytest.approx(exact, rel=1e-5)


def test_the_contrast_structure_loss_does_not_see_brightness_and_ssim_does():
    image = torch.from_numpy(pair(0)[0])[None, None]
    assert contrast_structure_loss(image + 30, image).item() == pytest.approx(0, abs=1e-9)
    assert ssim_loss(image + 30, image).item() > 0.01
