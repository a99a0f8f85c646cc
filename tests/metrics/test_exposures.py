"""MEF-SSIM against an implementation with explicit patches, and by hand for simple patches."""

import csv

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from fusionlab.errors import FusionlabError
from fusionlab.metrics.exposures import mef_ssim
from fusionlab.metrics.structure import ms_ssim_wang

EPS = 2.0**-52
WEIGHTS = np.array([0.0448, 0.2856, 0.3001]) / 0.6305
C = (0.03 * 255) ** 2


def texture(seed, height=50, width=61):
    """Return a smooth image with some noise, in integer gray levels."""
    rng = np.random.default_rng(seed)
    walk = rng.normal(size=(height, width)).cumsum(0).cumsum(1)
    walk = (walk - walk.min()) / (walk.max() - walk.min())
    return np.clip(20 + 200 * walk + rng.normal(0, 6, walk.shape), 0, 255).round()


def score(fused, *sources, metric=mef_ssim, convention="default"):
    """Score one fused image; all images are arrays `(H, W)`."""
    fused, *sources = (torch.as_tensor(image, dtype=torch.float64) for image in (fused, *sources))
    return metric(fused[None], torch.stack(sources)[:, None], convention).item()


def quality_of_patch(patches):
    """Return q of one window, from patches of 121 pixels, that of the fused image first."""
    fused, *sources = patches
    apart = [source - source.mean() for source in sources]
    norms = [np.linalg.norm(x) for x in apart]
    agreement = (np.linalg.norm(sum(apart)) + EPS) / (sum(norms) + EPS)
    exponent = min(np.tan(np.pi / 2 * min(agreement, 1 - EPS)), 10)
    strengths = [norm + 0.001 for norm in norms]
    weights = [(strength / 11) ** exponent + EPS for strength in strengths]
    desired = sum(
        weight / sum(weights) * x / strength
        for weight, x, strength in zip(weights, apart, strengths, strict=True)
    )
    desired *= max(strengths) / np.linalg.norm(desired)
    x = np.arange(-5, 6)
    bell = np.exp(-(x[:, None] ** 2 + x**2) / 4.5).ravel()
    (vr, vrf), (_, vf) = np.cov(desired, fused, aweights=bell / bell.sum(), ddof=0)
    return (2 * vrf + C) / (vr + vf + C)


def by_patches(*images):
    """Compute the metric with loops over windows, as the paper describes it."""
    value = 1.0
    for weight in WEIGHTS:
        patches = np.stack([sliding_window_view(image, (11, 11)) for image in images])
        patches = patches.reshape(len(images), -1, 121).swapaxes(0, 1)
        value *= np.mean([quality_of_patch(p) for p in patches]) ** weight
        images = [np.pad(i, [(0, n % 2) for n in i.shape], mode="edge") for i in images]
        images = [(i[::2, ::2] + i[1::2, ::2] + i[::2, 1::2] + i[1::2, 1::2]) / 4 for i in images]
    return value


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_closed_form_matches_explicit_patches(count):
    """With edges that are odd in the first and in the second scale."""
    *sources, noise = (texture(i) for i in range(count + 1))
    fused = (0.7 * np.mean(sources, axis=0) + 0.3 * noise).round()
    # the reference computes variances differently: the tolerance covers rounding
    assert score(fused, *sources) == pytest.approx(by_patches(fused, *sources), abs=1e-11)


def test_of_two_consistent_sources_the_stronger_one_is_desired():
    """One source has a tenth of the contrast of the other, which is the desired patch."""
    strong = texture(0)
    weak = 100 + 0.1 * (strong - 100)
    # 0.001 is added to a norm of about 100, so that q is slightly below 1
    assert score(strong, strong, weak) == pytest.approx(1, abs=1e-8)
    assert score(weak, strong, weak) < 0.5
    assert score((strong + weak) / 2, strong, weak) < 0.9


def test_the_mean_gray_level_does_not_count():
    a, b = texture(0).clip(30, 220), texture(1)
    fused = (a + b) / 2
    assert score(fused + 10, a, b) == pytest.approx(score(fused, a, b), abs=1e-12)
    assert score(fused, a + 30, b) == pytest.approx(score(fused, a, b), abs=1e-12)


@pytest.mark.parametrize("unit", [1, 1 / 257])
def test_the_desired_patch_of_sources_that_cancel_is_flat(unit):
    """A flat image then scores 1, at 8 bits and at fractions of a level."""
    a = texture(0, 48, 64) * unit
    b = 255 * unit - a
    assert score(np.full_like(a, 77), a, b) == 1
    assert score(a, a, b) < 1
    # flipped, sums round differently
    turned = (image[::-1].copy() for image in (a, a, b))
    assert score(*turned) == pytest.approx(score(a, a, b), abs=1e-12)


@pytest.mark.parametrize("level", [0, 100, 100.3, 255])
def test_a_constant_image_scores_1_if_all_sources_are_constant_and_less_than_half_otherwise(level):
    a, flat = texture(0), np.full((50, 61), level)
    assert score(flat, flat, flat / 2) == 1
    # q = C / (v_r + C) at every level
    assert score(flat, a, a) == pytest.approx(score(flat / 2, a, a), abs=1e-12)
    assert 0 < score(flat, a, a) < 0.5


def test_a_constant_image_by_hand():
    """A checkerboard of levels 100 and 150: only the first scale has contrast."""
    board = 100 + 50 * (np.indices((48, 48)).sum(axis=0) % 2)
    x = np.arange(-5, 6)
    bell = np.exp(-(x[:, None] ** 2 + x**2) / 4.5)
    white = bell[np.indices((11, 11)).sum(axis=0) % 2 == 0].sum() / bell.sum()
    variance = 50**2 * white * (1 - white)
    # the desired patch is stronger than the board by 0.001 / norm, norm = 50 sqrt(60 61 / 121)
    variance *= (1 + 0.001 / (50 * (60 * 61 / 121) ** 0.5)) ** 2
    expected = (C / (variance + C)) ** WEIGHTS[0]
    assert score(np.full((48, 48), 9), board) == pytest.approx(expected, abs=1e-12)


def test_a_negative_scale_makes_it_zero_not_nan():
    a = texture(0)
    assert score(255 - a, a, a) == 0


def test_it_is_not_the_ms_ssim_of_wang():
    a, b = texture(0, 180, 180), texture(1, 180, 180)
    fused = (a + b) / 2
    assert abs(score(fused, a, b) - score(fused, a, b, metric=ms_ssim_wang)) > 0.1


def test_the_smallest_image_has_a_value_and_a_smaller_one_is_rejected():
    image = texture(0)[:44]
    assert score(image, image, image) == pytest.approx(1, abs=1e-8)
    with pytest.raises(FusionlabError, match="MS_SSIM needs at least 44 pixels"):
        score(image[1:], image[1:])


@pytest.mark.parametrize("convention", ["default", "paper", "tang"])
def test_values_have_not_drifted_and_are_the_same_in_all_conventions(convention):
    a, b, noise = (texture(i) for i in (7, 8, 9))
    fused = (0.5 * a + 0.3 * b + 0.2 * noise).round()
    assert score(fused, a, b, convention=convention) == pytest.approx(0.6966703737, abs=1e-9)


@pytest.mark.slow  # by default, tests/evaluation/test_table_ii.py compares the same values
@pytest.mark.parametrize(
    ("row", "printed"), [("addition_1e2", "0.92995"), ("l1norm_r0_1e2", "0.85975")]
)
def test_it_gives_table_ii_to_the_last_digit(row, printed, shared):
    values = []
    with (shared / "oracle" / "table2" / f"per_image_{row}.csv").open(newline="") as file:
        for entry in csv.DictReader(file):
            name = f"{entry['tno20']}.png"
            sources = [iio.imread(shared / "data" / "eval" / "tno20" / s / name) for s in "ab"]
            fused = iio.imread(shared / "oracle" / "table2" / row / name)
            values.append(score(fused, *sources, convention="paper"))
            assert values[-1] == pytest.approx(float(entry["MS_SSIM"]), rel=1e-6)
    assert len(values) == 20
    assert f"{np.mean(values):.5f}" == printed
