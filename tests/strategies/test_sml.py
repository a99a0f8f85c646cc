"""The sum-modified-Laplacian of features by hand and by an independent program."""

import numpy as np
import pytest
import torch

from fusionlab import Scene
from fusionlab_strategies.sml import SML


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def reference(features, r):
    """The formula in float64, pixel by pixel."""
    k, channels, height, width = features.shape
    x = features.astype(np.float64)
    fused = np.empty((channels, height, width))
    p = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    activity = np.zeros((k, height, width))
    for y, x_ in np.ndindex(height, width):
        for dy, dx in ((0, 1), (1, 0)):
            before, after = p[:, :, y + 1 - dy, x_ + 1 - dx], p[:, :, y + 1 + dy, x_ + 1 + dx]
            activity[:, y, x_] += np.abs(2 * x[:, :, y, x_] - before - after).sum(axis=1)
    for y, x_ in np.ndindex(height, width):
        a = activity[
            :, max(0, y - r) : min(height, y + r + 1), max(0, x_ - r) : min(width, x_ + r + 1)
        ].mean(axis=(1, 2))
        total = a.sum()
        w = a / total if total > 0 else np.full(k, 1 / k)
        fused[:, y, x_] = sum(w[i] * features[i, :, y, x_] for i in range(k))
    return fused


def test_the_formula_by_hand():
    """A slope has no curvature but at its ends, where the border pixel is repeated."""
    features = torch.tensor([[1.0, 2, 3, 4], [0, 0, 3, 0]]).view(2, 1, 1, 1, 4)
    weights = SML(r=0).weights(features, scene(features))[0].flatten()
    # source 1: 1, 0, 0, 1; source 2: 0, 3, 6, 3
    torch.testing.assert_close(weights, torch.tensor([1, 0, 0, 0.25]))


def test_the_curvatures_of_a_saddle_do_not_cancel():
    """x^2 - y^2 has no Laplacian; its modified Laplacian is 2 + 2 inside."""
    x = torch.arange(5.0)
    features = torch.stack([x[None] ** 2 - x[:, None] ** 2, 2 * x[None] ** 2 + 0 * x[:, None]])
    features = features.view(2, 1, 1, 5, 5)
    weights = SML(r=0).weights(features, scene(features))
    assert (weights[:, ..., 1:-1, 1:-1] == 0.5).all()


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("r", [0, 1, 5])
def test_an_independent_program_in_float64_agrees(k, r):
    features = np.random.default_rng(k * 10 + r).normal(0, 50, (k, 6, 9, 11)).astype(np.float32)
    features[:, 2] = 0  # a dead channel
    features[:, :, 3:8, 4:9] = 0  # a place where nobody is active
    tensor = torch.from_numpy(features)[:, None]
    fused = SML(r=r).fuse(tensor, scene(tensor))[0].numpy()
    # float32: sums of up to 6 x 15 x 15 activities, each rounded to 6e-8
    np.testing.assert_allclose(fused, reference(features, r), rtol=2e-5, atol=2e-4)


def test_flat_sources_weigh_the_same_whatever_their_level():
    """A bright border is no edge: only changes inside the image count."""
    features = torch.tensor([255.0, 1.0]).view(2, 1, 1, 1, 1).expand(2, 1, 3, 4, 5)
    weights = SML().weights(features, scene(features))
    assert torch.equal(weights, torch.full_like(weights, 0.5))


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1)])
def test_images_of_one_row_or_column_are_fused(shape):
    features = torch.randn(2, 1, 3, *shape, generator=torch.Generator().manual_seed(0))
    fused = SML().fuse(features, scene(features))[0].numpy()
    expected = reference(features[:, 0].numpy(), SML().r)
    np.testing.assert_allclose(fused, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("r", [0, 1, 3])
def test_it_sees_exactly_one_pixel_further_than_the_window(r):
    features = torch.randn(2, 1, 1, 1, 12, generator=torch.Generator().manual_seed(0))
    other, rule = features.clone(), SML(r=r)
    other[1, ..., -1] += 100
    moved = rule.weights(features, scene(features)) != rule.weights(other, scene(other))
    assert rule.support == r + 1
    assert moved[0, 0, 0, 0].tolist() == [x >= 11 - rule.support for x in range(12)]


def test_a_pinned_value():
    """Made by this program at version 0.1.0, after the tests above had passed."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 1, 3, 4, 5).sin() * 100
    fused = SML().fuse(features, scene(features))
    # terms up to 100, rounded to 6e-8 of that
    assert fused.double().sum().item() == pytest.approx(-16.730146, abs=1e-3)
