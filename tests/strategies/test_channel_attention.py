"""Channel attention against its formula, by hand and by an independent program."""

import numpy as np
import pytest
import torch

from fusionlab import FusionlabError, Scene
from fusionlab_strategies.channel_attention import ChannelAttention

POOLS = ["avg", "max", "nuclear"]


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def pooled(channel, pool):
    """One activity, in float64, from the formula; the nuclear norm from the Gram matrix."""
    channel = channel.astype(np.float64)
    if pool == "avg":
        return np.abs(channel).sum() / channel.size
    if pool == "max":
        return np.abs(channel).max()
    squares = np.linalg.eigvalsh(channel @ channel.T)
    return np.sqrt(np.maximum(squares, 0)).sum()


def reference(features, pool):
    """Features (k, C, h, w), channel by channel."""
    k, channels = features.shape[:2]
    fused = np.empty(features.shape[1:])
    for m in range(channels):
        a = np.array([pooled(features[i, m], pool) for i in range(k)])
        w = a / a.sum() if a.sum() > 0 else np.full(k, 1 / k)
        fused[m] = sum(w[i] * features[i, m].astype(np.float64) for i in range(k))
    return fused


@pytest.mark.parametrize(
    ("pool", "activities"), [("avg", (3.5, 1.75)), ("max", (8, 4)), ("nuclear", (14, 7))]
)
def test_by_hand(pool, activities):
    """Diagonal matrices: the singular values are the magnitudes on the diagonal, 8 and 6."""
    features = torch.stack([torch.diag(torch.tensor([8.0, -6.0])), torch.diag(torch.ones(2))])
    features[1] = features[0] / -2
    features = features.view(2, 1, 1, 2, 2)
    rule = ChannelAttention(pool)
    share = activities[0] / sum(activities)
    torch.testing.assert_close(
        rule.weights(features, scene(features)).flatten(), torch.tensor([share, 1 - share])
    )
    torch.testing.assert_close(
        rule.fuse(features, scene(features)), (share - (1 - share) / 2) * features[0]
    )


def test_the_three_ways_of_pooling_differ():
    """One bright pixel against a plain image: the mean and the maximum disagree about it."""
    features = torch.zeros(2, 1, 1, 2, 2)
    features[0, ..., 0, 0] = 6.0
    features[1] = 3.0
    shares = [ChannelAttention(pool).weights(features, scene(features))[0].item() for pool in POOLS]
    # mean 6/4 against 3; maximum 6 against 3; singular values 6 against 3 x 2, rank one both
    assert shares == pytest.approx([1 / 3, 2 / 3, 1 / 2])


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("pool", POOLS)
def test_an_independent_program_in_float64_agrees(pool, k):
    features = np.random.default_rng(k).normal(0, 50, (k, 6, 7, 11)).astype(np.float32)
    features[:, 2] = 0  # a channel that is dead in all sources
    features[0, 3] = 0  # and one that is dead in the first
    tensor = torch.from_numpy(features)[:, None]
    fused = ChannelAttention(pool).fuse(tensor, scene(tensor))[0].numpy()
    np.testing.assert_allclose(fused, reference(features, pool), rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize("pool", POOLS)
def test_a_dead_channel_weighs_one_kth_beside_live_ones(pool):
    features = torch.rand(5, 2, 3, 4, 6)
    features[:, :, 1] = 0
    weights = ChannelAttention(pool).weights(features, scene(features))
    assert torch.equal(weights[:, :, 1], torch.full_like(weights[:, :, 1], 1 / 5))
    assert not torch.equal(weights[:, :, 0], weights[:, :, 1])


def test_weak_channels_weigh_as_strong_ones_do():
    """Activities of 1e-6 and 3e-6: with 1e-5 in the denominator the weights would sum to 0.29."""
    features = torch.tensor([1e-6, 3e-6]).view(2, 1, 1, 1, 1).expand(2, 1, 1, 4, 4)
    weights = ChannelAttention().weights(features, scene(features))
    torch.testing.assert_close(weights.flatten(), torch.tensor([0.25, 0.75]))


def test_another_pool_is_refused():
    with pytest.raises(FusionlabError, match="must be one of avg, max, nuclear, got 'min'"):
        ChannelAttention("min")


@pytest.mark.parametrize(
    ("pool", "value"), [("avg", 7216.07086), ("max", 7182.11719), ("nuclear", 7188.83505)]
)
def test_a_pinned_value(pool, value):
    """Made by this program, after the tests above had passed."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 1, 3, 4, 5).sin() * 100
    fused = ChannelAttention(pool).fuse(features, scene(features))
    assert fused.double().square().sum().item() == pytest.approx(value, rel=1e-5)
