"""UNFusion's attention against the formulas, by hand and by an independent program."""

import math

import numpy as np
import pytest
import torch

from fusionlab import Fusion, FusionlabError, Scene
from fusionlab_encoders.identity import Identity
from fusionlab_strategies.unfusion import UNFusion

NORMS = ["l1_mean", "l2_mean", "linf"]
NORM = {
    "l1_mean": lambda values: np.abs(values).sum(),
    "l2_mean": lambda values: math.sqrt((values**2).sum()),
    "linf": lambda values: np.abs(values).max(),
}


def scene(features):
    return Scene(sources=torch.zeros(*features.shape[:2], 1, *features.shape[-2:]))


def fuse(features, rule):
    """Fuse features (k, C, h, w)."""
    tensor = torch.from_numpy(features)[:, None]
    return rule.fuse(tensor, scene(tensor))[0].numpy()


def two_pictures(features, norm, tau):
    """s and c of features (k, C, h, w), pixel by pixel and channel by channel in float64."""
    features = features.astype(np.float64)
    k, channels, height, width = features.shape
    s, c = np.zeros(features.shape[1:]), np.zeros(features.shape[1:])
    for y, x in np.ndindex(height, width):
        a = np.array([NORM[norm](features[i, :, y, x]) / channels for i in range(k)])
        e = np.exp((a - a.max()) / tau)
        s[:, y, x] = e / e.sum() @ features[:, :, y, x]
    for m in range(channels):
        a = np.array([NORM[norm](features[i, m]) for i in range(k)])
        v = a / a.sum() if a.sum() > 0 else np.full(k, 1 / k)
        c[m] = np.tensordot(v, features[:, m], 1)
    return s, c


def shared(s, c):
    """Each of the two images weighted by its share of |s| + |c|."""
    total = np.abs(s) + np.abs(c)
    share = np.divide(np.abs(s), total, out=np.full(s.shape, 0.5), where=total > 0)
    return share * s + (1 - share) * c


def test_by_hand():
    """Activities ln 3 and 0: s = 3/4 and c = 1/2 of ln 3, (9/16 + 4/16) / (5/4) = 13/20."""
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(2, 1, 1, 1, 2) * math.log(3)
    weights = UNFusion().weights(features, scene(features))
    torch.testing.assert_close(weights.flatten(), torch.tensor([0.65, 0.35, 0.35, 0.65]))
    fused = UNFusion().fuse(features, scene(features))
    torch.testing.assert_close(fused.flatten(), torch.tensor([0.65, 0.65]) * math.log(3))


def test_opposite_pictures_of_one_size_cancel_where_the_published_quotient_has_a_pole():
    """At the first pixel u = (3/4, 1/4), v = (1/20, 19/20): s = 7/4 and c = -7/4 of ln 3."""
    features = torch.tensor([[3.0, 0.0], [-2.0, 55.0]]).view(2, 1, 1, 1, 2) * math.log(3)
    weights = UNFusion().weights(features, scene(features))[..., 0]
    torch.testing.assert_close(weights.flatten(), torch.tensor([0.4, 0.6]), rtol=1e-5, atol=0)
    fused = UNFusion().fuse(features, scene(features))[..., 0]
    assert fused.item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("norm", "first", "second"), [("l1_mean", 7, 5), ("l2_mean", 5, 5), ("linf", 4, 5)]
)
def test_the_norms_by_hand(norm, first, second):
    """(3, 4) against (0, 5), as two channels of a pixel and as two pixels of a channel."""

    def fused_first(*shape):
        features = torch.tensor([[3.0, 4.0], [0.0, 5.0]]).view(2, 1, *shape)
        return UNFusion(norm, tau=2.0).fuse(features, scene(features)).flatten()[0].item()

    def expected(u, v):
        s, c = 3 * u, 3 * v
        return pytest.approx((s * s + c * c) / (s + c), rel=1e-6)

    # the norms divided by two channels and tau = 2; the second source is dead in the first one
    assert fused_first(2, 1, 1) == expected(1 / (1 + math.exp((second - first) / 4)), 1)
    # one channel: the first pixel is 3 against 0
    assert fused_first(1, 1, 2) == expected(1 / (1 + math.exp(-3 / 2)), first / (first + second))


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("tau", [1.0, 20.0])
def test_behind_a_relu_the_published_quotient_agrees(k, norm, tau):
    features = np.random.default_rng(k).normal(20, 50, (k, 6, 5, 7)).clip(0).astype(np.float32)
    features[0, 3] = 0  # a channel that is dead in one source
    s, c = two_pictures(features, norm, tau)
    expected = np.divide(s * s + c * c, s + c, out=np.zeros_like(s), where=s + c > 0)
    # sums of k products in float32, each to 6e-8 of features up to 200
    np.testing.assert_allclose(fuse(features, UNFusion(norm, tau)), expected, rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("tau", [1.0, 20.0])
def test_an_independent_program_in_float64_agrees_on_signed_features(k, norm, tau):
    features = np.random.default_rng(k).normal(0, 50, (k, 6, 5, 7)).astype(np.float32)
    features[:, 2] = 0  # a channel that is dead in all sources
    features[:, :, 3, 4] = 0  # and a pixel
    expected = shared(*two_pictures(features, norm, tau))
    np.testing.assert_allclose(fuse(features, UNFusion(norm, tau)), expected, rtol=2e-6, atol=2e-5)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("size", [1e-40, 255.0, 1e20])
def test_tiny_and_huge_features_give_finite_results_and_gradients(norm, size):
    """Exponentials, squares and sums beyond float32, and inverses of its smallest numbers."""
    features = torch.full((5, 1, 64, 3, 3), size)
    features[1:] /= 2
    features.requires_grad_()
    fused = UNFusion(norm).fuse(features, scene(features))
    activities = torch.tensor([1, 0.5, 0.5, 0.5, 0.5], dtype=torch.float64) * size
    activities /= {"l1_mean": 1, "l2_mean": 8, "linf": 64}[norm]
    s = (0.5 + 0.5 * activities.softmax(dim=0)[0].item()) * size
    c = (1 / 3 + 4 / 6 / 2) * size  # shares 1/3 and four times 1/6
    expected = s * (s / (s + c)) + c * (c / (s + c))
    # numbers near 1e-40 are multiples of 1.4e-45
    torch.testing.assert_close(fused, torch.full_like(fused, expected), rtol=1e-6, atol=1e-44)
    fused.sum().backward()
    assert torch.isfinite(features.grad).all()


def test_sums_of_the_two_pictures_may_be_beyond_float32():
    features = torch.full((2, 1, 1, 2, 2), 3e38)
    features[0] /= 2
    fused = UNFusion().fuse(features, scene(features))
    s, c = 3e38, (1 / 3 / 2 + 2 / 3) * 3e38
    torch.testing.assert_close(fused, torch.full_like(fused, (s * s + c * c) / (s + c)))


@pytest.mark.parametrize("norm", NORMS)
def test_tiles_that_overlap_count_every_pixel_once(norm):
    """Columns 0 to 5 and 2 to 7, each for its half of the image."""
    features, rule = torch.randn(2, 1, 3, 4, 8), UNFusion(norm)
    parts = [
        rule.statistics(tile, Scene(sources=tile[:, :, :1], valid_box=kept))
        for tile, kept in (
            (features[..., :6], (0, 0, 4, 4)),
            (features[..., 2:], (0, 2, 4, 6)),
        )
    ]
    expected = [[NORM[norm](channel.double().numpy()) for channel in one[0]] for one in features]
    np.testing.assert_allclose(rule.merge(*parts)["norm"][:, 0].numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("size", [(41, 59), (16, 33)])
def test_tiles_give_the_result_and_the_gradients_of_the_whole_image(norm, size):
    generator = torch.Generator().manual_seed(0)
    sources = [torch.rand(2, 1, *size, generator=generator) * (n + 1) / 3 for n in range(3)]
    for source in sources:
        source[..., :16, :16] = 0  # a tile without activity
    results = []
    for tile in (16, 999):
        inputs = [source.clone().requires_grad_() for source in sources]
        fusion = Fusion(Identity(), UNFusion(norm, tau=20.0), range_policy=None, tile=tile)
        fused = fusion(inputs)
        fused.square().sum().backward()
        results.append((fused.detach(), torch.stack([each.grad for each in inputs])))
    for tiled, whole in zip(*results, strict=True):
        torch.testing.assert_close(tiled, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_gradcheck_of_every_norm_on_signed_features(norm):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 1, 2, 3, 4, dtype=torch.float64, generator=generator)
    rule = UNFusion(norm)
    assert torch.autograd.gradcheck(lambda x: rule.fuse(x, scene(x)), (x.requires_grad_(),))


@pytest.mark.parametrize("wrong", [{"tau": 0.0}, {"tau": math.nan}, {"norm": "l3"}])
def test_parameters_out_of_bounds_are_refused(wrong):
    with pytest.raises(FusionlabError, match=f"'{next(iter(wrong))}' must be"):
        UNFusion(**wrong)


@pytest.mark.parametrize(
    ("norm", "value"),
    [("l1_mean", 18791.1842), ("l2_mean", 7885.14894), ("linf", 9974.64849)],
)
def test_a_pinned_value(norm, value):
    """Made by this program, after the tests above had passed."""
    features = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 1, 3, 4, 5).sin() * 100
    fused = UNFusion(norm, tau=10.0).fuse(features, scene(features))
    assert fused.double().square().sum().item() == pytest.approx(value, rel=1e-5)
