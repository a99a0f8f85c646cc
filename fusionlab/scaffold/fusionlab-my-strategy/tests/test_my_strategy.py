"""Test the laws of the strategy, and its formula against results computed by hand.

Keep the laws, and replace the results by those of your formula.
"""

import torch
from fusionlab import Scene
from fusionlab.testing import StrategyLaws

from fusionlab_my_strategy import MyStrategy


class TestMyStrategy(StrategyLaws):
    """One test for each law."""

    strategy = MyStrategy


def fuse(strategy, features):
    k, n, _, height, width = features.shape
    return strategy.fuse(features, Scene(sources=torch.zeros(k, n, 1, height, width)))


def test_the_formula_by_hand():
    """Energies 1 + 4 = 5 and 16 + 4 = 20: weights 1/5 and 4/5."""
    features = torch.tensor([[1.0, -2.0], [4.0, 2.0]]).view(2, 1, 2, 1, 1)
    fused = fuse(MyStrategy(r=0), features)
    torch.testing.assert_close(fused.flatten(), torch.tensor([3.4, 1.2]))


def test_the_window_by_hand():
    """Mean energies (4 + 0)/2 = 2 and 1 in both pixels: weights 2/3 and 1/3."""
    features = torch.tensor([[2.0, 0.0], [1.0, 1.0]]).view(2, 1, 1, 1, 2)
    fused = fuse(MyStrategy(r=1), features)
    torch.testing.assert_close(fused.flatten(), torch.tensor([5 / 3, 1 / 3]))


def test_a_source_without_activity_contributes_nothing():
    source = torch.arange(24.0).view(1, 1, 2, 3, 4)
    features = torch.cat([source, torch.zeros_like(source)])
    torch.testing.assert_close(fuse(MyStrategy(), features), source[0])
