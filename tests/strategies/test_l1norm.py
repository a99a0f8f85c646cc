"""The l1-norm strategy against the paper's formulas, by hand and by an independent program."""

import numpy as np
import pytest
import torch

from fusionlab import FusionlabError, Scene
from fusionlab_strategies.l1norm import L1Norm


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def reference(features, r, border="inside"):
    """Eq. 5-7 in float64, pixel by pixel, written from the paper and from nothing else."""
    k, channels, height, width = features.shape
    activity = np.abs(features.astype(np.float64)).sum(axis=1)
    averaged = np.empty_like(activity)
    for y in range(height):
        for x in range(width):
            window = activity[
                :, max(0, y - r) : min(height, y + r + 1), max(0, x - r) : min(width, x + r + 1)
            ]
            averaged[:, y, x] = window.sum(axis=(1, 2)) / (2 * r + 1) ** 2  # zeros outside
            if border == "reflect":
                padded = np.pad(activity, ((0, 0), (r, r), (r, r)), mode="reflect")
                averaged[:, y, x] = padded[:, y : y + 2 * r + 1, x : x + 2 * r + 1].mean((1, 2))
    total = averaged.sum(axis=0)
    fused = np.empty((channels, height, width))
    for y in range(height):
        for x in range(width):
            w = averaged[:, y, x] / total[y, x] if total[y, x] > 0 else np.full(k, 1 / k)
            fused[:, y, x] = (w[:, None] * features[:, :, y, x]).sum(axis=0)
    return fused


def test_eq_5_and_7_by_hand():
    """Activities |1|+|-3| = 4 and |2|+|10| = 12: weights 1/4 and 3/4."""
    features = torch.tensor([[1.0, -3.0], [2.0, 10.0]]).view(2, 1, 2, 1, 1)
    rule = L1Norm(r=0)
    assert rule.weights(features, scene(features)).flatten().tolist() == [0.25, 0.75]
    assert rule.fuse(features, scene(features)).flatten().tolist() == [1.75, 6.75]


def test_eq_6_by_hand():
    """Source 1 is active in one corner pixel; a window of 3x3 spreads that over its neighbors."""
    features = torch.zeros(2, 1, 1, 3, 3)
    features[0, 0, 0, 0, 0] = 9.0
    features[1] = 1.0
    weights = L1Norm(r=1).weights(features, scene(features))[0, 0, 0]
    # at the corner the window holds 4 pixels: 9/4 against 1; in the middle all 9: 1 against 1
    expected = [[2.25 / 3.25, 1.5 / 2.5, 0], [1.5 / 2.5, 1 / 2, 0], [0, 0, 0]]
    torch.testing.assert_close(weights, torch.tensor(expected))


@pytest.mark.parametrize("k", [2, 3, 4, 5])
@pytest.mark.parametrize("r", [0, 1, 2, 7])
def test_an_independent_program_in_float64_agrees(k, r):
    """Zero padding with (2r+1)^2, as the reference has it, gives the weights of our window."""
    features = np.random.default_rng(k * 10 + r).normal(0, 50, (k, 6, 9, 11)).astype(np.float32)
    features[:, :, 3, 4] = 0  # a place where nobody is active
    tensor = torch.from_numpy(features)[:, None]
    fused = L1Norm(r=r).fuse(tensor, scene(tensor))[0].numpy()
    # float32: sums of up to 6 x 15 x 15 activities, each rounded to 6e-8
    np.testing.assert_allclose(fused, reference(features, r), rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize("r", [1, 4])
def test_the_mirrored_border_agrees_too(r):
    features = np.random.default_rng(r).normal(0, 50, (2, 4, 9, 8)).astype(np.float32)
    tensor = torch.from_numpy(features)[:, None]
    fused = L1Norm(r=r, border="reflect").fuse(tensor, scene(tensor))[0].numpy()
    np.testing.assert_allclose(fused, reference(features, r, "reflect"), rtol=2e-5, atol=2e-4)


def test_a_mirrored_window_wider_than_the_image_is_refused():
    features = torch.ones(2, 1, 1, 4, 9)
    with pytest.raises(FusionlabError, match="r = 4 needs an image larger than 4 pixels, got 9x4"):
        L1Norm(r=4, border="reflect").fuse(features, scene(features))


def test_a_window_wider_than_the_image_is_the_mean_of_the_image():
    features = torch.rand(3, 1, 2, 3, 5)
    everywhere = L1Norm(r=64).weights(features, scene(features))
    activity = features.abs().sum(dim=(2, 3, 4))
    torch.testing.assert_close(
        everywhere, (activity / activity.sum(0)).view(3, 1, 1, 1, 1).expand_as(everywhere)
    )


def test_a_pinned_value():
    """Made by this program at version 0.1.0, after the tests above had passed."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 1, 3, 4, 5).sin() * 100
    fused = L1Norm(r=1).fuse(features, scene(features))
    # terms up to 100, rounded to 6e-8 of that
    assert fused.double().sum().item() == pytest.approx(-15.3769083, abs=1e-3)
