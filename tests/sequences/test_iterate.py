"""Sequences in Python: frame by frame, from files and from iterables of images."""

import warnings

import imageio.v3 as iio
import numpy as np
import pytest

import fusionlab
from fusionlab import Fusion, FusionlabError, FusionlabWarning, TemporalConsistency

RNG = np.random.default_rng(0)
FIRST, SECOND = RNG.integers(0, 256, (2, 4, 10, 12), np.uint8)


def fusion(**settings):
    return Fusion("identity", "max", **settings)


@pytest.fixture
def folders(tmp_path):
    for name, frames in (("a", FIRST), ("b", SECOND)):
        (tmp_path / name).mkdir()
        for number, frame in enumerate(frames):
            iio.imwrite(tmp_path / name / f"{number}.png", frame)
    return [tmp_path / "a", tmp_path / "b"]


def images(sources, fusion_=None, **options):
    return [f.image for f in fusionlab.fuse_sequence(fusion_ or fusion(), sources, **options)]


def test_files_and_arrays_give_the_same_frames(folders):
    from_files = list(fusionlab.fuse_sequence(fusion(), folders, rate=25))
    assert [frame.number for frame in from_files] == [0, 1, 2, 3]
    assert [float(frame.time) for frame in from_files] == [0, 0.04, 0.08, 0.12]
    np.testing.assert_array_equal([frame.image for frame in from_files], np.maximum(FIRST, SECOND))
    np.testing.assert_array_equal(images([FIRST, iter(SECOND)]), np.maximum(FIRST, SECOND))


def test_one_frame_of_generators_at_a_time():
    asked = []

    def camera(frames):
        for number, frame in enumerate(frames):
            asked.append(number)
            yield frame

    frames = fusionlab.fuse_sequence(fusion(), [camera(FIRST), camera(SECOND)])
    assert asked == []
    next(frames)
    assert asked == [0, 0]


def test_the_shortest_iterable_ends_the_sequence():
    assert len(images([FIRST, SECOND[:2]])) == 2


def test_limits_carry_over_and_two_passes_read_twice(folders):
    minmax = fusion(range_policy="minmax")
    fused = np.maximum(FIRST, SECOND)
    two = images(folders, minmax, temporal=TemporalConsistency("two-pass"))
    low, high = int(fused.min()), int(fused.max())
    expected = np.floor((fused.astype(float) - low) * 255 / (high - low) + 0.5)
    np.testing.assert_array_equal(two, expected)
    with pytest.raises(FusionlabError, match="a generator gives them once") as caught:
        images([iter(FIRST), iter(SECOND)], minmax, temporal=TemporalConsistency("two-pass"))
    assert caught.value.code == "read-once"


def test_a_frame_that_cannot_be_fused_is_left_out_with_a_warning(folders):
    (folders[1] / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    iio.imwrite(folders[0] / "1.png", FIRST[1][:5])
    with pytest.warns(FusionlabWarning) as told:
        frames = list(fusionlab.fuse_sequence(fusion(), folders))
    assert [frame.number for frame in frames] == [0, 3]
    texts = [str(warning.message) for warning in told]
    assert [text.partition(":")[0] for text in texts] == ["frame 1", "frame 2"]
    assert "12x5" in texts[0]


def test_what_is_left_over_is_told(folders):
    (folders[1] / "3.png").unlink()
    with pytest.warns(FusionlabWarning, match="ends after 3 frames"):
        assert len(images(folders)) == 3


def test_paths_and_iterables_are_not_mixed(folders):
    with warnings.catch_warnings(), pytest.raises(FusionlabError, match="paths only or iterables"):
        images([folders[0], SECOND])


def test_nothing_is_read_before_a_frame_is_asked_for_but_the_sources_are_checked(tmp_path):
    with pytest.raises(FusionlabError, match="does not exist"):
        fusionlab.fuse_sequence(fusion(), [tmp_path / "none", tmp_path / "nothing"])


def test_what_suits_no_frame_is_an_error_at_once():
    with pytest.raises(FusionlabError, match="does not merge by weights"):
        fusionlab.fuse_sequence(
            fusion(), [FIRST, SECOND], temporal=TemporalConsistency(smoothing=0.5)
        )
    with pytest.raises(FusionlabError, match="give each source a scale that is not measured"):
        fusionlab.fuse_sequence(
            fusion(scale="minmax"), [FIRST, SECOND], temporal=TemporalConsistency("fixed=0,255")
        )


def test_a_first_frame_that_cannot_be_fused_ends_the_sequence():
    with pytest.raises(FusionlabError, match="12x9"):
        images([FIRST, SECOND[:, :9]])
