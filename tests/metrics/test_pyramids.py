"""Q_M, edge preservation in a Haar pyramid: values by hand, by PyWavelets, and at the borders."""

from __future__ import annotations

import math

import numpy as np
import pytest
import pywt
import torch

from fusionlab.errors import FusionlabError
from fusionlab.metrics.pyramids import q_m


def noise(*shape, seed=0):
    """Return gray levels 100..108, close enough for the exponential to resolve them."""
    return torch.randint(100, 109, shape, generator=torch.Generator().manual_seed(seed)).double()


def test_an_image_that_preserves_every_source_completely_scores_three():
    image = noise(2, 12, 16)
    assert q_m(image, torch.stack([image, image])).tolist() == pytest.approx([3, 3])


def test_a_single_bright_pixel_by_hand():
    """Coefficients of 1 in each band of the finer level, of 1/2 in each of the coarser."""
    source = torch.zeros(1, 4, 4)
    source[0, 0, 0] = 2
    expected = (3 * math.exp(-1)) ** (2 / 3) * (3 * math.exp(-1 / 2)) ** (1 / 3)
    assert q_m(torch.zeros(1, 4, 4), source[None]).item() == pytest.approx(expected)


def test_sources_are_weighted_by_the_energy_of_their_detail():
    """One source has coefficients of 1, the other of 2; the fused image is the first."""
    sources = torch.zeros(2, 1, 4, 4)
    sources[:, 0, 0, 0] = torch.tensor([2.0, 4.0])
    fine = (3 + 4 * 3 * math.exp(-1)) / 5
    coarse = (3 + 4 * 3 * math.exp(-1 / 2)) / 5
    expected = fine ** (2 / 3) * coarse ** (1 / 3)
    assert q_m(sources[0], sources).item() == pytest.approx(expected)


def test_a_source_without_detail_has_no_weight():
    image = noise(1, 8, 8)
    flat = torch.full_like(image, 30)
    assert q_m(image, torch.stack([image, flat])).item() == pytest.approx(3)


def test_the_coefficients_are_those_of_pywavelets():
    fused, first, second = noise(1, 48, 64), noise(1, 48, 64, seed=1), noise(1, 48, 64, seed=2)
    expected = 1.0
    bands_f, bands_1, bands_2 = (
        pywt.wavedec2(image[0].numpy(), "haar", mode="periodization", level=2)
        for image in (fused, first, second)
    )
    for level, exponent in ((2, 2 / 3), (1, 1 / 3)):  # PyWavelets starts with the coarsest
        kept = energy = 0.0
        for bands in (bands_1[level], bands_2[level]):
            w = sum(band**2 for band in bands)
            e = sum(np.exp(-abs(x - y)) for x, y in zip(bands, bands_f[level], strict=True))
            kept, energy = kept + (e * w).sum(), energy + w.sum()
        expected *= (kept / energy) ** exponent
    assert q_m(fused, torch.stack([first, second])).item() == pytest.approx(expected, rel=1e-12)


def test_the_value_of_a_known_scene_has_not_drifted():
    scene = noise(3, 1, 32, 36, seed=7)
    assert q_m(scene[0], scene[1:]).item() == pytest.approx(0.54268226716166, rel=1e-12)


def test_a_flat_fused_image_has_the_same_value_at_every_gray_level():
    sources = noise(2, 1, 16, 16)
    dark, bright = (q_m(torch.full((1, 16, 16), level), sources) for level in (0.0, 201.3))
    assert dark.item() == bright.item()
    assert 0 < dark.item() < 3


def test_without_any_detail_in_the_sources_the_value_is_undefined():
    flat = torch.full((2, 1, 8, 8), 77.7)
    assert q_m(noise(1, 8, 8), flat).isnan().all()


def test_detail_at_one_level_alone_is_not_enough():
    blocks = noise(1, 4, 4).repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    assert q_m(blocks, blocks[None]).isnan().all()


def test_the_last_row_and_column_of_an_odd_edge_are_dropped():
    scene = noise(3, 1, 13, 15)
    whole = scene[..., :12, :12]  # 15 -> 7 pairs, 7 -> 3 pairs
    # the finer level includes columns 12 and 13: make them flat
    scene[..., :, 12:14] = 100
    other = scene.clone()
    other[..., 12, :] = 0
    other[..., :, 14] = 255
    assert q_m(scene[0], scene[1:]).item() == q_m(other[0], other[1:]).item()
    cropped = q_m(whole[0], whole[1:]).item()
    assert q_m(scene[0], scene[1:]).item() == pytest.approx(cropped)


def test_the_toolbox_of_liu_computes_the_definition():
    scene = noise(3, 1, 13, 15)
    assert q_m(scene[0], scene[1:], "liu").item() == q_m(scene[0], scene[1:]).item()


def test_four_pixels_are_enough_and_three_are_not():
    scene = noise(3, 1, 4, 9)
    assert q_m(scene[0], scene[1:]).isfinite().all()
    with pytest.raises(FusionlabError, match="Q_M needs at least 4 pixels"):
        q_m(scene[0, :, :3], scene[1:, :, :3])
