"""The rule keeps its laws, and gives what its formula gives by hand.

The laws stay as they are; the cases by hand are those of the rule to start from: put yours there.
"""

import torch
from fusionlab import Scene
from fusionlab.testing import StrategyLaws

from fusionlab_my_rule import MyRule


class TestMyRule(StrategyLaws):
    """A test for each law that every rule owes or that this one claims."""

    strategy = MyRule


def fused(rule, features):
    k, n, _, height, width = features.shape
    return rule.fuse(features, Scene(sources=torch.zeros(k, n, 1, height, width)))


def test_the_formula_by_hand():
    """Energies 1 + 4 = 5 and 16 + 4 = 20: weights 1/5 and 4/5."""
    features = torch.tensor([[1.0, -2.0], [4.0, 2.0]]).view(2, 1, 2, 1, 1)
    found = fused(MyRule(r=0), features)
    torch.testing.assert_close(found.flatten(), torch.tensor([3.4, 1.2]))


def test_the_window_by_hand():
    """Mean energies (4 + 0)/2 = 2 and 1 in both pixels: weights 2/3 and 1/3."""
    features = torch.tensor([[2.0, 0.0], [1.0, 1.0]]).view(2, 1, 1, 1, 2)
    found = fused(MyRule(r=1), features)
    torch.testing.assert_close(found.flatten(), torch.tensor([5 / 3, 1 / 3]))


def test_a_source_without_any_activity_leaves_no_trace():
    source = torch.arange(24.0).view(1, 1, 2, 3, 4)
    features = torch.cat([source, torch.zeros_like(source)])
    torch.testing.assert_close(fused(MyRule(), features), source[0])
