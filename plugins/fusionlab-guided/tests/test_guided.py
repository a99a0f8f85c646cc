"""Both rules against the papers' equations, written down once more in numpy, float64."""

import numpy as np
import pytest
import torch

from fusionlab import Fusion, FusionlabError, Law, Scene
from fusionlab.testing import StrategyLaws
from fusionlab_guided import Guided, HistogramSaliency

RULES = [Guided(radius=3, eps=1e-2), HistogramSaliency(radius=3)]
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)


def picture(seed, height=50, width=60):
    """An image of 256 gray levels."""
    rng = np.random.default_rng(seed)
    smooth = np.cumsum(rng.normal(0, 0.05, (height, width)), 1) + 0.5
    return np.rint(255 * np.clip(smooth, 0, 1)) / 255


def pictures(k, count=1, height=20, width=24):
    """Sources `(k, N, 1, H, W)`."""
    each = [picture(n, height, width) for n in range(k * count)]
    return torch.tensor(np.array(each), dtype=torch.float32).view(k, count, 1, height, width)


def mean(image, r):
    rows, columns = image.shape
    return np.array(
        [
            [
                image[max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1].mean()
                for x in range(columns)
            ]
            for y in range(rows)
        ]
    )


def filtered(p, guide, r, eps):
    """Eq. 5, 6 and 8 of He, Sun & Tang."""
    a = (mean(guide * p, r) - mean(guide, r) * mean(p, r)) / (
        mean(guide * guide, r) - mean(guide, r) ** 2 + eps
    )
    b = mean(p, r) - a * mean(guide, r)
    return mean(a, r) * guide + mean(b, r)


def along_edges(activity, sources, r, eps):
    total = sum(activity)
    smooth = np.array(
        [
            np.maximum(0, filtered(a / total, s, r, eps))
            for a, s in zip(activity, sources, strict=True)
        ]
    )
    return smooth / smooth.sum(axis=0)


def saliency(source):
    """The sum over all pixels, one by one: no histogram."""
    gray = np.rint(255 * source)
    return np.abs(gray[:, :, None, None] - gray[None, None]).mean(axis=(2, 3))


def test_the_weights_of_guided_are_those_of_he_sun_and_tang():
    sources = [picture(n, 20, 24) for n in range(3)]
    expected = along_edges([mean(np.abs(255 * s), 1) for s in sources], sources, 3, 1e-2)
    fused = Fusion("identity", Guided(radius=3, eps=1e-2)).fuse(sources, weights=True)
    # float32: the variance is a difference of squares of 0..1
    np.testing.assert_allclose(fused.weights, expected, atol=2e-5)


@pytest.mark.parametrize("radius", [3, 30])
def test_the_weights_of_histogram_saliency_are_those_of_sums_over_all_pixels(radius):
    sources = [picture(n, 20, 24) for n in range(3)]
    expected = along_edges([saliency(s) for s in sources], sources, radius, 0.01)
    fused = Fusion("identity", HistogramSaliency(radius=radius)).fuse(sources, weights=True)
    np.testing.assert_allclose(fused.weights, expected, atol=2e-5)


def test_weights_that_the_filter_takes_below_zero_are_cut_off_there():
    """A line through many points (0, 1) and (0.3, 0) is far below zero at 1."""
    guide = np.random.default_rng(0).choice([0.0, 0.3], (12, 12))
    guide[6, 6] = 1
    features, sources = np.array([guide == 0, guide > 0]), np.array([guide, guide])
    assert filtered(features[0] * 1.0, guide, 3, 1e-6).min() < -0.1
    found = Guided(r=0, radius=3, eps=1e-6).weights(
        torch.tensor(features).view(2, 1, 1, 12, 12).float(),
        Scene(sources=torch.tensor(sources).view(2, 1, 1, 12, 12).float()),
    )
    expected = along_edges(features * 1.0, sources, 3, 1e-6)
    assert expected[0, 6, 6] == 0
    np.testing.assert_allclose(found.view(2, 12, 12), expected, atol=1e-4)


def test_histogram_saliency_by_hand():
    """Half of a is black: 127.5 everywhere. A quarter of b is white: 191.25, elsewhere 63.75.

    So b weighs 0.6 in one pixel and 1/3 in three, 0.4 on average; and an average is what the
    filter makes of it where no edge counts and the window is as large as the image.
    """
    a, b = torch.tensor([[0.0, 1], [1, 0]]), torch.tensor([[0.0, 0], [0, 1]])
    sources = torch.stack([a, b]).view(2, 1, 1, 2, 2)
    weights = HistogramSaliency(radius=1, eps=1e6).weights(sources, Scene(sources=sources))
    torch.testing.assert_close(weights[0].flatten(), torch.full((4,), 0.6))


def test_a_plain_source_is_not_salient_and_plain_sources_weigh_the_same():
    sources = pictures(3)
    sources[1] = 0.3
    rule = HistogramSaliency(radius=3)
    assert rule.weights(sources, Scene(sources=sources))[1].abs().max() < 1e-6
    plain = torch.tensor([0.1, 0.5, 1.0]).view(3, 1, 1, 1, 1).expand(3, 1, 1, 8, 9)
    torch.testing.assert_close(
        rule.weights(plain, Scene(sources=plain)), torch.full((3, 1, 1, 8, 9), 1 / 3)
    )


def test_the_defaults_of_histogram_saliency_are_the_authors():
    assert HistogramSaliency() == HistogramSaliency(radius=45, eps=0.01)


@each_rule
def test_tiled_equals_whole_because_support_and_statistics_are_right(rule):
    sources = [picture(n) for n in range(2)]
    whole = Fusion("identity", rule, tile=999)(sources)
    np.testing.assert_allclose(Fusion("identity", rule, tile=16)(sources), whole, atol=1e-5)


@each_rule
def test_idempotence_and_convexity(rule):
    a, b = picture(0), picture(1)
    fusion = Fusion("identity", rule)
    np.testing.assert_allclose(fusion([a, a, a]), a, atol=1e-6)
    fused = fusion([a, b])
    assert (fused >= np.minimum(a, b) - 1e-6).all()
    assert (fused <= np.maximum(a, b) + 1e-6).all()


@each_rule
def test_order_scale_and_mirrors_change_nothing(rule):
    sources = pictures(3)
    fused = rule.fuse(sources, Scene(sources=sources))
    order = [2, 0, 1]
    torch.testing.assert_close(rule.fuse(sources[order], Scene(sources=sources[order])), fused)
    torch.testing.assert_close(rule.fuse(8 * sources, Scene(sources=sources)), 8 * fused)
    turned = torch.rot90(sources, 1, (-2, -1)).flip(-1)
    torch.testing.assert_close(
        rule.fuse(turned, Scene(sources=turned)), torch.rot90(fused, 1, (-2, -1)).flip(-1)
    )


@each_rule
def test_a_picture_moved_within_an_empty_surround_gives_the_result_moved(rule):
    assert Law.TRANSLATION in rule.laws
    empty = torch.zeros(2, 1, 1, 40, 50)
    here, there = empty.clone(), empty.clone()
    here[..., 10:22, 10:26] = pictures(2, 1, 12, 16)
    there[..., 15:27, 21:37] = pictures(2, 1, 12, 16)
    fused = rule.fuse(here, Scene(sources=here))
    torch.testing.assert_close(
        rule.fuse(there, Scene(sources=there)), fused.roll((5, 11), (-2, -1)), rtol=1e-5, atol=1e-6
    )


def test_a_source_far_more_active_than_all_others_is_the_result_of_guided():
    sources = pictures(3).clamp(min=0.1)
    features = sources * torch.tensor([1e6, 1, 1]).view(3, 1, 1, 1, 1)
    fused = Guided().fuse(features, Scene(sources=sources))
    torch.testing.assert_close(fused, features[0], rtol=1e-4, atol=0)


@each_rule
def test_images_of_a_batch_do_not_see_each_other(rule):
    sources = pictures(2, 3)
    fused = rule.fuse(sources, Scene(sources=sources))
    for n in range(3):
        one = sources[:, n : n + 1]
        torch.testing.assert_close(rule.fuse(one, Scene(sources=one))[0], fused[n])


@each_rule
@pytest.mark.parametrize("empty", [False, True])
def test_gradients_are_finite_with_and_without_any_activity(rule, empty):
    sources = (pictures(2) * (not empty)).requires_grad_()
    features = (255 * sources.detach()).requires_grad_()
    rule.fuse(features, Scene(sources=sources)).square().sum().backward()
    assert features.grad.isfinite().all()
    assert sources.grad.isfinite().all()


@each_rule
def test_half_precision_features_are_weighed_in_float32(rule):
    sources = pictures(2)
    features = 255 * sources
    fused = rule.fuse(features.half(), Scene(sources=sources))
    assert fused.dtype == torch.float16
    expected = rule.fuse(features, Scene(sources=sources))
    torch.testing.assert_close(fused.float(), expected, rtol=2e-3, atol=0.1)


@each_rule
def test_a_coarser_level_of_the_backbone_takes_the_averages_of_the_sources(rule):
    """The guide of features 4 times as coarse is the source, averaged."""
    sources = pictures(2)
    features = torch.nn.functional.avg_pool2d(sources.flatten(0, 1), 4).view(2, 1, 1, 5, 6)
    weights = rule.weights(features, Scene(sources=sources, stride=4))
    assert weights.shape == features.shape
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(1, 1, 5, 6))


def test_a_radius_out_of_bounds_is_refused():
    with pytest.raises(FusionlabError, match="'radius' must be at most 64, got 65"):
        HistogramSaliency(radius=65)


class TestGuided(StrategyLaws):
    strategy = Guided


class TestHistogramSaliency(StrategyLaws):
    strategy = HistogramSaliency
