"""Videos as sequences of frames."""

import random
import resource
import struct
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from videos import (
    COLOR,
    DEEP,
    GRAY,
    NOISE,
    damage,
    joined,
    music,
    packets,
    planar,
    turned,
    without_index,
    write,
)

from fusionlab import FusionlabError
from fusionlab.sequences.formats import DEMUXERS, fusionlab_sequence_readers
from fusionlab.sequences.formats.decoding import Decoding
from fusionlab.sequences.formats.pixels import MATRICES
from fusionlab.sequences.formats.video import Video
from fusionlab.sequences.opening import is_sequence_file, open_sequence


def frames_of(path, start=0):
    return list(open_sequence(path).frames(start))


def images(path, start=0):
    return [np.asarray(frame.image.pixels) for frame in frames_of(path, start)]


def damaged(frames):
    return [n for n, frame in enumerate(frames) if isinstance(frame.image, FusionlabError)]


@pytest.mark.parametrize(
    ("pix_fmt", "given", "frames", "bits"),
    [
        ("gray", "gray", GRAY, None),
        ("gray10le", "gray10le", [frame >> 6 for frame in DEEP], 10),
        ("gray12le", "gray12le", [frame >> 4 for frame in DEEP], 12),
        ("gray16le", "gray16le", DEEP, None),
        ("bgr0", "rgb24", COLOR, None),
        ("gbrp10le", "gbrp10le", [np.stack([f, f[::-1], f], -1) >> 6 for f in DEEP], 10),
        ("gbrp16le", "gbrp16le", [np.stack([f, f[::-1], f[:, ::-1]], -1) for f in DEEP], None),
    ],
)
def test_ffv1_keeps_every_value_and_bit(tmp_path, pix_fmt, given, frames, bits):
    path = write(tmp_path / "a.mkv", "ffv1", pix_fmt, frames, given)
    sequence = open_sequence(path)
    assert (sequence.count, sequence.rate, sequence.notes) == (30, 25, [])
    read = list(sequence.frames())
    assert np.array_equal([frame.image.pixels for frame in read], frames)
    assert {frame.image.bits for frame in read} == {bits}
    assert [frame.time for frame in read] == [Fraction(n, 25) for n in range(30)]


def rgb(planes, matrix, *, full, bits):
    """Return luma and chroma as RGB in 0..1, by the formula of ITU-T H.273."""
    red, blue = MATRICES[matrix]
    y, u, v = (plane.astype(float) / 2 ** (bits - 8) for plane in planes)
    most = (2**bits - 1) / 2 ** (bits - 8)
    y, u, v = (
        (y / most, (u - 128) / most, (v - 128) / most)
        if full
        else ((y - 16) / 219, (u - 128) / 224, (v - 128) / 224)
    )
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    return np.stack([r, (y - red * r - blue * b) / (1 - red - blue), b], -1).clip(0, 1)


@pytest.mark.parametrize(("bits", "pix_fmt"), [(8, "yuv444p"), (10, "yuv444p10le")])
@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("full", [False, True])
def test_color_is_that_of_the_matrix_and_the_range_in_the_file(
    tmp_path, bits, pix_fmt, matrix, full
):
    rng = np.random.default_rng(matrix)
    dtype = np.uint8 if bits == 8 else np.uint16
    planes = rng.integers(0, 2**bits, (3, 32, 48))
    planes[1:] = (planes[1:] - 2 ** (bits - 1)) // 3 + 2 ** (bits - 1)
    frame = planar(planes.astype(dtype), pix_fmt)
    path = write(tmp_path / "a.mkv", "ffv1", pix_fmt, [frame], color=(matrix, 2 if full else 1))
    (image,) = images(path)
    assert image.dtype == dtype
    white = 255 if bits == 8 else 65535
    error = np.abs(image - white * rgb(planes, matrix, full=full, bits=bits))
    assert error.max() <= 0.52 * (1 if bits == 8 else 2)  # rounded once; the deep ones in float32


def test_color_without_a_matrix_is_that_of_televisions_of_its_size(tmp_path):
    for width, matrix in ((64, 6), (1280, 1)):
        planes = np.full((3, 16, width), 90, np.uint8)
        planes[0] = 120
        path = write(tmp_path / "a.mkv", "ffv1", "yuv444p", [planar(planes, "yuv444p")])
        (image,) = images(path)
        expected = 255 * rgb(planes, matrix, full=False, bits=8)
        assert np.abs(image - expected).max() <= 0.52


def test_gray_in_a_color_video_has_equal_channels(tmp_path):
    for pix_fmt, dtype, neutral in (("yuv420p", np.uint8, 128), ("yuv420p10le", np.uint16, 512)):
        luma = (DEEP[0] >> (8 if neutral == 128 else 6)).astype(dtype)
        chroma = np.full((24, 32), neutral, dtype)
        frame = planar([luma, chroma, chroma], pix_fmt)
        (image,) = images(write(tmp_path / "a.mkv", "ffv1", pix_fmt, [frame]))
        assert (image == image[..., :1]).all()
        assert len(np.unique(image)) > 100


CODECS = {
    "b-frames.mp4": ("libx264", "yuv420p", {"g": 8}),
    "open-gops.mp4": ("libx265", "yuv420p", {"x265-params": "log-level=none:keyint=8:open-gop=1"}),
    "refreshed.mkv": ("libx264", "yuv420p", {"x264-params": "intra-refresh=1:keyint=8"}),
    "ffv1.mkv": ("ffv1", "yuv444p", {"g": 7}),
    "stream.ts": ("libx264", "yuv420p", {"g": 8}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"deadline": "realtime"}),
    "b-frames.avi": ("libx264", "yuv420p", {"g": 8}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", {}),
    "raw.y4m": ("wrapped_avframe", "yuv444p", {}),
    "prores.mov": ("prores_ks", "yuv422p10le", {}),
}


def sample(folder, name, frames=COLOR):
    codec, pix_fmt, options = CODECS[name]
    return write(folder / name, codec, pix_fmt, frames, **options)


@pytest.mark.parametrize("name", CODECS)
def test_a_frame_is_the_same_wherever_reading_starts(tmp_path, name):
    path = sample(tmp_path, name, NOISE)
    assert is_sequence_file(path)
    whole = frames_of(path)
    assert len(whole) == 30
    assert open_sequence(path).count in (30, None)  # streams do not state it
    for start in (1, 15, 16, 29, 30):
        rest = frames_of(path, start)
        assert [f.time for f in rest] == [Fraction(n, 25) for n in range(start, 30)]
        assert np.array_equal(
            [f.image.pixels for f in rest], [f.image.pixels for f in whole[start:]]
        )


def test_frames_are_not_decoded_from_the_beginning_where_that_is_not_needed(tmp_path, monkeypatch):
    path = sample(tmp_path, "b-frames.mp4")
    decoded, read = [], Decoding.frames

    def spy(self):
        for shown in read(self):
            decoded.append(shown)
            yield shown

    monkeypatch.setattr(Decoding, "frames", spy)
    assert len(frames_of(path, 28)) == 2
    assert len(decoded) <= 2 * 8  # the group of the frame, and the one before it


def test_times_are_those_of_the_file(tmp_path):
    times = [0, 40, 50, 130, 131, 400]
    path = write(tmp_path / "a.mkv", "ffv1", "gray", GRAY[:6], "gray", times=times)
    sequence = open_sequence(path)
    assert [frame.time for frame in sequence.frames()] == [Fraction(time, 1000) for time in times]
    assert [frame.time for frame in sequence.frames(4)] == [Fraction(131, 1000), Fraction(2, 5)]
    assert sequence.notes == []
    assert sequence.is_estimated  # the number of frames, from how long it lasts


@pytest.mark.parametrize("trimmed", [3, 11])  # less than a group of frames, and more
def test_frames_that_are_trimmed_from_an_mp4_are_no_frames(tmp_path, trimmed):
    path = sample(tmp_path, "b-frames.mp4", NOISE)
    whole = images(path)
    content = bytearray(path.read_bytes())
    place = content.index(b"elst") + 12
    duration, begin = struct.unpack(">Ii", content[place : place + 8])
    content[place : place + 8] = struct.pack(">Ii", duration - 40 * trimmed, begin + 512 * trimmed)
    path.write_bytes(content)
    sequence = open_sequence(path)
    assert np.array_equal([f.image.pixels for f in sequence.frames()], whole[trimmed:])
    assert (sequence.count, sequence.notes) == (30 - trimmed, [])
    assert np.array_equal(images(path, 9), whole[trimmed + 9 :])


def test_frames_that_leave_no_trace_but_a_gap_in_the_times_are_noted(tmp_path):
    path = write(tmp_path / "a.mkv", "ffv1", "gray", GRAY, "gray", g=1)
    position, _ = packets(path)[14]
    content = bytearray(path.read_bytes())
    content[position - 8 : position + 4] = bytes(12)  # the header of its block
    path.write_bytes(content)
    sequence = open_sequence(path)
    read = [round(frame.time * 25) for frame in sequence.frames()]
    assert len(read) < 30
    gap = next(n for n in range(30) if n not in read)
    assert sequence.notes[0].startswith(
        f"{path}: frames are missing between {(gap - 1) / 25:.6g} s"
    )


def test_transparent_pixels_are_no_data(tmp_path):
    rgba = [np.concatenate([frame, GRAY[n][..., None]], -1) for n, frame in enumerate(COLOR[:2])]
    path = write(tmp_path / "a.mov", "png", "rgba", rgba, "rgba")
    image = next(open_sequence(path).frames()).image
    assert np.array_equal(image.pixels, COLOR[0])
    assert np.array_equal(image.valid, GRAY[0] != 0)
    assert image.notes[0].startswith(f"{path}: it is transparent at ")


def test_interlaced_frames_are_noted(tmp_path):
    path = write(tmp_path / "a.mkv", "libx264", "yuv420p", COLOR[:4], **{"x264-params": "tff=1"})
    read = frames_of(path)
    assert len(read) == 4
    assert all("it is interlaced" in frame.image.notes[0] for frame in read)


def test_a_video_that_is_to_be_turned_is_upright(tmp_path):
    first, *_ = images(turned(tmp_path / "a.mov"))
    assert np.array_equal(first, np.rot90(COLOR[0], -1))


def test_the_video_is_found_beside_other_streams(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as file:
        sound = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        video = file.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "gray"
        noise = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        noise.rate = 8000
        for stream, frames in (
            (sound, [noise]),
            (video, [av.VideoFrame.from_ndarray(frame, format="gray") for frame in GRAY[:3]]),
        ):
            for frame in frames:
                file.mux(stream.encode(frame))
            file.mux(stream.encode())
    assert np.array_equal(images(path), GRAY[:3])


@pytest.mark.parametrize("name", ["a.mkv", "a.mov"])
def test_a_damaged_frame_costs_itself_and_those_that_build_on_it(tmp_path, name, capfd):
    codec, pix_fmt, given, frames = (
        ("ffv1", "gray16le", "gray16le", DEEP)
        if name == "a.mkv"
        else ("png", "rgb24", "rgb24", COLOR)
    )
    path = write(tmp_path / name, codec, pix_fmt, frames, given, g=10)
    damage(path, 14)
    read = frames_of(path)
    lost = [14, 15, 16, 17, 18, 19] if codec == "ffv1" else [14]  # PNG is whole in itself
    assert damaged(read) == lost
    assert f"its frame {lost[0]} is damaged" in str(read[14].image)
    assert [frame.time for frame in read] == [Fraction(n, 25) for n in range(30)]
    for number, frame in enumerate(read):
        if number not in lost:
            assert np.array_equal(frame.image.pixels, frames[number])
    assert damaged(frames_of(path, 12)) == [n - 12 for n in lost]
    assert capfd.readouterr() == ("", "")  # FFmpeg would print


def test_ffv1_without_parities_is_read(tmp_path):
    path = write(tmp_path / "a.mkv", "ffv1", "gray16le", DEEP[:6], "gray16le", slicecrc=0)
    assert np.array_equal(images(path), DEEP[:6])


def test_pixels_that_cannot_be_converted_are_named(tmp_path):
    draft = {"level": 4, "strict": "experimental"}  # FFmpeg takes these for floats of 16 bits
    path = write(tmp_path / "a.mkv", "ffv1", "gray16le", DEEP[:2], "gray16le", **draft)
    (first, _) = frames_of(path)
    assert first.image.code == "unsupported-image"
    assert "got pixels of the format grayf16le" in str(first.image)


@pytest.mark.parametrize("stage", ["open", "decode"])
def test_a_lack_of_memory_is_not_taken_for_damage(tmp_path, monkeypatch, stage):
    def lack(*_, **__):
        raise av.error.MemoryError(12, "Cannot allocate memory")

    path = write(tmp_path / "a.mkv", "ffv1", "gray", GRAY[:3], "gray")
    if stage == "open":
        monkeypatch.setattr(av, "open", lack)
    else:
        context = SimpleNamespace(name="ffv1", reorder_depth=0, field_order=0, decode=lack)
        real = Decoding.__init__

        def with_lack(self, container, stream, **options):
            real(self, container, stream, **options)
            self._context = context

        monkeypatch.setattr(Decoding, "__init__", with_lack)
    with pytest.raises(FusionlabError) as refused:
        frames_of(path)
    assert refused.value.code == "out-of-memory"


def test_what_decoders_make_up_behind_a_damaged_frame_is_not_taken(tmp_path):
    path = sample(tmp_path, "b-frames.mp4")
    good = images(path)
    damage(path, 10, at=0.1)
    read = frames_of(path)
    lost = damaged(read)
    assert len(read) == 30
    assert lost
    for number, frame in enumerate(read):
        if number not in lost:
            assert np.array_equal(frame.image.pixels, good[number])
    assert read[29].image.pixels is not None  # another group


@pytest.mark.parametrize("name", ["a.mkv", "b-frames.avi", "raw.y4m", "stream.ts"])
def test_a_video_that_is_cut_off_gives_the_frames_that_are_there(tmp_path, name):
    path = tmp_path / name
    if name == "a.mkv":
        write(path, "ffv1", "gray16le", DEEP, "gray16le")
    else:
        sample(tmp_path, name)
    good = images(path)
    position = packets(path)[20][0] or path.stat().st_size * 2 // 3
    path.write_bytes(path.read_bytes()[: position + 20])
    sequence = open_sequence(path)
    read = list(sequence.frames())
    assert 15 <= len(read) <= 22
    whole = [n for n in range(len(read)) if n not in damaged(read)]
    assert len(whole) >= 15
    assert all(np.array_equal(read[n].image.pixels, good[n]) for n in whole)
    if name in ("a.mkv", "b-frames.avi"):  # others state no length
        (note,) = sequence.notes
        stated = "before the 1.2 s" if name == "a.mkv" else "of 30"
        assert f"ends after {len(read)} frames, {stated} that its header states" in note


def of_claimed_size(width, height):
    def make(path):
        write(path, "ffv1", "gray", [np.zeros((256, 320), np.uint8)], "gray")
        content = path.read_bytes()
        for old, new in ((b"\xb0\x82\x01\x40", width), (b"\xba\x82\x01\x00", height)):
            content = content.replace(old, old[:2] + new.to_bytes(2, "big"), 1)
        path.write_bytes(content)

    return make


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (music, "unreadable", "it holds no video, only audio"),
        (
            lambda path: without_index(path.with_suffix(".mp4")).rename(path),
            "unreadable",
            "its header is damaged, or it is cut off",
        ),
        (lambda path: path.write_bytes(b"\x1a\x45\xdf\xa3"), "unreadable", "or it is cut off"),
        (of_claimed_size(9000, 9000), "too-many-pixels", "claims 9000x9000 pixels"),
        (of_claimed_size(40000, 40000), "unreadable", "states no size of its frames, or more than"),
    ],
)
def test_what_gives_no_frames_is_refused_in_one_sentence(tmp_path, make, code, says, capfd):
    path = tmp_path / "a.mkv"
    make(path)
    assert is_sequence_file(path)
    with pytest.raises(FusionlabError, match=says) as refused:
        open_sequence(path, max_pixels=10**6)
    assert refused.value.code == code
    assert capfd.readouterr() == ("", "")


def test_frames_of_changing_sizes_have_their_own(tmp_path):
    parts = [
        write(tmp_path / "b.mkv", "mjpeg", "yuvj444p", COLOR[:2]),
        write(tmp_path / "c.mkv", "mjpeg", "yuvj444p", [frame[:32] for frame in COLOR[:2]]),
    ]
    path = joined(tmp_path / "a.mkv", *parts)
    assert [image.shape for image in images(path)] == [(48, 64, 3)] * 2 + [(32, 64, 3)] * 2
    read = list(open_sequence(path, max_pixels=48 * 64).frames())
    assert not damaged(read)


PLAYLISTS = [
    b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\nsecret.ts\n#EXT-X-ENDLIST\n",
    b"ffconcat version 1.0\nfile secret.ts\n",
    b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
]


@pytest.mark.parametrize("content", PLAYLISTS)
def test_no_other_file_is_opened_that_a_video_names(tmp_path, content, monkeypatch):
    sample(tmp_path, "stream.ts").rename(tmp_path / "secret.ts")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert not is_sequence_file(path)
    with pytest.raises(FusionlabError, match="neither a video nor an image"):
        open_sequence(path)
    for demuxer in ("hls", "concat"):  # as if these were taken for formats of videos
        monkeypatch.setitem(DEMUXERS, "MP4", demuxer)
        with pytest.raises(FusionlabError):
            Video(path, "MP4", lambda *_: None)


def test_images_are_not_taken_for_videos():
    recognized = [
        ref.name
        for ref in fusionlab_sequence_readers()
        for brand in (b"avif", b"avis", b"mif1", b"heic", b"hevc")
        if ref.recognizes(b"\0\0\0\x20ftyp" + brand + bytes(16), ".mp4")
    ]
    assert recognized == []


def test_without_pyav_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = sample(tmp_path, "mjpeg.avi")
    for module in ("video", "containers"):
        monkeypatch.delitem(sys.modules, f"fusionlab.sequences.formats.{module}")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        FusionlabError, match=r"pip install 'fusionlab-imaging\[video\]'"
    ) as refused:
        open_sequence(path)
    assert refused.value.code == "missing-extra"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ffv1.mkv", "b-frames.mp4", "stream.ts", "mjpeg.avi", "vp9.webm"])
def test_damaged_videos_cost_a_sentence_and_are_counted_in_one_way(tmp_path, name):
    content = sample(tmp_path, name).read_bytes()
    good = images(tmp_path / name)
    rng, path = random.Random(name), tmp_path / f"bad-{name}"
    for _ in range(40):
        changed, at = bytearray(content), rng.randrange(len(content) // 10, len(content))
        match rng.choice(["flip", "zero", "cut", "drop"]):
            case "flip":
                changed[at] ^= 1 << rng.randrange(8)
            case "zero":
                changed[at : at + 64] = bytes(len(changed[at : at + 64]))
            case "cut":
                del changed[at:]
            case "drop":
                del changed[at : at + rng.choice([1, 10, 300])]
        path.write_bytes(changed)
        try:
            read = frames_of(path)
        except FusionlabError:
            continue
        if name == "ffv1.mkv":
            for number in set(range(len(read))) - set(damaged(read)):
                place = round(read[number].time * 25)
                assert np.array_equal(read[number].image.pixels, good[place])
        start = rng.randrange(1, 30)
        rest = frames_of(path, start)
        assert [frame.time for frame in rest] == [frame.time for frame in read[start:]]
        assert damaged(rest) == damaged(read[start:])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory is read from /proc")
@pytest.mark.parametrize("codec", ["ffv1", "libx264"])
def test_memory_does_not_grow_with_the_length_of_a_video(tmp_path, codec):
    tiled = [np.tile(frame, (6, 6, 1)) for frame in NOISE]
    frames = (tiled[number % 30] for number in range(400))
    path = write(tmp_path / "a.mkv", codec, "yuv444p", frames)
    pages = {}
    for number, _ in enumerate(open_sequence(path).frames()):
        if number in (100, 390):
            pages[number] = int(Path("/proc/self/statm").read_text().split()[1])
    assert (pages[390] - pages[100]) * resource.getpagesize() < 2**23  # 290 frames have 96 MiB
