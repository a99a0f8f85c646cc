"""addition, mean and max by hand; and where `addition` parts from a mean."""

import pytest
import torch

from fusionlab import Scene
from fusionlab_strategies.addition import Addition
from fusionlab_strategies.max import Max
from fusionlab_strategies.mean import Mean

FEATURES = torch.tensor([[1.0, -4.0], [3.0, 2.0], [5.0, 8.0]]).view(3, 1, 2, 1, 1)
SCENE = Scene(sources=torch.zeros(3, 1, 1, 1, 1))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [(Addition(), [9.0, 6.0]), (Mean(), [3.0, 2.0]), (Max(), [5.0, 8.0])],
)
def test_by_hand(rule, expected):
    """Eq. 4 is a sum, for any k."""
    fused = rule.fuse(FEATURES, SCENE)
    torch.testing.assert_close(fused.flatten(), torch.tensor(expected), rtol=1e-6, atol=0)


def test_max_and_addition_are_associative():
    """f(f(a, b), c) = f(a, b, c); for max to the last bit."""
    for rule in (Max(), Addition()):
        first = rule.fuse(FEATURES[:2], SCENE)
        nested = rule.fuse(torch.stack([first, FEATURES[2]]), SCENE)
        assert torch.equal(nested, rule.fuse(FEATURES, SCENE))
