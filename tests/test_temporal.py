"""Temporal consistency: what carries over from frame to frame of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fusionlab import Fusion, FusionlabError, TemporalConsistency
from fusionlab.testing.under_test import TwoLevels

Frames = list[list[NDArray[np.generic]]]

POLICIES = ["frame", "first", "fixed=20,400", "two-pass", "causal", "causal=0.5"]


def sequence(count: int, seed: int = 0, height: int = 20, width: int = 24) -> Frames:
    """Return pairs of 16-bit frames: noise on a scene whose gain changes from frame to frame."""
    rng = np.random.default_rng(seed)
    scenes = rng.integers(2000, 40000, (2, height, width))
    gains = rng.uniform(0.5, 1.5, (count, 2, 1, 1))
    noise = rng.normal(0, 300, (count, 2, height, width))
    frames = np.clip(scenes * gains + noise, 0, 65535).astype(np.uint16)
    return [list(pair) for pair in frames]


def fused(
    fusion: Fusion, frames: Sequence[Sequence[object]], temporal: TemporalConsistency
) -> list[NDArray[np.generic]]:
    """Fuse a sequence, in two passes where the limits want it."""
    for what in temporal.passes(fusion):
        for pair in frames:
            temporal.measure(fusion, pair, what)
        temporal.settle()
    return [fusion.fuse(pair, temporal=temporal).image for pair in frames]


def changes(images: Sequence[NDArray[np.generic]]) -> float:
    """Return how much the mean of an image changes from frame to frame, on average."""
    means = [image.mean() for image in images]
    return float(np.mean([abs(b - a) for a, b in pairwise(means)]))


@pytest.mark.parametrize("limits", POLICIES)
@pytest.mark.parametrize(
    ("strategy", "smoothing"), [("l1norm,r=1", 0.8), ("choose_max", 0.9), ("addition", 0.0)]
)
def test_a_static_sequence_gives_the_picture_of_one_frame(
    limits: str, strategy: str, smoothing: float
) -> None:
    scale = "full" if limits.startswith("fixed") else "percentile"
    fusion = Fusion("densefuse", strategy, range_policy="minmax", scale=scale)
    (pair,) = sequence(1)
    images = fused(fusion, [pair] * 3, TemporalConsistency(limits, smoothing))
    assert all(np.array_equal(image, images[0]) for image in images)
    if not limits.startswith("fixed"):
        np.testing.assert_array_equal(images[0], fusion(pair))  # one tile: no rounding of tiles


@pytest.mark.parametrize("limits", ["frame", "first", "fixed=20,400", "causal"])
def test_an_added_frame_changes_nothing_before_it(limits: str) -> None:
    frames = sequence(4)
    fusion = Fusion("identity", "max", range_policy="minmax")
    several = fused(fusion, frames, TemporalConsistency(limits))
    fewer = fused(fusion, frames[:-1], TemporalConsistency(limits))
    for image, same in zip(several, fewer, strict=False):
        np.testing.assert_array_equal(image, same)


def test_two_passes_look_at_frames_to_come() -> None:
    frames = sequence(4)
    frames[-1] = [frame // 2 for frame in frames[-1]]  # darker than all before
    fusion = Fusion("identity", "max", range_policy="minmax", scale="minmax")
    several = fused(fusion, frames, TemporalConsistency("two-pass"))
    fewer = fused(fusion, frames[:-1], TemporalConsistency("two-pass"))
    assert not np.array_equal(several[0], fewer[0])


def test_gains_that_change_show_in_single_frames_only_through_limits_of_each() -> None:
    """`frame` follows each frame's minimum and maximum, the others do not."""
    frames = sequence(8)
    for number, pair in enumerate(frames):
        pair[0] = pair[0].copy()
        pair[0][0, 0] = 65535 if number % 2 else 0  # one hot pixel in every other frame
    fusion = Fusion("identity", "max", range_policy="clip", scale="minmax")
    steady = [pair[1:] * 2 for pair in frames]
    baseline = changes(fused(fusion, steady, TemporalConsistency("first")))
    by_policy = {
        limits: changes(fused(fusion, frames, TemporalConsistency(limits)))
        for limits in ("frame", "first", "two-pass", "causal")
    }
    assert baseline > 0
    for limits in ("first", "two-pass", "causal"):
        assert by_policy[limits] < by_policy["frame"]


def test_sources_and_result_are_measured_in_one_run_of_each_pass() -> None:
    fusion = Fusion("identity", "max", range_policy="minmax", scale=["minmax", "full"])
    temporal = TemporalConsistency("two-pass")
    assert temporal.passes(fusion) == ("scales", "range")
    frames = sequence(3)
    images = fused(fusion, frames, temporal)
    first = np.stack([pair[0] for pair in frames])
    state = temporal.state()
    assert state["limits of source 0"].tolist() == [first.min(), first.max(), 1]
    assert "limits of source 1" not in state
    everything = np.stack(images)
    assert (everything.min(), everything.max()) == (0, 65535)  # once over all frames


def test_a_frame_that_fails_leaves_everything_as_it_was() -> None:
    frames = sequence(3)
    fusion = Fusion("identity", "max", range_policy="minmax", scale="minmax")
    temporal, untouched = TemporalConsistency("causal"), TemporalConsistency("causal")
    fused(fusion, frames[:1], temporal)
    fused(fusion, frames[:1], untouched)
    with pytest.raises(FusionlabError, match="of one size|same size|differ"):
        fusion.fuse([frames[1][0], frames[1][1][:-1]], temporal=temporal)
    for one, other in zip(
        fused(fusion, frames[1:], temporal), fused(fusion, frames[1:], untouched), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("limits", POLICIES)
@pytest.mark.parametrize("tile", [None, 16])
def test_a_restored_state_continues_bit_for_bit(limits: str, tile: int | None) -> None:
    frames = sequence(4, height=40, width=33)
    scale = "full" if limits.startswith("fixed") else "minmax"
    fusion = Fusion(
        "identity", "l1norm,r=1", range_policy="minmax", scale=scale, tile=tile, color="auto"
    )
    whole = TemporalConsistency(limits, smoothing=0.7)
    expected = fused(fusion, frames, whole)
    part = TemporalConsistency(limits, smoothing=0.7)
    for what in part.passes(fusion):
        for pair in frames:
            part.measure(fusion, pair, what)
        part.settle()
    for pair in frames[:2]:
        fusion.fuse(pair, temporal=part)
    resumed = TemporalConsistency(limits, smoothing=0.7)
    resumed.restore(part.state())
    for pair, image in zip(frames[2:], expected[2:], strict=True):
        np.testing.assert_array_equal(fusion.fuse(pair, temporal=resumed).image, image)


def test_a_damaged_state_is_refused_and_changes_nothing() -> None:
    temporal = TemporalConsistency("causal", smoothing=0.5)
    with pytest.raises(FusionlabError, match="is damaged") as caught:
        temporal.restore({"sources": np.array(2)})
    assert caught.value.code == "bad-state"


def test_nothing_is_kept_of_a_place_that_has_changed() -> None:
    """A bright square moves away from a place: the weights there are those of the frame alone."""
    background = np.full((32, 32), 60, np.uint8)
    background[::2, ::2] += 20
    other = np.full((32, 32), 100, np.uint8)
    with_square = background.copy()
    with_square[8:16, 8:16] = 250
    fusion = Fusion("identity", "l1norm,r=4", range_policy="clip")
    temporal = TemporalConsistency(smoothing=0.95, motion=8)
    for frame in ([with_square, other], [with_square, other]):
        fusion.fuse(frame, temporal=temporal)
    image = fusion.fuse([background, other], temporal=temporal).image
    alone = fusion([background, other])
    gone = slice(4, 20), slice(4, 20)  # with the window of the strategy, which saw the square
    np.testing.assert_array_equal(image[gone], alone[gone])
    ghost = TemporalConsistency(smoothing=0.95, motion=1e9)  # blind to motion
    for frame in ([with_square, other], [with_square, other]):
        fusion.fuse(frame, temporal=ghost)
    assert not np.array_equal(
        fusion.fuse([background, other], temporal=ghost).image[gone], alone[gone]
    )


def test_smoothed_weights_follow_the_noise_less() -> None:
    rng = np.random.default_rng(1)
    (scene,) = sequence(1)
    still = [[p + rng.integers(0, 200, p.shape, np.uint16) for p in scene] for _ in range(6)]
    fusion = Fusion("identity", "choose_max", range_policy="clip")

    def flicker(smoothing: float) -> float:
        images = fused(fusion, still, TemporalConsistency(smoothing=smoothing))
        return float(np.mean([np.abs(b.astype(float) - a).mean() for a, b in pairwise(images)]))

    assert flicker(0.8) < flicker(0.0)


@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.01, 0.99),
    st.sampled_from([16, 24]),
    st.booleans(),
    st.sampled_from([4.0, 50.0]),
)
@settings(max_examples=10)
def test_tiles_and_the_whole_image_are_smoothed_alike(
    seed: int, smoothing: float, tile: int, several_levels: bool, motion: float
) -> None:
    frames = sequence(3, seed, 40, 36)
    backbone = TwoLevels() if several_levels else "densefuse"
    fuse = partial(Fusion, backbone, "l1norm,r=1", range_policy=None)
    whole, tiled = (
        fused(fuse(tile=edge), frames, TemporalConsistency("causal", smoothing, motion))
        for edge in (64, tile)
    )
    for one, other in zip(whole, tiled, strict=True):
        # 0.001 gray levels: the rounding of convolutions in other tiles, see tests/engine
        np.testing.assert_allclose(one, other, atol=1e-3 / 255)


def test_color_is_chosen_once() -> None:
    """A color frame that is black looks gray; the mode must not change with it."""
    rng = np.random.default_rng(0)
    gray = [rng.integers(0, 255, (16, 16), np.uint8) for _ in range(3)]
    color = [np.zeros((16, 16, 3), np.uint8), rng.integers(0, 255, (16, 16, 3), np.uint8)]
    color.append(np.zeros((16, 16, 3), np.uint8))
    fusion = Fusion("identity", "mean")
    temporal = TemporalConsistency()
    modes = []
    for pair in zip(gray, color, strict=True):
        assert temporal.independent(fusion) == (len(modes) > 1)
        modes.append(fusion.fuse(pair, temporal=temporal).colors[0])
    assert modes == ["per-channel", "luma", "luma"]
    alone = [fusion.fuse(pair).colors[0] for pair in zip(gray, color, strict=True)]
    assert alone == ["per-channel", "luma", "per-channel"]


@pytest.mark.parametrize(
    ("limits", "range_policy", "scale", "before", "after"),
    [
        ("causal", "clip", "full", False, True),  # until the first frame shows that all are gray
        ("causal", "minmax", "full", False, False),
        ("causal", "clip", "minmax", False, False),
        ("first", "minmax", "minmax", False, True),
        ("fixed=0,255", "minmax", "full", False, True),
        ("frame", "minmax", "minmax", False, True),
    ],
)
def test_frames_that_do_not_depend_on_each_other(
    limits: str, range_policy: str, scale: str, before: bool, after: bool
) -> None:
    fusion = Fusion("identity", "max", range_policy=range_policy, scale=scale)  # type: ignore[arg-type]
    temporal = TemporalConsistency(limits)
    assert temporal.independent(fusion) is before
    fused(fusion, sequence(1), temporal)
    assert temporal.independent(fusion) is after


@pytest.mark.parametrize(
    ("make", "code", "option", "sentence"),
    [
        (lambda: TemporalConsistency("last"), "limits-syntax", "limits", "limits must be"),
        (lambda: TemporalConsistency(smoothing=1), "out-of-bounds", "temporal", "below 1"),
        (lambda: TemporalConsistency(smoothing=-0.1), "out-of-bounds", "temporal", "from 0"),
        (lambda: TemporalConsistency(motion=0), "out-of-bounds", "motion", "more than 0"),
        (
            lambda: Fusion("identity", "max").fuse(
                sequence(1)[0], temporal=TemporalConsistency(smoothing=0.5)
            ),
            "no-weights",
            "temporal",
            "does not merge by weights",
        ),
        (
            lambda: Fusion("identity", "max", scale="minmax").fuse(
                sequence(1)[0], temporal=TemporalConsistency("fixed=0,255")
            ),
            "measured-scale",
            "scale",
            "give each source a scale that is not measured",
        ),
        (
            lambda: Fusion("identity", "max", range_policy="minmax").fuse(
                sequence(1)[0], temporal=TemporalConsistency("two-pass")
            ),
            "not-measured",
            "limits",
            "all frames to be measured first",
        ),
    ],
)
def test_what_is_refused(make: object, code: str, option: str, sentence: str) -> None:
    assert callable(make)
    with pytest.raises(FusionlabError, match=sentence) as caught:
        make()
    assert (caught.value.code, caught.value.option) == (code, option)


def test_batches_are_refused_where_a_frame_depends_on_the_one_before() -> None:
    import torch

    batch = [torch.rand(3, 1, 8, 8) for _ in range(2)]
    fusion = Fusion("identity", "max", range_policy="minmax")
    with pytest.raises(FusionlabError, match="got a batch of 3 images") as caught:
        fusion.fuse(batch, temporal=TemporalConsistency())
    assert caught.value.code == "one-frame"
    steady = Fusion("identity", "max", range_policy="minmax", color="gray")
    fused = steady.fuse(batch, temporal=TemporalConsistency("fixed=0,255")).image
    torch.testing.assert_close(fused, torch.maximum(*batch), rtol=0, atol=1e-6)


def test_another_number_of_sources_is_refused() -> None:
    frames = sequence(2)
    fusion = Fusion("identity", "max", scale="minmax")
    temporal = TemporalConsistency()
    fusion.fuse(frames[0], temporal=temporal)
    with pytest.raises(FusionlabError, match="had 2 sources, got 3"):
        fusion.fuse([*frames[1], frames[1][0]], temporal=temporal)
