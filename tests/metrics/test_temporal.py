"""Metrics over time: identities, hand-computed cases, an outside warp, pinned values, refusals."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionlab import FusionlabError
from fusionlab.evaluation.temporal_metric import TemporalMetric
from fusionlab.metrics.catalog import TEMPORAL_CATALOG
from fusionlab.metrics.optical_flow import Flows, dense_flow, warped
from fusionlab.metrics.temporal import (
    bidirectional_self_warping_error,
    flicker,
    motion_smoothness,
)
from fusionlab.plugins.registry import Registration

METRICS = [TemporalMetric(Registration(ref, "fusionlab-imaging")) for ref in TEMPORAL_CATALOG]
every_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)


def sequence(count=5, k=2, height=24, width=30, seed=0):
    """Return frames `(T, H, W)` and sources `(k, T, H, W)`, uint8: smooth, moving and noisy."""
    rng = np.random.default_rng(seed)
    textures = scipy.ndimage.gaussian_filter(rng.normal(size=(k, 80, 80)), (0, 2, 2)) * 250 + 128
    sources = np.stack(
        [
            [texture[20 + t : 20 + t + height, 30 - 2 * t : 30 - 2 * t + width] for t in range(5)]
            for texture in textures
        ]
    )[:, :count]
    sources = np.clip(sources + rng.normal(0, 2, sources.shape), 0, 255).round()
    sources = torch.from_numpy(sources).to(torch.uint8)
    return sources.float().mean(0).round().to(torch.uint8), sources


def still(count, height, width, k=1):
    """Return flows of frames in which nothing moves."""
    flow = torch.zeros(count - 1, 2, height, width)
    return Flows(flow, flow, flow.expand(k, -1, -1, -1, -1), flow.expand(k, -1, -1, -1, -1))


def measure(metric, fused, sources):
    flows = Flows.between(fused, sources) if metric.ref.flow else None
    return metric(fused, sources, flows)


# ---------------------------------------------------------------- flicker


@given(
    weights=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    seed=st.integers(0, 2**31),
    rounded=st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_a_fusion_whose_weights_stay_has_no_flicker(weights, seed, rounded):
    rng = np.random.default_rng(seed)
    sources = torch.from_numpy(rng.integers(0, 256, (3, 4, 7, 9))).double()
    total = max(1.0, sum(weights))
    fused = sum(w / total * s for w, s in zip(weights, sources, strict=True))
    if rounded:
        fused = torch.floor(fused + 0.5)
    # sums in float64 may round 2.5 down to 2: one of the 63 pixels then differs by a level
    assert flicker(fused.clamp(0, 255), sources).max() < (1.1 / 63 if rounded else 1e-9)
    chosen = torch.from_numpy(rng.integers(0, 3, (7, 9)))
    picked = sources.gather(0, chosen.expand(1, 4, -1, -1))[0]
    assert flicker(picked, sources).tolist() == [0, 0, 0]


def test_a_mean_that_is_rounded_has_no_flicker():
    _, sources = sequence()
    fused = torch.floor(sources.double().mean(dim=0) + 0.5)
    assert flicker(fused, sources).tolist() == [0, 0, 0, 0]


def test_flicker_by_hand():
    sources = torch.tensor([[[[10.0, 10, 10]], [[10, 16, 4]]], [[[50.0, 50, 50]], [[50, 48, 50]]]])
    # allowed: 0..0, -2..6, -6..0; given: +3, +7, +2: beyond by 3, 1 and 2
    fused = torch.tensor([[[30.0, 30, 30]], [[33, 37, 32]]])
    assert flicker(fused, sources).tolist() == [2]
    # given: -1, -5, -10: beyond by 1, 3 and 4
    fused = torch.tensor([[[30.0, 30, 30]], [[29, 25, 20]]])
    assert flicker(fused, sources).item() == pytest.approx(8 / 3)


def test_a_change_of_brightness_or_contrast_is_flicker_in_gray_levels():
    still_sources = torch.full((2, 3, 8, 8), 90.0)
    brighter = torch.full((3, 8, 8), 100.0)
    brighter[1] += 4
    assert flicker(brighter, still_sources).tolist() == [4, 4]
    contrast = torch.full((3, 8, 8), 100.0)
    contrast[:, ::2] = 120
    contrast[1] = 110 + (contrast[1] - 110) * 1.5  # the mean stays
    assert contrast.mean(dim=(1, 2)).tolist() == [110, 110, 110]
    assert flicker(contrast, still_sources).tolist() == [5, 5]


def test_flicker_that_the_sources_have_is_explained():
    _, sources = sequence(3)
    jump = torch.tensor([0, 9, 3]).view(3, 1, 1)
    dark = sources.double() / 2
    assert flicker(dark.mean(dim=0) + jump, dark + jump).tolist() == [0, 0]
    assert flicker(dark.mean(dim=0) + jump, dark).min() > 0.5


# ---------------------------------------------------------------- BiSWE


def test_the_self_warping_error_without_motion_by_hand():
    fused = torch.tensor([10.0, 14, 20]).view(3, 1, 1).expand(3, 16, 16)
    value = bidirectional_self_warping_error(fused, fused[None], still(3, 16, 16))
    assert value.tolist() == [4 + 6]


def test_a_frame_that_moves_by_its_flow_has_no_error_but_where_it_leaves_the_image():
    ramp = torch.arange(20.0).expand(16, 20) * 5
    fused = torch.stack(
        [ramp, (ramp - 10).clamp(min=0), (ramp - 20).clamp(min=0)]
    )  # 2 to the right
    forward = torch.zeros(2, 2, 16, 20)
    forward[:, 0] = 2
    flows = Flows(forward, -forward, forward[None], -forward[None])
    # into the future, the two columns at the right leave; of the others each finds its own value.
    # into the past, column 2 looks at column 0; columns 0 and 1 come from outside
    assert bidirectional_self_warping_error(fused, fused[None], flows).tolist() == [0]
    louder = fused.clone()
    louder[2] += 7
    assert bidirectional_self_warping_error(louder, fused[None], flows).tolist() == [7]


def test_pixels_that_a_source_hides_do_not_count():
    fused = torch.zeros(3, 16, 16)
    fused[1, :4, :8] = 96  # an error of 96 in an eighth of the pixels
    assert bidirectional_self_warping_error(fused, fused[None], still(3, 16, 16)).tolist() == [24]
    flows = still(3, 16, 16, k=2)
    # of one source, on the way from frame 1 to frame 2: there and back miss the start by 1 pixel
    missing = flows.sources_forward.clone()
    missing[1, 1, 0, :4, :8] = 1
    flows = flows._replace(sources_forward=missing)
    sources = torch.stack([fused, fused])
    assert bidirectional_self_warping_error(fused, sources, flows).tolist() == [12]
    missing[1, 1, 0, :4, :8] = 0.99
    assert bidirectional_self_warping_error(fused, sources, flows).tolist() == [24]


def test_a_frame_without_a_visible_pixel_has_no_error():
    fused = torch.zeros(3, 16, 16)
    away = torch.full((2, 2, 16, 16), 40.0)
    flows = Flows(away, away, away[None], away[None])
    assert bidirectional_self_warping_error(fused, fused[None], flows).isnan().all()


def test_the_warp_is_that_of_scipy():
    rng = np.random.default_rng(0)
    image, flow = rng.normal(size=(12, 17)), rng.normal(0, 4, (2, 12, 17))
    rows, columns = np.mgrid[:12, :17]
    at = [rows + flow[1], columns + flow[0]]
    expected = scipy.ndimage.map_coordinates(image, at, order=1, mode="nearest")
    values, inside = warped(torch.from_numpy(image), torch.from_numpy(flow))
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)
    limits = zip(at, (11, 16), strict=True)
    np.testing.assert_array_equal(
        inside, np.all([(position >= 0) & (position <= last) for position, last in limits], axis=0)
    )


# ---------------------------------------------------------------- MS2R


def test_the_motion_smoothness_by_hand():
    still_flows = still(3, 16, 16, k=2)
    forward = torch.zeros(2, 2, 16, 16)
    forward[0, 0], forward[1, 0] = 1, 4  # by 1, then by 4 to the right: a change by 3
    sources = torch.zeros(2, 2, 2, 16, 16)
    sources[1, 0, 0], sources[1, 1, 0] = 2, 3  # the second source: a change by 1
    sources[1, 0, 1], sources[1, 1, 1] = 8, 4  # and by -4 downwards
    flows = still_flows._replace(fused_forward=forward, sources_forward=sources)
    frames = torch.zeros(3, 16, 16)
    # of the first source (3 + 0) / 2, of the second (2 + 4) / 2
    value = motion_smoothness(frames, frames.expand(2, -1, -1, -1), flows)
    assert value.tolist() == [(1.5 + 3) / 2]


def test_uniform_motion_is_smooth():
    flows = still(4, 16, 16)
    flows = flows._replace(fused_forward=torch.full((3, 2, 16, 16), 5.0))
    frames = torch.zeros(4, 16, 16)
    assert motion_smoothness(frames, frames[None], flows).tolist() == [0, 0]


# ---------------------------------------------------------------- optical flow


@pytest.mark.parametrize("shape", [(48, 64), (64, 48)])
def test_the_flow_of_a_moved_image_is_its_motion(shape):
    rng = np.random.default_rng(0)
    texture = scipy.ndimage.gaussian_filter(rng.normal(size=(90, 90)), 2)
    texture = torch.from_numpy((texture - texture.min()) / np.ptp(texture) * 255)
    height, width = shape
    first = texture[10 : 10 + height, 10 : 10 + width]
    second = texture[12 : 12 + height, 7 : 7 + width]  # content moves by 3 right and 2 up
    flow = dense_flow(first, second)
    assert flow.shape == (2, *shape)
    assert flow[0].median().item() == pytest.approx(3, abs=0.05)  # DIS estimates to a few percent
    assert flow[1].median().item() == pytest.approx(-2, abs=0.05)


def test_the_flow_of_small_images_is_refused():
    with pytest.raises(FusionlabError, match="at least 16 pixels") as refused:
        dense_flow(torch.zeros(16, 15), torch.zeros(16, 15))
    assert refused.value.code == "too-small"
    assert not dense_flow(torch.zeros(16, 400), torch.zeros(16, 400)).any()


@pytest.mark.slow
@given(st.integers(16, 40), st.integers(16, 1500), st.booleans(), st.integers(0, 2**31))
@settings(max_examples=150, deadline=None)
def test_the_flow_of_images_of_any_shape_is_finite(short, long, upright, seed):
    """OpenCV reads beyond its arrays in images that are much wider than high."""
    shape = (long, short) if upright else (short, long)
    images = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (2, *shape)))
    flow = dense_flow(*images)
    assert flow.shape == (2, *shape)
    assert flow.isfinite().all()


def test_without_opencv_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(FusionlabError, match=r"fusionlab-imaging\[flow\]") as refused:
        dense_flow(torch.zeros(20, 20), torch.zeros(20, 20))
    assert refused.value.code == "missing-extra"


# ---------------------------------------------------------------- all of them


@every_metric
def test_a_window_has_its_value_in_the_sequence(metric):
    fused, sources = sequence()
    whole = measure(metric, fused, sources)
    frames = metric.ref.frames
    assert whole.shape == (5 - frames + 1,)
    for start, value in enumerate(whole):
        window = slice(start, start + frames)
        assert torch.equal(measure(metric, fused[window], sources[:, window]), value[None])


@every_metric
def test_nothing_changes_in_a_still_sequence(metric):
    fused, sources = sequence(1)
    fused, sources = fused.expand(4, -1, -1), sources.expand(-1, 4, -1, -1)
    assert measure(metric, fused, sources).tolist() == [0] * (5 - metric.ref.frames)


@every_metric
def test_the_order_of_the_sources_and_the_dtype_do_not_matter(metric):
    fused, sources = sequence()
    value = measure(metric, fused, sources)
    assert torch.allclose(measure(metric, fused, sources.flip(0)), value, rtol=1e-12, atol=0)
    assert torch.equal(measure(metric, fused.float(), sources.double()), value)


@every_metric
def test_three_sources_and_bounds(metric):
    fused, sources = sequence(k=3, seed=1)
    value = measure(metric, fused, sources)
    low, high = metric.ref.bounds
    assert ((value >= low) & (value <= high)).all()
    if metric.ref.sources == "mean":
        alone = torch.stack([measure(metric, fused, source[None]) for source in sources])
        assert torch.allclose(value, alone.mean(dim=0), rtol=1e-12, atol=0)


@every_metric
def test_a_constant_result_has_the_value_of_the_catalog(metric):
    _, sources = sequence()
    value = measure(metric, torch.full_like(sources[0], 77), sources)
    if metric.ref.constant is not None:
        assert value.tolist() == [metric.ref.constant] * len(value)


@every_metric
@pytest.mark.parametrize(
    ("frames", "sources", "code"),
    [
        (torch.zeros(4, 20, 20), torch.zeros(2, 3, 20, 20), "size-mismatch"),
        (torch.zeros(1, 20, 20), torch.zeros(2, 1, 20, 20), "too-few-frames"),
        (torch.zeros(4, 20, 20), torch.zeros(0, 4, 20, 20), "number-of-sources"),
        (torch.full((4, 20, 20), math.nan), torch.zeros(2, 4, 20, 20), "value-range"),
    ],
)
def test_frames_that_do_not_fit_are_refused(metric, frames, sources, code):
    with pytest.raises(FusionlabError, match=metric.name) as refused:
        metric(frames, sources, still(max(len(frames), 2), 20, 20, max(len(sources), 1)))
    assert refused.value.code == code


@every_metric
def test_the_entry_and_the_docstring_are_complete(metric):
    function = metric.ref.load()
    for word in ("Args:", "Returns:", "Raises:", "Reference"):
        assert word in function.__doc__
    assert metric.ref.reference
    assert len(metric.ref.summary) < 75


def test_flows_of_other_frames_are_refused():
    fused, sources = sequence()
    for metric in (bidirectional_self_warping_error, motion_smoothness):
        with pytest.raises(FusionlabError, match="sources_forward") as refused:
            metric(fused, sources, still(5, 24, 30, k=1))
        assert refused.value.code == "size-mismatch"


def test_the_values_are_those_of_before():
    """Pinned: values of this code on the sequence of this file; the flows are OpenCV's."""
    fused, sources = sequence()
    dimmed = (fused.double() * torch.tensor([1, 0.9, 1, 0.95, 1]).view(5, 1, 1)).clamp(0, 255)
    found = {m.name: measure(m, dimmed, sources).mean().item() for m in METRICS}
    assert found["flicker"] == pytest.approx(PINNED["flicker"], rel=1e-9)
    # versions of OpenCV differ in the last digits of their flows
    assert found["BiSWE"] == pytest.approx(PINNED["BiSWE"], rel=0.02)
    assert found["MS2R"] == pytest.approx(PINNED["MS2R"], rel=0.1)


PINNED = {"flicker": 1.2114416458333532, "BiSWE": 18.8658, "MS2R": 0.0516}
