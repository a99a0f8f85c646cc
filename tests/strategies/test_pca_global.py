"""PCA weights against an eigendecomposition, by hand and by an independent program."""

import numpy as np
import pytest
import torch

from fusionlab import Scene
from fusionlab_strategies.pca_global import PCAGlobal


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def weights_of(features):
    return PCAGlobal().weights(features, scene(features))


def reference(features):
    """The weights of features (k, C, h, w), by numpy's eigendecomposition in float64."""
    k = len(features)
    _, vectors = np.linalg.eigh(np.cov(features.reshape(k, -1).astype(np.float64)))
    leading = np.abs(vectors[:, -1])
    return leading / leading.sum()


def test_by_hand():
    """The second source is three times the first: v = (1, 3)."""
    first = torch.tensor([[1.0, 2.0], [4.0, 9.0]])
    features = torch.stack([first, 3 * first + 5]).view(2, 1, 1, 2, 2)
    torch.testing.assert_close(weights_of(features).flatten(), torch.tensor([0.25, 0.75]))


def test_a_negative_picture_weighs_as_its_positive_does():
    """v = (1, -1): a power iteration that starts from (1, 1) would find nothing."""
    first = torch.rand(1, 1, 3, 5, 5)
    features = torch.cat([first, 255 - first])
    torch.testing.assert_close(weights_of(features).flatten(), torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize("k", [2, 3, 5])
def test_an_independent_program_in_float64_agrees(k):
    generator = np.random.default_rng(k)
    common = generator.normal(0, 50, (1, 4, 7, 9))
    features = common * generator.uniform(-2, 2, (k, 1, 1, 1)) + generator.normal(
        40, 20, (k, 4, 7, 9)
    )
    features[0, 1] = 0  # a dead channel
    features = features.astype(np.float32)
    weights = weights_of(torch.from_numpy(features)[:, None]).flatten().numpy()
    np.testing.assert_allclose(weights, reference(features), rtol=2e-5, atol=1e-6)
    tensor = torch.from_numpy(features)[:, None]
    fused = PCAGlobal().fuse(tensor, scene(tensor))[0].numpy()
    expected = np.einsum("i,icyx->cyx", reference(features), features.astype(np.float64))
    np.testing.assert_allclose(fused, expected, rtol=2e-5, atol=1e-3)


def test_the_source_of_more_contrast_takes_all_if_nothing_is_common():
    """Orthogonal patterns, variances 4 and 1: v = (1, 0)."""
    features = torch.tensor([[2.0, -2.0, 2.0, -2.0], [1.0, 1.0, -1.0, -1.0]]).view(2, 1, 1, 2, 2)
    torch.testing.assert_close(weights_of(features).flatten(), torch.tensor([1.0, 0.0]))


def test_equal_eigenvalues_treat_the_sources_alike_with_finite_gradients():
    """An eigendecomposition picks any direction here, and has no gradient."""
    features = torch.tensor([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]]).view(2, 1, 1, 2, 2)
    features.requires_grad_()
    weights = weights_of(features)
    assert weights.flatten().tolist() == [0.5, 0.5]
    PCAGlobal().fuse(features, scene(features)).square().sum().backward()
    assert torch.isfinite(features.grad).all()


def test_plain_sources_weigh_one_kth_each_though_their_means_are_rounded():
    features = torch.tensor([0.1, 17.3, 200.7, 0, 254.9]).view(5, 1, 1, 1, 1)
    features = features.expand(5, 1, 7, 11, 13).clone().requires_grad_()
    weights = weights_of(features)
    assert torch.equal(weights, torch.full_like(weights, 1 / 5))
    PCAGlobal().fuse(features, scene(features)).sum().backward()
    assert torch.isfinite(features.grad).all()


def test_a_plain_source_beside_others_weighs_nothing():
    features = torch.rand(3, 2, 4, 6, 6) * 255
    features[1] = 99.0
    weights = weights_of(features)
    assert (weights[1] < 1e-6).all()
    assert torch.isfinite(weights).all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_tiny_and_huge_features_give_the_same_weights(scale):
    """Their squares are zero or infinite in float32."""
    features = torch.rand(3, 1, 4, 5, 5)
    torch.testing.assert_close(weights_of(scale * features), weights_of(features))


def test_a_pinned_value():
    """Made by this program, after the tests above had passed."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 1, 3, 4, 5).sin() * 100
    fused = PCAGlobal().fuse(features, scene(features))
    assert fused.double().square().sum().item() == pytest.approx(7178.20777, rel=1e-5)
