"""Gradient weights against their formula, by hand and by an independent program."""

import math

import numpy as np
import pytest
import torch

from fusionlab import FusionlabError, Scene
from fusionlab_strategies.gradient_global import GradientGlobal


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def reference(features, c):
    """Features (k, C, h, w) in float64, pixel by pixel."""
    k, channels, height, width = features.shape
    features = features.astype(np.float64)
    strength = np.zeros(k)
    for i in range(k):
        for m in range(channels):
            padded = np.pad(features[i, m], 1, mode="edge")
            for y in range(height):
                for x in range(width):
                    window = padded[y : y + 3, x : x + 3]
                    strength[i] += ((window.sum() - window[1, 1]) / 8 - window[1, 1]) ** 2
    strength /= channels * height * width
    e = np.exp((strength - strength.max()) / c)
    return np.einsum("i,icyx->cyx", e / e.sum(), features)


def test_by_hand():
    """A dot of 8 in 3x3: 8 in the middle, and 1 in each of the 8 neighbors: g = (64 + 8)/9."""
    features = torch.zeros(2, 1, 1, 3, 3)
    features[0, ..., 1, 1] = 8.0
    features[1] = 100.0  # plain: no gradient, though bright
    weights = GradientGlobal(c=8.0).weights(features, scene(features)).flatten()
    expected = 1 / (1 + math.exp(-1))
    torch.testing.assert_close(weights, torch.tensor([expected, 1 - expected]))


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("c", [100.0, 3200.0])
def test_an_independent_program_in_float64_agrees(k, c):
    generator = np.random.default_rng(k)
    features = generator.normal(0, 9, (k, 4, 7, 9)) * generator.uniform(0.5, 1.5, (k, 1, 1, 1))
    features[0, 1] = 0  # a dead channel counts as one without gradients
    features = features.astype(np.float32)
    tensor = torch.from_numpy(features)[:, None]
    fused = GradientGlobal(c).fuse(tensor, scene(tensor))[0].numpy()
    np.testing.assert_allclose(fused, reference(features, c), rtol=2e-5, atol=2e-4)


def test_a_small_c_chooses_and_a_large_one_averages():
    features = torch.rand(3, 1, 2, 8, 8) * torch.tensor([1.0, 2.0, 30.0]).view(3, 1, 1, 1, 1)
    chosen = GradientGlobal(c=1e-3).fuse(features, scene(features))
    assert torch.equal(chosen, features[2])
    averaged = GradientGlobal(c=1e9).fuse(features, scene(features))
    torch.testing.assert_close(averaged, features.mean(dim=0))


def test_features_twice_as_large_do_as_a_quarter_of_c_does():
    features = torch.rand(2, 1, 2, 8, 8) * torch.tensor([10.0, 20.0]).view(2, 1, 1, 1, 1)
    torch.testing.assert_close(
        GradientGlobal(c=400.0).weights(2 * features, scene(features)),
        GradientGlobal(c=100.0).weights(features, scene(features)),
    )


def test_plain_images_of_any_brightness_weigh_the_same():
    """Zeros beyond the border would prefer the bright one."""
    features = torch.tensor([0.0, 17.3, 255.0]).view(3, 1, 1, 1, 1).expand(3, 1, 4, 5, 6)
    weights = GradientGlobal(c=1.0).weights(features, scene(features))
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / 3))


@pytest.mark.parametrize("c", [0.0, -1.0])
def test_a_temperature_of_zero_is_refused(c):
    with pytest.raises(FusionlabError, match="'c' must be at least"):
        GradientGlobal(c)


def test_a_pinned_value():
    """Made by this program, after the tests above had passed."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 1, 3, 4, 5).sin() * 100
    fused = GradientGlobal().fuse(features, scene(features))
    assert fused.double().square().sum().item() == pytest.approx(7435.03784, rel=1e-5)
