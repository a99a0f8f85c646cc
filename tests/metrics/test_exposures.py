"""MEF-SSIM against a program that makes every patch, and by hand where the patches are simple."""

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
    """An image of whole gray levels, smooth with some noise."""
    rng = np.random.default_rng(seed)
    walk = rng.normal(size=(height, width)).cumsum(0).cumsum(1)
    walk = (walk - walk.min()) / (walk.max() - walk.min())
    return np.clip(20 + 200 * walk + rng.normal(0, 6, walk.shape), 0, 255).round()


def score(fused, *sources, metric=mef_ssim, convention="default"):
    """Judge one image, all of them arrays `(H, W)`."""
    fused, *sources = (torch.as_tensor(image, dtype=torch.float64) for image in (fused, *sources))
    return metric(fused[None], torch.stack(sources)[:, None], convention).item()


def quality_of_patch(patches):
    """q of one window: the fused patch and those of its sources, each 121 pixels."""
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
    """The whole measure, with loops over windows as it is told in the paper."""
    value = 1.0
    for weight in WEIGHTS:
        patches = np.stack([sliding_window_view(image, (11, 11)) for image in images])
        patches = patches.reshape(len(images), -1, 121).swapaxes(0, 1)
        value *= np.mean([quality_of_patch(p) for p in patches]) ** weight
        images = [np.pad(i, [(0, n % 2) for n in i.shape], mode="edge") for i in images]
        images = [(i[::2, ::2] + i[1::2, ::2] + i[::2, 1::2] + i[1::2, 1::2]) / 4 for i in images]
    return value


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_closed_form_is_what_patch_after_patch_gives(count):
    """At edges that are odd at first, and in the second scale."""
    *sources, noise = (texture(i) for i in range(count + 1))
    fused = (0.7 * np.mean(sources, axis=0) + 0.3 * noise).round()
    # the reference computes variances in another way: what is left is rounding
    assert score(fused, *sources) == pytest.approx(by_patches(fused, *sources), abs=1e-11)


def test_the_stronger_of_two_sources_that_agree_is_the_one_to_show():
    """One source is the other with a tenth of its contrast: the desired patch is the stronger."""
    strong = texture(0)
    weak = 100 + 0.1 * (strong - 100)
    # 0.001 is added to a norm of some hundred, which makes q a little less than 1
    assert score(strong, strong, weak) == pytest.approx(1, abs=1e-8)
    assert score(weak, strong, weak) < 0.5
    assert score((strong + weak) / 2, strong, weak) < 0.9


def test_the_gray_level_does_not_count():
    a, b = texture(0).clip(30, 220), texture(1)
    fused = (a + b) / 2
    assert score(fused + 10, a, b) == pytest.approx(score(fused, a, b), abs=1e-12)
    assert score(fused, a + 30, b) == pytest.approx(score(fused, a, b), abs=1e-12)


@pytest.mark.parametrize("unit", [1, 1 / 257])
def test_sources_that_cancel_leave_nothing_to_show(unit):
    """The desired patch is flat, and a flat image is 1; at 8 bits and at fractions of a level."""
    a = texture(0, 48, 64) * unit
    b = 255 * unit - a
    assert score(np.full_like(a, 77), a, b) == 1
    assert score(a, a, b) < 1
    # upside down, sums round otherwise
    turned = (image[::-1].copy() for image in (a, a, b))
    assert score(*turned) == pytest.approx(score(a, a, b), abs=1e-12)


@pytest.mark.parametrize("level", [0, 100, 100.3, 255])
def test_a_constant_image_is_right_where_all_sources_are_constant_and_wrong_elsewhere(level):
    a, flat = texture(0), np.full((50, 61), level)
    assert score(flat, flat, flat / 2) == 1
    # q = C / (v_r + C), whatever the level
    assert score(flat, a, a) == pytest.approx(score(flat / 2, a, a), abs=1e-12)
    assert 0 < score(flat, a, a) < 0.5


def test_a_constant_image_by_hand():
    """A board of 11x11 fields, levels 100 and 150: all scales see half-gray, none but the first."""
    board = 100 + 50 * (np.indices((48, 48)).sum(axis=0) % 2)
    x = np.arange(-5, 6)
    bell = np.exp(-(x[:, None] ** 2 + x**2) / 4.5)
    white = bell[np.indices((11, 11)).sum(axis=0) % 2 == 0].sum() / bell.sum()
    variance = 50**2 * white * (1 - white)
    # the desired patch is stronger by 0.001 / norm than the board, norm = 50 sqrt(60 61 / 121)
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


def test_the_smallest_image_is_judged_and_a_smaller_one_refused():
    image = texture(0)[:44]
    assert score(image, image, image) == pytest.approx(1, abs=1e-8)
    with pytest.raises(FusionlabError, match="MS_SSIM needs at least 44 pixels"):
        score(image[1:], image[1:])


@pytest.mark.parametrize("convention", ["default", "paper", "tang"])
def test_values_have_not_drifted_and_are_the_same_in_all_conventions(convention):
    a, b, noise = (texture(i) for i in (7, 8, 9))
    fused = (0.5 * a + 0.3 * b + 0.2 * noise).round()
    assert score(fused, a, b, convention=convention) == pytest.approx(0.6966703737, abs=1e-9)


@pytest.mark.parametrize(
    ("row", "printed"), [("addition_1e2", "0.92995"), ("l1norm_r0_1e2", "0.85975")]
)
def test_it_gives_table_ii_to_the_last_digit(row, printed, shared):
    found = []
    with (shared / "oracle" / "table2" / f"per_image_{row}.csv").open(newline="") as file:
        for entry in csv.DictReader(file):
            name = f"{entry['tno20']}.png"
            sources = [iio.imread(shared / "data" / "eval" / "tno20" / s / name) for s in "ab"]
            fused = iio.imread(shared / "oracle" / "table2" / row / name)
            found.append(score(fused, *sources, convention="paper"))
            assert found[-1] == pytest.approx(float(entry["MS_SSIM"]), rel=1e-6)
    assert len(found) == 20
    assert f"{np.mean(found):.5f}" == printed
