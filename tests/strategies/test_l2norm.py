"""The l2-norm strategy by hand and by an independent program."""

import numpy as np
import pytest
import torch

from fusionlab import FusionlabError, Scene
from fusionlab_strategies.l1norm import L1Norm
from fusionlab_strategies.l2norm import L2Norm


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def reference(features, r, border="inside"):
    """The formula in float64, pixel by pixel."""
    k, channels, height, width = features.shape
    x = features.astype(np.float64)
    fused = np.empty((channels, height, width))
    activity = np.sqrt((x**2).sum(axis=1))
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
    """Norms |(3, -4)| = 5 and |(0, 15)| = 15: weights 1/4 and 3/4."""
    features = torch.tensor([[3.0, -4.0], [0.0, 15.0]]).view(2, 1, 2, 1, 1)
    rule = L2Norm(r=0)
    torch.testing.assert_close(
        rule.weights(features, scene(features)).flatten(), torch.tensor([0.25, 0.75])
    )
    torch.testing.assert_close(
        rule.fuse(features, scene(features)).flatten(), torch.tensor([0.75, 10.25])
    )


def test_the_window_averages_norms_and_not_squares():
    """Source 1 has 5 in one of two pixels: 2.5 in both; the root of the mean square is 3.5."""
    features = torch.zeros(2, 1, 2, 1, 2)
    features[0, 0, :, 0, 0] = torch.tensor([3.0, 4.0])
    features[1, 0, 0] = 2.5
    weights = L2Norm(r=1).weights(features, scene(features))
    torch.testing.assert_close(weights, torch.full_like(weights, 0.5))


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("r", [0, 1, 7])
def test_an_independent_program_in_float64_agrees(k, r):
    features = np.random.default_rng(k * 10 + r).normal(0, 50, (k, 6, 9, 11)).astype(np.float32)
    features[:, 2] = 0  # a dead channel
    features[:, :, 3:8, 4:9] = 0  # a place where nobody is active
    tensor = torch.from_numpy(features)[:, None]
    fused = L2Norm(r=r).fuse(tensor, scene(tensor))[0].numpy()
    # float32: sums of up to 6 x 15 x 15 activities, each rounded to 6e-8
    np.testing.assert_allclose(fused, reference(features, r), rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize("r", [1, 4])
def test_the_mirrored_border_agrees_too(r):
    features = np.random.default_rng(r).normal(0, 50, (2, 4, 9, 8)).astype(np.float32)
    tensor = torch.from_numpy(features)[:, None]
    fused = L2Norm(r=r, border="reflect").fuse(tensor, scene(tensor))[0].numpy()
    np.testing.assert_allclose(fused, reference(features, r, "reflect"), rtol=2e-5, atol=2e-4)


def test_a_mirrored_window_wider_than_the_image_is_refused():
    features = torch.ones(2, 1, 1, 4, 9)
    with pytest.raises(FusionlabError, match="r = 4 needs an image larger than 4 pixels, got 9x4"):
        L2Norm(r=4, border="reflect").fuse(features, scene(features))


def test_with_one_channel_it_is_l1norm():
    features = torch.randn(5, 2, 1, 6, 7, generator=torch.Generator().manual_seed(0))
    ours, theirs = (rule.fuse(features, scene(features)) for rule in (L2Norm(r=2), L1Norm(r=2)))
    torch.testing.assert_close(ours, theirs)


def test_a_pinned_value():
    """Made by this program at version 0.1.0, after the tests above had passed."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 1, 3, 4, 5).sin() * 100
    fused = L2Norm().fuse(features, scene(features))
    # terms up to 100, rounded to 6e-8 of that
    assert fused.double().sum().item() == pytest.approx(-5.959285, abs=1e-3)
