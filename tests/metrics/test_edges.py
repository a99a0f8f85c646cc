"""Qabf, Q_G and Nabf: values by hand, scipy's gradients, Table II."""

import csv
import math
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from scipy.ndimage import sobel

from fusionlab.errors import FusionlabError
from fusionlab.metrics.edges import _norm, _qabf_in_unit_range, nabf, q_g, qabf
from fusionlab.metrics.inputs import Images

OCTAVE_COLUMNS = (2, 1, 0)


def sigmoid(top, slope, middle, x):
    return top / (1 + math.exp(-slope * (x - middle)))


def image(rows):
    return torch.tensor(rows, dtype=torch.float64)[None]


def dot(level):
    return image([[0, 0, 0], [0, level, 0], [0, 0, 0]])


def steps(step):
    """Return three columns of increasing brightness; only the middle one has a gradient."""
    return image([[0, step, 2 * step]] * 3)


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


# ------------------------------------------------------------------ by hand
def test_a_fused_image_that_equals_all_sources_preserves_every_edge_and_adds_none():
    fused = noise(2, 9, 11)
    sources = torch.stack([fused] * 3)
    quality = sigmoid(0.9994, 15, 0.5, 1) * sigmoid(0.9879, 22, 0.8, 1)
    assert qabf(fused, sources).tolist() == pytest.approx([quality, quality], rel=1e-14)
    quality = sigmoid(1, 10, 0.5, 1) * sigmoid(1, 20, 0.75, 1)
    assert q_g(fused, sources).tolist() == pytest.approx([quality, quality], rel=1e-14)
    assert nabf(fused, sources).tolist() == [0, 0]


def test_a_dot_of_half_the_height_preserves_half_of_every_edge():
    fused, sources = dot(100), dot(200)[None]
    aligned = sigmoid(0.9879, 22, 0.8, 1)
    assert qabf(fused, sources).item() == pytest.approx(0.9994 / 2 * aligned, rel=1e-14)
    aligned = sigmoid(1, 20, 0.75, 1)
    eight, center = 0.5 * aligned, sigmoid(1, 10, 0.5, 1) * aligned  # no gradient in the center
    assert q_g(fused, sources).item() == pytest.approx((8 * eight + center) / 9, rel=1e-14)
    assert nabf(fused, sources).item() == 0


def test_half_of_a_step_twice_as_high_as_the_source_is_added():
    half = math.sqrt(0.9999 / 2 * sigmoid(0.9995, 22, 0.5, 1))
    weight = 8**1.5  # 3 pixels; the 6 at the border, a mirror, have no gradient
    expected = (1 - half) * 3 * weight / (3 * weight + 6 * 0.001)
    assert nabf(steps(16), steps(8)[None]).item() == pytest.approx(expected, rel=1e-14)


def test_a_step_that_no_source_has_is_added_completely():
    quality = math.sqrt(sigmoid(0.9999, 19, 0.5, 0) * sigmoid(0.9995, 22, 0.5, 0))
    black = torch.zeros(2, 1, 3, 3)
    assert nabf(steps(8), black).item() == pytest.approx((1 - quality) * 3 / 9, rel=1e-14)


def test_no_edge_is_added_where_one_source_has_the_stronger_edge():
    sources = torch.stack([torch.zeros(1, 3, 3), steps(8)])
    assert nabf(steps(8), sources).item() == 0
    assert nabf(steps(9), sources).item() > 0


def test_without_any_edge_in_the_sources_qabf_is_undefined():
    assert qabf(dot(9), torch.zeros(2, 1, 3, 3)).isnan().all()


def test_only_qabf_treats_angles_on_both_sides_of_horizontal_as_opposite():
    down, across = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    fused, source = (3 * down + 60 + slope * across for slope in (-0.25, 0.25))
    assert qabf(fused[None], source[None, None]).item() < 0.8
    assert q_g(fused[None], source[None, None]).item() > 0.9


@pytest.mark.parametrize("metric", [qabf, q_g, nabf])
def test_3x3_is_the_smallest_image(metric):
    metric(noise(1, 3, 3), noise(2, 1, 3, 3))
    with pytest.raises(FusionlabError, match="at least 3 pixels"):
        metric(noise(1, 2, 3), noise(2, 1, 2, 3))


# ------------------------------------------------------------------ other programs
def gradients(picture, mode):
    """Return scipy's gradients of integers: (right - left, below - above)."""
    return (sobel(picture.numpy().astype(np.int64), axis, mode=mode) for axis in (1, 0))


def pixel_by_pixel(images, mode, angle):
    """Yield lists of (strength, angle), one per image."""
    maps = [tuple(gradients(each, mode)) for each in images]
    for at in np.ndindex(images[0].shape):
        pairs = [(int(across[at]), int(down[at])) for across, down in maps]
        yield [(math.hypot(x, y), angle(x, y)) for x, y in pairs]


def ratio(a, b, neither):
    return min(a, b) / max(a, b) if max(a, b) else neither


def folded(a, b):
    return abs(abs(a - b) - math.pi / 2) / (math.pi / 2)


@pytest.fixture
def triple():
    """Return a fused image and three sources with edges of all kinds and flat regions."""
    sources = noise(3, 12, 15, seed=5)
    sources[:, :, 8:] = sources[:, :1, :1]
    fused = sources.float().mean(0).round().byte()
    fused[4:7] = sources[0, 4:7]
    fused[9, 12] += 40
    return fused, sources


def test_qabf_matches_the_formula_on_scipy_gradients(triple):
    fused, sources = triple
    top = below = 0.0
    for (g, a), *others in pixel_by_pixel(
        [fused, *sources],
        "constant",
        lambda x, y: math.atan(-y / x) if x else math.pi / 2,
    ):
        for g_i, a_i in others:
            aligned = 1 - abs(a_i - a) / (math.pi / 2)
            quality = sigmoid(0.9994, 15, 0.5, ratio(g_i, g, 1)) * sigmoid(0.9879, 22, 0.8, aligned)
            top += quality * g_i
            below += g_i
    assert qabf(fused[None], sources[:, None]).item() == pytest.approx(top / below, rel=1e-12)


def test_q_g_matches_the_formula_on_scipy_gradients(triple):
    fused, sources = triple
    values = []
    for (g, a), *others in pixel_by_pixel(
        [fused, *sources],
        "constant",
        lambda x, y: math.atan(y / x) if x else math.copysign(math.pi / 2, y) if y else 0,
    ):
        weights = [g_i for g_i, _ in others]
        values.append(
            np.average(
                [
                    sigmoid(1, 10, 0.5, ratio(g_i, g, 1)) * sigmoid(1, 20, 0.75, folded(a_i, a))
                    for g_i, a_i in others
                ],
                weights=weights if any(weights) else None,
            )
        )
    assert q_g(fused[None], sources[:, None]).item() == pytest.approx(np.mean(values), rel=1e-12)


def test_nabf_matches_the_formula_on_scipy_gradients(triple):
    fused, sources = triple
    top = below = 0.0
    for (g, a), *others in pixel_by_pixel(
        [fused, *sources],
        "mirror",
        lambda x, y: math.atan(x / y) if y else math.copysign(math.pi / 2, x) if x else 0,
    ):
        for g_i, a_i in others:
            strength = sigmoid(0.9999, 19, 0.5, ratio(g_i, g, 0))
            quality = math.sqrt(strength * sigmoid(0.9995, 22, 0.5, folded(a_i, a)))
            weight = (g_i / 8) ** 1.5 if g_i / 8 >= 2 else 0.001
            top += weight * (1 - quality) * all(g > each for each, _ in others)
            below += weight
    assert top > 0
    assert nabf(fused[None], sources[:, None]).item() == pytest.approx(top / below, rel=1e-12)


def gray(path: Path) -> torch.Tensor:
    return torch.from_numpy(iio.imread(path)).double()


@pytest.mark.parametrize(
    ("row", "printed"),
    [
        ("addition_1e2", 0.44190),
        pytest.param("l1norm_r0_1e2", 0.47684, marks=pytest.mark.slow),  # evaluation/test_table_ii
    ],
)
def test_table2_qabf(shared, row, printed):
    """All images of two rows, and the values printed in the paper."""
    oracle, pairs = shared / "oracle/table2", shared / "data/eval/tno20"
    with (oracle / f"per_image_{row}.csv").open(newline="") as file:
        expected = list(csv.DictReader(file))
    assert len(expected) == 20
    paper = []
    for values in expected:
        name = values["tno20"] + ".png"
        images = (
            gray(oracle / row / name)[None],
            torch.stack([gray(pairs / slot / name) for slot in "ab"])[:, None],
        )
        paper.append(qabf(*images, "paper").item())
        assert paper[-1] == pytest.approx(float(values["Qabf_matlab_order"]), rel=1e-9)
        exact = qabf(*images, "tang").item()
        assert exact == pytest.approx(float(values["Qabf_int0_255"]), rel=1e-9)
    assert round(np.mean(paper), 5) == printed


@pytest.mark.parametrize("size", ["small", "full"])
def test_the_program_of_the_paper_is_reproduced_with_the_rounding_of_gnu_octave(shared, size):
    """The same program gives other values if `conv2` sums the columns from the last to the first.

    The convention `paper` is that program in MATLAB, which made Table II.
    """
    folder = shared / "oracle/metrics"
    with (folder / f"authors_{size}.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "Qabf"]
    assert len(rows) == 9
    for row in rows:
        fused, *sources = (gray(folder / size / row[which]) for which in ("fused", "ir", "vi"))
        images = Images(fused[None], torch.stack(sources)[:, None])
        (value,) = _qabf_in_unit_range(images, OCTAVE_COLUMNS).tolist()
        assert value == pytest.approx(float(row["value"]), rel=1e-9), row["fused"]


def test_equal_strengths_compare_equal_because_square_roots_are_correctly_rounded():
    """On many CPUs those of torch are not: one image of Table II was off by 2e-5."""
    x, y = torch.rand(2, 100, 1000, generator=torch.Generator().manual_seed(0)).double() / 255
    expected = [math.sqrt(square) for square in (x * x + y * y).flatten().tolist()]
    assert _norm(x, y).flatten().tolist() == expected


# ------------------------------------------------------------------ conventions
def test_exactly_preserved_edges_count_fully_however_weak_they_are_except_with_tang():
    """A quarter of a gray level: 64 steps of 16 bits."""
    faint = dot(64 / 257)
    aligned = sigmoid(0.9879, 22, 0.8, 1)
    full = sigmoid(0.9994, 15, 0.5, 1) * aligned
    assert qabf(faint, faint[None]).item() == pytest.approx(full, rel=1e-14)
    assert full < qabf(faint, faint[None], "vifb").item() < 1.0006 * full
    # the corners have a gradient of 1/4 sqrt(2), the four others of 1/2
    expected = [sigmoid(0.9994, 15, 0.5, g) for g in (64 / 257 * math.sqrt(2), 128 / 257)]
    weighted = np.average(expected, weights=[math.sqrt(2), 2])
    assert qabf(faint, faint[None], "tang").item() == pytest.approx(weighted * aligned, rel=1e-14)


def test_with_paper_most_edges_of_a_copy_count_as_lost():
    fused = noise(1, 24, 24) // 16
    copied = qabf(fused, fused[None], "paper")
    assert copied < 0.01
    assert qabf(fused, fused[None]) > 0.97


def test_the_unit_does_not_affect_preserved_edges():
    fused, sources = noise(1, 16, 16), noise(2, 1, 16, 16, seed=1)
    sources[0, 0, :9] = fused[0, :9]
    for metric in (qabf, q_g):
        for dtype in (torch.float32, torch.float64):
            value = metric(fused.to(dtype) / 257, sources.to(dtype) / 257)
            assert value.item() == pytest.approx(metric(fused, sources).item(), rel=1e-14)


def test_liu_differs_by_the_small_number_that_replaces_zero(triple):
    fused, sources = triple[0][None], triple[1][:, None]
    difference = abs(q_g(fused, sources, "liu") - q_g(fused, sources)).item()
    assert 0 < difference < 1e-5


def test_with_paper_all_pixels_have_the_same_weight():
    source = torch.cat([torch.zeros(1, 3, 5), steps(100)], dim=-1)
    fused = source + torch.cat([steps(8), torch.zeros(1, 3, 5)], dim=-1)
    invented = fused[..., :3] > 0
    assert invented.any()
    assert nabf(fused, source[None]).item() < 1e-5
    assert nabf(fused, source[None], "paper").item() > 0.1


def test_tang_scores_the_first_source():
    fused, sources = noise(1, 9, 9), noise(3, 1, 9, 9, seed=1)
    swapped = nabf(sources[0], torch.stack([sources[1], sources[2], fused]))
    assert nabf(fused, sources, "tang").item() == swapped.item()


# ------------------------------------------------------------------ pinned values
@pytest.mark.parametrize(
    ("metric", "convention", "pinned"),
    [
        (qabf, "default", 0.42703338229241167),
        (qabf, "paper", 0.413866324283018),
        (qabf, "vifb", 0.42705207580619237),
        (qabf, "tang", 0.42705207580619237),
        (q_g, "default", 0.4696624775904144),
        (q_g, "liu", 0.46966247764829283),
        (nabf, "default", 0.011160761251327124),
        (nabf, "paper", 0.20252097416437373),
        (nabf, "tang", 0.08984991062570577),
    ],
)
def test_the_value_of_a_random_image_has_not_drifted(metric, convention, pinned, triple):
    fused, sources = triple[0][None], triple[1][:2, None]
    assert metric(fused, sources, convention).item() == pytest.approx(pinned, rel=1e-12)
