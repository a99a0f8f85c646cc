"""FMI: windows by hand and by a literal implementation, transforms of scipy, Table II."""

import cmath
import csv
import math
from functools import cache

import imageio.v3 as iio
import numpy as np
import pytest
import pywt
import scipy.fft
import torch

from fusionlab.errors import FusionlabError
from fusionlab.metrics import copulas
from fusionlab.metrics.copulas import mean_information
from fusionlab.metrics.features import (
    _cosines,
    _edges_matlab,
    _edges_octave,
    _meyer_wavelet,
    _wavelets,
    fmi_dct,
    fmi_pixel,
    fmi_w,
)

METRICS = pytest.mark.parametrize("metric", [fmi_pixel, fmi_dct, fmi_w])


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def window(pixels):
    """Return a black 3x3 image with some pixels set, numbered 1..9 in column-major order."""
    image = torch.zeros(9, dtype=torch.float64)
    for number, value in pixels.items():
        image[number - 1] = value
    return image.view(3, 3).T


def information(fused, source):
    return mean_information(fused, source[None]).item()


def entropy(*pdf):
    return -sum(p * math.log2(p) for p in pdf)


# ------------------------------------------------------------------ two windows by hand
def test_overlapping_pairs_of_neighbors_share_information():
    """p lies on 1 and 2, q on 2 and 3, each with one half: 1 bit each.

    c = (1/4 - 1/9) / (1/2 - 1/9) = 5/14; at the upper bound q is p moved on by one, so that
    corr(M) = 1 and phi = c. Two of the four joint probabilities are (1 + phi) / 4, two
    (1 - phi) / 4.
    """
    joint = entropy(19 / 56, 9 / 56, 9 / 56, 19 / 56)
    assert information(window({1: 9, 2: 9}), window({2: 5, 3: 5})) == pytest.approx(
        2 - joint, rel=1e-14
    )


def test_distant_pairs_of_neighbors_share_information_by_negative_correlation():
    """p lies on 1 and 2, q on 8 and 9: c = (0 - 1/9) / (1/2 - 1/9) = -2/7, corr(M) = -1."""
    joint = entropy(9 / 28, 5 / 28, 5 / 28, 9 / 28)
    assert information(window({1: 9, 2: 9}), window({8: 5, 9: 5})) == pytest.approx(
        2 - joint, rel=1e-14
    )


def test_equal_windows_score_1_even_if_they_are_flat():
    for pixels in ({}, {5: 1}, {1: 3, 4: 7, 9: 5}):
        assert information(window(pixels), window(pixels)) == 1


def test_windows_of_the_same_shape_score_1_unless_they_are_flat_or_a_dot():
    shape = window({1: 3, 4: 7, 9: 5})
    assert information(shape, 2 * shape + 1) == pytest.approx(1, rel=1e-14)
    assert information(window({}), window({}) + 1) == pytest.approx(0, abs=1e-14)
    assert information(window({5: 1}), window({5: 2})) == 0


def test_a_window_with_one_bright_pixel_scores_0():
    dot, elsewhere, shape = window({5: 1}), window({6: 1}), window({1: 3, 4: 7, 9: 5})
    assert information(dot, elsewhere) == 0
    assert information(dot, shape) == pytest.approx(0, abs=1e-14)


def test_a_window_that_is_almost_a_dot_counts_as_one():
    for faint in (1e-9, 1e-12, 1e-16):
        value = information(window({4: faint, 5: 1}), window({5: 1, 6: faint}))
        assert value == pytest.approx(0, abs=1e-6)


def test_the_window_is_read_column_by_column():
    fused, source = window({1: 1, 2: 2, 5: 4}), window({2: 1, 6: 3, 5: 2})
    assert information(fused, source) == pytest.approx(by_the_letter(fused, source), rel=1e-13)
    assert information(fused, source) != pytest.approx(information(fused.T, source.T), rel=0.01)


# ------------------------------------------------------------------ a literal implementation
def by_the_letter(fused, source):
    """Return the value of two 3x3 windows with a loop for each sum, and complex logarithms."""
    if torch.equal(fused, source):
        return 1.0
    p, q = (distribution(w.T.flatten().tolist()) for w in (fused, source))
    c = correlation(p, q)
    spread = deviation(p) * deviation(q)
    bound = [[frechet(sum(p[:i]), sum(q[:j]), c) for j in range(10)] for i in range(10)]
    numbers = [(i, j) for i in range(1, 10) for j in range(1, 10)]
    covariance = sum(bound[i][j] - sum(p[:i]) * sum(q[:j]) for i, j in numbers)
    phi = 0 if c == 0 or spread == 0 else c * spread / covariance
    joint = 0
    for i, j in numbers:
        mass = bound[i][j] - bound[i - 1][j] - bound[i][j - 1] + bound[i - 1][j - 1]
        value = phi * mass + (1 - phi) * p[i - 1] * q[j - 1]
        if value != 0:
            joint += (-value * cmath.log(value) / math.log(2)).real
    both = sum(entropy(*(x for x in pdf if x != 0)) for pdf in (p, q))
    return 2 * (both - joint) / both if both else 0.0


def distribution(pixels):
    low, high = min(pixels), max(pixels)
    stretched = [(x - low) / (high - low) if high > low else 1 for x in pixels]
    return [x / sum(stretched) for x in stretched]


def correlation(p, q):
    return 0 if min(np.ptp(p), np.ptp(q)) == 0 else np.corrcoef(p, q)[0, 1]


def deviation(p):
    mean = sum(i * x for i, x in enumerate(p))
    return math.sqrt(sum((i - mean) ** 2 * x for i, x in enumerate(p)))


def frechet(p, q, c):
    return min(p, q) if c >= 0 else max(p + q - 1, 0)


def features(kind):
    x = torch.rand(2, 20, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return {
        "noise": x,
        "peaks": x**12,  # where phi is far above one
        "dots": torch.where(x > 0.7, x, 0),
        "edges": (x > 0.8).double(),
        "alike": torch.stack([x[0], x[0] + 0.1 * x[1]]),
        "opposite": torch.stack([x[0], 0.1 * x[1] - x[0]]),
        "ties": (3 * x).round(),  # P_i = Q_j in many cells
        "single pixels": (x > 0.95) * (1 + x),
        "flat and not": torch.stack([x[0].round(), torch.full_like(x[1], 0.3)]),
        "partly equal": torch.stack([x[0], torch.where(x[1:].round() == 1, x[0], x[1])[0]]),
    }[kind]


KINDS = (
    "noise",
    "peaks",
    "dots",
    "edges",
    "alike",
    "opposite",
    "ties",
    "single pixels",
    "flat and not",
    "partly equal",
)


@pytest.mark.parametrize("kind", KINDS)
def test_batched_windows_match_the_definition_one_by_one(kind):
    fused, source = features(kind)
    values = [
        by_the_letter(fused[top : top + 3, left : left + 3], source[top : top + 3, left : left + 3])
        for top in range(18)
        for left in range(7)
    ]
    # abs: the mean of a flat image is rounding noise around 0.
    assert information(fused, source) == pytest.approx(np.mean(values), rel=1e-11, abs=1e-14)


@pytest.mark.parametrize("e", [1e-2, 1e-3, 1e-4])
def test_windows_almost_on_a_single_value_lose_little_by_cancellation(e):
    """p has e at 1 and 1 - e at 2, q has 1 - e at 2 and e at 3.

    M has e at (1, 2), 1 - 2 e at (2, 2) and e at (2, 3). Its covariance is e^2, the variances are
    e (1 - e), so that phi e^2 = c e (1 - e). The tolerance is that of the covariance, a sum of P_i
    and Q_j of which all but one are near 1, and have an error of up to 2^-53.
    """
    c = ((1 - e) ** 2 - 1 / 9) / ((1 - e) ** 2 + e**2 - 1 / 9)
    moved = c * e * (1 - e)
    negative = e**2 - moved
    joint = entropy(e * (1 - e) + moved, e * (1 - e) + moved, (1 - e) ** 2 - moved)
    joint -= negative * math.log2(-negative)
    both = 2 * entropy(e, 1 - e)
    value = information(window({1: e, 2: 1 - e}), window({2: 1 - e, 3: e}))
    assert value == pytest.approx(2 * (both - joint) / both, rel=16 * 2**-53 / e**2)


def test_edges_have_the_value_of_the_same_windows_as_any_other_features():
    """0 and 1 are counted by pattern, 0 and 2 are not."""
    edges = (torch.rand(3, 40, 30, generator=torch.Generator().manual_seed(0)) > 0.8).double()
    assert mean_information(edges[0], edges[1:]).item() == pytest.approx(
        mean_information(2 * edges[0], 2 * edges[1:]).item(), rel=1e-14
    )


def test_the_value_of_a_window_may_be_below_0_or_above_1():
    """If phi is above one and some joint probabilities are negative."""
    for fused, source, value in (
        (window({4: 1, 5: 50}), window({5: 50, 6: 1}), -0.404),
        (window({6: 50, 7: 1}), window({1: 1, 6: 50, 7: 1}), 2.784),
    ):
        assert information(fused, source) == pytest.approx(value, abs=1e-3)
        assert information(fused, source) == pytest.approx(by_the_letter(fused, source), rel=1e-11)


@pytest.mark.parametrize("at_once", [1, 5, 7, 30])
@pytest.mark.parametrize("edges", [False, True])
def test_the_batch_size_does_not_matter(monkeypatch, at_once, edges):
    images = torch.rand(3, 9, 12, generator=torch.Generator().manual_seed(0)).double()
    fused, *sources = images.round() if edges else images
    expected = mean_information(fused, torch.stack(sources))
    monkeypatch.setattr(copulas, "CPU_BATCH", at_once)
    assert torch.allclose(mean_information(fused, torch.stack(sources)), expected, rtol=1e-14)


# ------------------------------------------------------------------ edges
STEP = torch.tensor([[0.0] * 8 + [255.0] * 8] * 5)
"""Columns 7 and 8, on both sides of the step, have the same gradient."""


def test_of_two_equal_gradients_matlab_marks_the_second_and_octave_neither():
    expected = torch.zeros(5, 16)
    expected[:, 8] = 1
    assert torch.equal(_edges_matlab(STEP[None].double())[0], expected.double())
    assert _edges_octave(STEP[None].double()).sum() == 0
    (upright,) = _edges_matlab(STEP.T[None].double())
    assert torch.equal(upright, expected.T.double())


def test_both_find_the_ridge_of_a_ramp_that_is_steepest_in_the_middle():
    ramp = torch.tensor([[0.0] * 7 + [20, 120, 220] + [240.0] * 7] * 5, dtype=torch.float64)
    for edges in (_edges_matlab, _edges_octave):
        (edge_map,) = edges(ramp[None])
        assert edge_map.nonzero()[:, 1].tolist() == [8] * 5


def test_an_edge_may_lie_on_the_border():
    bright = torch.zeros(1, 5, 16, dtype=torch.float64)
    bright[..., -1] = 200
    (edge_map,) = _edges_matlab(bright)
    assert edge_map.nonzero()[:, 1].tolist() == [15] * 5


def test_weak_gradients_are_no_edges():
    """Four of 16 columns have a gradient, and its square equals the threshold, 4 times the mean."""
    stairs = torch.tensor([[0.0] * 4 + [80.0] * 8 + [160.0] * 4] * 5, dtype=torch.float64)
    assert _edges_matlab(stairs[None]).sum() == 0
    assert _edges_matlab(torch.cat([stairs, stairs[:, -1:]], dim=1)[None]).sum() == 2 * 5


def test_a_fused_image_without_edges_scores_the_fraction_of_windows_without_edges_in_the_source():
    """The edge in column 8 lies in 3 of 14 columns of windows."""
    flat = torch.full_like(STEP, 128)
    assert fmi_pixel(flat[None], STEP[None, None]).item() == pytest.approx(11 / 14, rel=1e-14)


def test_in_the_paper_convention_rounding_decides_between_equal_gradients():
    fused, sources = noise(1, 40, 50) // 16 * 16, noise(2, 1, 40, 50, seed=1) // 16 * 16
    values = [fmi_pixel(fused, sources, c).item() for c in ("default", "paper")]
    assert values[0] != values[1]
    assert values[0] == pytest.approx(values[1], rel=0.05)


# ------------------------------------------------------------------ transforms
@pytest.mark.parametrize("size", [(3, 3), (7, 4), (16, 33)])
def test_the_cosine_transform_is_that_of_scipy(size):
    images = noise(2, *size).double()
    theirs = scipy.fft.dctn(images.numpy(), axes=(1, 2), norm="ortho")
    assert np.allclose(_cosines(images), theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [(3, 3), (48, 64), (51, 63), (120, 7)])
def test_the_wavelet_transform_is_that_of_pywavelets_side_by_side(size):
    images = noise(2, *size).double()
    a, (h, v, d) = pywt.dwt2(images.numpy(), _meyer_wavelet(), mode="symmetric")
    theirs = np.block([[a, h], [v, d]])
    low, high = (limit(theirs, axis=(1, 2), keepdims=True) for limit in (np.min, np.max))
    assert np.allclose(_wavelets(images), (theirs - low) / (high - low), rtol=0, atol=1e-11)
    assert tuple(a.shape[1:]) == tuple((edge + 101) // 2 for edge in size)


def test_the_meyer_filter_has_the_taps_of_matlab():
    wavelet = _meyer_wavelet()
    assert wavelet.dec_len == 102
    taps = np.array(wavelet.dec_lo)
    assert taps[0] == 0
    assert taps[1:] == pytest.approx(taps[:0:-1])
    # The first two of both sides, and the middle, as MATLAB and others print them.
    assert taps[1:3] == pytest.approx([-1.509740857e-06, 1.278766757e-06], abs=1e-10)
    assert taps[50:52] == pytest.approx([0.444095030766529, 0.743751004903787], abs=1e-10)
    assert sum(taps) == pytest.approx(math.sqrt(2))
    # It is an orthogonal wavelet except for the truncation.
    assert sum(taps**2) == pytest.approx(1, abs=2e-6)


def test_the_meyer_filter_is_that_of_a_published_table(shared):
    with (shared / "oracle" / "metrics" / "dmey_102_lowpass.csv").open(newline="") as file:
        table = [float(row["coefficient"]) for row in csv.DictReader(file)]
    assert _meyer_wavelet().dec_lo == pytest.approx(table, abs=1e-10)


# ------------------------------------------------------------------ the metrics
@METRICS
def test_a_fused_image_that_equals_all_sources_has_one(metric):
    fused = noise(2, 20, 23)
    assert metric(fused, torch.stack([fused] * 3)).tolist() == [1, 1]


@METRICS
def test_all_sources_have_the_same_weight(metric):
    fused, source = noise(2, 1, 20, 23)
    alone = metric(fused, source[None])
    assert metric(fused, torch.stack([fused, source])).item() == pytest.approx(
        (1 + alone.item()) / 2, rel=1e-12
    )


@METRICS
def test_the_value_of_white_noise_has_not_drifted(metric):
    """Pinned values."""
    expected = {
        fmi_pixel: 0.8789473684210526,
        fmi_dct: 0.09907057832468152,
        fmi_w: 0.11210443458546893,
    }[metric]
    value = metric(noise(1, 32, 40), noise(2, 1, 32, 40, seed=1)).item()
    assert value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("metric", [fmi_dct, fmi_w])
def test_the_paper_convention_of_coefficients_is_the_default(metric):
    fused, sources = noise(1, 20, 23), noise(2, 1, 20, 23, seed=1)
    assert torch.equal(metric(fused, sources, "paper"), metric(fused, sources))


def test_a_constant_image_has_fmi_dct_0():
    sources = noise(2, 1, 20, 23)
    for level in (0, 1, 77, 255):
        constant = torch.full_like(sources[0], level)
        assert fmi_dct(constant, sources).item() == pytest.approx(0, abs=1e-13)


def test_a_constant_image_has_an_fmi_w_near_0_whatever_its_level():
    """The rest comes from windows across the seams of the four bands."""
    sources = noise(2, 1, 20, 23)
    levels = torch.arange(1, 256).view(-1, 1, 1).expand(-1, 20, 23)
    values = fmi_w(levels[::10], sources.expand(-1, 26, -1, -1))
    assert 0 < values[0] < 0.02
    assert values.tolist() == pytest.approx([values[0].item()] * 26, rel=1e-6)


@pytest.mark.parametrize("metric", [fmi_dct, fmi_w])
def test_rounding_noise_does_not_affect_flat_areas(metric):
    """Most of each image is flat, as in many medical images."""
    fused, *sources = noise(3, 1, 24, 150).double().clamp_(max=250)
    fused[..., 40:] = 33.1
    sources = torch.stack(sources)
    sources[..., 30:] = 66.3
    noisy = fused + 1e-12 * torch.rand(fused.shape, generator=torch.Generator().manual_seed(0))
    assert metric(noisy, sources).item() == pytest.approx(metric(fused, sources).item(), rel=1e-9)


@METRICS
def test_no_image_is_smaller_than_a_window(metric):
    assert metric(noise(1, 3, 3), noise(2, 1, 3, 3)).isfinite().all()
    with pytest.raises(FusionlabError, match="at least 3 pixels along both edges, got 3x2"):
        metric(noise(1, 2, 3), noise(2, 1, 2, 3))


# ------------------------------------------------------------------ Table II
ROWS = {
    "addition_1e2": {"FMI_w": 0.42731, "FMI_dct": 0.41587},
    "l1norm_r0_1e2": {"FMI_w": 0.43129, "FMI_dct": 0.38109},
}
PAIRS = [f"{number:02}" for number in range(1, 21)]


@cache
def of_pair(shared, row, pair):
    """Return FMI_w and FMI_dct of one of the authors' images."""
    tno20 = shared / "data" / "eval" / "tno20"
    fused = iio.imread(shared / "oracle" / "table2" / row / f"{pair}.png")
    sources = np.array([iio.imread(tno20 / source / f"{pair}.png") for source in "ab"])
    images = torch.from_numpy(fused)[None], torch.from_numpy(sources)[:, None]
    return {"FMI_w": fmi_w(*images).item(), "FMI_dct": fmi_dct(*images).item()}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize(
    "pair", [*PAIRS[:1], *(pytest.param(p, marks=pytest.mark.slow) for p in PAIRS[1:])]
)
def test_each_pair_of_table_ii_is_reproduced(shared, row, pair):
    with (shared / "oracle" / "table2" / f"per_image_{row}.csv").open(newline="") as file:
        theirs = {line["tno20"]: line for line in csv.DictReader(file)}[pair]
    for name, value in of_pair(shared, row, pair).items():
        assert value == pytest.approx(float(theirs[name]), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_table_ii_is_reproduced_to_the_digits_printed(shared, row):
    for name, printed in ROWS[row].items():
        mean = np.mean([of_pair(shared, row, pair)[name] for pair in PAIRS])
        assert round(mean, 5) == printed
