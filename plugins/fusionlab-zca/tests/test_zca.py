"""Whitened weights against their formula, by hand and in numpy, float64."""

import numpy as np
import pytest
import torch

from fusionlab import Fusion, FusionlabError, Law, Scene
from fusionlab.testing import StrategyLaws
from fusionlab_zca import ZCA


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def weights_of(features, rule):
    return rule.weights(features, scene(features))


def fused_by(features, rule):
    return rule.fuse(features, scene(features))


def uniform(seed, *shape, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def reference(features, r, eps):
    """The weights of features (k, C, h, w), by numpy's covariance and singular values."""
    k, channels, rows, columns = features.shape
    flat = features.astype(np.float64).reshape(k, channels, -1)
    covariances = [np.atleast_2d(np.cov(one, bias=True)) for one in flat]
    floor = eps * np.mean([np.diag(one) for one in covariances])
    activities = []
    for one, covariance in zip(flat, covariances, strict=True):
        u, s, _ = np.linalg.svd(covariance)
        white = u @ np.diag((s + floor) ** -0.5) @ u.T @ (one - one.mean(axis=1, keepdims=True))
        c = np.abs(white).sum(axis=0).reshape(rows, columns)
        activities.append(
            [
                [
                    c[max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1].mean()
                    for x in range(columns)
                ]
                for y in range(rows)
            ]
        )
    return np.array(activities) / np.sum(activities, axis=0)


def test_by_hand():
    """One channel: whitening divides the distance from the mean by the standard deviation.

    a is 0, 0, 0, 4: mean 1, variance 3, so 1, 1, 1, 3 over sqrt 3; b is 0, 0, 8, 8: all 1. With
    as good as no eps, a weighs 1/(1 + sqrt 3) in three pixels and sqrt 3/(sqrt 3 + 1) in one.
    """
    features = torch.tensor([[0.0, 0, 0, 4], [0, 0, 8, 8]], dtype=torch.float64)
    weights = weights_of(features.view(2, 1, 1, 2, 2), ZCA(r=0, eps=1e-9))[0].flatten()
    root = 3**0.5
    assert weights.tolist() == pytest.approx([1 / (1 + root)] * 3 + [root / (1 + root)], rel=1e-6)


def test_by_hand_with_eps():
    """Variances 1 and 3, mean 2, eps 1: activities |x - mean| / sqrt 3 and / sqrt 5."""
    features = torch.tensor([[-1.0, 1], [-(3**0.5), 3**0.5]], dtype=torch.float64)
    weights = weights_of(features.view(2, 1, 1, 1, 2), ZCA(r=0, eps=1))[0].flatten()
    a, b = (1 / 3) ** 0.5, (3 / 5) ** 0.5
    assert weights.tolist() == pytest.approx([a / (a + b)] * 2)


def test_what_two_channels_have_in_common_counts_once():
    """A copy of a channel, and one a hundred times as strong: neither changes where a source is
    active, since all directions that are there are brought to the same variance.
    """
    other, channel = uniform(0, 1, 1, 2, 6, 7), uniform(1, 1, 1, 1, 6, 7)
    plain = torch.cat([channel, torch.zeros_like(channel)], dim=2)
    double = torch.cat([channel, channel], dim=2)
    strong = torch.cat([100 * channel, torch.zeros_like(channel)], dim=2)
    rule = ZCA(r=1, eps=1e-9)
    expected = weights_of(torch.cat([other, plain]), rule)
    # whitened, one direction of two channels is (1, 1)/sqrt 2 of a standard deviation: sqrt 2 of it
    activity = expected / (1 - expected)
    found = weights_of(torch.cat([other, double]), rule)
    torch.testing.assert_close((found / (1 - found))[1], activity[1] * 2**0.5, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        weights_of(torch.cat([other, strong]), rule), expected, rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize(("r", "eps"), [(0, 1e-5), (2, 1e-5), (1, 0.3)])
def test_an_independent_program_in_float64_agrees(k, r, eps):
    generator = np.random.default_rng(k)
    features = generator.normal(40, 20, (k, 4, 7, 9))
    features[:, 1] += 2 * features[:, 0]
    features = features.astype(np.float32)
    tensor = torch.from_numpy(features)[:, None]
    expected = reference(features, r, eps)
    np.testing.assert_allclose(
        weights_of(tensor, ZCA(r, eps))[:, 0, 0].numpy(), expected, rtol=2e-5
    )
    fused = np.einsum("iyx,icyx->cyx", expected, features.astype(np.float64))
    np.testing.assert_allclose(
        fused_by(tensor, ZCA(r, eps))[0].numpy(), fused, rtol=2e-5, atol=1e-3
    )


def test_tiled_equals_whole_because_support_and_statistics_are_right():
    sources = list(uniform(0, 3, 70, 50).numpy())
    for backbone in ("identity", "densefuse"):
        whole = Fusion(backbone, ZCA(), tile=999).fuse(sources, weights=True)
        tiled = Fusion(backbone, ZCA(), tile=16).fuse(sources, weights=True)
        np.testing.assert_allclose(tiled.image, whole.image, atol=1e-5)
        np.testing.assert_allclose(tiled.weights, whole.weights, atol=1e-5)


def test_one_picture_beside_itself_weighs_as_it_does_alone():
    """The size of the image does not matter: eps is a share of a mean."""
    features = uniform(0, 2, 1, 3, 6, 6)
    rule = ZCA(r=0, eps=0.3)
    weights = weights_of(features, rule)
    torch.testing.assert_close(
        weights_of(features.repeat(1, 1, 1, 1, 2), rule), weights.repeat(1, 1, 1, 1, 2)
    )


def test_order_scale_and_mirrors_change_nothing():
    rule = ZCA()
    features = uniform(0, 3, 1, 4, 9, 11)
    fused = fused_by(features, rule)
    torch.testing.assert_close(fused_by(features[[2, 0, 1]], rule), fused)
    for scale in (1e-30, 0.5, 1e30):
        torch.testing.assert_close(fused_by(scale * features, rule) / scale, fused)
    turned = torch.rot90(features, 1, (-2, -1)).flip(-1)
    torch.testing.assert_close(fused_by(turned, rule), torch.rot90(fused, 1, (-2, -1)).flip(-1))


def test_a_picture_moved_within_an_empty_surround_gives_the_result_moved():
    rule = ZCA()
    assert Law.TRANSLATION in rule.laws
    empty = torch.zeros(2, 1, 3, 30, 30)
    here, there = empty.clone(), empty.clone()
    here[..., 3:15, 4:15] = there[..., 9:21, 7:18] = uniform(0, 2, 1, 3, 12, 11)
    torch.testing.assert_close(fused_by(there, rule), fused_by(here, rule).roll((6, 3), (-2, -1)))


def test_idempotence_and_convexity():
    features = uniform(0, 3, 2, 4, 8, 9) * 255 - 100
    same = features[:1].expand_as(features)
    torch.testing.assert_close(fused_by(same, ZCA()), features[0], rtol=1e-6, atol=0)
    fused = fused_by(features, ZCA())
    assert (fused >= features.amin(dim=0) - 1e-4).all()
    assert (fused <= features.amax(dim=0) + 1e-4).all()


def test_images_of_a_batch_do_not_see_each_other():
    features = uniform(0, 2, 3, 4, 8, 9) * torch.tensor([1, 100, 1e-3]).view(1, 3, 1, 1, 1)
    fused = fused_by(features, ZCA())
    for n in range(3):
        torch.testing.assert_close(fused_by(features[:, n : n + 1], ZCA())[0], fused[n])


def test_a_channel_without_variance_has_no_part_though_its_mean_is_rounded():
    """What is left of a plain channel must not become activity, nor variance: 1e9 squared, from
    which 1e9 squared is taken, leaves hundreds.
    """
    features = uniform(0, 2, 1, 3, 11, 13, dtype=torch.float64) * 255
    expected = weights_of(features, ZCA())
    for value in (0.0, 0.1, 254.9, 1e9 / 3):
        plain = torch.full_like(features[:, :, :1], value)
        # the mean variance is over 4 channels now, and eps a share of it
        weights = weights_of(torch.cat([features, plain], dim=2), ZCA(eps=1e-5 * 4 / 3))
        torch.testing.assert_close(weights, expected)


@pytest.mark.parametrize("value", [0.0, 17.3, 254.9, 1e9 / 3])
def test_plain_sources_weigh_one_kth_each_with_finite_gradients(value):
    values = torch.tensor([1, 1 / 3, 0.1, 0.7, 1.1], dtype=torch.float64).view(5, 1, 1, 1, 1)
    features = (value * values).repeat(1, 2, 7, 11, 13).requires_grad_()
    weights = weights_of(features, ZCA())
    assert torch.equal(weights, torch.full_like(weights, 1 / 5))
    fused_by(features, ZCA()).sum().backward()
    assert features.grad.isfinite().all()


def test_a_plain_source_beside_others_weighs_nothing():
    features = uniform(0, 3, 2, 4, 6, 6) * 255
    features[1] = 99.9
    assert (weights_of(features, ZCA())[1] == 0).all()


def test_gradients_are_those_of_finite_differences():
    x = uniform(1, 3, 1, 2, 3, 3, dtype=torch.float64).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: fused_by(x, ZCA(r=1, eps=1e-3)), (x,))


def test_gradients_are_right_where_eigenvalues_are_equal():
    """Three uncorrelated channels of one variance: an eigendecomposition has no gradient here."""
    patterns = torch.tensor(
        [[1.0, 1, 1, 1, -1, -1, -1, -1], [1, 1, -1, -1, 1, 1, -1, -1], [1, -1, 1, -1, 1, -1, 1, -1]]
    )
    other = uniform(2, 1, 1, 3, 2, 4, dtype=torch.float64)
    x = torch.cat([patterns.double().view(1, 1, 3, 2, 4), other]).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: fused_by(x, ZCA(r=0, eps=0.1)), (x,))


def test_gradients_are_finite_with_dead_and_equal_channels():
    features = uniform(0, 2, 2, 5, 6, 7) * 255
    features[:, :, 1] = 0
    features[:, :, 2] = features[:, :, 3]
    features.requires_grad_()
    fused_by(features, ZCA()).square().sum().backward()
    assert features.grad.isfinite().all()


def test_half_precision_features_are_whitened_in_float64():
    features = uniform(0, 2, 1, 8, 8, 8).mul(2000).half()
    assert fused_by(features, ZCA()).dtype == torch.float16
    torch.testing.assert_close(weights_of(features, ZCA()), weights_of(features.float(), ZCA()))


def test_parameters_out_of_bounds_are_refused():
    with pytest.raises(FusionlabError, match="'eps' must be at least 1e-09, got 0"):
        ZCA(eps=0)


class TestZCA(StrategyLaws):
    strategy = ZCA
