"""Gradient transfer: against the authors' program, and the optimum against its conditions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab import FusionlabError, Scene
from fusionlab.testing import StrategyLaws
from fusionlab_classics import gtf
from fusionlab_classics.gtf import GTF

optimal = GTF(solver="optimal")


def random_images(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (2, height, width)).astype(float)


def fuse(images, strategy):
    """Fuse images (2, h, w) in gray levels."""
    features = torch.as_tensor(np.asarray(images, dtype=float))[:, None, None]
    return strategy.fuse(features, Scene(sources=features / 255))[0, 0].numpy()


def objective(fused, images):
    """Return the mean of what is minimized, in gray levels."""
    infrared, visible = images
    difference = fused - visible
    right = np.diff(difference, axis=1, append=difference[:, -1:])
    down = np.diff(difference, axis=0, append=difference[-1:])
    return (np.abs(fused - infrared) + 4 * np.hypot(right, down)).mean()


@pytest.mark.parametrize("pair", ["s64", "s61"])
def test_the_image_of_the_authors_program(assert_as_published, pair):
    assert_as_published(GTF(), "gtf", pair)


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["01", "05", "08"])
def test_the_images_of_the_authors_program_for_real_pairs(assert_as_published, pair):
    assert_as_published(GTF(), "gtf", pair)


def test_the_operator_of_a_loop_is_its_definition():
    generator = np.random.default_rng(0)
    roughness, fidelity, vector = torch.tensor(generator.uniform(0.1, 2, (3, 5, 6)))
    right, down = gtf._gradient(fidelity * vector)
    transposed = gtf._transposed_gradient(roughness * right, roughness * down)
    expected = vector + fidelity * transposed
    torch.testing.assert_close(gtf._System(roughness, fidelity) @ vector, expected)


def test_the_transposed_gradient_is_the_transpose():
    maps, right, down = torch.tensor(np.random.default_rng(0).normal(size=(3, 4, 7)))
    gradient = gtf._gradient(maps)
    product = (gradient[0] * right + gradient[1] * down).sum()
    torch.testing.assert_close((maps * gtf._transposed_gradient(right, down)).sum(), product)


def test_thresholds_by_hand():
    """0, ..., 999: bin n is n. 5 % are the first 50 values, and more are 51 of them."""
    values = torch.arange(1000, dtype=torch.float64).flip(0)
    assert gtf._threshold(values, 0.05, bins_further=1) == 51
    assert gtf._threshold(values, 0.01) == 10
    assert gtf._threshold((values - 500).clamp(min=0), 0.01) == 499 / 999  # not 0


@pytest.mark.parametrize("pair", ["s64", "s61"])
def test_the_optimal_solver_is_below_irn_and_proves_how_far_it_may_be_from_the_minimum(
    sources, pair
):
    images = np.array(sources(pair), dtype=float)
    fused = fuse(images, optimal)
    value = objective(fused, images)
    assert value < objective(fuse(images, GTF()), images)
    assert value < objective(fuse(images, GTF(loops=40)), images)
    closer = objective(fuse(images, GTF(solver="optimal", tolerance=2e-4)), images)
    assert value * (1 - optimal.tolerance) <= closer <= value


def test_a_small_object_vanishes_and_a_large_one_stays():
    """A square of edge a costs a^2 to remove, and about 4 lam a to keep: 16 is the limit."""
    visible = np.full((60, 60), 50.0)
    for edge, height in ((6, 0), (40, 100)):
        infrared = visible.copy()
        infrared[10 : 10 + edge, 10 : 10 + edge] += 100
        fused = fuse([infrared, visible], optimal)
        assert fused[10 + edge // 2, 10 + edge // 2] == pytest.approx(50 + height, abs=1)


@pytest.mark.parametrize("strategy", [GTF(), optimal], ids=["irn", "optimal"])
def test_a_constant_difference_is_kept(strategy):
    visible = random_images(9, 11)[0] / 2
    np.testing.assert_allclose(fuse([visible + 40, visible], strategy), visible + 40, atol=1e-9)
    np.testing.assert_allclose(fuse([visible, visible], strategy), visible, atol=1e-9)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
@settings(max_examples=6, deadline=None)
def test_negatives_give_the_negative_and_transposed_images_the_result_transposed(h, w, seed):
    """With the optimal solver; irn amplifies rounding."""
    images, strategy = random_images(h, w, seed), GTF(solver="optimal", tolerance=0.05)
    fused = fuse(images, strategy)
    np.testing.assert_allclose(fuse(255 - images, strategy), 255 - fused, atol=1e-6)
    transposed = fuse(images.transpose(0, 2, 1).copy(), strategy)
    np.testing.assert_allclose(transposed, fused.T, atol=1e-6)


@pytest.mark.parametrize("strategy", [GTF(), optimal], ids=["irn", "optimal"])
def test_gradients_are_those_of_finite_differences(strategy):
    images = torch.tensor(random_images(2, 3))[:, None, None].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: strategy.fuse(x, Scene(sources=x.detach())), (images,), fast_mode=True
    )


@pytest.mark.parametrize("wrong", [{"solver": "best"}, {"loops": 0}, {"tolerance": 0}, {"lam": 0}])
def test_parameters_out_of_bounds_are_refused(wrong):
    with pytest.raises(FusionlabError, match=f"'{next(iter(wrong))}'"):
        GTF(**wrong)


@pytest.mark.slow
class TestGTF(StrategyLaws):
    strategy = GTF


def test_the_threshold_of_values_without_any_above_zero_is_their_center():
    """The search for the next center above 0 ended beyond the last one."""
    assert gtf._threshold(torch.zeros(4, 4), 0.05, bins_further=1) == 0
