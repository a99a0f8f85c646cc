"""Structural similarity against scikit-image, pytorch-msssim, formulas and by hand."""

import csv
import math
from itertools import chain

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from skimage.metrics import structural_similarity

from fusionlab.errors import FusionlabError
from fusionlab.metrics.moments import Place, Window, _filtered, local_moments, source_moments
from fusionlab.metrics.structure import (
    cvejic,
    ms_ssim_wang,
    piella_similarity,
    piella_weighted,
    ssim,
    ssim_average,
    yang,
)
from fusionlab.metrics.windows import gaussian

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def texture(seed, height=40, width=45):
    """Return a smooth image with some noise, in integer gray levels."""
    rng = np.random.default_rng(seed)
    walk = rng.normal(size=(height, width)).cumsum(0).cumsum(1)
    walk = (walk - walk.min()) / (walk.max() - walk.min())
    return np.clip(20 + 200 * walk + rng.normal(0, 6, walk.shape), 0, 255).round()


def scene(seed, height=40, width=45):
    """Return two sources and a fused image, a mean of both with some noise."""
    a, b, noise = (texture(3 * seed + i, height, width) for i in range(3))
    return a, b, (0.5 * a + 0.3 * b + 0.2 * noise).round()


def score(metric, fused, *sources, convention="default"):
    """Score one fused image; all images are arrays `(H, W)`."""
    fused, *sources = (torch.as_tensor(image, dtype=torch.float64) for image in (fused, *sources))
    return metric(fused[None], torch.stack(sources)[:, None], convention).item()


def of_skimage(a, b, **changed):
    """Return the SSIM of scikit-image, which also averages over the windows inside the image."""
    settings = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5} | changed
    return structural_similarity(a, b, use_sample_covariance=False, **settings)


def repeated(image):
    """Repeat the border pixels 5 times, so that each pixel is the center of an 11x11 window."""
    return np.pad(image, 5, mode="edge")


# ------------------------------------------------------------------ SSIM, SSIM_a


@pytest.mark.parametrize("seed", range(3))
def test_ssim_is_that_of_scikit_image_averaged_over_the_sources(seed):
    a, b, f = scene(seed)
    expected = (of_skimage(a, f) + of_skimage(b, f)) / 2
    # float64 on both sides: the tolerance covers the order of summation, here and below
    assert score(ssim, f, a, b) == pytest.approx(expected, abs=1e-11)
    assert score(ssim, f, a) == pytest.approx(of_skimage(a, f), abs=1e-11)


@pytest.mark.parametrize("seed", range(3))
def test_ssim_a_is_that_of_scikit_image_on_images_whose_border_is_repeated(seed):
    a, b, f = scene(seed)
    expected = [of_skimage(repeated(s), repeated(f)) for s in (a, b)]
    assert score(ssim_average, f, a, b) == pytest.approx(np.mean(expected), abs=1e-11)
    assert score(ssim_average, f, b) == pytest.approx(expected[1], abs=1e-11)


def test_vifb_sums_and_tang_uses_a_data_range_of_1_and_repeats_the_border():
    a, b, f = scene(0)
    assert score(ssim, f, a, b, convention="vifb") == pytest.approx(2 * score(ssim, f, a, b))
    expected = [of_skimage(repeated(s), repeated(f), data_range=1) for s in (a, b)]
    tang = score(ssim, f, a, b, convention="tang")
    # small variances: their rounding is visible against constants of 1e-3
    assert tang == pytest.approx(np.mean(expected), abs=1e-9)
    assert tang < score(ssim_average, f, a, b) - 0.05


@pytest.mark.parametrize("metric", [ssim, ssim_average])
def test_the_ssim_of_two_gray_levels_by_hand(metric):
    """No contrast, no structure: (2 100 50 + 2.55^2) / (100^2 + 50^2 + 2.55^2)"""
    value = score(metric, np.full((11, 11), 100), np.full((11, 11), 50))
    assert value == pytest.approx(10006.5025 / 12506.5025, abs=1e-12)


def test_the_ssim_of_a_dot_in_one_window_by_hand():
    """Dots of 200 and 100: means 200 w and 100 w, Bernoulli variances w (1 - w)."""
    fused, source = np.zeros((11, 11)), np.zeros((11, 11))
    fused[5, 5], source[5, 5] = 100, 200
    w = 1 / sum(math.exp(-(x**2) / 4.5) for x in range(-5, 6)) ** 2
    luminance = (2 * 200 * 100 * w**2 + C1) / ((200**2 + 100**2) * w**2 + C1)
    spread = w * (1 - w)
    structure = (2 * 200 * 100 * spread + C2) / ((200**2 + 100**2) * spread + C2)
    assert score(ssim, fused, source) == pytest.approx(luminance * structure, abs=1e-12)


@pytest.mark.slow  # by default, tests/evaluation/test_table_ii.py compares the same values
@pytest.mark.parametrize(
    ("row", "printed"), [("addition_1e2", "0.73186"), ("l1norm_r0_1e2", "0.71901")]
)
def test_ssim_a_gives_table_ii_to_the_last_digit(row, printed, shared):
    found = []
    with (shared / "oracle" / "table2" / f"per_image_{row}.csv").open(newline="") as file:
        for entry in csv.DictReader(file):
            name = f"{entry['tno20']}.png"
            sources = [iio.imread(shared / "data" / "eval" / "tno20" / s / name) for s in "ab"]
            fused = iio.imread(shared / "oracle" / "table2" / row / name)
            found.append(score(ssim_average, fused, *sources, convention="paper"))
            assert found[-1] == pytest.approx(float(entry["SSIM_a"]), rel=1e-6)
    assert len(found) == 20
    assert f"{np.mean(found):.5f}" == printed


# ------------------------------------------------------------------ MS_SSIM_Wang


def test_ms_ssim_is_that_of_pytorch_msssim_where_edges_are_multiples_of_16():
    library = pytest.importorskip("pytorch_msssim")
    a, b, f = (torch.from_numpy(image)[None, None] for image in scene(1, 176, 192))
    window = gaussian(11, 1.5, f).view(1, 1, 1, -1)  # its own window is float32
    expected = sum(library.ms_ssim(f, s, data_range=255, win=window).item() for s in (a, b)) / 2
    value = ms_ssim_wang(f[0], torch.stack([a[0], b[0]])).item()
    assert value == pytest.approx(expected, abs=1e-11)


def test_ms_ssim_is_the_product_of_the_parts_of_scikit_image_also_at_odd_edges():
    """With K1 so large that the luminance is 1; the scales, with odd edges, are made here."""
    a, _, f = scene(2, 181, 203)
    expected = 1.0
    for weight in (0.0448, 0.2856, 0.3001, 0.2363):
        expected *= of_skimage(a, f, K1=1e9) ** weight
        a, f = (np.pad(x, [(0, n % 2) for n in x.shape], mode="edge") for x in (a, f))
        a, f = ((x[::2] + x[1::2])[:, ::2] + (x[::2] + x[1::2])[:, 1::2] for x in (a / 4, f / 4))
    expected *= of_skimage(a, f) ** 0.1333
    a, _, f = scene(2, 181, 203)
    # the luminance is 1 to 1e-14 in each of four scales
    assert score(ms_ssim_wang, f, a) == pytest.approx(expected, abs=1e-11)


def test_a_negative_scale_makes_ms_ssim_zero_not_nan():
    a = texture(0, 176, 176)
    assert score(ms_ssim_wang, 255 - a, a) == 0


# ------------------------------------------------------------------ Q_S, Q_W, Q_C, Q_Y by formula


def statistics(*images, weights):
    """Return the means and covariances of all windows, computed window by window."""
    size = len(weights)
    patches = np.stack([sliding_window_view(i, (size, size)).reshape(-1, size**2) for i in images])
    mean = patches @ weights.ravel()
    apart = patches - mean[..., None]
    return mean, np.einsum("inp,jnp,p->ijn", apart, apart, weights.ravel())


def bell(size):
    x = np.arange(size) - size // 2
    weights = np.exp(-(x[:, None] ** 2 + x**2) / 4.5)
    return weights / weights.sum()


def alike(mean, covariance, i, j, c1=0.0, c2=0.0):
    luminance = (2 * mean[i] * mean[j] + c1) / (mean[i] ** 2 + mean[j] ** 2 + c1)
    structure = (2 * covariance[i, j] + c2) / (covariance[i, i] + covariance[j, j] + c2)
    return luminance * structure


@pytest.mark.parametrize("convention", ["default", "liu"])
@pytest.mark.parametrize("seed", range(2))
def test_q_s_and_q_w_match_their_formulas(seed, convention):
    a, b, f = scene(seed)
    liu = convention == "liu"
    seen = statistics(f, a, b, weights=bell(11) if liu else np.full((8, 8), 1 / 64))
    maps = [alike(*seen, 0, i, *((C1, C2) if liu else (0, 0))) for i in (1, 2)]
    first, second = seen[1][1, 1], seen[1][2, 2]
    quality = (first * maps[0] + second * maps[1]) / (first + second)
    salience = np.maximum(first, second)
    weighted = (salience * quality).sum() / salience.sum()
    value = score(piella_similarity, f, a, b, convention=convention)
    assert value == pytest.approx(quality.mean(), abs=1e-11)
    value = score(piella_weighted, f, a, b, convention=convention)
    assert value == pytest.approx(weighted, abs=1e-11)


@pytest.mark.parametrize("convention", ["default", "liu"])
@pytest.mark.parametrize("seed", range(2))
def test_q_c_matches_its_formula(seed, convention):
    a, b, f = (texture(3 * seed + i) for i in range(3))
    seen = statistics(f, a, b, weights=bell(7) if convention == "liu" else np.full((8, 8), 1 / 64))
    share = seen[1][0, 1] / (seen[1][0, 1] + seen[1][0, 2])
    assert share.min() < 0
    assert share.max() > 1
    weight = share if convention == "liu" else share.clip(0, 1)
    value = weight * alike(*seen, 0, 1) + (1 - weight) * alike(*seen, 0, 2)
    if convention == "liu":
        value[share < 0] = 0
        value[share > 1] = 1
    found = score(cvejic, f, a, b, convention=convention)
    # without the constants of Liu, 2e-16
    assert found == pytest.approx(value.mean(), abs=1e-11)


@pytest.mark.parametrize("convention", ["default", "liu"])
def test_q_y_matches_its_formula(convention):
    a, b, f = scene(0)
    b = (0.5 * a + 0.5 * b).round()
    seen = statistics(f, a, b, weights=bell(7))
    common = alike(*seen, 1, 2) >= 0.75
    assert 0.1 < common.mean() < 0.9
    maps = [alike(*seen, 0, i) for i in (1, 2)]
    first, second = seen[1][1, 1], seen[1][2, 2]
    shared = (first * maps[0] + second * maps[1]) / (first + second)
    expected = np.where(common, shared, np.maximum(*maps)).mean()
    assert score(yang, f, a, b, convention=convention) == pytest.approx(expected, abs=1e-11)


# ------------------------------------------------------------------ Q_S, Q_W, Q_C, Q_Y by hand


@pytest.mark.parametrize("metric", [piella_similarity, piella_weighted])
def test_a_source_without_contrast_has_no_weight(metric):
    a, level = texture(0), np.full((40, 45), 90)
    assert score(metric, a, a, level) == pytest.approx(1, abs=1e-12)
    assert score(metric, level, a, level) == 0
    assert score(metric, a, level, level, a) == pytest.approx(1, abs=1e-12)


def test_q_w_ignores_windows_where_no_source_varies():
    """Windows starting in columns 0..9 include the change; up to column 12 all are flat."""
    source = texture(0)
    source[:, :20] = 100
    fused = source.copy()
    fused[:, :10] = texture(1)[:, :10]
    sources = source, np.full_like(source, 50)
    assert score(piella_weighted, fused, *sources) == pytest.approx(1, abs=1e-12)
    # 10 of 38 columns of windows have the value 0: one image flat, one not; 3 more compare
    # 100 with 100 and with 50
    lost = 10 + 3 * (1 - (1 + 4 / 5) / 2)
    assert score(piella_similarity, fused, *sources) == pytest.approx(1 - lost / 38, abs=1e-12)


def test_flat_sources_and_all_their_windows_have_equal_weights():
    """Levels of 100 against 50 and 100: (4/5 + 1) / 2"""
    images = [np.full((12, 12), level) for level in (100, 50, 100)]
    for metric in (piella_similarity, piella_weighted, cvejic):
        assert score(metric, *images) == pytest.approx(0.9, abs=1e-12)
    # 50 and 100 are similar (0.8), 50 and 25 as well; 10 and 100 are not: the maximum counts
    assert score(yang, *images) == pytest.approx(0.9, abs=1e-12)
    assert score(yang, images[0], images[2], images[2] / 10) == pytest.approx(1, abs=1e-12)


def test_of_covariances_with_opposite_signs_only_the_larger_one_counts():
    """B falls by half a level where A, which is copied, rises by one: w = 1 / (1 - 1/2) = 2"""
    a = 2 * (texture(0) / 4).round()
    b = 200 - a / 2
    assert score(cvejic, a, a, b) == pytest.approx(1, abs=1e-12)
    assert score(cvejic, a, b, a) == pytest.approx(1, abs=1e-12)
    assert score(cvejic, a, a, b, convention="liu") == 1  # w > 1
    assert score(cvejic, a, b, a, convention="liu") == 0  # w = -1 < 0


@pytest.mark.parametrize("unit", [1, 1 / 257])
def test_covariances_that_cancel_give_both_sources_the_same_weight(unit):
    """1/2 of the copy, 1/2 of the negative, which has -1 times the luminance; at any bit depth."""
    a = texture(0) * unit
    b = 255 * unit - a
    mean = statistics(a, weights=np.full((8, 8), 1 / 64))[0][0]
    other = 255 * unit - mean
    expected = (1 - (2 * mean * other / (mean**2 + other**2)).mean()) / 2
    assert score(cvejic, a, a, b) == pytest.approx(expected, abs=1e-12)
    assert score(cvejic, a, b, a) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("level", [0, 100, 100.3, 128, 255])
def test_q_c_of_a_constant_fused_image_is_zero_and_undefined_in_the_toolbox_of_liu(level):
    a, b, _ = scene(0)
    level = np.full_like(a, level)
    assert score(cvejic, level, a, b) == 0
    assert math.isnan(score(cvejic, level, a, b, convention="liu"))
    for convention in ("default", "liu"):
        assert 0 <= score(yang, level, a, b, convention=convention) < 1e-15
    assert math.isnan(score(yang, a, level, level, convention="liu"))


# ------------------------------------------------------------------ flat windows


def patched(seed, level):
    """Return a scene with a flat patch in each image; the fused one's touches both others."""
    a, b, f = scene(seed)
    a[5:20, 5:20] = b[15:30, 15:35] = f[10:25, 10:25] = level
    return f, a, b


@pytest.mark.parametrize("metric", [piella_similarity, piella_weighted, cvejic, yang])
@pytest.mark.parametrize("level", [100, 255, 1 / 3])
def test_rounding_decides_nothing_in_flat_windows(metric, level):
    """Sums round differently if the scene is flipped or all levels are halved."""
    images = patched(0, level)
    value = score(metric, *images)
    assert score(metric, *(i[::-1].copy() for i in images)) == pytest.approx(value, abs=1e-12)
    assert score(metric, *(i * 0.7 for i in images)) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("window", [Window(7, 1.5), Window(8)])
def test_one_16_bit_step_in_a_corner_is_not_flat_but_any_constant_level_is(window):
    white = torch.full((1, 1, window.size, window.size), 255, dtype=torch.float64)
    white[..., 0, 0] -= 1 / 257
    assert source_moments(white, Place(0), window).covariance[0, 0].item() > 0
    levels = 255 * torch.from_numpy(np.random.default_rng(0).random((2, 300)))
    images = levels[..., None, None].expand(-1, -1, window.size, window.size)
    for scene in range(300):
        found = source_moments(images, Place(scene), window).covariance
        assert not any(value.any() for value in found.values())


def test_box_covariances_of_integer_levels_are_exact():
    a, b, _ = (torch.from_numpy(image) for image in scene(0))
    sources = torch.stack([255 - a, b])[:, None]
    found = local_moments(a, sources, Place(0), Window(11, sum=11))
    assert torch.equal(found.covariance[0, 1], -found.covariance[0, 0])
    assert torch.equal(found.covariance[1, 2], -found.covariance[0, 2])


def test_the_windows_of_liu_are_summed_in_the_order_of_octave():
    """Bit for bit: by columns, from the last pixel to the first."""
    image = texture(0, 8, 9)
    powers = [[math.exp(-((x - 3) ** 2 + (y - 3) ** 2) / 4.5) for x in range(7)] for y in range(7)]
    total = math.fsum(chain(*powers))
    expected = np.zeros((2, 3))
    for row, column in np.ndindex(2, 3):
        for x in range(6, -1, -1):
            for y in range(6, -1, -1):
                expected[row, column] += image[row + y, column + x] * (powers[y][x] / total)
    assert np.array_equal(_filtered(torch.from_numpy(image)).numpy(), expected)


# ------------------------------------------------------------------ limits and pinned values


ALL = {
    "SSIM": (ssim, 11),
    "SSIM_a": (ssim_average, 1),
    "MS_SSIM_Wang": (ms_ssim_wang, 176),
    "Q_S": (piella_similarity, 11),
    "Q_W": (piella_weighted, 11),
    "Q_C": (cvejic, 11),
    "Q_Y": (yang, 11),
}


@pytest.mark.parametrize("name", ALL)
def test_an_image_fused_from_copies_of_itself_scores_1(name):
    metric, _ = ALL[name]
    image = texture(0, 180, 190)
    assert score(metric, image, image, image) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_the_smallest_image_has_a_value_and_a_smaller_one_is_rejected(name):
    metric, least = ALL[name]
    image = texture(0, 180, 180)[:least]
    assert score(metric, image, image, image) == pytest.approx(1, abs=1e-12)
    with pytest.raises(FusionlabError, match=f"{name} "):
        score(metric, image[1:], image[1:], image[1:])


@pytest.mark.parametrize("metric", [cvejic, yang])
def test_metrics_of_pairs_reject_three_sources(metric):
    with pytest.raises(FusionlabError, match="exactly two sources"):
        score(metric, *scene(0), texture(9))


@pytest.mark.parametrize(
    ("metric", "convention", "expected"),
    [
        (ssim, "default", 0.7017511146),
        (ssim, "vifb", 1.4035022291),
        (ssim, "tang", 0.5490150206),
        (ssim_average, "paper", 0.7010586099),
        (ms_ssim_wang, "default", 0.6629914790),
        (piella_similarity, "default", 0.5801420809),
        (piella_similarity, "liu", 0.7147237577),
        (piella_weighted, "default", 0.5961302169),
        (piella_weighted, "liu", 0.7138244596),
        (cvejic, "default", 0.6322190937),
        (cvejic, "liu", 0.6328468017),
        (yang, "default", 0.7166926685),
        (yang, "liu", 0.7166926685),
    ],
)
def test_values_have_not_drifted(metric, convention, expected):
    a, b, f = scene(7, 179, 187)
    assert score(metric, f, a, b, convention=convention) == pytest.approx(expected, abs=1e-9)
