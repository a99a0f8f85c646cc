"""A sequence is scored frame by frame and over time, in one pass, with few frames in memory."""

import math
import weakref

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import torch

import fusionlab
from fusionlab import FusionlabError, LoadedImage
from fusionlab.metrics import flicker

METRICS = "EN,SSIM,flicker,BiSWE"


@pytest.fixture(scope="module")
def frames():
    """Return a result and two sources, 5 frames of 24x30."""
    rng = np.random.default_rng(0)
    sources = rng.integers(40, 200, (2, 1, 24, 30)) + rng.integers(0, 9, (2, 5, 24, 30))
    fused = sources.mean(axis=0) + np.array([0, 0, 6, 0, 0])[:, None, None]
    return fused.round().astype(np.uint8), *sources.astype(np.uint8)


@pytest.fixture
def folders(frames, tmp_path):
    """Return the folders of a result and of its sources, numbered so that 10 follows 9."""
    paths = [tmp_path / name for name in ("out", "a", "b")]
    for path, images in zip(paths, frames, strict=True):
        path.mkdir()
        for number, image in enumerate(images, start=8):
            iio.imwrite(path / f"{number}.png", image)
    return paths


def test_the_values_are_those_of_each_frame_and_of_the_metric(frames):
    fused, a, b = frames
    scores = fusionlab.score_sequence(fused, [a, b], METRICS)
    assert [metric.name for metric in scores.metrics] == METRICS.split(",")
    for frame, *images in zip(scores.frames, fused, a, b, strict=True):
        alone = fusionlab.score(images[0], images[1:], "EN,SSIM")
        assert {name: frame.values[name] for name in alone} == alone
    expected = flicker(torch.from_numpy(fused), torch.from_numpy(np.stack([a, b])))
    assert math.isnan(scores.values("flicker")[0])
    assert scores.values("flicker")[1:] == expected.tolist()
    assert [math.isnan(value) for value in scores.values("BiSWE")] == [True, *[False] * 3, True]


def test_the_summary_has_the_mean_and_where_the_extremes_are(frames):
    fused, a, b = frames
    scores = fusionlab.score_sequence(fused, [a, b], "flicker,Q_C")
    values = scores.values("flicker")[1:]
    found = scores.summary("flicker")
    assert found.mean == pytest.approx(sum(values) / 4)
    assert (found.minimum, found.maximum) == (min(values), max(values))
    assert found.at_maximum in {2, 3}  # into the brighter frame, and out of it
    assert found.frames == 4
    missing = fusionlab.score_sequence(fused, [a, b, b], "Q_C,EN").summary("Q_C")
    assert math.isnan(missing.mean)
    assert (missing.at_minimum, missing.frames) == (-1, 0)


def test_arrays_folders_image_sets_and_stacks_score_alike(frames, folders, tmp_path):
    expected = fusionlab.score_sequence(frames[0], frames[1:], METRICS)
    values = [expected.values(name) for name in METRICS.split(",")]
    stacks = [tmp_path / f"{number}.tif" for number in range(3)]
    for path, images in zip(stacks, frames, strict=True):
        iio.imwrite(path, images, photometric="minisblack")
    image_set = tmp_path / "set"
    image_set.mkdir()
    for name in ("a", "b"):
        (tmp_path / name).rename(image_set / name)
        (tmp_path / name).symlink_to(image_set / name)
    for given in (folders, stacks, [folders[0], image_set], [map(np.asarray, f) for f in frames]):
        scores = fusionlab.score_sequence(given[0], given[1:], METRICS)
        found = [scores.values(name) for name in METRICS.split(",")]
        np.testing.assert_array_equal(found, values)
    by_name = fusionlab.score_sequence(folders[0], [image_set], "EN")
    assert [frame.name for frame in by_name.frames] == ["8", "9", "10", "11", "12"]
    one = fusionlab.score_sequence(folders[0], [image_set / "a"], "EN,SSIM")
    template = str(image_set / "a" / "{}.*")
    assert fusionlab.score_sequence(folders[0], [template], "EN,SSIM").frames == one.frames
    assert one.values("SSIM") != scores.values("SSIM")


def test_a_result_begins_where_all_sources_have_begun(frames, tmp_path):
    """Of two sources by time, the second begins two frames later: the result has 3 frames of 5."""
    _, a, b = frames
    fused = (a[2:].astype(int) + b[:3]) // 2
    paths = [tmp_path / f"{name}.tif" for name in ("out", "a", "b")]
    for path, images in zip(paths, (fused.astype(np.uint8), a, b), strict=True):
        tifffile.imwrite(path, images, photometric="minisblack")
    expected = fusionlab.score_sequence(fused.astype(np.uint8), [a[2:], b], "SSIM,flicker")
    for offsets in ([0, 0.2], [0.2, 0, 0.2]):
        scores = fusionlab.score_sequence(
            paths[0], paths[1:], "SSIM,flicker", sync="time", offsets=offsets, rate=10
        )
        for name in ("SSIM", "flicker"):
            np.testing.assert_array_equal(scores.values(name), expected.values(name))


def test_a_frame_that_cannot_be_read_costs_its_values_and_those_beside_it(folders):
    fused, *sources = folders
    whole = fusionlab.score_sequence(fused, sources, METRICS)
    (sources[1] / "10.png").write_bytes(b"damaged")
    scores = fusionlab.score_sequence(fused, sources, METRICS)
    (problem,) = scores.problems
    assert problem.startswith("frame 2 (10): ")
    assert scores.frames[2].values == {}
    known = [not math.isnan(value) for value in scores.values("flicker")]
    assert known == [False, True, False, False, True]
    assert [math.isnan(value) for value in scores.values("BiSWE")] == [True] * 5
    for name in ("EN", "flicker"):
        before, after = (scored.values(name) for scored in (whole, scores))
        assert all(x == y for x, y in zip(before, after, strict=True) if not math.isnan(y))


def test_a_result_without_a_frame_is_matched_by_name(folders):
    fused, *sources = folders
    (fused / "10.png").unlink()
    scores = fusionlab.score_sequence(fused, sources, "EN,flicker")
    assert [frame.name for frame in scores.frames if frame.problem] == ["10"]
    by_number = fusionlab.score_sequence(fused, sources, "EN", sync="frame")
    assert len(by_number.frames) == 4
    assert any("left out" in note for note in by_number.notes)


def test_a_single_frame_has_no_flicker_value(frames):
    scores = fusionlab.score_sequence(frames[0][:1], [images[:1] for images in frames[1:]], METRICS)
    assert scores.problems == ()
    assert [scores.summary(name).frames for name in METRICS.split(",")] == [1, 1, 0, 0]


def test_a_size_that_changes_begins_a_sequence_anew(frames):
    cut = [[*images[:2], *(image[:20] for image in images[2:])] for images in frames]
    values = fusionlab.score_sequence(cut[0], cut[1:], "flicker").values("flicker")
    assert [math.isnan(value) for value in values] == [True, False, True, False, False]
    mixed = fusionlab.score_sequence(cut[0], frames[1:], "flicker,EN")
    assert [bool(frame.problem) for frame in mixed.frames] == [False] * 2 + [True] * 3


def test_measured_limits_of_the_sources_are_those_of_the_first_frame(frames):
    _, a, b = frames
    counts = [images.astype(np.int32) * 30 for images in (a, b)]
    counts[0][3, 0, 0] = 60_000  # limits of its own would turn this frame dark
    low, high = counts[0][0].min(), counts[0][0].max()
    fixed = f"{low},{high}"
    scale = [fixed, "minmax"]
    expected = fusionlab.score_sequence(a, counts, "SSIM,flicker", scale=scale)
    found = fusionlab.score_sequence(a, counts, "SSIM,flicker", scale="minmax")
    for name in ("SSIM", "flicker"):
        np.testing.assert_array_equal(found.values(name), expected.values(name))


def test_a_result_of_ten_bits_is_white_at_1023(frames):
    deep = [LoadedImage("x", frame.astype(np.uint16) * 4, "", bits=10) for frame in frames[0]]
    levels = frames[0].astype(float) * 4 / 1023
    for name in ("MSE", "flicker"):
        found = fusionlab.score_sequence(deep, frames[1:], name).values(name)
        expected = fusionlab.score_sequence(levels, frames[1:], name).values(name)
        np.testing.assert_allclose(found, expected, rtol=1e-5)  # scales are applied in float32


def test_another_estimator_of_the_flow_can_be_given(frames):
    fused, a, b = frames
    calls = []

    def still(first, second):
        calls.append((first.shape, second.shape))
        return torch.zeros(2, *first.shape)

    scores = fusionlab.score_sequence(fused, [a, b], "MS2R", flow=still)
    assert scores.summary("MS2R").maximum == 0
    assert calls == [((24, 30), (24, 30))] * (4 * 2 * 3)  # once for each pair, there and back


def test_frames_are_let_go_once_they_are_scored():
    alive, most = [], []

    def images(seed):
        for number in range(30):
            image = LoadedImage("x", np.full((16, 16), (number + seed) % 9, np.uint8), "")
            alive.append(weakref.ref(image))
            most.append(sum(reference() is not None for reference in alive))
            yield image
            del image

    scores = fusionlab.score_sequence(images(0), [images(1), images(2)], "EN,MS2R", scale="full")
    assert len(scores.frames) == 30
    assert max(most) <= 9  # three frames of three images


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (lambda f: (f[0], []), "no-sources"),
        (lambda f: (f[0], ["a.png"]), "no-list"),
        (lambda f: ([], [[], []]), "nothing-scored"),
        (lambda f: (f[0], [f[1][:, :9], f[2]]), "nothing-scored"),
        (lambda f: (f[0], [f[1].astype(np.uint16) * 4, f[2]]), "unused-range"),
        (lambda f: ("missing/", ["missing/"]), "unreadable"),
    ],
    ids=["no source", "mixed", "empty", "sizes", "dark", "missing"],
)
def test_what_cannot_be_scored_is_refused(frames, given, code):
    fused, sources = given(frames)
    with pytest.raises(FusionlabError) as refused:
        fusionlab.score_sequence(fused, sources, "EN")
    assert refused.value.code == code


def test_the_metric_of_a_plugin_that_fails_costs_only_its_own_values(frames, install):
    code = """
from fusionlab import TemporalMetricRef, hookimpl

@hookimpl
def fusionlab_metrics():
    return [TemporalMetricRef("fails", f"{__name__}:fails", "fails", frames=2)]

def fails(fused, sources, flows, convention="default"):
    return 1 / 0
"""
    install("lab-fails", code)
    scores = fusionlab.score_sequence(frames[0], frames[1:], "EN,fails,flicker")
    assert len(scores.problems) == 4
    assert "lab-fails" in scores.problems[0]
    assert scores.summary("flicker").frames == 4
    assert scores.summary("EN").frames == 5
