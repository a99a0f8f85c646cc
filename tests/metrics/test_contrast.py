"""Contrast and gradients: ramps and checkers by hand, NumPy and SciPy."""

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
    """One value, of images written as nested lists or arrays; by default the fused is a source."""
    sources = sources or [fused]
    fused, *sources = (torch.as_tensor(np.asarray(x, dtype=float)) for x in (fused, *sources))
    return metric(fused[None], torch.stack(sources)[:, None], convention).item()


def related(seed, height=40, width=33):
    """A fused image and its two sources, 8 bits."""
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
def test_a_constant_image_has_no_contrast_at_all(metric, value, level):
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
    """H (W - 1) steps of 1, divided by H W pixels; Tang divides by the steps."""
    assert judge(spatial_frequency, RAMP) == pytest.approx(sqrt((WIDTH - 1) / WIDTH))
    assert judge(spatial_frequency, RAMP, convention="tang") == 1
    assert judge(spatial_frequency, RAMP.T) == judge(spatial_frequency, RAMP)


def test_checkers_have_the_largest_spatial_frequency():
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
    theirs = judge(average_gradient, RAMP, convention=convention)
    excess = (HEIGHT * WIDTH) / ((HEIGHT - 1) * (WIDTH - 1))
    assert theirs == pytest.approx(sqrt(0.5) * excess, rel=1e-14)


def test_central_differences_do_not_see_checkers_but_at_the_border():
    """Only the first and the last column see a step to the right, rows likewise down."""
    seen = np.zeros((HEIGHT, WIDTH, 2))
    seen[:, [0, -1], 0] = seen[[0, -1], :, 1] = 1
    expected = np.sqrt((seen**2).sum(axis=-1) / 2).mean()
    assert judge(average_gradient, CHECKERS) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_the_average_gradient_is_made_of_that_of_numpy(seed):
    fused, a, b = related(seed)
    down, right = np.gradient(fused.astype(float))
    expected = np.sqrt((down**2 + right**2) / 2).mean()
    assert judge(average_gradient, fused, a, b) == pytest.approx(expected, rel=1e-12)


# ------------------------------------------------------------------ EI


def test_the_edge_intensity_of_a_ramp():
    """4 times a step over two pixels, and over one at the border, which is repeated."""
    expected = (8 * (WIDTH - 2) + 4 * 2) / WIDTH
    assert judge(edge_intensity, RAMP) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_the_edge_intensity_is_made_of_the_sobel_filters_of_scipy(seed):
    fused, a, b = related(seed)
    gradients = (ndimage.sobel(fused.astype(float), axis, mode="nearest") for axis in (0, 1))
    expected = np.hypot(*gradients).mean()
    assert judge(edge_intensity, fused, a, b) == pytest.approx(expected, rel=1e-12)


def test_a_single_pixel_has_no_edge_and_no_deviation():
    assert judge(edge_intensity, [[7]]) == 0
    assert judge(standard_deviation, [[7]]) == 0


# ------------------------------------------------------------------ Q_SF


def test_a_source_given_back_has_no_error_and_twice_its_contrast_has_1():
    half = related(0)[0] / 2
    assert judge(spatial_frequency_error, half, half, half) == 0
    assert judge(spatial_frequency_error, 2 * half, half, half) == pytest.approx(1, rel=1e-14)


def test_the_reference_has_the_largest_step_of_any_source_whatever_its_sign():
    a = [[0, 0], [0, 9]]
    b = [[50, 50], [90, 50]]  # larger steps to the right below, down at the left, and one diagonal
    #      right     down      diagonal, antidiagonal: weight 1/sqrt(2)
    mine = 0 + 81 + 0 + 81 + (81 + 0) / sqrt(2)
    theirs = 0 + 1600 + 1600 + 81 + (81 + 1600) / sqrt(2)
    value = judge(spatial_frequency_error, a, a, b)
    assert value == pytest.approx(sqrt(mine / theirs) - 1, rel=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_the_error_of_spatial_frequency_is_what_loops_make_of_the_printed_formula(seed):
    fused, *sources = (x.astype(float) for x in related(seed, 8, 7))
    mine = theirs = 0
    for y, x in np.ndindex(8, 7):
        for v, u, weight in ((0, -1, 1), (-1, 0, 1), (-1, -1, 0.5**0.5), (-1, 1, 0.5**0.5)):
            if y + v >= 0 and 0 <= x + u < 7:
                steps = [s[y, x] - s[y + v, x + u] for s in (fused, *sources)]
                mine += weight * steps[0] ** 2
                theirs += weight * max(abs(step) for step in steps[1:]) ** 2
    value = judge(spatial_frequency_error, fused, *sources)
    assert value == pytest.approx(sqrt(mine / theirs) - 1, rel=1e-12)


def test_sources_without_any_step_are_no_reference():
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
def test_values_stay_what_they_are(metric, convention, expected):
    """Pinned when the oracle was met: whatever changes them changes the definition."""
    assert judge(metric, *related(42), convention=convention) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("metric", "name"),
    [(spatial_frequency, "SF"), (average_gradient, "AG"), (spatial_frequency_error, "Q_SF")],
)
def test_what_looks_at_neighbors_needs_two_pixels_along_both_edges(metric, name):
    assert not isnan(judge(metric, [[1, 2], [4, 8]]))
    with pytest.raises(FusionlabError, match=f"{name} needs at least 2 pixels"):
        judge(metric, [[1, 2, 4]])
