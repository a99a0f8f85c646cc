"""The nuclear norm of patches by hand and by an independent program."""

import numpy as np
import pytest
import torch

from fusionlab import Scene
from fusionlab_strategies import patches
from fusionlab_strategies.l2norm import L2Norm
from fusionlab_strategies.nuclear_patch import NuclearPatch


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def reference(features, r):
    """The formula in float64, a singular value decomposition per pixel, of what is inside."""
    k, channels, height, width = features.shape
    x = features.astype(np.float64)
    fused = np.empty((channels, height, width))
    for y, x_ in np.ndindex(height, width):
        a = np.empty(k)
        for i in range(k):
            patch = x[i, :, max(0, y - r) : y + r + 1, max(0, x_ - r) : x_ + r + 1]
            a[i] = np.linalg.svd(patch.reshape(channels, -1).T, compute_uv=False).sum()
        w = a / a.sum() if a.sum() > 0 else np.full(k, 1 / k)
        fused[:, y, x_] = sum(w[i] * x[i, :, y, x_] for i in range(k))
    return fused


def test_the_formula_by_hand():
    """Two pixels (3, 0) and (0, 4): singular values 3 and 4. Twice (5, 0): only 5 sqrt 2."""
    features = torch.zeros(2, 1, 2, 1, 2)
    features[0, 0, 0, 0, 0] = 3
    features[0, 0, 1, 0, 1] = 4
    features[1, 0, 0] = 5
    weights = NuclearPatch(r=1).weights(features, scene(features))
    assert weights.shape == (2, 1, 1, 1, 2)
    share = 7 / (7 + 5 * 2**0.5)
    torch.testing.assert_close(weights[0].flatten(), torch.tensor([share, share]))


def test_a_varied_window_counts_for_more_than_a_flat_one_of_the_same_energy():
    """9 orthogonal pixels of norm 1 against 9 that are the same: 9 against sqrt 9."""
    features = torch.stack([torch.eye(9), torch.ones(9, 9) / 3]).view(2, 1, 9, 3, 3)
    weights = NuclearPatch(r=1).weights(features, scene(features))
    assert weights[0, 0, 0, 1, 1].item() == pytest.approx(9 / (9 + 3))
    # a corner sees 4 of them
    assert weights[0, 0, 0, 0, 0].item() == pytest.approx(4 / (4 + 2))


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("channels", [1, 6, 30])
@pytest.mark.parametrize("r", [0, 1, 2, 5])
def test_an_independent_program_in_float64_agrees(k, channels, r):
    """Windows with more pixels than channels, and with fewer."""
    generator = np.random.default_rng(k * 10 + r)
    features = generator.normal(0, 50, (k, channels, 7, 8)).astype(np.float32)
    features[0, channels // 2] = 0  # a dead channel
    features[:, :, 2:6, 4:] = 0  # a place where no source is active
    tensor = torch.from_numpy(features)[:, None]
    fused = NuclearPatch(r=r).fuse(tensor, scene(tensor))[0].numpy()
    # the weights are exact to one rounding to float32, 6e-8; so is each of k products up to 250
    np.testing.assert_allclose(fused, reference(features, r), rtol=0, atol=k * 250 * 1.2e-7)


@pytest.mark.parametrize("noise", [0, 1e-7, 1e-4, 1e-1])
def test_nearly_flat_windows_are_exact_to_float32(noise):
    """One large singular value and many small ones, the case in which a Gram matrix is bad.

    Up to 24 singular values may be lost below sqrt(25 eps) = 7e-8 of the largest.
    """
    generator = np.random.default_rng(0)
    flat = generator.random((2, 30, 1, 1)) + noise * generator.normal(size=(2, 30, 9, 9))
    features = torch.from_numpy(flat)[:, None]
    fused = NuclearPatch().fuse(features, scene(features))[0].numpy()
    np.testing.assert_allclose(fused, reference(flat, 2), rtol=24 * 7.5e-8)


def test_with_no_window_it_is_the_l2_norm():
    features = torch.randn(5, 2, 4, 6, 7, generator=torch.Generator().manual_seed(0))
    ours, theirs = (rule.fuse(features, scene(features)) for rule in (NuclearPatch(0), L2Norm(0)))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("r", [0, 2, 3])
def test_the_strips_do_not_show(r, monkeypatch):
    """One row, some rows and all rows at a time: the same weights, and gradients in float32."""
    generator = torch.Generator().manual_seed(r)
    features = torch.randn(2, 2, 5, 11, 6, generator=generator, requires_grad=True)
    row = 2 * 2 * 5 * 6 * (2 * r + 1) ** 2 * 8
    results = []
    for limit in (1, 4 * row, 2**30):
        monkeypatch.setattr(patches, "STRIP_BYTES", limit)
        weights = NuclearPatch(r).weights(features, scene(features))
        (gradient,) = torch.autograd.grad(weights[0].square().sum(), features)
        results.append((weights, gradient))
    for weights, gradient in results[1:]:
        # equal in float64 up to its last digits
        torch.testing.assert_close(weights, results[0][0], rtol=1.2e-7, atol=0)
        torch.testing.assert_close(gradient, results[0][1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("channels", "smaller"), [(4, 4), (12, 9)])
def test_a_strip_has_as_many_of_the_smaller_gram_matrices_as_the_limit_allows(
    channels, smaller, monkeypatch
):
    monkeypatch.setattr(patches, "STRIP_BYTES", 3 * (2 * 6) * channels * 9 * 8)
    shapes = []
    eigvalsh = torch.linalg.eigvalsh

    def watched(gram):
        shapes.append(gram.shape)
        return eigvalsh(gram)

    monkeypatch.setattr(torch.linalg, "eigvalsh", watched)
    features = torch.rand(2, 1, channels, 10, 6)
    NuclearPatch(r=1).weights(features, scene(features))
    assert shapes == [(2, 1, rows, 6, smaller, smaller) for rows in (3, 3, 3, 1)]


def test_the_gradient_of_a_nuclear_norm_is_its_polar_factor():
    """U V^T, by numpy; the middle of 3x3 pixels sees the whole image."""
    features = np.random.default_rng(0).normal(size=(12, 3, 3))
    u, s, vt = np.linalg.svd(features.reshape(12, 9), full_matrices=False)
    x = torch.from_numpy(features)[None, None].requires_grad_()
    norm = patches.nuclear_norms(x, 1)[0, 0, 0, 1, 1]
    assert norm.item() == pytest.approx(s.sum(), rel=1e-12)
    norm.backward()
    np.testing.assert_allclose(x.grad.numpy().reshape(12, 9), u @ vt, rtol=0, atol=1e-9)


@pytest.mark.parametrize("channels", [4, 12])
def test_singular_values_that_repeat_or_vanish_have_bounded_gradients(channels):
    """The same pixel everywhere has rank one; the unit matrix repeats its singular values.

    No subgradient of a nuclear norm has a norm of more than the root of the rank, up to rounding.
    """
    generator = torch.Generator().manual_seed(0)
    flat = torch.rand(channels, 1, 1, dtype=torch.float64, generator=generator).expand(-1, 3, 3)
    unit = torch.eye(channels, 9, dtype=torch.float64).view(channels, 3, 3)
    for image, rank in ((flat, 1), (unit, min(channels, 9))):
        x = image.clone()[None, None].requires_grad_()
        patches.nuclear_norms(x, 1)[0, 0, 0, 1, 1].backward()
        assert torch.linalg.vector_norm(x.grad).item() == pytest.approx(rank**0.5, rel=1e-6)


@pytest.mark.parametrize("r", [0, 1, 2])
@pytest.mark.parametrize("channels", [2, 11])
def test_gradcheck_of_tall_and_wide_patches_over_several_strips(r, channels, monkeypatch):
    monkeypatch.setattr(patches, "STRIP_BYTES", 1)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 1, channels, 3, 3, dtype=torch.float64, generator=generator).add(0.1)
    rule = NuclearPatch(r)
    assert torch.autograd.gradcheck(lambda x: rule.fuse(x, scene(x)), (x.requires_grad_(),))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_are_weighed_as_precisely_as_others(dtype):
    """64 features of 30,000 in 25 pixels have the norm 1.2e6: beyond float16."""
    features = torch.full((2, 1, 64, 6, 6), 30000.0, dtype=dtype)
    features[1] /= 4
    features.requires_grad_()
    weights = NuclearPatch().weights(features, scene(features))
    torch.testing.assert_close(weights[0].detach(), torch.full_like(weights[0], 0.8))
    fused = NuclearPatch().fuse(features, scene(features))
    assert fused.dtype == dtype
    fused.float().sum().backward()
    assert features.grad.dtype == dtype
    assert torch.isfinite(features.grad).all()


def test_a_source_without_activity_beside_another_weighs_nothing_with_gradients_of_zero():
    features = torch.rand(2, 1, 3, 4, 4)
    features[0] = 0
    features.requires_grad_()
    weights = NuclearPatch().weights(features, scene(features))
    assert torch.equal(weights[0], torch.zeros_like(weights[0]))
    weights[0].sum().backward()
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_a_pinned_value():
    """Made by this program, after the tests above had passed."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 1, 3, 4, 5).sin() * 100
    fused = NuclearPatch().fuse(features, scene(features))
    assert fused.double().square().sum().item() == pytest.approx(7177.97300, rel=1e-6)
