"""Entropies and mutual information by hand, SciPy, scikit-image and the printed formulas."""

from math import e, inf, isnan, log, log2

import numpy as np
import pytest
import torch
from scipy import stats
from skimage.measure import shannon_entropy
from skimage.metrics import normalized_mutual_information as nmi_of_scikit_image

from fusionlab.errors import FusionlabError
from fusionlab.metrics.information import (
    cross_entropy,
    entropy,
    mutual_information,
    nonlinear_correlation,
    normalized_mutual_information,
    tsallis_information,
)

LEFT_RIGHT = [[0, 255], [0, 255]]
UP_DOWN = [[0, 0], [255, 255]]  # independent of LEFT_RIGHT
ALL_LEVELS = np.arange(256).reshape(16, 16)
Q = 0.43137


def judge(metric, fused, *sources, convention="default"):
    """Score images given as nested lists or arrays."""
    fused, *sources = (torch.as_tensor(np.asarray(x, dtype=float)) for x in (fused, *sources))
    return metric(fused[None], torch.stack(sources)[:, None], convention).item()


def related(seed, height=40, width=33):
    """Return two 8-bit sources of about 100 levels and a fused image that resembles both."""
    rng = np.random.default_rng(seed)
    a = np.clip(100 + np.cumsum(rng.normal(0, 4, (height, width)), axis=1), 0, 255)
    b = np.clip(120 + np.cumsum(rng.normal(0, 4, (height, width)), axis=0), 0, 255)
    fused = np.clip((a + b) / 2 + rng.normal(0, 2, a.shape), 0, 255)
    return [np.floor(x + 0.5).astype(np.uint8) for x in (fused, a, b)]


def joint(x, y):
    """Return p(i, j) by NumPy."""
    counts, _, _ = np.histogram2d(x.ravel(), y.ravel(), bins=256, range=[[-0.5, 255.5]] * 2)
    return counts / x.size


# ------------------------------------------------------------------ EN


def test_the_entropy_of_equally_frequent_levels_is_the_logarithm_of_their_number():
    assert judge(entropy, [[0, 80], [160, 255]], [[0, 0], [0, 0]]) == pytest.approx(2, abs=1e-14)
    assert judge(entropy, ALL_LEVELS, ALL_LEVELS) == pytest.approx(8, abs=1e-13)


@pytest.mark.parametrize("level", [0, 128, 100 / 3, 255])
def test_the_entropy_of_a_constant_image_is_exactly_zero(level):
    assert judge(entropy, np.full((7, 9), level), ALL_LEVELS[:7, :9]) == 0


def test_levels_are_rounded_to_integers():
    """16-bit images have fractions of a level: 99.6 and 100.4 are the same, 100.5 is not."""
    assert judge(entropy, [[99.6, 100.4]], [[0, 0]]) == 0
    assert judge(entropy, [[99.6, 100.5]], [[0, 0]]) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("seed", range(3))
def test_the_entropy_is_that_of_scikit_image_and_scipy(seed):
    fused, a, b = related(seed)
    value = judge(entropy, fused, a, b)
    assert value == pytest.approx(shannon_entropy(fused), rel=1e-12)
    assert value == pytest.approx(stats.entropy(np.bincount(fused.ravel()), base=2), rel=1e-12)


# ------------------------------------------------------------------ MI


def test_mutual_information_is_the_entropy_for_a_copy_and_zero_for_an_independent_image():
    assert judge(mutual_information, LEFT_RIGHT, LEFT_RIGHT, UP_DOWN) == 1
    assert judge(mutual_information, LEFT_RIGHT, UP_DOWN, UP_DOWN) == 0
    assert judge(mutual_information, ALL_LEVELS, *[ALL_LEVELS] * 3) == pytest.approx(24, abs=1e-12)


def test_the_mutual_information_with_a_constant_image_is_exactly_zero():
    """Although the fractions of the other image's levels sum to 1 only up to rounding."""
    _, a, b = related(0, 7, 11)
    for metric in (mutual_information, normalized_mutual_information, tsallis_information):
        assert judge(metric, np.full((7, 11), 77), a, b) == 0
        assert judge(metric, np.full((7, 11), 77), *np.full((2, 7, 11), 77)) == 0


@pytest.mark.parametrize("seed", range(3))
def test_mutual_information_matches_the_normalized_one_of_scikit_image(seed):
    """Studholme's (H(A) + H(F)) / H(A, F), with one bin per integer level."""
    fused, a, _ = related(seed)
    for image in (fused, a):
        image[0, :2] = (
            0,
            255,
        )  # the bins of scikit-image range from the smallest to the largest value
    entropies = shannon_entropy(fused) + shannon_entropy(a)
    expected = entropies - entropies / nmi_of_scikit_image(fused, a, bins=256)
    assert judge(mutual_information, fused, a) == pytest.approx(expected, rel=1e-11)
    assert judge(normalized_mutual_information, fused, a) == pytest.approx(
        2 * expected / entropies, rel=1e-11
    )


def test_vifb_uses_natural_logarithms():
    images = related(0)
    vifb = judge(mutual_information, *images, convention="vifb")
    assert vifb == pytest.approx(judge(mutual_information, *images) * log(2), rel=1e-14)


def test_tang_merges_levels_254_and_255_in_joint_histograms_only():
    """H(A) + H(F) - H(A, F): with all four pixels different 2 + 2 - 2, merged 2 + 2 - 1.5."""
    image = [[0, 100], [254, 255]]
    assert judge(mutual_information, image, image) == pytest.approx(2, abs=1e-14)
    tang = judge(mutual_information, image, image, convention="tang")
    assert tang == pytest.approx(2.5, abs=1e-14)

    below = [[0, 100], [253, 254]]
    tang = judge(mutual_information, below, below, convention="tang")
    assert tang == judge(mutual_information, below, below)


@pytest.mark.parametrize(
    "metric", [mutual_information, normalized_mutual_information, nonlinear_correlation]
)
def test_min_max_normalization_by_vifb_and_liu_does_not_change_the_values(metric):
    """Normalization keeps different integer levels different."""
    images = related(1)
    stretched = [np.floor((x - x.min()) / np.ptp(x) * 255 + 0.5) for x in images]
    assert all(np.ptp(x) < 255 for x in images)
    assert judge(metric, *stretched) == pytest.approx(judge(metric, *images), rel=1e-12)


# ------------------------------------------------------------------ NMI


def test_each_source_that_the_fused_image_equals_counts_1():
    nmi = normalized_mutual_information
    assert judge(nmi, LEFT_RIGHT, LEFT_RIGHT, LEFT_RIGHT) == pytest.approx(2, abs=1e-14)
    assert judge(nmi, LEFT_RIGHT, LEFT_RIGHT, UP_DOWN) == pytest.approx(1, abs=1e-14)
    assert judge(nmi, LEFT_RIGHT, UP_DOWN, UP_DOWN) == 0


def test_half_of_the_information_counts_2_thirds():
    """The fused image has 2 bits, the source 1, which is shared: 2 * 1 / (2 + 1)."""
    value = judge(normalized_mutual_information, [[0, 1], [2, 3]], LEFT_RIGHT)
    assert value == pytest.approx(2 / 3, abs=1e-14)


@pytest.mark.parametrize(
    "metric", [normalized_mutual_information, nonlinear_correlation, tsallis_information]
)
def test_the_toolbox_of_liu_has_no_value_for_constant_images_except_black_ones(metric):
    fused, a, b = related(0)
    constant = np.full_like(a, 128)
    for images in ([constant, a, b], [fused, constant, b], [fused, a, constant]):
        assert isnan(judge(metric, *images, convention="liu"))
        assert not isnan(judge(metric, *images))
    assert not isnan(judge(metric, 0 * fused, a, b, convention="liu"))


# ------------------------------------------------------------------ CE


def test_the_cross_entropy_of_images_with_the_same_histogram_is_zero():
    assert judge(cross_entropy, LEFT_RIGHT, UP_DOWN, LEFT_RIGHT) == 0


def test_cross_entropy_by_hand():
    """1/2 log2 (1/2 / 1/4) + 1/2 log2 (1/2 / 3/4), and 0 for the second source."""
    fused, source = [[0, 9], [9, 9]], [[0, 0], [9, 9]]
    expected = 0.5 * log2(2) + 0.5 * log2(2 / 3)
    assert judge(cross_entropy, fused, source) == pytest.approx(expected, abs=1e-15)
    assert judge(cross_entropy, fused, source, fused) == pytest.approx(expected / 2, abs=1e-15)


def test_cross_entropy_ignores_levels_that_the_fused_image_lacks():
    """1/2 log2 (1/2 / 1) remains, whereas the divergence is infinite."""
    fused, source = [[9, 9], [9, 9]], [[0, 0], [9, 9]]
    assert judge(cross_entropy, fused, source) == pytest.approx(-0.5, abs=1e-15)
    assert stats.entropy([0.5, 0.5], [0, 1], base=2) == inf


def test_a_constant_image_with_the_level_of_1_in_e_source_pixels_has_the_smallest_cross_entropy():
    share = round(1000 / e)
    source = [[9] * share + [0] * (1000 - share)]
    value = judge(cross_entropy, [[9] * 1000], source)
    assert value == pytest.approx(-log2(e) / e, abs=1e-6)  # 1000 / e is not an integer


@pytest.mark.parametrize("seed", range(3))
def test_cross_entropy_is_the_divergence_of_scipy_where_no_level_is_missing(seed):
    rng = np.random.default_rng(seed)
    fused, a, b = rng.integers(0, 8, (3, 30, 20))
    of_fused, *of_sources = (np.bincount(x.ravel(), minlength=8) for x in (fused, a, b))
    expected = np.mean([stats.entropy(source, of_fused, base=2) for source in of_sources])
    assert judge(cross_entropy, fused, a, b) == pytest.approx(expected, rel=1e-10)


# ------------------------------------------------------------------ Q_NCIE


def test_equal_images_that_use_every_level_have_q_ncie_1():
    assert judge(nonlinear_correlation, ALL_LEVELS, ALL_LEVELS, ALL_LEVELS) == pytest.approx(
        1, abs=1e-12
    )


def test_independent_images_have_the_smallest_q_ncie():
    """All eigenvalues are 1: 1 + K (1/K) log256 (1/K)."""
    a, b, c = np.indices((2, 2, 2)).reshape(3, 2, 4)
    assert judge(nonlinear_correlation, a, b, c) == pytest.approx(1 - log(3) / log(256), abs=1e-14)
    assert judge(nonlinear_correlation, a, b) == pytest.approx(1 - log(2) / log(256), abs=1e-14)


def test_q_ncie_of_one_pair_that_is_equal_by_hand():
    """The eigenvalues of [[1, 1, 0], [1, 1, 0], [0, 0, 1]] are 2, 0 and 1."""
    constant = np.full_like(ALL_LEVELS, 7)
    expected = 1 + (2 / 3 * log(2 / 3) + 1 / 3 * log(1 / 3)) / log(256)
    for images in ([ALL_LEVELS, ALL_LEVELS, constant], [constant, ALL_LEVELS, ALL_LEVELS]):
        assert judge(nonlinear_correlation, *images) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_q_ncie_matches_the_printed_formula_in_scipy_and_numpy(seed):
    images = related(seed)
    matrix = np.eye(3)
    for i in range(3):
        for j in range(i):
            pairs = joint(images[i], images[j])
            parts = pairs.sum(axis=1), pairs.sum(axis=0), -pairs.ravel()
            matrix[i, j] = matrix[j, i] = sum(
                np.sign(p.sum()) * stats.entropy(abs(p), base=256) for p in parts
            )
    expected = 1 - stats.entropy(np.linalg.eigvalsh(matrix), base=256)
    assert judge(nonlinear_correlation, *images) == pytest.approx(expected, rel=1e-12)


# ------------------------------------------------------------------ Q_TE


def tsallis_by_numpy(pairs, by_chance):
    return (1 - (pairs**Q * by_chance ** (1 - Q)).sum()) / (1 - Q)


def test_q_te_of_one_bit_by_hand():
    """I = (1 - 2^(q-1)) / (1-q), H = (2^(1-q) - 1) / (1-q), and I(A, B) = I(A, F) = I(B, F)."""
    shared, own_entropy = (1 - 2 ** (Q - 1)) / (1 - Q), (2 ** (1 - Q) - 1) / (1 - Q)
    images = [LEFT_RIGHT] * 3
    value = judge(tsallis_information, *images)
    assert value == pytest.approx(2 * shared / (2 * own_entropy - shared), rel=1e-14)
    liu = judge(tsallis_information, *images, convention="liu")
    assert liu == pytest.approx(2 * shared / (1 + 1 + shared), rel=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_q_te_matches_the_printed_formula_in_numpy(seed):
    fused, a, b = related(seed)

    def shared(x, y):
        pairs = joint(x, y)
        return tsallis_by_numpy(pairs, np.outer(pairs.sum(axis=1), pairs.sum(axis=0)))

    def tsallis_entropy(image):
        return ((np.bincount(image.ravel()) / image.size) ** Q).sum() / (1 - Q) - 1 / (1 - Q)

    expected = (shared(a, fused) + shared(b, fused)) / (
        tsallis_entropy(a) + tsallis_entropy(b) - shared(a, b)
    )
    assert judge(tsallis_information, fused, a, b) == pytest.approx(expected, rel=1e-11)


def test_a_negative_has_the_information_of_the_image_except_with_the_toolbox_of_liu():
    """It multiplies by p(i) of the wrong image, so that the levels themselves matter."""
    fused, a, b = related(0)
    for convention, same in (("default", True), ("liu", False)):
        image = judge(tsallis_information, fused, a, b, convention=convention)
        negative = judge(tsallis_information, 255 - fused, a, b, convention=convention)
        assert (negative == pytest.approx(image, rel=1e-12)) is same


def test_the_toolbox_of_liu_normalizes_images_before_it_counts_their_levels():
    images = related(0)
    stretched = [np.floor((x - x.min()) / np.ptp(x) * 255 + 0.5) for x in images]
    values = {judge(tsallis_information, *some, convention="liu") for some in (images, stretched)}
    assert len(values) == 1


def test_q_te_is_defined_for_two_sources():
    with pytest.raises(FusionlabError, match="Q_TE is defined for exactly two sources, got 3"):
        judge(tsallis_information, LEFT_RIGHT, LEFT_RIGHT, LEFT_RIGHT, LEFT_RIGHT)


# ------------------------------------------------------------------ all


@pytest.mark.parametrize(
    ("metric", "convention", "expected"),
    [
        (entropy, "default", 5.5381540619),
        (mutual_information, "default", 3.66601796125),
        (mutual_information, "tang", 3.66601796125),
        (normalized_mutual_information, "default", 0.637436153408),
        (cross_entropy, "default", 0.357710499163),
        (nonlinear_correlation, "default", 0.811301871095),
        (tsallis_information, "default", 0.042314806467),
        (tsallis_information, "liu", 0.551163083307),
    ],
)
def test_values_have_not_drifted(metric, convention, expected):
    """Pinned when the oracle was reproduced: a change means another definition."""
    assert judge(metric, *related(42), convention=convention) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    "metric",
    [
        entropy,
        mutual_information,
        normalized_mutual_information,
        cross_entropy,
        nonlinear_correlation,
        tsallis_information,
    ],
)
def test_a_single_pixel_has_a_value(metric):
    assert not isnan(judge(metric, [[3]], [[3]], [[5]]))
