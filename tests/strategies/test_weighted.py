"""Constant weights, by hand."""

import numpy as np
import pytest
import torch

from fusionlab import FusionlabError, Law, Scene, load_plugins
from fusionlab.plugins.factory import build_strategy
from fusionlab_strategies.mean import Mean
from fusionlab_strategies.weighted import Weighted


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def test_by_hand():
    """One quarter of (1, -3) and three quarters of (2, 10)."""
    features = torch.tensor([[1.0, -3.0], [2.0, 10.0]]).view(2, 1, 2, 1, 1)
    rule = Weighted((1, 3))
    assert rule.weights(features, scene(features)).flatten().tolist() == [0.25, 0.75]
    assert rule.fuse(features, scene(features)).flatten().tolist() == [1.75, 6.75]


@pytest.mark.parametrize("k", [2, 3, 5])
def test_an_independent_program_in_float64_agrees(k):
    generator = np.random.default_rng(k)
    features = generator.normal(0, 50, (k, 2, 6, 7, 5)).astype(np.float32)
    theta = tuple(generator.uniform(0, 9, k).tolist())
    expected = np.zeros(features.shape[1:])
    for i in range(k):
        expected += theta[i] / sum(theta) * features[i].astype(np.float64)
    tensor = torch.from_numpy(features)
    fused = Weighted(theta).fuse(tensor, scene(tensor)).numpy()
    np.testing.assert_allclose(fused, expected, rtol=2e-6, atol=2e-5)


@pytest.mark.parametrize("theta", [(), (0.0, 0.0, 0.0), (7.0, 7.0, 7.0)])
def test_no_weights_or_equal_ones_give_the_mean(theta):
    features = torch.rand(3, 2, 4, 5, 6) * 255
    torch.testing.assert_close(
        Weighted(theta).fuse(features, scene(features)), Mean().fuse(features, scene(features))
    )


def test_a_source_can_weigh_nothing():
    features = torch.rand(3, 1, 2, 4, 4)
    fused = Weighted((0, 1, 0)).fuse(features, scene(features))
    assert torch.equal(fused, features[1])


def test_the_size_of_the_weights_does_not_matter():
    """From the smallest number that is not zero to the largest that is allowed."""
    features = torch.rand(2, 1, 2, 4, 4) * 1e30
    expected = Weighted((1, 1)).fuse(features, scene(features))
    for t in (5e-324, 1e-300, 1e6):
        assert torch.equal(Weighted((t, t)).fuse(features, scene(features)), expected)


@pytest.mark.parametrize("theta", [(1.0,), (1.0, 1.0, 1.0)])
def test_a_wrong_number_of_weights_is_one_clear_error(theta):
    features = torch.ones(2, 1, 1, 2, 2)
    with pytest.raises(FusionlabError, match=f"theta has {len(theta)} weights for 2 sources; give"):
        Weighted(theta).fuse(features, scene(features))


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf"), 1e7])
def test_weights_out_of_bounds_are_refused(bad):
    with pytest.raises(FusionlabError, match="'theta'"):
        Weighted((1.0, bad))


def test_the_order_matters_only_where_weights_differ():
    assert Law.PERMUTATION in Weighted().laws
    assert Law.PERMUTATION in Weighted((2, 2)).laws
    assert Law.PERMUTATION not in Weighted((1, 2)).laws


def test_weights_are_written_with_commas():
    assert build_strategy("weighted,theta=0.2,0.8", load_plugins()) == Weighted((0.2, 0.8))


def test_half_precision_features_are_weighted_in_float32():
    """60,000 + 60,000 is beyond float16; a third is not exact in it."""
    features = torch.full((3, 1, 1, 2, 2), 60000.0, dtype=torch.float16)
    assert torch.equal(Weighted((1, 1, 1)).fuse(features, scene(features)), features[0])


def test_a_pinned_value():
    """Made by this program, after the tests above had passed."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 1, 3, 4, 5).sin() * 100
    fused = Weighted((0.3, 0.7)).fuse(features, scene(features))
    assert fused.double().square().sum().item() == pytest.approx(53691.2975, rel=1e-5)
