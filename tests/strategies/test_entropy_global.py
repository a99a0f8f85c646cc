"""Entropy weights against the formula, by hand and by an independent program."""

import math

import numpy as np
import pytest
import torch

from fusionlab import Scene
from fusionlab_strategies.entropy_global import EntropyGlobal


def weights_of(sources):
    features = torch.rand(*sources.shape[:2], 4, *sources.shape[-2:])
    return EntropyGlobal().weights(features, Scene(sources=sources))


def reference(picture):
    """The entropy of one image in 0..1, in bits, pixel by pixel."""
    counts = {}
    for value in picture.flatten().tolist():
        level = math.floor(value * 255 + 0.5)
        counts[level] = counts.get(level, 0) + 1
    return -sum(n / picture.size * math.log2(n / picture.size) for n in counts.values())


def test_by_hand():
    """Two levels, half and half: 1 bit. Four levels, a quarter each: 2 bits."""
    two = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    four = torch.tensor([[0.0, 0.2], [0.6, 1.0]])
    weights = weights_of(torch.stack([two, four]).view(2, 1, 1, 2, 2))
    torch.testing.assert_close(weights.flatten(), torch.tensor([1 / 3, 2 / 3]))


@pytest.mark.parametrize("k", [2, 3, 5])
def test_an_independent_program_in_float64_agrees(k):
    generator = np.random.default_rng(k)
    spread = generator.uniform(0.02, 1, (k, 2, 1, 1, 1))
    sources = (generator.random((k, 2, 1, 21, 17)) * spread).astype(np.float32)
    features = generator.normal(0, 50, (k, 2, 3, 21, 17)).astype(np.float32)
    fused = EntropyGlobal().fuse(
        torch.from_numpy(features), Scene(sources=torch.from_numpy(sources))
    )
    for n in range(2):
        entropies = np.array([reference(sources[i, n]) for i in range(k)])
        expected = np.einsum(
            "i,icyx->cyx", entropies / entropies.sum(), features[:, n].astype(np.float64)
        )
        np.testing.assert_allclose(fused[n].numpy(), expected, rtol=2e-5, atol=2e-4)


def test_values_are_rounded_to_the_nearest_of_256_levels():
    """100/255 and a bit less or more are one level; 100.6/255 is the next."""
    one = torch.tensor([99.6, 100.0, 100.4, 100.0]) / 255
    two = torch.tensor([99.6, 100.0, 100.6, 101.0]) / 255
    assert weights_of(torch.stack([one, two]).view(2, 1, 1, 2, 2)).flatten().tolist() == [0, 1]


def test_values_beyond_the_range_count_as_its_ends():
    """The neighbors in the batch keep their own counts."""
    beyond = torch.tensor([-0.5, 0.0, 1.0, 1.5])
    inside = torch.tensor([0.0, 0.0, 1.0, 1.0])
    weights = weights_of(torch.stack([beyond, inside]).view(2, 1, 1, 2, 2))
    torch.testing.assert_close(weights.flatten(), torch.tensor([0.5, 0.5]))


def test_a_plain_picture_weighs_nothing_and_plain_pictures_alone_one_kth_each():
    sources = torch.rand(5, 1, 1, 6, 6)
    sources[2] = 0.4
    assert weights_of(sources)[2].item() == 0
    plain = torch.tensor([0, 0.2, 0.5, 0.7, 1]).view(5, 1, 1, 1, 1).expand(5, 1, 1, 6, 6)
    weights = weights_of(plain)
    assert torch.equal(weights, torch.full_like(weights, 1 / 5))


def test_the_features_do_not_matter_nor_does_their_resolution():
    sources = torch.rand(2, 1, 1, 8, 8) * torch.tensor([1, 0.05]).view(2, 1, 1, 1, 1)
    coarse = torch.rand(2, 1, 64, 2, 2) * 1e30
    weights = EntropyGlobal().weights(coarse, Scene(sources=sources, level=2, stride=4))
    assert torch.equal(weights, weights_of(sources))
    assert EntropyGlobal().fuse(coarse, Scene(sources=sources)).isfinite().all()


def test_gradients_reach_the_features_and_not_the_counts():
    sources = torch.rand(2, 1, 1, 4, 4, requires_grad=True)
    features = torch.zeros(2, 1, 3, 4, 4, requires_grad=True)
    EntropyGlobal().fuse(features, Scene(sources=sources)).sum().backward()
    assert features.grad.sum() == pytest.approx(3 * 16)
    assert sources.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_pictures_are_counted_in_float32(dtype):
    """10,000 pixels of two levels: float16 counts no further than 2048 by ones."""
    sources = torch.zeros(2, 1, 1, 100, 100, dtype=dtype)
    sources[..., ::2] = 1
    weights = EntropyGlobal().weights(sources, Scene(sources=sources))
    assert weights.dtype == torch.float32
    assert weights.flatten().tolist() == [0.5, 0.5]


def test_a_pinned_value():
    """Made by this program, after the tests above had passed."""
    features = torch.arange(2 * 4 * 5, dtype=torch.float32).view(2, 1, 1, 4, 5).sin().abs()
    features[1] = features[1].mul(4).round() / 4
    fused = EntropyGlobal().fuse(features, Scene(sources=features))
    assert fused.double().square().sum().item() == pytest.approx(8.56365428, rel=1e-5)
