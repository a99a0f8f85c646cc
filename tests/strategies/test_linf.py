"""The l-infinity strategy by hand and by an independent program."""

import numpy as np
import pytest
import torch

from fusionlab import FusionlabError, Scene
from fusionlab_strategies.linf import LInf


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def reference(features, r, border="inside"):
    """The formula in float64, pixel by pixel."""
    k, channels, height, width = features.shape
    x = features.astype(np.float64)
    fused = np.empty((channels, height, width))
    activity = np.abs(x).max(axis=1)
    for y, x_ in np.ndindex(height, width):
        a = activity[
            :, max(0, y - r) : min(height, y + r + 1), max(0, x_ - r) : min(width, x_ + r + 1)
        ].mean(axis=(1, 2))
        if border == "reflect":
            padded = np.pad(activity, ((0, 0), (r, r), (r, r)), mode="reflect")
            a = padded[:, y : y + 2 * r + 1, x_ : x_ + 2 * r + 1].mean(axis=(1, 2))
        total = a.sum()
        w = a / total if total > 0 else np.full(k, 1 / k)
        fused[:, y, x_] = sum(w[i] * features[i, :, y, x_] for i in range(k))
    return fused


def test_the_formula_by_hand():
    """The strongest channels are |-6| and 2, though the second source has the larger sum."""
    features = torch.tensor([[1.0, -6.0, 0.0], [2.0, 2.0, 2.0]]).view(2, 1, 3, 1, 1)
    rule = LInf(r=0)
    assert rule.weights(features, scene(features)).flatten().tolist() == [0.75, 0.25]
    assert rule.fuse(features, scene(features)).flatten().tolist() == [1.25, -4.0, 0.5]


def test_the_window_averages_the_strongest_channels():
    """Different channels may lead in different pixels: the mean of 6 and 2 in both."""
    features = torch.zeros(2, 1, 2, 1, 2)
    features[0, 0, :, 0] = torch.tensor([[6.0, 0.0], [0.0, -2.0]])
    features[1] = 12.0
    weights = LInf(r=1).weights(features, scene(features))
    assert weights.flatten().tolist() == [0.25, 0.25, 0.75, 0.75]


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("r", [0, 1, 7])
def test_an_independent_program_in_float64_agrees(k, r):
    features = np.random.default_rng(k * 10 + r).normal(0, 50, (k, 6, 9, 11)).astype(np.float32)
    features[:, 2] = 0  # a dead channel
    features[:, :, 3:8, 4:9] = 0  # a place where nobody is active
    tensor = torch.from_numpy(features)[:, None]
    fused = LInf(r=r).fuse(tensor, scene(tensor))[0].numpy()
    # float32: sums of up to 6 x 15 x 15 activities, each rounded to 6e-8
    np.testing.assert_allclose(fused, reference(features, r), rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize("r", [1, 4])
def test_the_mirrored_border_agrees_too(r):
    features = np.random.default_rng(r).normal(0, 50, (2, 4, 9, 8)).astype(np.float32)
    tensor = torch.from_numpy(features)[:, None]
    fused = LInf(r=r, border="reflect").fuse(tensor, scene(tensor))[0].numpy()
    np.testing.assert_allclose(fused, reference(features, r, "reflect"), rtol=2e-5, atol=2e-4)


def test_a_mirrored_window_wider_than_the_image_is_refused():
    features = torch.ones(2, 1, 1, 4, 9)
    with pytest.raises(FusionlabError, match="r = 4 needs an image larger than 4 pixels, got 9x4"):
        LInf(r=4, border="reflect").fuse(features, scene(features))


def test_a_pinned_value():
    """Made by this program at version 0.1.0, after the tests above had passed."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 1, 3, 4, 5).sin() * 100
    fused = LInf().fuse(features, scene(features))
    # terms up to 100, rounded to 6e-8 of that
    assert fused.double().sum().item() == pytest.approx(-18.358919, abs=1e-3)
