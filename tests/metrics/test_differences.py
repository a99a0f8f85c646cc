"""Errors and correlations against hand-computed values, scikit-image and SciPy."""

from math import inf, isnan, log10, sqrt

import numpy as np
import pytest
import torch
from scipy import stats
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

from fusionlab.errors import FusionlabError
from fusionlab.metrics.differences import (
    correlation,
    mean_square_error,
    peak_signal_to_noise_ratio,
    root_mean_square_error,
    sum_of_correlations,
)

A = [[10, 20], [30, 40]]
B = [[10, 60], [30, 80]]


def judge(metric, fused, *sources, convention="default"):
    """Score images given as nested lists or arrays."""
    fused, *sources = (torch.as_tensor(np.asarray(x, dtype=float)) for x in (fused, *sources))
    return metric(fused[None], torch.stack(sources)[:, None], convention).item()


def related(seed, height=40, width=33):
    """Return an 8-bit fused image and its two sources."""
    rng = np.random.default_rng(seed)
    a = np.clip(100 + np.cumsum(rng.normal(0, 4, (height, width)), axis=1), 0, 255)
    b = np.clip(120 + np.cumsum(rng.normal(0, 4, (height, width)), axis=0), 0, 255)
    fused = np.clip((a + b) / 2 + rng.normal(0, 2, a.shape), 0, 255)
    return [np.floor(x + 0.5).astype(np.uint8) for x in (fused, a, b)]


# ------------------------------------------------------------------ MSE, RMSE, PSNR


def test_the_errors_by_hand():
    """F = A: 0 against A, (0 + 40^2 + 0 + 40^2) / 4 = 800 against B."""
    assert judge(mean_square_error, A, A, B) == 400
    assert judge(root_mean_square_error, A, A, B) == 20
    assert judge(peak_signal_to_noise_ratio, A, A, B) == pytest.approx(20 * log10(255 / 20))
    assert judge(mean_square_error, A, B) == 800
    assert judge(mean_square_error, A, A, A, B) == pytest.approx(800 / 3)


def test_a_fused_image_that_equals_every_source_has_no_error():
    assert judge(mean_square_error, A, A, A) == 0
    assert judge(root_mean_square_error, A, A, A) == 0
    assert judge(peak_signal_to_noise_ratio, A, A, A) == inf


def test_black_instead_of_white_is_the_largest_error():
    assert judge(mean_square_error, [[0]], [[255]]) == 255**2
    assert judge(root_mean_square_error, [[0]], [[255]]) == 255
    assert judge(peak_signal_to_noise_ratio, [[0]], [[255]]) == 0


def test_the_mean_of_the_sources_has_the_smallest_error():
    _, a, b = related(0)
    mean = (a.astype(float) + b) / 2
    rng = np.random.default_rng(0)
    smallest = judge(mean_square_error, mean, a, b)
    for _ in range(5):
        shifted = np.clip(mean + rng.normal(0, 1, mean.shape), 0, 255)
        assert judge(mean_square_error, shifted, a, b) > smallest


@pytest.mark.parametrize("seed", range(3))
def test_the_errors_against_one_source_are_those_of_scikit_image(seed):
    fused, a, _ = related(seed)
    assert judge(mean_square_error, fused, a) == pytest.approx(
        mean_squared_error(a, fused), rel=1e-12
    )
    assert judge(peak_signal_to_noise_ratio, fused, a) == pytest.approx(
        peak_signal_noise_ratio(a, fused, data_range=255), rel=1e-12
    )


def test_vifb_uses_the_root_of_the_sum_as_the_mean():
    """sqrt(4 * 16^2) / 4 = 8, averaged with 0; the PSNR uses its root as the RMSE."""
    brighter = np.add(A, 16)
    assert judge(root_mean_square_error, A, A, brighter, convention="vifb") == 4
    assert judge(root_mean_square_error, A, A, brighter) == sqrt(128)
    vifb = judge(peak_signal_to_noise_ratio, A, A, brighter, convention="vifb")
    assert vifb == pytest.approx(20 * log10(255 / 2))


def test_the_errors_of_vifb_depend_on_the_size_of_the_image():
    """Four times as many pixels, half the RMSE and 3 dB more: the same image, tiled."""
    small = related(0)
    large = [np.tile(x, (2, 2)) for x in small]
    for metric, convention, change in (
        (root_mean_square_error, "vifb", lambda x: x / 2),
        (peak_signal_to_noise_ratio, "vifb", lambda x: x + 10 * log10(2)),
        (root_mean_square_error, "default", lambda x: x),
        (peak_signal_to_noise_ratio, "default", lambda x: x),
    ):
        before, after = (judge(metric, *x, convention=convention) for x in (small, large))
        assert after == pytest.approx(change(before), rel=1e-12)


def test_tang_measures_errors_in_0_to_1_against_a_peak_of_255():
    images = related(0)
    mse = judge(mean_square_error, *images, convention="tang")
    assert mse == pytest.approx(judge(mean_square_error, *images) / 255**2, rel=1e-14)
    psnr = judge(peak_signal_to_noise_ratio, *images, convention="tang")
    excess = psnr - judge(peak_signal_to_noise_ratio, *images)
    assert excess == pytest.approx(20 * log10(255), rel=1e-12)


# ------------------------------------------------------------------ CC, SCD


def test_the_correlation_with_a_source_and_its_negative_by_hand():
    assert judge(correlation, A, A, A) == pytest.approx(1, abs=1e-15)
    assert judge(correlation, A, np.subtract(255, A)) == pytest.approx(-1, abs=1e-15)
    assert judge(correlation, A, A, np.subtract(255, A)) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("seed", range(3))
def test_correlations_are_those_of_scipy(seed):
    fused, a, b = (x.astype(float) for x in related(seed))

    def corr(x, y):
        return stats.pearsonr(x.ravel(), y.ravel()).statistic

    expected = (corr(fused, a) + corr(fused, b)) / 2
    assert judge(correlation, fused, a, b) == pytest.approx(expected, rel=1e-12)
    expected = corr(fused - b, a) + corr(fused - a, b)
    assert judge(sum_of_correlations, fused, a, b) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("level", [0, 128, 100 / 3])
def test_the_correlation_with_a_constant_image_is_undefined(level):
    """Also if its mean is rounded: 100/3 has no exact mean."""
    _, a, b = related(0)
    constant = np.full(a.shape, level)
    assert isnan(judge(correlation, constant, a, b))
    assert isnan(judge(correlation, a, constant, b))
    assert isnan(judge(sum_of_correlations, a, constant, b))


def test_a_fused_image_that_is_the_sum_of_its_sources_has_scd_2():
    _, a, b = (x.astype(float) / 2 for x in related(0))
    assert judge(sum_of_correlations, a + b, a, b) == pytest.approx(2, abs=1e-12)


def test_the_scd_of_a_constant_image_is_minus_twice_the_correlation_of_the_sources():
    _, a, b = related(0)
    value = judge(sum_of_correlations, np.full(a.shape, 128), a, b)
    assert value == pytest.approx(-2 * np.corrcoef(a.ravel(), b.ravel())[0, 1], rel=1e-12)


def test_scd_is_undefined_if_the_fused_image_differs_from_a_source_by_a_constant():
    """Their difference is constant, up to the rounding of 0.1."""
    _, a, b = (x * 0.9 for x in related(0))
    for fused in (a, a + 0.1, b, b + 0.1):
        assert isnan(judge(sum_of_correlations, fused, a, b))


def test_scd_is_defined_for_two_sources():
    with pytest.raises(FusionlabError, match="SCD is defined for exactly two sources, got 1"):
        judge(sum_of_correlations, A, B)


# ------------------------------------------------------------------ all


@pytest.mark.parametrize(
    ("metric", "convention", "expected"),
    [
        (mean_square_error, "default", 202.823484848),
        (root_mean_square_error, "default", 14.2416110342),
        (root_mean_square_error, "vifb", 0.391987077355),
        (peak_signal_to_noise_ratio, "default", 25.0596212051),
        (peak_signal_to_noise_ratio, "vifb", 52.1980861101),
        (correlation, "default", 0.695618566662),
        (sum_of_correlations, "default", 1.39497509696),
    ],
)
def test_values_have_not_drifted(metric, convention, expected):
    """Pinned when the oracle was reproduced: a change means another definition."""
    assert judge(metric, *related(42), convention=convention) == pytest.approx(expected, rel=1e-10)
