"""Depths and scales: bits per sample of the result, and what becomes black and white."""

import numpy as np
import pytest
import torch
from fusion_doubles import images, uniform

from fusionlab import Fusion, FusionlabError
from fusionlab_encoders.identity import Identity
from fusionlab_strategies.addition import Addition
from fusionlab_strategies.mean import Mean


def levels(depth, seed, k=2, shape=(20, 30)):
    """Random sources over the whole range of a depth: uint8, uint16 or float32."""
    rng = np.random.default_rng(seed)
    if depth == 32:
        return [rng.random(shape, np.float32) for _ in range(k)]
    return [rng.integers(0, 2**depth, shape, f"u{depth // 8}") for _ in range(k)]


@pytest.mark.parametrize("depth", [8, 16])
def test_every_level_of_a_depth_survives_an_identity(depth):
    every = np.arange(2**depth, dtype=f"u{depth // 8}").reshape(2, -1)
    fused = Fusion(Identity(), Mean())([every, every])
    assert fused.dtype == every.dtype
    assert np.array_equal(fused, every)


@pytest.mark.parametrize("wanted", [8, 16, 32])
@pytest.mark.parametrize("given_", [8, 16, 32])
def test_the_result_has_the_requested_depth(given_, wanted):
    """One source twice: its values, spread to the range of the depth and rounded, halves up."""
    source = levels(given_, seed=1, k=1)[0]
    white = {8: 255, 16: 65535, 32: 1}
    fused = Fusion(Identity(), Mean()).fuse([source, source], depth=wanted).image
    expected = source.astype(float) / white[given_] * white[wanted]
    assert fused.dtype == {8: np.uint8, 16: np.uint16, 32: np.float32}[wanted]
    # half a level of rounding and, in 16 bits, the rounding of 0..1 in float32
    slack = {8: 0.5 + 1e-4, 16: 0.5 + 2**-7, 32: 2**-23}[wanted]
    assert np.abs(fused - expected).max() <= slack
    if wanted < 32 and wanted <= given_ < 32:
        assert np.array_equal(fused, np.floor(expected + 0.5))


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        ((np.uint8, np.uint16), np.uint16),
        ((np.uint16, np.float32), np.float32),
        ((np.float32, np.float64), np.float64),
        ((np.uint8, np.int16), np.uint16),
        ((np.uint8, np.int32), np.float32),
        ((np.uint16, np.float16), np.float16),
        ((np.int8, np.int8), np.uint8),
    ],
)
def test_the_result_is_as_deep_as_the_deepest_source(dtypes, expected):
    sources = [np.array([[0, 1, 1]], dtype) for dtype in dtypes]
    for order in (sources, sources[::-1]):
        fused = Fusion(Identity(), Mean(), scale="minmax")(order)
        assert fused.dtype == expected
        white = {np.uint8: 255, np.uint16: 65535}.get(expected, 1)
        assert fused.tolist() == [[0, white, white]]


def test_a_requested_depth_applies_to_tensors_and_not_to_raw_output():
    sources = [torch.from_numpy(source) for source in levels(16, seed=2)]
    assert Fusion(Identity(), Mean()).fuse(sources, depth=8).image.dtype == torch.uint8
    assert Fusion(Identity(), Mean()).fuse(sources, depth=32).image.dtype == torch.float32
    raw = Fusion(Identity(), Mean(), range_policy=None).fuse(sources, depth=8).image
    assert raw.dtype == torch.float32


def test_minmax_uses_the_range_of_the_depth():
    """16 (s - min) / (max - min), in exact integers, to one level of 65535."""
    sources = levels(16, seed=3)
    total = sum(source.astype(int) for source in sources)
    span = int(np.ptp(total))
    expected = (2 * 65535 * (total - total.min()) + span) // (2 * span)
    fused = Fusion(Identity(), Addition(), range_policy="minmax")(sources).astype(int)
    # a sum of two float32 in 0..2 is off by 2^-24, of 65535 x 2
    assert np.abs(fused - expected).max() <= 1
    assert (fused.min(), fused.max()) == (0, 65535)


def test_each_source_has_its_own_scale():
    """Counts of a thermal camera in half a percent of 16 bits, and an image."""
    rng = np.random.default_rng(4)
    counts = rng.integers(29_000, 29_300, (20, 30), np.int16)
    picture = rng.integers(0, 256, (20, 30), np.uint8)
    fusion = Fusion(Identity(), Mean(), scale=["minmax", "full"])
    fused = fusion.fuse([counts, picture], depth=32)
    unit = (counts - counts.min()) / np.ptp(counts.astype(float))
    np.testing.assert_allclose(fused.image, (unit + picture / 255) / 2, atol=2**-22)
    assert fused.limits.tolist() == [[[counts.min(), counts.max()]], [[0, 255]]]


def test_every_image_of_a_batch_has_its_own_limits():
    batch = torch.tensor([[1.0, 3.0], [-2.0, 8.0]]).view(2, 1, 1, 2)
    fused = Fusion(Identity(), Mean(), scale="minmax").fuse([batch, batch * 10])
    assert fused.limits.dtype == np.float64
    assert fused.limits.tolist() == [[[1, 3], [-2, 8]], [[10, 30], [-20, 80]]]
    assert fused.image.flatten().tolist() == [0, 1, 0, 1]


def test_the_number_of_scales_must_fit_the_sources():
    with pytest.raises(FusionlabError, match="one scale for all 2 sources .* got 3"):
        Fusion(Identity(), Mean(), scale=["full"] * 3)(images())
    with pytest.raises(FusionlabError, match="a scale must be auto, full, minmax"):
        Fusion(Identity(), Mean(), scale="bright")


def test_errors_call_the_sources_by_their_names():
    sources = [np.zeros((4, 4)), np.zeros((4, 4), np.int16)]
    with pytest.raises(FusionlabError, match="^thermal.tif has values of the type int16"):
        Fusion(Identity(), Mean()).fuse(sources, names=["visible.png", "thermal.tif"])


def test_gradients_flow_through_a_scale():
    sources = [uniform(seed, 1, 1, 8, 9).mul(50).requires_grad_() for seed in range(2)]
    Fusion(Identity(), Mean(), scale="minmax", range_policy=None)(sources).sum().backward()
    for source in sources:
        # each counts one half, in units of its range; in float32
        expected = torch.full_like(source, 0.5) / (source.max() - source.min()).detach()
        torch.testing.assert_close(source.grad, expected)


@pytest.mark.parametrize("scale", ["full", "minmax", "percentile=2,98"])
@pytest.mark.parametrize("policy", ["clip", "minmax", None])
@pytest.mark.parametrize("color", ["per-channel", "luma", "gray"])
def test_arrays_and_tensors_of_the_same_pixels_give_the_same_bits(scale, policy, color):
    rng = np.random.default_rng(0)
    gray = rng.integers(0, 65536, (37, 41), dtype=np.uint16)
    colored = rng.integers(0, 256, (37, 41, 3), dtype=np.uint8)
    mask = rng.random((37, 41)) > 0.2
    mask[:5] = False
    fusion = Fusion(Identity(), Mean(), scale=scale, range_policy=policy, color=color)
    of_arrays = fusion.fuse([gray, colored], valid=[mask, None], weights=True)
    tensors = [torch.from_numpy(gray), torch.from_numpy(colored).movedim(-1, 0)]
    of_tensors = fusion.fuse(tensors, valid=[mask, None], weights=True)
    image = of_tensors.image.movedim(0, -1).squeeze(-1).numpy()
    assert of_arrays.image.dtype == image.dtype
    assert np.array_equal(of_arrays.image, image)
    for name in ("limits", "extremes", "outside", "no_data"):
        assert np.array_equal(getattr(of_arrays, name), getattr(of_tensors, name), equal_nan=True)
