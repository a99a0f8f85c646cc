"""What the shipped strategies claim, drawn from their own parameters by hypothesis.

Every strategy that this distribution offers is tested for exactly the laws it claims, and for
what any strategy owes. Tolerances are from float32: a sum of k <= 5 products carries a relative
error of a few 6e-8; reordered sources move sums by 2.5e-7.
"""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fusionlab import Law, Scene, WeightedStrategy, load_plugins, params
from fusionlab.method import strategy_class

OFFERS = [o for o in load_plugins().strategies.offers if o.plugin == "fusionlab-imaging"]
ULP = torch.finfo(torch.float32).eps


def scene(features):
    """A scene whose pictures are the averages of the channels: some rules look at them."""
    sources = features.detach().float().mean(dim=2, keepdim=True)
    return Scene(sources=sources.div(255).clamp(0, 1))


@st.composite
def features(draw, k=None):
    """Non-negative and signed features (k, N, C, h, w) at 0..255, with zeros and dead channels."""
    shape = (
        k or draw(st.integers(2, 5)),
        *draw(st.tuples(*[st.integers(1, n) for n in (2, 6, 9, 9)])),
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    values = torch.rand(shape, generator=generator) * 255
    if draw(st.booleans()):
        values -= 100
    if draw(st.booleans()):
        values *= torch.rand(shape, generator=generator) > 0.5
    if draw(st.booleans()):
        values[:, :, 0] = 0
    return values


def law(claim=None, weighted=False):
    """Run a test for every shipped strategy that claims the law, with drawn parameters."""

    def decorate(test):
        @pytest.mark.parametrize("offer", OFFERS, ids=lambda o: o.ref.name)
        def run(offer):
            cls = strategy_class(offer)
            if weighted and not issubclass(cls, WeightedStrategy):
                pytest.skip("gives no weights")

            # constant weights that are all the same, for instance, are rare among those drawn
            @settings(
                max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much]
            )
            @given(rule=params.draw(cls), data=st.data())
            def check(rule, data):
                assume(claim is None or claim in rule.laws)
                # a rule with a list of weights, one per source, fixes k; one weight fits no k
                count = len(getattr(rule, "theta", ()))
                assume(count != 1)
                x = data.draw(features(count or None))
                reflected = getattr(rule, "border", "") == "reflect"
                assume(not reflected or rule.r < min(x.shape[-2:]))
                test(rule, x, data)

            if claim is not None and claim not in cls().laws:
                pytest.skip(f"does not claim {claim.name}")
            check()

        return run

    return decorate


@law(Law.PERMUTATION)
def test_permutation(rule, x, data):
    order = data.draw(st.permutations(range(len(x))))
    torch.testing.assert_close(
        rule.fuse(x[order], scene(x[order])), rule.fuse(x, scene(x)), rtol=1e-5, atol=1e-4
    )


@law(Law.IDEMPOTENCE)
def test_idempotence(rule, x, data):
    same = x[:1].expand_as(x)
    torch.testing.assert_close(rule.fuse(same, scene(same)), x[0], rtol=1e-6, atol=0)


@law(Law.CONVEXITY)
def test_convexity(rule, x, data):
    """Up to 4 units in the last place of the largest value at that place."""
    fused, slack = rule.fuse(x, scene(x)), 4 * ULP * x.abs().amax(dim=0)
    assert (fused >= x.amin(dim=0) - slack).all()
    assert (fused <= x.amax(dim=0) + slack).all()


@law(Law.SCALE)
def test_scale(rule, x, data):
    """By powers of two, which float32 multiplies without rounding."""
    c = 2.0 ** data.draw(st.integers(-10, 10))
    torch.testing.assert_close(
        rule.fuse(c * x, scene(x)), c * rule.fuse(x, scene(x)), rtol=1e-6, atol=0
    )


@law(Law.FLIPS)
def test_flips_and_quarter_turns(rule, x, data):
    def turned(t):
        return torch.rot90(t, quarters, (-2, -1)).flip(axes)

    quarters, axes = data.draw(st.integers(0, 3)), data.draw(st.sampled_from([(), (-1,), (-2,)]))
    torch.testing.assert_close(
        rule.fuse(turned(x), scene(turned(x))), turned(rule.fuse(x, scene(x))), rtol=1e-5, atol=1e-4
    )


@law(Law.DUPLICATES)
def test_duplicates(rule, x, data):
    twice = torch.cat([x, x[:1]])
    assert torch.equal(rule.fuse(twice, scene(twice)), rule.fuse(x, scene(x)))


@law(Law.DOMINANCE)
def test_dominance(rule, x, data):
    """A source a million times as active leaves the others a share of about 1e-6 x (k - 1).

    Some rules look at changes only: with a checkerboard of signs, every feature is one. Other
    norms and second differences spread at most 4 C times as far as the l1-norms of the pixels.
    """
    assume((x.abs().sum(dim=2) > 1).all())
    x = x.abs().repeat(1, 1, 1, 2, 2)
    x *= 1 - 2 * (torch.arange(x.shape[-2])[:, None] + torch.arange(x.shape[-1])).remainder(2)
    strong = torch.cat([1e6 * x[:1], x[1:]])
    error = (rule.fuse(strong, scene(x)) - strong[0]).abs()
    share = x.abs().sum(dim=2).amax() / x.abs().sum(dim=2).amin() * len(x) * 1e-6
    share *= 4 * x.shape[2]
    assert (error <= (share + 4 * ULP) * 1.01 * strong.abs().amax()).all()


@law(weighted=True)
def test_weights_are_a_partition_of_unity(rule, x, data):
    weights = rule.weights(x, scene(x))
    assert (weights >= 0).all()
    total = weights.sum(dim=0)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=1e-6, atol=0)
    assert weights.dtype == torch.float32


@law(weighted=True)
def test_without_any_activity_each_source_weighs_one_kth(rule, x, data):
    assume(not any(getattr(rule, "theta", ())))  # constant weights know no activity
    zeros = torch.zeros_like(x).requires_grad_()
    weights = rule.weights(zeros, scene(zeros)).expand_as(x)
    assert torch.equal(weights.detach(), torch.full_like(x, 1 / len(x)))
    rule.fuse(zeros, scene(zeros)).sum().backward()
    assert torch.isfinite(zeros.grad).all()


@law()
def test_gradients_are_finite_where_activities_are_zero_or_not(rule, x, data):
    x.requires_grad_()
    rule.fuse(x, scene(x)).square().sum().backward()
    assert torch.isfinite(x.grad).all()


@law()
def test_images_of_a_batch_do_not_see_each_other(rule, x, data):
    for n in range(x.shape[1]):
        one = x[:, n : n + 1]
        torch.testing.assert_close(
            rule.fuse(one, scene(one))[0], rule.fuse(x, scene(x))[n], rtol=1e-6, atol=1e-5
        )


@law()
def test_inputs_stay_untouched_and_results_repeat(rule, x, data):
    before = x.clone()
    first = rule.fuse(x, scene(x))
    assert torch.equal(x, before)
    assert torch.equal(rule.fuse(x, scene(x)), first)


@law()
@pytest.mark.filterwarnings("ignore:.*Half.*")
def test_shape_and_dtype_are_kept(rule, x, data):
    dtype = data.draw(
        st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])
    )
    fused = rule.fuse(x.to(dtype), scene(x))
    assert fused.shape == x.shape[1:]
    assert fused.dtype == dtype


@law()
def test_a_change_beyond_the_support_changes_nothing(rule, x, data):
    """The support is exact: the tiler trusts it."""
    if rule.support is None:
        pytest.skip("looks at the whole image")
    padded = torch.nn.functional.pad(x.flatten(0, 1), (0, rule.support + 1)).view(
        *x.shape[:-1], x.shape[-1] + rule.support + 1
    )
    other = padded.clone()
    other[..., -1] += 1e4
    width = x.shape[-1]
    known = rule.statistics(padded, scene(padded))  # what is gathered elsewhere does not count
    before, after = (rule.fuse(y, replace(scene(y), statistics=known)) for y in (padded, other))
    torch.testing.assert_close(after[..., :width], before[..., :width], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("offer", OFFERS, ids=lambda o: o.ref.name)
def test_gradcheck_in_float64(offer):
    """Away from kinks: all features differ from each other and from zero."""
    rule = strategy_class(offer)()
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, 1, 2, 3, 3, dtype=torch.float64, generator=generator)
    x = x.add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: rule.fuse(x, scene(x)), (x,))


@pytest.mark.parametrize("offer", OFFERS, ids=lambda o: o.ref.name)
def test_the_listed_summary_is_the_first_line_of_the_docstring(offer):
    assert strategy_class(offer).__doc__.splitlines()[0] == offer.ref.summary
