"""What is a sequence: folders of images, files of several pages, and what plugins read."""

import io
import tracemalloc
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

import fusionlab
from fusionlab import FusionlabError
from fusionlab.sequences.opening import is_sequence_file, open_sequence

FRAMES = np.random.default_rng(0).integers(0, 65536, (12, 8, 10), np.uint16)


def folder_of(folder, frames, name="{}.png"):
    folder.mkdir()
    for number, frame in enumerate(frames):
        iio.imwrite(folder / name.format(number), frame)
    return folder


def pixels(sequence, start=0):
    return [np.asarray(frame.image.pixels) for frame in sequence.frames(start)]


def test_the_images_of_a_folder_are_frames_in_natural_order(tmp_path):
    sequence = open_sequence(folder_of(tmp_path / "a", FRAMES))  # 10.png behind 9.png
    assert (sequence.count, sequence.rate, sequence.notes) == (12, None, [])
    assert np.array_equal(pixels(sequence), FRAMES)
    assert np.array_equal(pixels(sequence, 7), FRAMES[7:])
    assert pixels(sequence, 12) == []


def test_a_template_gives_the_images_that_are_like_it(tmp_path):
    folder_of(tmp_path / "a", FRAMES, "ir_{}.png")
    iio.imwrite(tmp_path / "a" / "vis_3.png", FRAMES[0])
    sequence = open_sequence(tmp_path / "a" / "ir_{}.png")
    assert sequence.count == 12
    assert np.array_equal(pixels(sequence, 9), FRAMES[9:])
    with pytest.raises(FusionlabError) as refused:
        open_sequence(tmp_path / "a" / "x_{}.png")
    assert refused.value.code == "no-images"


def test_a_stack_gives_the_same_frames_as_a_folder(tmp_path):
    folder_of(tmp_path / "a", FRAMES)
    tifffile.imwrite(tmp_path / "plain.tif", FRAMES, photometric="minisblack")
    tifffile.imwrite(tmp_path / "imagej.tif", FRAMES, imagej=True)
    tifffile.imwrite(tmp_path / "big.tif", FRAMES, bigtiff=True, compression="deflate")
    for name in ("a", "plain.tif", "imagej.tif", "big.tif"):
        sequence = open_sequence(tmp_path / name)
        assert sequence.count == 12
        assert np.array_equal(pixels(sequence), FRAMES)
        assert np.array_equal(pixels(sequence, 5), FRAMES[5:])


def test_reduced_pages_are_no_frames(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for frame in FRAMES[:3]:
            file.write(frame, metadata=None)
            file.write(frame[::2, ::2], subfiletype=1, metadata=None)
    sequence = open_sequence(tmp_path / "a.tif")
    assert sequence.count == 3
    assert np.array_equal(pixels(sequence), FRAMES[:3])


def test_the_frames_of_a_gif_are_frames_and_one_image_is_one_frame(tmp_path):
    frames = (FRAMES[:4] >> 8).astype(np.uint8)
    iio.imwrite(tmp_path / "a.gif", frames)
    sequence = open_sequence(tmp_path / "a.gif")
    assert sequence.count == 4
    assert [frame.shape[:2] for frame in pixels(sequence, 1)] == [(8, 10)] * 3
    iio.imwrite(tmp_path / "one.png", frames[0])
    assert open_sequence(tmp_path / "one.png").count == 1
    assert not is_sequence_file(tmp_path / "a.gif")  # it is an image unless the user says otherwise


def test_a_damaged_image_or_page_is_a_damaged_frame_and_the_others_are_read(tmp_path):
    folder = folder_of(tmp_path / "a", FRAMES[:3])
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:60])
    tifffile.imwrite(tmp_path / "a.tif", FRAMES[:3], photometric="minisblack", compression="zlib")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        place = file.pages[1].dataoffsets[0]
    content[place : place + 20] = bytes(20)
    (tmp_path / "a.tif").write_bytes(content)
    for path in (folder, tmp_path / "a.tif"):
        frames = list(open_sequence(path).frames())
        assert [isinstance(frame.image, FusionlabError) for frame in frames] == [False, True, False]
        assert frames[1].image.code == "unreadable"
        assert np.array_equal(frames[2].image.pixels, FRAMES[2])


def test_a_stack_that_is_cut_off_gives_the_frames_that_are_there(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for frame in FRAMES:
            file.write(frame, metadata=None)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    sequence = open_sequence(tmp_path / "a.tif")
    assert np.array_equal(pixels(sequence), FRAMES[:5])
    assert sequence.notes == [f"{tmp_path / 'a.tif'}: it is cut off, and ends after 5 frames"]


def test_gaps_in_numbers_and_images_that_are_not_taken_are_noted(tmp_path):
    folder = folder_of(tmp_path / "a", FRAMES, "ir_{:04}.png")
    (folder / "ir_0004.png").unlink()
    (gap,) = open_sequence(folder).notes
    assert "its numbers go from ir_0003 to ir_0005" in gap
    (folder / "ir_0004.raw").write_bytes((folder / "ir_0005.png").read_bytes())
    other, _ = open_sequence(folder).notes
    assert "ir_0004.raw is a PNG image" in other
    steps = folder_of(tmp_path / "b", FRAMES)
    for number in range(1, 12, 2):
        (steps / f"{number}.png").unlink()
    assert open_sequence(steps).notes == []


def test_the_channels_of_frames_can_be_selected_but_not_their_pages(tmp_path):
    rgb = np.stack([FRAMES[:3]] * 3, -1)
    rgb[..., 2] += 1
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb")
    assert np.array_equal(pixels(open_sequence(f"{tmp_path / 'a.tif'}[channels=3]")), rgb[..., 2])
    with pytest.raises(FusionlabError) as refused:
        open_sequence(f"{tmp_path / 'a.tif'}[page=2]")
    assert refused.value.code == "bad-selection"


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (None, "missing-file", "does not exist"),
        (b"", "unreadable", "it is empty"),
        (b"Dear Sir or Madam", "unreadable", "neither a video nor an image in a known format"),
        (b"II*\0\xff\xff\xff\xff", "unreadable", "expected a complete TIFF"),
    ],
)
def test_what_is_no_sequence_is_refused_in_one_sentence(tmp_path, content, code, says):
    if content is not None:
        (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(FusionlabError, match=says) as refused:
        open_sequence(tmp_path / "a.mp4")
    assert refused.value.code == code
    assert not is_sequence_file(tmp_path / "a.mp4")


def test_an_empty_folder_and_too_many_pixels_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FusionlabError) as refused:
        open_sequence(tmp_path / "empty")
    assert refused.value.code == "no-images"
    tifffile.imwrite(tmp_path / "a.tif", FRAMES, photometric="minisblack")
    with pytest.raises(FusionlabError) as refused:
        open_sequence(tmp_path / "a.tif", max_pixels=79)
    assert refused.value.code == "too-many-pixels"


def test_the_identity_of_a_sequence_is_that_of_its_content(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", FRAMES, photometric="minisblack")
    folder_of(tmp_path / "a", FRAMES)
    before = [open_sequence(tmp_path / name).identity for name in ("a.tif", "a")]
    assert before == [open_sequence(tmp_path / name).identity for name in ("a.tif", "a")]
    tifffile.imwrite(tmp_path / "a.tif", FRAMES[::-1], photometric="minisblack")
    iio.imwrite(tmp_path / "a" / "3.png", FRAMES[4])
    after = [open_sequence(tmp_path / name).identity for name in ("a.tif", "a")]
    assert not set(before) & set(after)


def test_memory_does_not_grow_with_the_pages_of_a_stack(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for _ in range(300):
            file.write(FRAMES[0], metadata=None)
    sequence = open_sequence(path)
    held = []
    tracemalloc.start()
    for number, _ in enumerate(sequence.frames()):
        if number in (50, 290):
            held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[1] - held[0] < 100_000  # 240 pages as tifffile holds them take 1 MB


MINE = """
    import numpy as np
    from fusionlab import Frame, FrameSequence, LoadedImage, SequenceReaderRef, hookimpl

    @hookimpl
    def fusionlab_sequence_readers():
        return [
            SequenceReaderRef("SEQ", __name__ + ":open_seq", "Of the lab.", (".seq",), rb"SEQ"),
            SequenceReaderRef("LOST", "lab_nowhere:open_it", "", (".lost",), rb"LOST",
                              requires="lab-nowhere"),
        ]

    class Seq(FrameSequence):
        identity = "x"

        def frames(self, start=0):
            for number in range(start, self.count):
                if number == 2:
                    raise SystemExit("at two")
                yield Frame(LoadedImage(self.name, np.full((2, 2), number), ""))

    def open_seq(path, check_size):
        content = path.read_bytes()
        if content == b"SEQ-":
            return None
        if content == b"SEQ?":
            return "nothing"
        check_size(2, 2)
        return Seq(str(path), 3, 25)
"""


def test_a_plugin_reads_videos_of_its_own_and_costs_a_sentence_when_it_fails(install, tmp_path):
    install("lab-video", MINE)
    path = tmp_path / "a.bin"
    path.write_bytes(b"SEQ")
    assert is_sequence_file(path)
    sequence = fusionlab.open_sequence(path)
    assert (sequence.count, sequence.rate, sequence.identity) == (3, 25, "x")
    read = []
    with pytest.raises(FusionlabError, match="SystemExit: at two") as failed:
        read.extend(frame.image.pixels[0, 0] for frame in sequence.frames())
    assert (read, failed.value.code) == ([0, 1], "unreadable")
    with pytest.raises(FusionlabError) as refused:
        open_sequence(path, max_pixels=3)
    assert refused.value.code == "too-many-pixels"
    for content, says in (
        (b"SEQ-", "a kind of SEQ"),
        (b"SEQ?", "did not return"),
        (b"LOST", "pip"),
    ):
        path.write_bytes(content)
        with pytest.raises(FusionlabError, match=says):
            open_sequence(path)
    with pytest.raises(FusionlabError, match="no page or channels"):
        open_sequence(f"{path}[page=2]")


def test_a_video_in_the_place_of_an_image_is_called_one_and_not_read(tmp_path, monkeypatch):
    (tmp_path / "a.mkv").write_bytes(b"\x1a\x45\xdf\xa3" + bytes(999))
    monkeypatch.setattr(Path, "read_bytes", None)
    with pytest.raises(FusionlabError, match="it is a Matroska video, whose frames") as refused:
        fusionlab.read_image(tmp_path / "a.mkv")
    assert refused.value.code == "unreadable"


def test_the_frames_of_a_file_that_was_closed_early_are_not_held_open(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", FRAMES, photometric="minisblack")
    frames = open_sequence(tmp_path / "a.tif").frames()
    next(frames)
    frames.close()  # a warning about an open file would be an error here
    (tmp_path / "a.tif").unlink()
