"""Warm contrast and texture: values by hand, ties, and what must not change them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab.metrics import qabf, texture, warm_contrast
from fusionlab.metrics.edges import QABF_ORIENTATION, QABF_STRENGTH
from fusionlab.metrics.thermal import _cold, _surroundings, _warmest, _within

SEEDS = st.integers(0, 2**31)
SHAPE = (40, 50)


def random_images(seed, shape=SHAPE):
    """Return a fused image and two sources whose values leave room to be moved."""
    levels = np.random.default_rng(seed).uniform(60, 190, (3, 1, *shape))
    fused, *sources = torch.from_numpy(levels)
    return fused, torch.stack(sources)


def cold_ground(shape=SHAPE):
    """Return infrared ground without ties, all below 100."""
    return torch.linspace(0, 99, math.prod(shape), dtype=torch.float64).view(shape).flip(0)


def pair(infrared):
    return torch.stack([infrared, torch.zeros_like(infrared)])[:, None]


def square(shape, top, left, size):
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[top : top + size, left : left + size] = True
    return mask


# ------------------------------------------------------------------ warm contrast
def test_warm_contrast_by_hand():
    """A hot square of 4x5 in 40x50 is exactly 1 %; its surroundings reach 3 pixels further."""
    hot = torch.zeros(SHAPE, dtype=torch.bool)
    hot[18:22, 20:25] = True
    infrared = torch.where(hot, 200, cold_ground())
    near = torch.zeros(SHAPE, dtype=torch.bool)
    near[15:25, 17:28] = True
    fused = torch.full(SHAPE, 10.0)
    fused[near], fused[hot] = 50, 180
    fused[20, 17] = 50 + 90  # one of 110 - 20 pixels around it
    assert warm_contrast(fused[None], pair(infrared)).item() == pytest.approx(180 - 51)


def test_pixels_that_are_almost_as_warm_are_not_surroundings():
    hot, warm = square(SHAPE, 18, 20, 4), square(SHAPE, 17, 19, 6)
    infrared = torch.where(hot, 200.0, torch.where(warm, 150.0, cold_ground()))
    fused = torch.where(hot, 200.0, torch.where(warm, 120.0, 40.0))
    assert _warmest(infrared).sum() == 36  # 20 are 1 %, and the warm pixels have one value
    infrared[warm & ~hot] += torch.rand(20, generator=torch.Generator().manual_seed(0))
    assert _warmest(infrared).sum() == 20
    expected = (16 * 200 + 4 * 120) / 20 - 40
    assert warm_contrast(fused[None], pair(infrared)).item() == pytest.approx(expected)


def test_a_large_warm_object_is_compared_with_what_is_around_it():
    """Its warmest 1 % have only the rest of it within 1/20 of the smaller edge."""
    y, x = torch.meshgrid(torch.arange(200.0), torch.arange(200.0), indexing="ij")
    infrared = 255 - torch.hypot(y - 100, x - 100)
    fused = torch.where(infrared > 230, 150.0, 30.0)
    warmest = _warmest(infrared)
    surroundings = _surroundings(warmest, _cold(infrared) & ~warmest)
    assert not (_within(warmest, 10) & _cold(infrared)).any()
    assert surroundings.sum() >= warmest.sum()
    assert surroundings.sum() < 5 * warmest.sum()
    assert warm_contrast(fused[None], pair(infrared)).item() == pytest.approx(120, abs=1)


@pytest.mark.parametrize(
    ("hot", "expected"),
    [(1, 1), (20, 20), (30, 30), (400, 400)],
    ids=["one", "1%", "tie", "20%"],
)
def test_saturated_objects_on_flat_ground_are_the_warmest_whatever_their_size(hot, expected):
    infrared = torch.zeros(SHAPE)
    infrared.view(-1)[:hot] = 255
    assert _warmest(infrared).sum() == expected
    assert warm_contrast(infrared[None], pair(infrared)).item() == 255


def test_the_ground_does_not_become_warm_by_a_tie():
    """15 hot pixels are less than 1 %, and all others have one value."""
    infrared = torch.full(SHAPE, 30.0)
    infrared[:3, :5] = 255
    assert torch.equal(_warmest(infrared), infrared == 255)
    infrared[10:20] = 60  # a quarter of the image
    assert torch.equal(_warmest(infrared), infrared == 255)


def test_without_warm_objects_the_contrast_is_undefined():
    fused, sources = random_images(0)
    sources[0] = 90
    assert warm_contrast(fused, sources).isnan().all()
    assert warm_contrast(fused, sources.flip(0)).isfinite().all()


@settings(max_examples=20)
@given(seed=SEEDS, offset=st.floats(-50, 50), factor=st.floats(0.1, 1.1))
def test_warm_contrast_is_proportional_to_contrast_and_ignores_brightness(seed, offset, factor):
    fused, sources = random_images(seed)
    value = warm_contrast(fused, sources).item()
    changed = (125 + factor * (fused - 125) + offset).clamp(0, 255)
    if (changed > 0).all() and (changed < 255).all():
        assert warm_contrast(changed, sources).item() == pytest.approx(factor * value, abs=1e-9)
    assert warm_contrast(255 - fused, sources).item() == pytest.approx(-value, abs=1e-9)


@settings(max_examples=20)
@given(seed=SEEDS, levels=st.integers(2, 40), height=st.integers(1, 30), width=st.integers(1, 30))
def test_only_the_order_of_the_temperatures_counts(seed, levels, height, width):
    """With ties, in images of any size: by a table of increasing values."""
    rng = np.random.default_rng(seed)
    fused, sources = random_images(seed, (height, width))
    index = torch.from_numpy(rng.integers(0, levels, (height, width)))
    tables = [torch.from_numpy(np.sort(rng.permutation(256)[:levels])) for _ in range(2)]
    for metric in (warm_contrast, texture) if min(height, width) >= 3 else (warm_contrast,):
        sources[0] = tables[0][index]
        value = metric(fused, sources)
        sources[0] = tables[1][index]
        assert torch.equal(metric(fused, sources).nan_to_num(-999), value.nan_to_num(-999))


@settings(max_examples=20)
@given(seed=SEEDS, height=st.integers(1, 30), width=st.integers(1, 30), levels=st.integers(2, 99))
def test_the_selected_pixels_have_the_shares_of_their_definition(seed, height, width, levels):
    rng = np.random.default_rng(seed)
    infrared = torch.from_numpy(rng.integers(0, levels, (height, width)))
    warmest, cold = _warmest(infrared), _cold(infrared)
    assert warmest.any()
    assert cold.sum() >= infrared.numel() - math.ceil(infrared.numel() / 20)
    assert infrared[warmest].min() >= infrared[~warmest].max() if (~warmest).any() else True
    if warmest.sum() < math.ceil(infrared.numel() / 100):  # only where a tie is too large
        tie = infrared == infrared[~warmest].max()
        assert 20 * (warmest | tie).sum() > infrared.numel()
    if infrared.min() < infrared.max():
        assert warm_contrast(infrared.double()[None], pair(infrared.double())).item() > 0


def test_nearness_is_a_square_and_stops_at_the_border():
    mask = square((9, 12), 1, 2, 1)
    near = torch.zeros(9, 12, dtype=torch.bool)
    near[:4, :5] = True
    assert torch.equal(_within(mask, 2), near)
    assert _within(mask, 50).all()


# ------------------------------------------------------------------ texture
def test_all_texture_is_preserved_by_a_copy_of_the_visible_image():
    _, sources = random_images(1)
    complete = (QABF_STRENGTH(torch.ones(1)) * QABF_ORIENTATION(torch.ones(1))).item()
    assert texture(sources[1], sources).item() == pytest.approx(complete, rel=1e-6)
    flat = torch.full_like(sources[1], 100)
    assert texture(flat, sources).item() < 0.3


def test_edges_count_only_where_it_is_not_warm():
    """The upper rows of the infrared are its warmest 5 %: 2 of 40 rows."""
    fused, sources = random_images(2)
    sources[0, 0] = torch.linspace(255, 0, 40, dtype=torch.float64)[:, None].expand(SHAPE)
    cold = _cold(sources[0, 0])
    assert torch.equal(cold[:, 0], torch.arange(40) >= 2)
    value = texture(fused, sources).item()
    fused[..., 0, :] = 60
    assert texture(fused, sources).item() == value  # row 1 is warm, too, and has the last gradient
    fused[..., 3, :] = 60
    assert texture(fused, sources).item() != value


@settings(max_examples=10)
@given(seed=SEEDS)
def test_without_warm_pixels_texture_is_qabf_of_the_visible_image(seed):
    fused, sources = random_images(seed, (9, 11))
    sources[0] = 90
    expected = qabf(fused, sources[1:]).item()
    assert texture(fused, sources).item() == pytest.approx(expected, rel=1e-12)


@settings(max_examples=10)
@given(seed=SEEDS)
def test_texture_turned_upside_down_in_brightness_keeps_its_value_inside_the_frame(seed):
    """Negative images have the same gradients, except next to the black beyond the border."""
    fused, sources = random_images(seed, (30, 30))
    framed = torch.ones(30, 30, dtype=torch.bool)
    framed[2:-2, 2:-2] = False
    for images in (fused, sources[1]):
        images[..., framed] = 32768 / 257
    value = texture(fused, sources).item()
    sources[1] = 255 - sources[1]
    # 127.5 lies between two steps of 1/257; the next of them is 1/257 away from its own negative,
    # which counts at the border only. Of 400 seeds the worst was 1.6e-5
    assert texture(255 - fused, sources).item() == pytest.approx(value, rel=1e-4)


def test_texture_is_undefined_for_a_black_visible_image():
    fused, sources = random_images(3)
    sources[1] = 0
    assert texture(fused, sources).isnan().all()


# ------------------------------------------------------------------ both, on the example images
def test_the_maximum_keeps_warm_objects_and_the_visible_image_keeps_texture(street):
    infrared, visible = street
    sources = torch.stack([infrared, visible])[:, None]
    mean, maximum = (infrared + visible) / 2, torch.maximum(infrared, visible)
    contrasts = [warm_contrast(image[None], sources).item() for image in (visible, mean, infrared)]
    assert contrasts == sorted(contrasts)
    assert warm_contrast(maximum[None], sources).item() > contrasts[1]
    textures = [texture(image[None], sources).item() for image in (infrared, mean, visible)]
    assert textures == sorted(textures)


@pytest.fixture(scope="module")
def street():
    """Return the thermal and the visible image of the examples."""
    from golden_images import STREET, iio

    return [torch.from_numpy(iio.imread(STREET / name)).double() for name in ("c.png", "a.png")]


@pytest.mark.parametrize(
    ("metric", "of_mean", "of_maximum"),
    [
        (warm_contrast, 68.3135589527312, 115.04521986374323),
        (texture, 0.4383287968214416, 0.5364774099810575),
    ],
)
def test_the_values_of_the_example_images_have_not_drifted(street, metric, of_mean, of_maximum):
    infrared, visible = street
    sources = torch.stack([infrared, visible])[:, None]
    mean, maximum = (infrared + visible) / 2, torch.maximum(infrared, visible)
    assert metric(mean[None], sources).item() == pytest.approx(of_mean, rel=1e-12)
    assert metric(maximum[None], sources).item() == pytest.approx(of_maximum, rel=1e-12)
