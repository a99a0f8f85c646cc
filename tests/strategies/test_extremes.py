"""No activity at all, and sums beyond half precision: all strategies with all their choices.

The law suite has few channels and does not check the weights where all features are zero.
"""

from itertools import product

import pytest
import torch

from fusionlab import Scene, WeightedStrategy, load_plugins
from fusionlab.parameters import describe, params_of
from fusionlab.plugins.loading import strategy_class

OFFERS = [o for o in load_plugins().strategies.registrations if o.plugin == "fusionlab-imaging"]


def _rules():
    """Every strategy with each combination of its choices; of other parameters the defaults."""
    for registration in OFFERS:
        cls = strategy_class(registration)
        choices = {param.name: param.choices for param in params_of(cls) if param.choices}
        for values in product(*choices.values()):
            rule = cls(**dict(zip(choices, values, strict=True)))
            yield pytest.param(rule, id=f"{registration.ref.name}({describe(rule)})")


RULES = list(_rules())


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("rule", RULES)
def test_without_activity_all_sources_weigh_the_same(rule, k):
    if not isinstance(rule, WeightedStrategy):
        pytest.skip("gives no weights")
    zeros = torch.zeros(k, 2, 3, 4, 4)
    weights = rule.weights(zeros, scene(zeros)).expand_as(zeros)
    assert torch.equal(weights, torch.full_like(zeros, 1 / k))


@pytest.mark.parametrize("rule", RULES)
def test_sums_beyond_half_precision_are_those_of_single_precision(rule):
    """Some 500,000 over the channels and 10 million over the image: float16 ends at 65,504."""
    generator = torch.Generator().manual_seed(0)
    features = 8 * torch.randint(-2000, 2000, (2, 1, 64, 40, 40), generator=generator)
    features[1] //= 2
    half = features.half().requires_grad_()
    single = half.detach().float()
    expected = rule.fuse(single, scene(single))
    fused = rule.fuse(half, scene(half))
    assert fused.dtype == torch.float16
    # one rounding of the result; the same numbers went in
    torch.testing.assert_close(fused.float(), expected, rtol=2**-11, atol=1e-3)
    fused.float().sum().backward()
    assert torch.isfinite(half.grad).all()


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_features_in_memory_changes_nothing_but_rounding(rule):
    features = torch.rand(6, 4, 7, 5, generator=torch.Generator().manual_seed(0))
    plain = features.unflatten(0, (2, 3))
    other = features.contiguous(memory_format=torch.channels_last).unflatten(0, (2, 3))
    torch.testing.assert_close(rule.fuse(other, scene(plain)), rule.fuse(plain, scene(plain)))


@pytest.mark.parametrize("rule", RULES)
def test_channels_that_come_last_in_memory_do_so_in_the_result(rule):
    """Else the decoder would copy it."""
    channels = 1 if rule.domain == "pixels" else 4
    features = torch.rand(6, channels, 7, 5).contiguous(memory_format=torch.channels_last)
    fused = rule.fuse(features.unflatten(0, (2, 3)), scene(features.unflatten(0, (2, 3))))
    assert fused.is_contiguous(memory_format=torch.channels_last)
