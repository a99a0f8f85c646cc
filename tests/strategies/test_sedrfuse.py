"""The rule of SEDRFuse by hand and by an independent program."""

import math

import numpy as np
import pytest
import torch

from fusionlab import Scene, normalize
from fusionlab_strategies.sedrfuse import SEDRFuse


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def reference(features):
    """The formula in float64, pixel by pixel; exp(300) still is a float64."""
    k, channels, height, width = features.shape
    fused = np.empty((channels, height, width))
    for y, x in np.ndindex(height, width):
        q = np.abs(features[:, :, y, x].astype(np.float64))
        attention = np.exp(q) / np.exp(q).sum(axis=1, keepdims=True)
        a = (attention * q).sum(axis=1)
        w = a / a.sum() if a.sum() > 0 else np.full(k, 1 / k)
        fused[:, y, x] = sum(w[i] * features[i, :, y, x] for i in range(k))
    return fused


def test_the_formula_by_hand():
    """q = (log 3, 0) has attention 3/4 and 1/4; two equal channels have one half each."""
    features = torch.tensor([[-math.log(3), 0], [math.log(3) / 4] * 2]).view(2, 1, 2, 1, 1)
    weights = SEDRFuse().weights(features, scene(features))
    # activities 3/4 log 3 and 1/4 log 3
    torch.testing.assert_close(weights.flatten(), torch.tensor([0.75, 0.25]))


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("size", [0.1, 50])
def test_an_independent_program_in_float64_agrees(k, size):
    features = np.random.default_rng(k).normal(0, size, (k, 6, 7, 8)).astype(np.float32)
    features[:, 2] = 0  # a dead channel
    features[:, :, 3, 4] = 0  # a place where no source is active
    tensor = torch.from_numpy(features)[:, None]
    fused = SEDRFuse().fuse(tensor, scene(tensor))[0].numpy()
    # exponents of up to 200 carry errors of 1e-5
    np.testing.assert_allclose(fused, reference(features), rtol=5e-5, atol=1e-5 * size)


@pytest.mark.parametrize(("size", "activity"), [(1e-3, "mean"), (1e3, "amax")])
def test_small_features_are_averaged_and_of_large_ones_the_strongest_counts(size, activity):
    features = size * torch.tensor([[1.0, 2, 6], [3, 4, 5]]).view(2, 1, 3, 1, 1)
    expected = normalize(getattr(features, activity)(dim=2, keepdim=True))
    # softmax of 1e-3 x (1 to 6) is one third to within 1e-3
    torch.testing.assert_close(
        SEDRFuse().weights(features, scene(features)), expected, rtol=5e-3, atol=0
    )


def test_a_pinned_value():
    """Made by this program at version 0.1.0, after the tests above had passed."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 1, 3, 4, 5).sin() * 100
    fused = SEDRFuse().fuse(features, scene(features))
    # terms up to 100, rounded to 6e-8 of that
    assert fused.double().sum().item() == pytest.approx(-11.27161, abs=1e-3)
