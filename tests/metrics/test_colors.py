"""Saturation and the error of hues: values by hand, and what must not change them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab.imaging.color import MergedChroma
from fusionlab.metrics import hue_error, saturation
from fusionlab.metrics.colors import COLORED, HUELESS, _chroma, _merged

GRAY = torch.full((1, 3, 4, 5), 77.0, dtype=torch.float64)
SEEDS = st.integers(0, 2**31)


def uniform(*colors):
    """Return images `(N, 3, 4, 5)` of one color each."""
    return torch.tensor(colors, dtype=torch.float64)[:, :, None, None].expand(-1, -1, 4, 5)


def random_images(seed, k=3):
    """Return a fused image and k sources whose values leave room to be moved."""
    levels = np.random.default_rng(seed).uniform(60, 190, (1 + k, 1, 3, 6, 7))
    fused, *sources = torch.from_numpy(levels)
    return fused, torch.stack(sources)


def test_saturation_by_hand():
    images = uniform((255, 0, 0), (30, 60, 90), (9, 9, 9))
    expected = [255 * math.sqrt(2) / 3, math.sqrt(600), 0]
    assert saturation(images, images[None]).tolist() == pytest.approx(expected)
    assert saturation(images, images[None])[2] == 0  # exactly


@settings(max_examples=20)
@given(seed=SEEDS, order=st.permutations(range(3)), offset=st.floats(-60, 60))
def test_saturation_does_not_depend_on_the_order_of_channels_or_on_brightness(seed, order, offset):
    fused, sources = random_images(seed)
    value = saturation(fused, sources).item()
    moved = fused[:, order] + offset
    assert saturation(moved, sources).item() == pytest.approx(value, rel=1e-9)
    half = GRAY.mean() + (fused - GRAY.mean()) / 2
    assert saturation(half, sources).item() == pytest.approx(value / 2, rel=1e-9)


YELLOW, BLUE, ORANGE = (200.0, 180.0, 60.0), (60.0, 80.0, 200.0), (220.0, 140.0, 60.0)


@pytest.mark.parametrize(
    ("fused", "error"), [(YELLOW, 0), (ORANGE, 0), (BLUE, 1), ((77.0, 77.0, 77.0), 0)]
)
def test_yellow_paving_that_becomes_blue_is_an_error(fused, error):
    sources = torch.stack([GRAY, uniform(YELLOW)])
    assert hue_error(uniform(fused), sources).item() == error


def test_a_quarter_of_the_pixels_is_a_quarter_of_the_error():
    fused = uniform(YELLOW).clone()
    fused[..., 0, :] = torch.tensor(BLUE)[:, None]
    assert hue_error(fused, uniform(YELLOW)[None]).item() == 0.25
    gray_beside = torch.cat([GRAY, uniform(YELLOW)], dim=-1)
    fused_beside = torch.cat([uniform(BLUE), fused], dim=-1)
    assert hue_error(fused_beside, gray_beside[None]).item() == 0.25  # of the colored pixels


def test_sources_without_color_have_no_hue_to_keep():
    assert hue_error(uniform(BLUE), torch.stack([GRAY, GRAY])).isnan().all()


def test_the_thresholds_are_those_of_the_docstring():
    """Colors with a luminance of 77, a Cr of 0 and a given Cb."""

    def bluish(chroma):
        blue = 77 + 1.772 * chroma
        return uniform((77, (77 - 0.299 * 77 - 0.114 * blue) / 0.587, blue))

    expected = torch.tensor([-10.0, 0], dtype=torch.float64)[None, :, None, None]
    assert torch.allclose(_chroma(bluish(-10)), expected.expand(1, 2, 4, 5))
    above, below = bluish(COLORED + 0.01)[None], bluish(COLORED - 0.01)[None]
    assert hue_error(bluish(-20.0), above).item() == 1
    assert hue_error(bluish(-20.0), below).isnan().all()
    assert hue_error(bluish(-HUELESS - 0.01), above).item() == 1
    assert hue_error(bluish(-HUELESS + 0.01), above).item() == 0


def test_rounding_to_whole_levels_gives_a_gray_pixel_no_hue():
    steps = torch.cartesian_prod(*[torch.tensor([-0.5, 0.5], dtype=torch.float64)] * 3)
    assert _chroma(steps.T[:, None]).norm(dim=0).max() < HUELESS


@settings(max_examples=20)
@given(seed=SEEDS, offset=st.floats(-60, 60), factor=st.floats(0.5, 1.3))
def test_luminance_and_the_strength_of_the_color_do_not_count(seed, offset, factor):
    fused, sources = random_images(seed)
    value = hue_error(fused, sources).item()
    middle = fused.mean(dim=1, keepdim=True)
    assert hue_error(fused + offset, sources).item() == value
    stronger = (middle + factor * (fused - middle)).clamp(0, 255)
    if ((middle + factor * (fused - middle)) == stronger).all():
        faint = _chroma(fused).norm(dim=1) * min(1, factor) <= HUELESS
        assert hue_error(stronger, sources).item() == pytest.approx(value, abs=faint.sum().item())


@settings(max_examples=20)
@given(seed=SEEDS, order=st.permutations(range(42)))
def test_neither_gray_sources_nor_places_nor_the_order_count(seed, order):
    fused, sources = random_images(seed)
    value = hue_error(fused, sources).item()
    gray = fused[:, :1].expand(-1, 3, -1, -1)
    assert hue_error(fused, torch.stack([gray, *sources.flip(0)])).item() == value
    moved, moved_sources = fused.flatten(-2)[..., order], sources.flatten(-2)[..., order]
    shape = fused.shape[-2:]
    assert hue_error(moved.unflatten(-1, shape), moved_sources.unflatten(-1, shape)).item() == value


def test_the_hue_of_several_sources_is_that_of_their_merged_chroma():
    _, sources = random_images(3)
    merged = MergedChroma()
    for source in sources:
        merged.add(source)
    assert torch.allclose(_merged(_chroma(sources)), merged.result())
