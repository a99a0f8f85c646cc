"""Runs over sequences: whatever interrupts one, the frames are those of a run that was not."""

import json
import os
import signal
import subprocess
import sys
import tracemalloc
from collections import Counter
from fractions import Fraction
from pathlib import Path
from unittest.mock import Mock

import av
import numpy as np
import pytest
import tifffile
from listed_frames import ListedFrames

from fusionlab import Fusion, FusionlabError, open_sequence, read_image
from fusionlab.plugins.host import installed
from fusionlab.runs.file_fusion import FileFusion
from fusionlab.sequences.run import SequenceRun
from fusionlab.sequences.segments import SegmentJournal
from fusionlab.sequences.writing.frames import FramesOutput
from fusionlab.sequences.writing.stack import StackOutput
from fusionlab.sequences.writing.video import VideoOutput
from fusionlab.temporal import TemporalConsistency

SEGMENT = 4  # frames


def run_of(path, *, temporal=None, weights="l1norm", fusion=None, **options):
    """Return a run that writes to a path, whose suffix says what."""
    fusion = fusion or Fusion("identity", weights, scale=["minmax", "full"])
    file_fusion = FileFusion(fusion, installed())
    if path.suffix in (".mkv", ".mp4", ".mov"):
        output = VideoOutput(path, ListedFrames().rate)
    elif path.suffix == ".tif":
        output = StackOutput(path)
    else:
        overwrite = options.get("overwrite", False)
        output = FramesOutput(path, ".png", file_fusion, overwrite=overwrite)
    return SequenceRun(file_fusion, output, temporal, segment_frames=SEGMENT, **options)


def counted(outcomes):
    return Counter(outcome.status for outcome in outcomes)


def frames_of(path):
    """Return the decoded frames of a result: name or time -> pixels."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            return {number: page.asarray() for number, page in enumerate(file.pages)}
    if path.suffix:
        with av.open(str(path)) as file:
            return {
                round(25 * frame.pts * frame.time_base): frame.to_ndarray(format="rgb48le")
                for frame in file.decode(video=0)
            }
    return {image.stem: read_image(image).pixels for image in sorted(path.glob("*.png"))}


def assert_same_frames(path, other):
    frames, others = frames_of(path), frames_of(other)
    assert frames.keys() == others.keys()
    assert frames
    for name, pixels in frames.items():
        np.testing.assert_array_equal(pixels, others[name], err_msg=str(name))


JOINING = 99
USUAL = [("fused.mkv", 6), ("fused", 6), ("fused.tif", JOINING)]  # the other kills are slow tests
RESULTS = ["fused.mkv", "fused.mp4", "fused.tif", "fused"]


SCRIPT = """
import os, signal, sys
from pathlib import Path
import test_run
path, last = Path(sys.argv[1]), int(sys.argv[2])
def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if last == test_run.JOINING:  # in the middle of writing the result
    Path.replace = lambda self, target: kill() if Path(target) == path else os.rename(self, target)
for outcome in test_run.smoothed_run(path).run(test_run.damaged_frames()):
    if outcome.number == last:
        kill()
"""


def smoothed_run(path, **options):
    return run_of(path, temporal=TemporalConsistency("causal", smoothing=0.6), **options)


def damaged_frames():
    return ListedFrames(15, damaged=(2, 9))


@pytest.mark.parametrize(
    ("name", "last"),
    [
        pytest.param(name, last, marks=() if (name, last) in USUAL else pytest.mark.slow)
        for name in RESULTS
        for last in (0, 3, 4, 6, 7, 8, 12, 14, JOINING)
        if (name, last) != ("fused", JOINING)  # frames are not joined
    ],
)
def test_a_run_that_was_killed_resumes_and_gives_the_same_frames(tmp_path, python, name, last):
    script = SCRIPT.replace("import test_run", f"sys.path += {sys.path!r}; import test_run")
    path, whole = tmp_path / name, tmp_path / "whole" / name
    whole.parent.mkdir()
    list(smoothed_run(whole).run(damaged_frames()))
    command = [python, "-c", script, str(path), str(last)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    assert subprocess.run(command, env=env, check=False).returncode == -signal.SIGKILL
    assert not path.is_file()  # no half of a result

    counts = counted(smoothed_run(path, resume=True).run(sets := damaged_frames()))
    assert counts["failed"] == 2
    assert counts["fused"] + counts["skipped"] == 13
    assert all(start % SEGMENT == 0 for start in sets.starts)
    assert counts["skipped"] > 0 or last < SEGMENT + 3  # the writing lags behind
    assert_same_frames(path, whole)
    left = [*tmp_path.rglob("*parts"), *tmp_path.rglob(".fusionlab-*")]
    assert left == []


@pytest.mark.parametrize(
    ("dtype", "color", "form"),
    [
        (np.uint8, False, "gray"),
        (np.uint16, False, "gray16le"),
        (np.uint8, True, "rgb24"),
        (np.uint16, True, "rgb48le"),
    ],
)
def test_ffv1_gives_back_the_pixels_that_tiff_holds(tmp_path, dtype, color, form):
    for name in ("fused.mkv", "fused.tif"):
        sets = ListedFrames(6, (23, 31), color=color, dtype=dtype)
        assert counted(run_of(tmp_path / name).run(sets)) == {"fused": 6}
    stack = frames_of(tmp_path / "fused.tif")
    with av.open(str(tmp_path / "fused.mkv")) as file:
        for number, frame in enumerate(file.decode(video=0)):
            np.testing.assert_array_equal(frame.to_ndarray(format=form), stack[number])
    assert stack[0].dtype == dtype
    assert len(stack) == 6


def test_h264_shows_the_gray_levels_in_the_range_that_players_expect(tmp_path):
    ramp = np.arange(256, dtype=np.uint8).repeat(8).reshape(32, 64)

    class Ramps(ListedFrames):
        def images(self, number):
            return [each.__class__(each.name, ramp, "") for each in super().images(number)]

    fusion = Fusion("identity", "mean")
    assert counted(run_of(tmp_path / "fused.mp4", fusion=fusion).run(Ramps(2))) == {"fused": 2}
    with av.open(str(tmp_path / "fused.mp4")) as file:
        frame = next(file.decode(video=0))
        assert (frame.color_range, frame.colorspace) == (1, 1)  # limited, BT.709
        gray = frame.to_ndarray(format="rgb24")[..., 1]
    assert np.abs(gray.astype(int) - ramp).max() <= 6
    assert np.ptp(frame.to_ndarray(format="yuv420p")[32:]) <= 2  # chroma is neutral


@pytest.mark.parametrize("name", ["fused.mkv", "fused.mp4", "fused.mov"])
def test_a_video_shows_the_colors_that_were_fused(tmp_path, name):
    colors = np.array([[250, 20, 30], [20, 240, 40], [10, 30, 220], [255, 255, 255], [0, 0, 0]])
    patches = np.broadcast_to(colors[None], (32, 5, 3)).repeat(16, axis=1).astype(np.uint8)

    class Patches(ListedFrames):
        def images(self, number):
            return [each.__class__(each.name, patches, "") for each in super().images(number)]

    list(run_of(tmp_path / name, fusion=Fusion("identity", "mean")).run(Patches(3)))
    for frame in open_sequence(tmp_path / name).frames():
        shown = frame.image.pixels[8:24, 8::16].astype(int)  # in the middle of the patches
        assert np.abs(shown - colors).max() <= (0 if name == "fused.mkv" else 6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 2), (16, 17000)], ids=str)
def test_frames_of_odd_sizes_are_written_or_refused_in_a_sentence(tmp_path, shape):
    for name in RESULTS:
        path, fusion = tmp_path / name, Fusion("identity", "mean")
        run = run_of(path, fusion=fusion).run(ListedFrames(2, shape))
        if shape[1] == 17000 and path.suffix == ".mp4":  # more than x264 takes
            with pytest.raises(FusionlabError) as error:
                list(run)
            assert error.value.code == "encoding"
            assert not list(tmp_path.glob(f"{name}*"))
        else:
            assert counted(run) == {"fused": 2}
            assert {frame.shape[:2] for frame in frames_of(path).values()} == {shape}


def test_frames_that_are_left_out_leave_their_time(tmp_path):
    outcomes = list(run_of(tmp_path / "fused.mkv").run(ListedFrames(6, damaged=(0, 3))))
    assert [outcome.status for outcome in outcomes].count("failed") == 2
    assert outcomes[3].problem == "000003: its sources are damaged"
    assert list(frames_of(tmp_path / "fused.mkv")) == [1, 2, 4, 5]


def test_where_all_frames_fail_nothing_is_written(tmp_path):
    for name in RESULTS:
        sets = ListedFrames(3, damaged=range(3))
        assert counted(run_of(tmp_path / name).run(sets)) == {"failed": 3}
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_size_or_in_color_after_gray_ones_is_left_out(tmp_path):
    sets = ListedFrames(5, others={2: (20, 32)})
    outcomes = list(run_of(tmp_path / "fused.tif").run(sets))
    assert [o.number for o in outcomes if o.status == "failed"] == [2]
    assert "20" in outcomes[2].problem
    assert len(frames_of(tmp_path / "fused.tif")) == 4


@pytest.mark.parametrize("limits", ["causal", "two-pass"])
def test_where_the_first_frame_cannot_be_fused_the_run_ends(tmp_path, limits):
    class Different(ListedFrames):
        def images(self, number):
            thermal, _ = super().images(number)
            _, visible = ListedFrames(9, (23, 32)).images(number)
            return thermal, visible

    sets = Different(9, damaged=(0,))
    with pytest.raises(FusionlabError, match="frame 000001") as error:
        list(run_of(tmp_path / "x.tif", temporal=TemporalConsistency(limits)).run(sets))
    assert error.value.code == "size-mismatch"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", RESULTS)
def test_what_an_earlier_run_has_left_is_neither_lost_nor_mixed(tmp_path, name):
    path = tmp_path / name
    outcomes = run_of(path).run(ListedFrames(15))
    while next(outcomes).number < 9:
        pass
    outcomes.close()
    left = sorted(tmp_path.rglob("*"))

    with pytest.raises(FusionlabError) as error:
        list(run_of(path).run(ListedFrames(15)))
    assert (error.value.code, error.value.option) == ("exists", "resume")
    for weights, sets in (("mean", ListedFrames(15)), ("l1norm", ListedFrames(15, (24, 34)))):
        other = run_of(path, weights=weights, resume=True)
        with pytest.raises(FusionlabError) as error:
            list(other.run(sets))
        assert (error.value.code, error.value.option) == ("other-run", "overwrite")
    assert sorted(tmp_path.rglob("*")) == left

    assert counted(run_of(path, resume=True).run(ListedFrames(15)))["skipped"] >= 4
    with pytest.raises(FusionlabError) as error:
        list(run_of(path).run(ListedFrames(15)))
    assert error.value.code == "exists"
    assert counted(run_of(path, overwrite=True).run(ListedFrames(15))) == {"fused": 15}
    left_over = [each for each in tmp_path.rglob("*") if "parts" in each.name]
    assert left_over == []


def test_a_run_that_was_killed_after_its_last_segment_closes_no_other(tmp_path, monkeypatch):
    list(run_of(tmp_path / "whole.tif").run(ListedFrames(6)))
    path = tmp_path / "fused.tif"
    with monkeypatch.context() as patch:
        patch.setattr(SegmentJournal, "finish", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            list(run_of(path).run(ListedFrames(6)))
    assert counted(run_of(path, resume=True).run(ListedFrames(6))) == {"skipped": 6}
    assert path.read_bytes() == (tmp_path / "whole.tif").read_bytes()


@pytest.mark.parametrize("name", ["fused.mkv", "fused.mp4", "fused.tif"])
def test_a_finished_run_is_recognized_by_its_file_when_it_is_resumed(tmp_path, name):
    path = tmp_path / name
    list(run_of(path).run(ListedFrames(6, damaged=(2,))))
    content = path.read_bytes()
    again = run_of(path, resume=True)
    assert counted(again.run(ListedFrames(6, damaged=(2,)))) == {"skipped": 5, "failed": 1}
    assert path.read_bytes() == content
    with pytest.raises(FusionlabError) as error:  # that of other sources is another one
        list(run_of(path, resume=True).run(ListedFrames(5)))
    assert error.value.code == "exists"
    other = tmp_path / f"other{path.suffix}"
    list(run_of(other).run(ListedFrames(6, damaged=(2,))))
    assert other.read_bytes() == content  # bytes do not depend on when it was made


def test_a_finished_folder_of_frames_is_skipped_when_it_is_resumed(tmp_path):
    path = tmp_path / "fused"

    def temporal():
        return TemporalConsistency("causal", smoothing=0.5)

    list(run_of(path, temporal=temporal()).run(ListedFrames(9)))
    again = run_of(path, temporal=temporal(), resume=True)
    assert counted(again.run(ListedFrames(9))) == {"skipped": 9}
    before = frames_of(path)
    (path / "000005.png").write_bytes(b"damaged")
    assert counted(run_of(path, temporal=temporal(), resume=True).run(ListedFrames(9)))["fused"]
    np.testing.assert_equal(frames_of(path), before)


@pytest.mark.parametrize("name", ["fused.mkv", "fused.tif"])
@pytest.mark.parametrize("what", ["segment", "state"])
def test_a_damaged_segment_and_those_after_it_are_made_again(tmp_path, name, what):
    path = tmp_path / name
    whole = tmp_path / f"whole{path.suffix}"

    def temporal():
        return TemporalConsistency("causal", smoothing=0.5)

    list(run_of(whole, temporal=temporal()).run(ListedFrames(15)))
    outcomes = run_of(path, temporal=temporal()).run(ListedFrames(15))
    while next(outcomes).number < 13:
        pass
    outcomes.close()
    parts = path.with_name(f"{name}.parts")
    if what == "segment":
        (damaged,) = [f for f in parts.glob("000002.*") if f.suffix != ".npz"]
    else:
        damaged = max(parts.glob("*.npz"))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    counts = counted(run_of(path, temporal=temporal(), resume=True).run(ListedFrames(15)))
    assert counts["skipped"] == 8
    assert_same_frames(path, whole)


def test_frames_that_do_not_depend_on_each_other_are_fused_at_the_same_time(tmp_path, monkeypatch):
    for number, name in enumerate(("one.tif", "other.tif")):
        fusion = Fusion("identity", "mean", color="luma")
        monkeypatch.setattr(FileFusion, "together", lambda *_, n=number: 1 + 3 * n)
        one_of_several = Mock(wraps=fusion.one_of_several)
        monkeypatch.setattr(fusion, "one_of_several", one_of_several)
        run = run_of(tmp_path / name, fusion=fusion, temporal=TemporalConsistency())
        assert [o.number for o in run.run(ListedFrames(11))] == [*range(11)]
        assert one_of_several.call_count == 11 * number
    assert_same_frames(tmp_path / "one.tif", tmp_path / "other.tif")


def test_a_run_that_measures_first_does_not_measure_again_when_it_resumes(tmp_path):
    def run(path, **options):
        return run_of(path, temporal=TemporalConsistency("two-pass"), **options)

    assert counted(run(tmp_path / "whole.tif").run(ListedFrames(10)))["measured"] == 10
    path = tmp_path / "fused.tif"
    outcomes = run(path).run(ListedFrames(10))
    while next(outcomes).status == "measured":
        pass
    outcomes.close()
    counts = counted(run(path, resume=True).run(ListedFrames(10)))
    assert counts["measured"] == 0
    assert_same_frames(path, tmp_path / "whole.tif")


def test_a_full_disk_ends_the_run_and_keeps_what_is_closed(tmp_path, monkeypatch):
    path = tmp_path / "fused.tif"
    with monkeypatch.context() as patch:
        add = StackOutput.segment

        def segment(self, number, layout):
            if number == 2:
                raise FusionlabError("no space left", code="unwritable")
            return add(self, number, layout)

        patch.setattr(StackOutput, "segment", segment)
        with pytest.raises(FusionlabError, match="no space left"):
            list(run_of(path).run(ListedFrames(15)))
    assert not path.exists()
    path.write_bytes(b"mine")  # in the meantime
    with pytest.raises(FusionlabError) as error:
        list(run_of(path, resume=True).run(ListedFrames(15)))
    assert error.value.code == "exists"
    path.unlink()
    counts = counted(run_of(path, resume=True).run(ListedFrames(15)))
    assert counts == {"skipped": 8, "fused": 7}


def test_existing_files_are_not_replaced_without_leave(tmp_path):
    folder = tmp_path / "fused"
    folder.mkdir()
    (folder / "000002.png").write_bytes(b"mine")
    with pytest.raises(FusionlabError) as error:
        list(run_of(folder).run(ListedFrames(3)))
    assert (error.value.code, error.value.option) == ("exists", "overwrite")
    assert (folder / "000002.png").read_bytes() == b"mine"
    assert counted(run_of(folder, overwrite=True).run(ListedFrames(3))) == {"fused": 3}


def test_a_video_without_pyav_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(FusionlabError) as error:
        VideoOutput(tmp_path / "fused.mkv")
    assert error.value.code == "missing-extra"


def video_with_sound(path, codec="flac", first=0):
    """Write a video of 10 frames and a second of sound at 16 kHz, all later by some frames."""
    with av.open(str(path), "w") as file:
        video = file.add_stream("ffv1", rate=25, width=16, height=16, pix_fmt="gray")
        audio = file.add_stream(codec, rate=16000, layout="mono")
        resampler = av.AudioResampler(audio.format, "mono", 16000, frame_size=1600)
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((16, 16), number, np.uint8), format="gray")
            frame.pts, frame.time_base = first + number, Fraction(1, 25)
            file.mux(video.encode(frame))
        ramp = np.arange(16000, dtype=np.int16)
        for start in range(0, 16000, 1600):
            sound = av.AudioFrame.from_ndarray(ramp[None, start : start + 1600], layout="mono")
            sound.sample_rate, sound.time_base = 16000, Fraction(1, 16000)
            sound.pts = first * 640 + start
            for part in resampler.resample(sound):
                file.mux(audio.encode(part))
        file.mux(video.encode())
        file.mux(audio.encode())


@pytest.mark.parametrize("first", [0, 5])
@pytest.mark.parametrize("name", ["fused.mkv", "fused.mp4"])
def test_audio_is_copied_as_far_as_the_video_is_long(tmp_path, name, first):
    video_with_sound(tmp_path / "source.mkv", first=first)
    run = run_of(tmp_path / name)
    run.output = VideoOutput(tmp_path / name, Fraction(25), tmp_path / "source.mkv")
    assert counted(run.run(ListedFrames(10))) == {"fused": 10}
    with av.open(str(tmp_path / name)) as file:
        sounds = list(file.decode(audio=0))
    assert float(sounds[0].pts * sounds[0].time_base) == pytest.approx(0, abs=0.002)
    samples = np.concatenate([sound.to_ndarray().ravel() for sound in sounds])
    np.testing.assert_array_equal(samples[:6400], np.arange(6400))  # 0.4 seconds
    assert len(samples) <= 6400 + 4608  # the rest of a block of FLAC
    assert len(frames_of(tmp_path / name)) == 10


def test_audio_that_cannot_be_copied_is_refused(tmp_path):
    video_with_sound(tmp_path / "pcm.mkv", codec="pcm_u8")
    list(run_of(tmp_path / "silent.mkv").run(ListedFrames(2)))
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:9,\npcm.mkv\n")
    for name in ("pcm.mkv", "silent.mkv", "list.m3u8", "no.mkv"):
        with pytest.raises(FusionlabError) as error:
            VideoOutput(tmp_path / "fused.mp4", None, tmp_path / name)
        codes = {"list.m3u8": "no-video", "no.mkv": "unreadable"}
        assert error.value.code == codes.get(name, "no-audio")


@pytest.mark.parametrize("name", RESULTS)
def test_a_second_run_that_writes_the_same_result_is_refused(tmp_path, name):
    outcomes = run_of(tmp_path / name).run(ListedFrames(9))
    next(outcomes)
    for options in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(FusionlabError) as error:
            next(run_of(tmp_path / name, **options).run(ListedFrames(9)))
        assert error.value.code == "locked"
    assert len([*outcomes]) == 8
    assert len(frames_of(tmp_path / name)) == 9


def test_the_record_of_a_video_says_how_it_was_made(tmp_path):
    path = tmp_path / "fused.mkv"
    run = run_of(path, temporal=TemporalConsistency("first"), record=True)
    list(run.run(ListedFrames(6, damaged=(1,))))
    record = json.loads(path.with_name("fused.mkv.json").read_text())
    assert record["method"].startswith("identity/l1norm")
    sequence = record["sequence"]
    assert (sequence["frames"], sequence["failed"]) == (5, [1])
    assert record["temporal"]["limits"] == "first"
    assert sequence["rate"] == str(Fraction(25))


@pytest.mark.slow
@pytest.mark.parametrize("name", RESULTS[:3])
def test_memory_does_not_grow_with_the_length(tmp_path, name):
    def most(count):
        fusion = Fusion("identity", "l1norm", scale=["minmax", "full"])
        temporal = TemporalConsistency("causal", smoothing=0.5)
        path = tmp_path / name
        run = run_of(path, fusion=fusion, temporal=temporal, overwrite=True)
        tracemalloc.start()
        assert counted(run.run(ListedFrames(count, (48, 64)))) == {"fused": count}
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    most(40)  # what is imported and cached once
    assert most(600) < most(40) + 600 * 1000  # a kilobyte of the journal for each segment


@pytest.mark.parametrize("color", [False, True])
def test_batches_hold_the_same_frames_in_every_run(tmp_path, color):
    """Of 3, in segments of 4: a batch ends with its segment, and is filled up."""
    sets = {"color": color, "count": 11, "damaged": (5,)}
    sizes: list[list[int]] = []

    class Counting(FileFusion):
        def fuse_batch(self, batch, *arguments, **options):
            sizes.append([int(images[0].sha256.split()[-1]) for images in batch])
            return super().fuse_batch(batch, *arguments, **options)

    def run(path, batch, stop=None, **options):
        fusion = Fusion("identity", "l1norm", scale="full", range_policy="clip")
        file_fusion = Counting(fusion, installed())
        output = FramesOutput(path, ".png", file_fusion, overwrite=False)
        running = SequenceRun(
            file_fusion,
            output,
            TemporalConsistency(),
            segment_frames=SEGMENT,
            batch=batch,
            **options,
        ).run(ListedFrames(**sets))
        for outcome in running:
            if outcome.number == stop:
                running.close()
                return

    run(tmp_path / "single", 1)
    assert sizes == []
    run(tmp_path / "batches", 3)
    # the first frame decides about the color; 5 is damaged; 3 and 7 are the rest of a segment
    assert sizes == (whole := [[1, 2, 2], [4, 6, 6], [8, 9, 10]])
    assert_same_frames(tmp_path / "batches", tmp_path / "single")
    run(tmp_path / "stopped", 3, stop=4)
    sizes.clear()
    run(tmp_path / "stopped", 3, resume=True)
    assert sizes == whole[1:]
    assert_same_frames(tmp_path / "stopped", tmp_path / "single")
