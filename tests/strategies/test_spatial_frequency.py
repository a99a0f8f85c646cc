"""Spatial frequency of features by hand and by an independent program."""

import numpy as np
import pytest
import torch

from fusionlab import Scene
from fusionlab_strategies.spatial_frequency import SpatialFrequency


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def reference(features, r):
    """The formula in float64, pixel by pixel and neighbor by neighbor."""
    k, channels, height, width = features.shape
    x = features.astype(np.float64)
    fused = np.empty((channels, height, width))
    activity = np.zeros((k, height, width))
    for y, x_ in np.ndindex(height, width):
        for v, u in ((y - 1, x_), (y + 1, x_), (y, x_ - 1), (y, x_ + 1)):
            if 0 <= v < height and 0 <= u < width:
                activity[:, y, x_] += ((x[:, :, y, x_] - x[:, :, v, u]) ** 2).sum(axis=1) / 2
    for y, x_ in np.ndindex(height, width):
        a = activity[
            :, max(0, y - r) : min(height, y + r + 1), max(0, x_ - r) : min(width, x_ + r + 1)
        ].mean(axis=(1, 2))
        total = a.sum()
        w = a / total if total > 0 else np.full(k, 1 / k)
        fused[:, y, x_] = sum(w[i] * features[i, :, y, x_] for i in range(k))
    return fused


def test_the_formula_by_hand():
    """A step of 2 against one of 4 in another place, r = 0."""
    features = torch.tensor([[1.0, 3, 3, 3], [0, 0, 4, 4]]).view(2, 1, 1, 1, 4)
    weights = SpatialFrequency(r=0).weights(features, scene(features))[0].flatten()
    # halves of squares: source 1 has 2, 2, 0, 0, source 2 has 0, 8, 8, 0
    torch.testing.assert_close(weights, torch.tensor([1, 0.2, 0, 0.5]))


def test_twice_the_contrast_weighs_four_times_as_much():
    features = torch.rand(1, 1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    pair = torch.cat([features, 2 * features])
    weights = SpatialFrequency(r=2).weights(pair, scene(pair))
    torch.testing.assert_close(weights[1], torch.full_like(weights[1], 0.8))


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("r", [0, 1, 5])
def test_an_independent_program_in_float64_agrees(k, r):
    features = np.random.default_rng(k * 10 + r).normal(0, 50, (k, 6, 9, 11)).astype(np.float32)
    features[:, 2] = 0  # a dead channel
    features[:, :, 3:8, 4:9] = 0  # a place where nobody is active
    tensor = torch.from_numpy(features)[:, None]
    fused = SpatialFrequency(r=r).fuse(tensor, scene(tensor))[0].numpy()
    # float32: sums of up to 6 x 15 x 15 activities, each rounded to 6e-8
    np.testing.assert_allclose(fused, reference(features, r), rtol=2e-5, atol=2e-4)


def test_flat_sources_weigh_the_same_whatever_their_level():
    """A bright border is no edge: only changes inside the image count."""
    features = torch.tensor([255.0, 1.0]).view(2, 1, 1, 1, 1).expand(2, 1, 3, 4, 5)
    weights = SpatialFrequency().weights(features, scene(features))
    assert torch.equal(weights, torch.full_like(weights, 0.5))


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1)])
def test_images_of_one_row_or_column_are_fused(shape):
    features = torch.randn(2, 1, 3, *shape, generator=torch.Generator().manual_seed(0))
    fused = SpatialFrequency().fuse(features, scene(features))[0].numpy()
    expected = reference(features[:, 0].numpy(), SpatialFrequency().r)
    np.testing.assert_allclose(fused, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("r", [0, 1, 3])
def test_it_sees_exactly_one_pixel_further_than_the_window(r):
    features = torch.randn(2, 1, 1, 1, 12, generator=torch.Generator().manual_seed(0))
    other, rule = features.clone(), SpatialFrequency(r=r)
    other[1, ..., -1] += 100
    moved = rule.weights(features, scene(features)) != rule.weights(other, scene(other))
    assert rule.support == r + 1
    assert moved[0, 0, 0, 0].tolist() == [x >= 11 - rule.support for x in range(12)]


def test_a_pinned_value():
    """Made by this program at version 0.1.0, after the tests above had passed."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 1, 3, 4, 5).sin() * 100
    fused = SpatialFrequency().fuse(features, scene(features))
    # terms up to 100, rounded to 6e-8 of that
    assert fused.double().sum().item() == pytest.approx(-6.142946, abs=1e-3)
