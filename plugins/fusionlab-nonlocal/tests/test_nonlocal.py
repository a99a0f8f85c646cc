"""Nonlocal weights against their formula, by hand and in numpy, float64."""

import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import fusionlab_nonlocal
from fusionlab import Fusion, FusionlabError, Law, Scene
from fusionlab.testing import StrategyLaws
from fusionlab_nonlocal import NonLocal


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def weights_of(features, rule):
    return rule.weights(features, scene(features))


def fused_by(features, rule):
    return rule.fuse(features, scene(features))


def uniform(seed, *shape, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def softmax_of_normalized(energy):
    """Of the rows, after minimum and maximum of the whole matrix."""
    energy = (energy - energy.min()) / (np.ptp(energy) or 1)
    return np.exp(energy) / np.exp(energy).sum(axis=1, keepdims=True)


def reference(features, pool):
    """Weights (k, C, h, w), the P x M matrix in one piece; h and w are multiples of the pool."""
    k, channels, rows, columns = features.shape
    channel, spatial = [], []
    for one in np.abs(features.astype(np.float64)):
        x = one.reshape(channels, -1)
        channel.append(x + softmax_of_normalized(x @ x.T) @ x)
        blocks = one.reshape(channels, rows // pool, pool, columns // pool, pool)
        keys = blocks.mean(axis=(2, 4)).reshape(channels, -1)
        spatial.append(x + (softmax_of_normalized(x.T @ keys) @ keys.T).T)
    shares = []
    for one in (channel, spatial):
        total = np.sum(one, axis=0)
        shares.append(np.where(total > 0, one / np.where(total > 0, total, 1), 1 / k))
    return np.mean(shares, axis=0).reshape(features.shape)


def test_one_pixel_of_one_channel_by_hand():
    """It attends to itself alone: 3 + 3 against 1 + 1."""
    weights = weights_of(torch.tensor([3.0, 1.0]).view(2, 1, 1, 1, 1), NonLocal())
    torch.testing.assert_close(weights.flatten(), torch.tensor([0.75, 0.25]))


def test_one_pixel_of_two_channels_by_hand():
    """Products of (2, 0): 4 and three zeros. Its channels get 2 e/(1 + e) and 2/2 more."""
    features = torch.tensor([[2.0, 0.0], [0.0, 1.0]]).view(2, 1, 2, 1, 1)
    weights = weights_of(features, NonLocal())[0].flatten()
    near = math.e / (1 + math.e)
    a, b = (2 + 2 * near, 1.0), (0.5, 1 + near)
    # a single pixel attends to itself: spatial weights 1 and 0
    expected = [(a[0] / (a[0] + b[0]) + 1) / 2, a[1] / (a[1] + b[1]) / 2]
    assert weights.tolist() == pytest.approx(expected)


def test_two_pixels_that_attend_to_each_other_by_hand():
    """pool=1, pixels 2 and 1: energies 4 2 / 2 1, normalized 1 1/3 / 1/3 0."""
    features = torch.tensor([[2.0, 1.0], [1.0, 1.0]]).view(2, 1, 1, 1, 2)
    weights = weights_of(features, NonLocal(pool=1))[0].flatten()
    up = math.exp(2 / 3) / (1 + math.exp(2 / 3))
    next_up = math.exp(1 / 3) / (1 + math.exp(1 / 3))
    spatial = [2 + (2 * up + 1 - up), 1 + (2 * next_up + 1 - next_up)]
    # one channel attends to itself: it doubles, 4 and 2 against 2 and 2
    expected = [
        (4 / 6 + spatial[0] / (spatial[0] + 2)) / 2,
        (2 / 4 + spatial[1] / (spatial[1] + 2)) / 2,
    ]
    assert weights.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("pool", [1, 4, 8])
def test_an_independent_program_in_float64_agrees(k, pool):
    features = np.random.default_rng(k).normal(20, 50, (k, 5, 8, 16)).astype(np.float32)
    features[:, 1] = 0  # a channel that is dead in all sources
    features[0, 2] = 0  # and one that is dead in the first
    tensor = torch.from_numpy(features)[:, None]
    expected = reference(features, pool)
    np.testing.assert_allclose(weights_of(tensor, NonLocal(pool))[:, 0], expected, rtol=2e-5)
    fused = (expected * features).sum(axis=0)
    np.testing.assert_allclose(fused_by(tensor, NonLocal(pool))[0], fused, rtol=2e-5, atol=1e-3)


@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_the_result_does_not_depend_on_the_size_of_the_blocks(monkeypatch, at_once):
    features = uniform(0, 2, 1, 3, 16, 17).requires_grad_()
    whole = fused_by(features, NonLocal(pool=4))
    (whole_gradient,) = torch.autograd.grad(whole.square().sum(), features)
    monkeypatch.setattr(fusionlab_nonlocal, "_AT_ONCE", at_once)
    blocks = fused_by(features, NonLocal(pool=4))
    torch.testing.assert_close(blocks, whole)
    (gradient,) = torch.autograd.grad(blocks.square().sum(), features)
    torch.testing.assert_close(gradient, whole_gradient)


@pytest.mark.parametrize("grad", [False, True])
def test_the_matrix_of_all_pixels_never_exists(monkeypatch, grad):
    """No tensor that is made, or kept for the gradient, is larger than a few blocks."""
    monkeypatch.setattr(fusionlab_nonlocal, "_AT_ONCE", 2**12)
    features = uniform(0, 2, 1, 2, 48, 48).requires_grad_(grad)
    matrix = 48**2 * 24**2
    made, kept = [], {}

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            made.extend(t.numel() for t in [result] if isinstance(t, torch.Tensor))
            return result

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with Watch(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        fused = fused_by(features, NonLocal(pool=2))
    assert fused.requires_grad == grad
    assert max(made) <= 2 * features.numel() < matrix / 50
    assert sum(kept.values()) / 4 < 20 * features.numel() < matrix / 7


def test_it_needs_the_image_in_one_piece_and_fuses_it():
    assert NonLocal().support is None
    sources = list(uniform(0, 3, 41, 50).numpy())
    for backbone in ("identity", "densefuse"):
        fused = Fusion(backbone, NonLocal()).fuse(sources, weights=True)
        assert fused.image.shape == (41, 50)
        np.testing.assert_allclose(np.sum(fused.weights, axis=0), 1, rtol=1e-5)


def test_a_source_that_is_brighter_elsewhere_changes_weights_here():
    """That is what nonlocal means."""
    features = uniform(0, 2, 1, 3, 32, 32)
    other = features.clone()
    other[0, ..., 24:, 24:] *= 5
    change = weights_of(other, NonLocal()) - weights_of(features, NonLocal())
    assert change[..., :8, :8].abs().max() > 1e-3


def test_order_scale_and_mirrors_change_nothing():
    """Edges that are no multiples of the pool, too."""
    rule = NonLocal(pool=4)
    features = uniform(0, 3, 1, 4, 11, 18)
    fused = fused_by(features, rule)
    torch.testing.assert_close(fused_by(features[[2, 0, 1]], rule), fused)
    for scale in (1e-30, 0.5, 1e30):
        torch.testing.assert_close(fused_by(scale * features, rule) / scale, fused)
    turned = torch.rot90(features, 1, (-2, -1)).flip(-1)
    torch.testing.assert_close(fused_by(turned, rule), torch.rot90(fused, 1, (-2, -1)).flip(-1))


def test_a_picture_moved_across_the_windows_is_another_so_that_is_not_claimed():
    rule = NonLocal()
    assert Law.TRANSLATION not in rule.laws
    here, there = torch.zeros(2, 1, 1, 32, 32), torch.zeros(2, 1, 1, 32, 32)
    here[..., 8:16, 8:16] = there[..., 12:20, 12:20] = uniform(0, 2, 1, 1, 8, 8)
    moved = fused_by(here, rule).roll((4, 4), (-2, -1))
    assert (fused_by(there, rule) - moved).abs().max() > 1e-4


def test_idempotence_and_convexity_for_features_of_both_signs():
    features = uniform(0, 3, 2, 4, 12, 9) * 255 - 100
    same = features[:1].expand_as(features)
    torch.testing.assert_close(fused_by(same, NonLocal()), features[0], rtol=1e-6, atol=0)
    weights = weights_of(features, NonLocal())
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=0), torch.ones_like(features[0]))
    fused = fused_by(features, NonLocal())
    assert (fused >= features.amin(dim=0) - 1e-4).all()
    assert (fused <= features.amax(dim=0) + 1e-4).all()


def test_a_source_far_more_active_than_all_others_is_the_result():
    features = uniform(0, 3, 1, 4, 12, 9).add(0.1) * torch.tensor([1e6, 1, 1]).view(3, 1, 1, 1, 1)
    torch.testing.assert_close(fused_by(features, NonLocal()), features[0], rtol=1e-4, atol=0)


def test_images_of_a_batch_do_not_see_each_other():
    """The authors' minimum and maximum are of the whole batch."""
    features = uniform(0, 2, 3, 4, 8, 9) * torch.tensor([1, 1e15, 1e-15]).view(1, 3, 1, 1, 1)
    weights = weights_of(features, NonLocal(pool=2))
    for n in range(3):
        one = features[:, n : n + 1]
        torch.testing.assert_close(weights_of(one, NonLocal(pool=2))[:, 0], weights[:, n])


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_where_all_energies_are_the_same_weights_and_gradients_are_finite(value):
    """The authors' program divides 0 by 0 here."""
    features = torch.full((5, 2, 3, 9, 10), value).requires_grad_()
    weights = weights_of(features, NonLocal())
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / 5))
    fused_by(features, NonLocal()).square().sum().backward()
    assert features.grad.isfinite().all()


def test_gradients_are_finite_with_dead_channels_and_sources():
    features = uniform(0, 3, 1, 4, 8, 9)
    features[:, :, 1] = 0
    features[1] = 0
    features[2] *= 1e-25
    features.requires_grad_()
    fused_by(features, NonLocal(pool=3)).square().sum().backward()
    assert features.grad.isfinite().all()


def test_gradients_are_those_of_finite_differences():
    x = uniform(1, 3, 1, 2, 3, 4, dtype=torch.float64).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: fused_by(x, NonLocal(pool=2)), (x,))


def test_half_precision_features_attend_in_float32():
    """Products of features of 2000 are beyond float16."""
    features = uniform(0, 2, 1, 8, 16, 16).mul(2000).half()
    assert fused_by(features, NonLocal()).dtype == torch.float16
    torch.testing.assert_close(
        weights_of(features, NonLocal()), weights_of(features.float(), NonLocal())
    )


def test_a_pool_out_of_bounds_is_refused():
    with pytest.raises(FusionlabError, match="'pool' must be at least 1, got 0"):
        NonLocal(pool=0)


class TestNonLocal(StrategyLaws):
    strategy = NonLocal
