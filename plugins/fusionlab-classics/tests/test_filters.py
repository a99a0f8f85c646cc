"""The shared filters against scipy's, and the resizing against its definition."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from fusionlab_classics.common import filters

BORDERS = {
    "mirror": "mirror",
    "symmetric": "reflect",
    "replicate": "nearest",
    "zero": "constant",
    "wrap": "grid-wrap",
}
each_border = pytest.mark.parametrize("border", BORDERS)


def maps(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).uniform(0, 255, shape))


def images(values):
    return values.reshape(-1, *values.shape[-2:]).numpy()


@each_border
@pytest.mark.parametrize("shape", [(2, 3, 17, 20), (1, 4, 3), (5, 1)])
def test_correlation_is_that_of_scipy(border, shape):
    kernel = np.random.default_rng(1).normal(size=(5, 7))
    values = maps(*shape)
    expected = [ndimage.correlate(image, kernel, mode=BORDERS[border]) for image in images(values)]
    got = filters.correlate(values, torch.tensor(kernel), border)
    assert got.shape == values.shape
    np.testing.assert_allclose(images(got), expected, rtol=0, atol=1e-9)


@each_border
def test_means_and_gaussians_are_separable_correlations(border):
    values = maps(2, 30, 25)
    for half in (1, 4):
        box = torch.full((2 * half + 1,) * 2, 1 / (2 * half + 1) ** 2, dtype=torch.float64)
        expected = filters.correlate(values, box, border)
        torch.testing.assert_close(filters.mean_filter(values, half, border), expected)
    kernel = torch.tensor(filters.gaussian(6, 2), dtype=torch.float64)
    expected = filters.correlate(values, torch.outer(kernel, kernel), border)
    torch.testing.assert_close(filters.gaussian_filter(values, 6, 2, border), expected)


def keys(x):
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


@pytest.mark.parametrize("length", [3, 7, 12, 24, 31])
def test_resizing_is_a_sum_over_the_widened_kernel(length):
    line = np.random.default_rng(2).uniform(0, 255, 12)
    scale = length / 12
    widened = min(scale, 1)
    expected = []
    for i in range(length):
        center = (i + 0.5) / scale - 0.5
        taps = range(-40, 52)
        weights = np.array([keys(widened * (center - tap)) for tap in taps])
        mirrored = [tap % 24 if tap % 24 < 12 else 23 - tap % 24 for tap in taps]
        expected.append((weights * line[mirrored]).sum() / weights.sum())
    image = torch.tensor(line)[None].repeat(9, 1)
    across = filters.resize_bicubic(image, (9, length))
    np.testing.assert_allclose(across, np.tile(expected, (9, 1)), atol=1e-10)
    down = filters.resize_bicubic(image.mT.contiguous(), (length, 9))
    np.testing.assert_allclose(down, np.tile(expected, (9, 1)).T, atol=1e-10)
    if length == 12:
        assert (across == image).all()


def test_eight_bits_are_rounded_after_each_dimension_and_halves_go_away_from_zero():
    values = torch.tensor([-3.0, 0.5, 1.5, 2.49, 254.5, 300.0, torch.nan], dtype=torch.float64)
    assert filters.round_to_8_bits(values).tolist() == [0, 1, 2, 2, 255, 255, 0]
    image = maps(8, 10).round()
    once = filters.round_to_8_bits(filters.resize_bicubic(image, (8, 5)))
    twice = filters.round_to_8_bits(filters.resize_bicubic(once, (16, 5)))
    assert (filters.resize_bicubic(image, (16, 5), eight_bits=True) == twice).all()
