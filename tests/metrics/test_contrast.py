"""Contrast and gradients against hand-computed ramps and checkerboards, NumPy and SciPy."""

from math import inf, isnan, sqrt

import numpy as np
import pytest
import torch
from scipy import ndimage

from fusionlab.errors import FusionlabError
from fusionlab.metrics.contrast import (
    average_gradient,
    edge_intensity,
    spatial_frequency,
    spatial_frequency_error,
    standard_deviation,
)

HEIGHT, WIDTH = 5, 9
RAMP = np.tile(np.arange(WIDTH), (HEIGHT, 1))  # one level per pixel, to the right
CHECKERS = np.indices((HEIGHT, WIDTH)).sum(axis=0) % 2


def judge(metric, fused, *sources, convention="default"):
    """Score images given as nested lists or arrays; without sources, the fused image is one."""
    sources = sources or [fused]
    fused, *sources = (torch.as_tensor(np.asarray(x, dtype=float)) for x in (fused, *sources))
    return metric(fused[None], torch.stack(sources)[:, None], convention).item()


def related(seed, height=40, width=33):
    """Return an 8-bit fused image and its two sources."""
    rng = np.random.default_rng(seed)
    a = np.clip(100 + np.cumsum(rng.normal(0, 4, (height, width)), axis=1), 0, 255)
    b = np.clip(120 + np.cumsum(rng.normal(0, 4, (height, width)), axis=0), 0, 255)
    fused = np.clip((a + b) / 2 + rng.normal(0, 2, a.shape), 0, 255)
    return [np.floor(x + 0.5).astype(np.uint8) for x in (fused, a, b)]


@pytest.mark.parametrize("level", [0, 128, 100 / 3, 255])
@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (standard_deviation, 0),
        (spatial_frequency, 0),
        (average_gradient, 0),
        (edge_intensity, 0),
        (spatial_frequency_error, -1),
    ],
)
def test_a_constant_image_has_zero_contrast_in_every_metric(metric, value, level):
    assert judge(metric, np.full(RAMP.shape, level), RAMP) == value


# ------------------------------------------------------------------ SD


def test_the_standard_deviation_of_two_levels_is_half_their_distance():
    assert judge(standard_deviation, [[0, 255], [0, 255]]) == 127.5


@pytest.mark.parametrize("seed", range(3))
def test_the_standard_deviation_is_that_of_numpy(seed):
    fused, a, b = related(seed)
    assert judge(standard_deviation, fused, a, b) == pytest.approx(np.std(fused), rel=1e-12)


# ------------------------------------------------------------------ SF


def test_the_spatial_frequency_of_a_ramp():
    """H (W - 1) differences of 1, divided by H W pixels; Tang divides by their number."""
    assert judge(spatial_frequency, RAMP) == pytest.approx(sqrt((WIDTH - 1) / WIDTH))
    assert judge(spatial_frequency, RAMP, convention="tang") == 1
    assert judge(spatial_frequency, RAMP.T) == judge(spatial_frequency, RAMP)


def test_a_checkerboard_has_the_largest_spatial_frequency():
    value = judge(spatial_frequency, 255 * CHECKERS, convention="tang")
    assert value == pytest.approx(255 * sqrt(2), rel=1e-14)


def test_the_spatial_frequency_by_hand():
    """To the right 3^2 + 5^2, down 4^2 + 2^2: 54 / 4."""
    assert judge(spatial_frequency, [[10, 13], [6, 11]]) == pytest.approx(sqrt(54 / 4))
    tang = judge(spatial_frequency, [[10, 13], [6, 11]], convention="tang")
    assert tang == pytest.approx(sqrt(34 / 2 + 20 / 2))


# ------------------------------------------------------------------ AG


@pytest.mark.parametrize("convention", ["vifb", "tang"])
def test_the_average_gradient_of_a_ramp(convention):
    """Central differences, and those at the border, are all 1: sqrt((1 + 0) / 2)."""
    assert judge(average_gradient, RAMP) == pytest.approx(sqrt(0.5), rel=1e-14)
    of_reference = judge(average_gradient, RAMP, convention=convention)
    excess = (HEIGHT * WIDTH) / ((HEIGHT - 1) * (WIDTH - 1))
    assert of_reference == pytest.approx(sqrt(0.5) * excess, rel=1e-14)


def test_central_differences_miss_a_checkerboard_except_at_the_border():
    """Only the first and last columns, and rows, have a nonzero difference."""
    differences = np.zeros((HEIGHT, WIDTH, 2))
    differences[:, [0, -1], 0] = differences[[0, -1], :, 1] = 1
    expected = np.sqrt((differences**2).sum(axis=-1) / 2).mean()
    assert judge(average_gradient, CHECKERS) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_the_average_gradient_matches_numpy_gradient(seed):
    fused, a, b = related(seed)
    down, right = np.gradient(fused.astype(float))
    expected = np.sqrt((down**2 + right**2) / 2).mean()
    assert judge(average_gradient, fused, a, b) == pytest.approx(expected, rel=1e-12)


# ------------------------------------------------------------------ EI


def test_the_edge_intensity_of_a_ramp():
    """4 times the difference over two pixels, or over one at the border, which is repeated."""
    expected = (8 * (WIDTH - 2) + 4 * 2) / WIDTH
    assert judge(edge_intensity, RAMP) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_the_edge_intensity_matches_scipy_sobel(seed):
    fused, a, b = related(seed)
    gradients = (ndimage.sobel(fused.astype(float), axis, mode="nearest") for axis in (0, 1))
    expected = np.hypot(*gradients).mean()
    assert judge(edge_intensity, fused, a, b) == pytest.approx(expected, rel=1e-12)


def test_a_single_pixel_has_zero_edge_intensity_and_deviation():
    assert judge(edge_intensity, [[7]]) == 0
    assert judge(standard_deviation, [[7]]) == 0


# ------------------------------------------------------------------ Q_SF


def test_q_sf_is_0_for_a_copy_of_the_source_and_1_for_twice_its_contrast():
    half = related(0)[0] / 2
    assert judge(spatial_frequency_error, half, half, half) == 0
    assert judge(spatial_frequency_error, 2 * half, half, half) == pytest.approx(1, rel=1e-14)


def test_the_reference_uses_the_largest_absolute_difference_of_any_source():
    a = [[0, 0], [0, 9]]
    b = [[50, 50], [90, 50]]  # larger steps to the right below, down at the left, and one diagonal
    #      right     down      diagonal, antidiagonal: weight 1/sqrt(2)
    of_fused = 0 + 81 + 0 + 81 + (81 + 0) / sqrt(2)
    of_reference = 0 + 1600 + 1600 + 81 + (81 + 1600) / sqrt(2)
    value = judge(spatial_frequency_error, a, a, b)
    assert value == pytest.approx(sqrt(of_fused / of_reference) - 1, rel=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_q_sf_matches_the_printed_formula_written_as_loops(seed):
    fused, *sources = (x.astype(float) for x in related(seed, 8, 7))
    of_fused = of_reference = 0
    for y, x in np.ndindex(8, 7):
        for v, u, weight in ((0, -1, 1), (-1, 0, 1), (-1, -1, 0.5**0.5), (-1, 1, 0.5**0.5)):
            if y + v >= 0 and 0 <= x + u < 7:
                steps = [s[y, x] - s[y + v, x + u] for s in (fused, *sources)]
                of_fused += weight * steps[0] ** 2
                of_reference += weight * max(abs(step) for step in steps[1:]) ** 2
    value = judge(spatial_frequency_error, fused, *sources)
    assert value == pytest.approx(sqrt(of_fused / of_reference) - 1, rel=1e-12)


def test_q_sf_is_undefined_if_all_sources_are_constant():
    flat = np.full(RAMP.shape, 9)
    assert judge(spatial_frequency_error, RAMP, flat, flat) == inf
    assert isnan(judge(spatial_frequency_error, flat, flat, flat))


# ------------------------------------------------------------------ all


@pytest.mark.parametrize(
    ("metric", "convention", "expected"),
    [
        (standard_deviation, "default", 11.6455807088),
        (spatial_frequency, "default", 16.6887278234),
        (spatial_frequency, "tang", 16.922942792),
        (average_gradient, "default", 5.61034982407),
        (average_gradient, "vifb", 5.93402385238),
        (edge_intensity, "default", 56.9061764163),
        (spatial_frequency_error, "default", -0.459207478327),
    ],
)
def test_values_have_not_drifted(metric, convention, expected):
    """Pinned when the oracle was reproduced: a change means another definition."""
    assert judge(metric, *related(42), convention=convention) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("metric", "name"),
    [(spatial_frequency, "SF"), (average_gradient, "AG"), (spatial_frequency_error, "Q_SF")],
)
def test_metrics_of_neighboring_pixels_need_two_pixels_along_both_edges(metric, name):
    assert not isnan(judge(metric, [[1, 2], [4, 8]]))
    with pytest.raises(FusionlabError, match=f"{name} needs at least 2 pixels"):
        judge(metric, [[1, 2, 4]])
