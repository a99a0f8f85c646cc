"""Spatial and channel attention against the formulas, by hand and by an independent program."""

import math

import numpy as np
import pytest
import torch

from fusionlab import FusionlabError, Scene
from fusionlab_strategies.channel_attention import ChannelAttention
from fusionlab_strategies.nestfuse import NestFuse

POOLS = ["avg", "max", "nuclear"]


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def reference(features, tau, pool):
    """Features (k, C, h, w) in float64, pixel by pixel."""
    features = features.astype(np.float64)
    k, channels, height, width = features.shape
    pooled = {
        "avg": lambda m: np.abs(m).mean(),
        "max": lambda m: np.abs(m).max(),
        "nuclear": lambda m: np.linalg.norm(m, "nuc"),
    }[pool]
    by_channel, by_place = np.zeros(features.shape[1:]), np.zeros(features.shape[1:])
    for m in range(channels):
        activity = np.array([pooled(features[i, m]) for i in range(k)])
        w = activity / activity.sum() if activity.sum() > 0 else np.full(k, 1 / k)
        by_channel[m] = sum(w[i] * features[i, m] for i in range(k))
    for y in range(height):
        for x in range(width):
            activity = features[:, :, y, x].mean(axis=1) / tau
            e = np.exp(activity - activity.max())
            by_place[:, y, x] = (e / e.sum()) @ features[:, :, y, x]
    return (by_channel + by_place) / 2


def test_by_hand():
    """Spatial: means ln 3 and 0, weights 3/4 and 1/4. Channel 0: 2 ln 3 to 1. Channel 1: 0 to 1."""
    features = torch.tensor([[2 * math.log(3), 0.0], [1.0, -1.0]]).view(2, 1, 2, 1, 1)
    weights = NestFuse(tau=1.0).weights(features, scene(features))[0].flatten()
    share = 2 * math.log(3) / (2 * math.log(3) + 1)
    torch.testing.assert_close(weights, torch.tensor([(0.75 + share) / 2, (0.75 + 0) / 2]))


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("tau", [1.0, 20.0])
def test_an_independent_program_in_float64_agrees(k, pool, tau):
    features = np.random.default_rng(k).normal(0, 50, (k, 6, 5, 7)).astype(np.float32)
    features[:, 2] = 0  # a channel that is dead in all sources
    tensor = torch.from_numpy(features)[:, None]
    fused = NestFuse(tau, pool).fuse(tensor, scene(tensor))[0].numpy()
    # the softmax of means up to 60, rounded to 4e-6, gives weights to as much
    np.testing.assert_allclose(fused, reference(features, tau, pool), rtol=2e-5, atol=2e-3)


@pytest.mark.parametrize("pool", POOLS)
def test_with_a_large_tau_the_spatial_half_is_the_mean(pool):
    features = torch.rand(3, 2, 4, 5, 6) * 255
    channel = ChannelAttention(pool).fuse(features, scene(features))
    fused = NestFuse(1e6, pool).fuse(features, scene(features))
    torch.testing.assert_close(fused, (channel + features.mean(dim=0)) / 2, rtol=1e-3, atol=1e-2)


def test_with_a_small_tau_the_spatial_half_is_the_source_of_the_largest_mean():
    features = torch.rand(2, 1, 4, 5, 6) * 50
    features[1] += 100
    channel = ChannelAttention().fuse(features, scene(features))
    fused = NestFuse(0.01).fuse(features, scene(features))
    torch.testing.assert_close(fused, (channel + features[1]) / 2)


@pytest.mark.parametrize("wrong", [{"tau": 0.0}, {"tau": -1.0}, {"pool": "min"}])
def test_parameters_out_of_bounds_are_refused(wrong):
    with pytest.raises(FusionlabError, match=f"'{next(iter(wrong))}' must be"):
        NestFuse(**wrong)


def test_a_pinned_value():
    """Made by this program, after the tests above had passed."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 1, 3, 4, 5).sin() * 100
    fused = NestFuse(tau=10.0).fuse(features, scene(features))
    assert fused.double().square().sum().item() == pytest.approx(70895.2629, rel=1e-5)
