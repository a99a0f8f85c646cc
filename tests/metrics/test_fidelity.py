"""VIF against torchmetrics; VIF and VIFF on ramps by hand and on flat images."""

import math

import numpy as np
import pytest
import torch

from fusionlab.errors import FusionlabError
from fusionlab.metrics.fidelity import vif, viff


def textured(seed, height=57, width=70):
    """Return an image with structure at all scales, in fractions of gray levels."""
    rng = np.random.default_rng(seed)
    walk = rng.normal(size=(height, width)).cumsum(0).cumsum(1)
    walk = (walk - walk.min()) / (walk.max() - walk.min())
    return torch.from_numpy(20 + 200 * walk + rng.normal(0, 3, walk.shape)).clamp(0, 255)[None]


def ramp(slope, height=41, width=57):
    """Return a ramp of `slope` gray levels per column: all windows have the same variance."""
    return (slope * torch.arange(width, dtype=torch.float64)).expand(1, height, width)


SHARES = (25 * 41, 9 * 17, 3 * 7, 1 * 3)
"""Number of windows in each band of a ramp: 41 - 16 rows; (41 - 8 + 1) / 2 = 17, 17 - 8; ..."""


def variances(slope):
    """Return the variance of a ramp in the windows of each band; the slope doubles per band."""
    values = []
    for band, size in enumerate((17, 9, 5, 3)):
        x = np.arange(size) - size // 2
        weights = np.exp(-(x**2) / (2 * (size / 5) ** 2))
        values.append((slope * 2**band) ** 2 * (weights * x**2).sum() / weights.sum())
    return values


@pytest.mark.parametrize("seed", range(3))
def test_vif_is_that_of_torchmetrics_summed_over_the_sources(seed):
    image = pytest.importorskip("torchmetrics.functional.image")
    a, b, noise = (textured(3 * seed + i) for i in range(3))
    fused = (0.5 * a + 0.3 * b + 0.2 * noise).clamp(0, 255)
    expected = sum(
        image.visual_information_fidelity(fused[:, None], source[:, None]).item()
        for source in (a, b)
    )
    # variances are differences of squares: their rounding is 1e-11 of 255^2
    assert vif(fused, torch.stack([a, b])).item() == pytest.approx(expected, rel=1e-9)


def test_a_source_that_is_the_fused_image_has_vif_1():
    a = textured(0)
    # the definition adds 1e-10 to variances
    assert vif(a, a[None]).item() == pytest.approx(1, abs=1e-9)
    assert vif(a, torch.stack([a, a, a])).item() == pytest.approx(3, abs=1e-9)


@pytest.mark.parametrize("gain", [0.25, 0.5, 1.5])
def test_the_vif_of_a_ramp_with_another_contrast_by_hand(gain):
    """g = gain and v = 0 in each window: log(1 + gain^2 var / 2) of log(1 + var / 2)."""
    kept, whole = (
        sum(n * math.log(1 + g**2 * v / 2) for n, v in zip(SHARES, variances(3), strict=True))
        for g in (gain, 1)
    )
    # 1e-10 in v and in the denominator of g
    assert vif(gain * ramp(3), ramp(3)[None]).item() == pytest.approx(kept / whole, rel=1e-9)


def test_an_inverted_image_and_a_constant_one_have_vif_0():
    sources = torch.stack([textured(1), textured(2)])
    assert vif(255 - sources[0], sources[:1]).item() == pytest.approx(0, abs=1e-12)
    assert vif(torch.full_like(sources[0], 77.3), sources).item() == 0


@pytest.mark.parametrize("level", [0, 77.3, 255])
def test_vif_is_undefined_for_a_constant_source(level):
    a = textured(3)
    assert vif(a, torch.stack([a, torch.full_like(a, level)])).isnan().all()


def test_viff_is_1_if_all_sources_are_the_fused_image():
    a = textured(4)
    assert viff(a, torch.stack([a, a])).item() == pytest.approx(1, abs=1e-9)


def test_viff_of_two_ramps_uses_the_steeper_one_by_hand():
    """F has gain 1 of the first source and 1/2 of the second."""
    noise = 0.005 * 255**2
    weights = np.array([1, 0, 0.15, 1]) / 2.15
    flat, steep = variances(1), variances(2)
    expected = sum(
        weight * math.log10(1 + v / noise) / math.log10(1 + w / noise)
        for weight, v, w in zip(weights, flat, steep, strict=True)
    )
    sources = torch.stack([ramp(1), ramp(2)])
    for order in (sources, sources.flip(0)):
        # 1e-7 is added to both sums, of windows with at least 0.004
        assert viff(ramp(1), order).item() == pytest.approx(expected, rel=1e-4)


def test_viff_of_a_flat_image_depends_on_the_last_source_only():
    a, b = textured(5), textured(6)
    flat = torch.full_like(a, 128)
    assert viff(flat, torch.stack([a, b])).equal(viff(flat, b[None]))
    assert viff(flat, torch.stack([b, a])).equal(viff(flat, a[None]))
    assert 0 < viff(flat, b[None]).item() < 1e-5


def test_viff_almost_ignores_windows_in_which_a_source_is_flat():
    """The first source is flat from column 16 on, where F may differ from the second."""
    a, b = textured(7), textured(8)
    a[..., 16:] = 90
    altered = b.clone()
    altered[..., 50:] = 255 - altered[..., 50:].flip(-1).clamp(60, 200)
    difference = viff(b, torch.stack([b, b])) - viff(altered, torch.stack([b, b]))
    passed_over = viff(b, torch.stack([a, b])) - viff(altered, torch.stack([a, b]))
    assert difference.item() > 0.1
    assert abs(passed_over.item()) < 0.01


def test_repeating_a_source_does_not_change_viff():
    a, b, fused = textured(9), textured(10), textured(11)
    expected = viff(fused, torch.stack([a, b]))
    assert viff(fused, torch.stack([a, b, b])).equal(expected)
    assert viff(fused, torch.stack([a, a, b])).equal(expected)


@pytest.mark.parametrize(("metric", "pinned"), [(vif, 0.4582981602), (viff, 0.5285837881)])
def test_values_have_not_drifted(metric, pinned):
    sources = torch.stack([textured(12), textured(13)])
    # pinned with ten digits
    assert metric(sources.mean(0).round(), sources).item() == pytest.approx(pinned, rel=1e-9)


@pytest.mark.parametrize("metric", [vif, viff])
def test_images_need_41_pixels_along_both_edges(metric):
    assert metric(textured(0, 41, 50), textured(1, 41, 50)[None]).isfinite().all()
    with pytest.raises(FusionlabError, match="at least 41 pixels"):
        metric(textured(0, 50, 40), textured(1, 50, 40)[None])
