"""The softmax over sources by hand and by an independent program."""

import math

import numpy as np
import pytest
import torch

from fusionlab import FusionlabError, Scene
from fusionlab_strategies.spatial_softmax import SpatialSoftmax


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def reference(features, tau):
    """The formula in float64, pixel by pixel; exp(300) still is a float64."""
    k, channels, height, width = features.shape
    fused = np.empty((channels, height, width))
    for y, x in np.ndindex(height, width):
        e = [math.exp(features[i, :, y, x].astype(np.float64).mean() / tau) for i in range(k)]
        fused[:, y, x] = sum(e[i] / sum(e) * features[i, :, y, x] for i in range(k))
    return fused


def test_the_formula_by_hand():
    """Means 1 and 1 + log 3: weights 1/4 and 3/4."""
    features = torch.tensor([[-2.0, 4.0], [0.0, 2 + 2 * math.log(3)]]).view(2, 1, 2, 1, 1)
    weights = SpatialSoftmax().weights(features, scene(features))
    torch.testing.assert_close(weights.flatten(), torch.tensor([0.25, 0.75]))


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("tau", [0.5, 1.0, 20.0])
def test_an_independent_program_in_float64_agrees(k, tau):
    features = np.random.default_rng(k).normal(0, 50, (k, 6, 7, 8)).astype(np.float32)
    features[:, 2] = 0  # a dead channel
    features[:, :, 3, 4] = 0
    tensor = torch.from_numpy(features)[:, None]
    fused = SpatialSoftmax(tau).fuse(tensor, scene(tensor))[0].numpy()
    # means of up to 100 carry errors of 1e-5, tau = 0.5 doubles them in the exponent
    np.testing.assert_allclose(fused, reference(features, tau), rtol=1e-4, atol=2e-3)


def test_a_small_tau_chooses_and_a_large_one_averages():
    features = torch.tensor([[10.0], [11.0], [13.0]]).view(3, 1, 1, 1, 1)
    assert SpatialSoftmax(0.01).fuse(features, scene(features)).item() == 13
    averaged = SpatialSoftmax(1e6).fuse(features, scene(features)).item()
    assert averaged == pytest.approx(34 / 3, rel=1e-5)


def test_tau_is_measured_in_the_units_of_the_features():
    features = torch.randn(5, 1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        SpatialSoftmax(8.0).fuse(8 * features, scene(features)),
        8 * SpatialSoftmax(1.0).fuse(features, scene(features)),
    )


@pytest.mark.parametrize("tau", [0.0, 0.001, -1.0, math.inf, math.nan])
def test_a_tau_that_divides_by_nothing_is_refused(tau):
    with pytest.raises(FusionlabError, match="tau"):
        SpatialSoftmax(tau)


def test_a_pinned_value():
    """Made by this program at version 0.1.0, after the tests above had passed."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 1, 3, 4, 5).sin() * 100
    fused = SpatialSoftmax().fuse(features, scene(features))
    # terms up to 100, rounded to 6e-8 of that
    assert fused.double().sum().item() == pytest.approx(2336.690442, abs=1e-3)
