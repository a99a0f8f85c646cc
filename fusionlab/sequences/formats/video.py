"""Videos, with PyAV: the libraries of FFmpeg."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import PictureType
from av.video.stream import VideoStream

from fusionlab.errors import FusionlabError, one_line
from fusionlab.imaging.decoding import SizeCheck, UnsupportedImage
from fusionlab.imaging.reading import MAX_PIXELS, loaded_image
from fusionlab.sequences.contract import Frame, FrameSequence
from fusionlab.sequences.formats import DEMUXERS
from fusionlab.sequences.formats.containers import kind_of, open_container
from fusionlab.sequences.formats.decoding import MAY_SHOW_NOTHING, PROGRESSIVE, Decoding, Shown
from fusionlab.sequences.formats.pixels import decoded
from fusionlab.storage.hashing import sha256_of_file
from fusionlab.threads import available_cores

INDEXED = ("MP4", "Matroska", "AVI", "Y4M")
"""Formats in which a frame is found by its time, also in a damaged file; streams are searched."""
DIFFERENCES = (PictureType.P, PictureType.B)
"""Kinds of frames that build on others. Streams without key frames, which are refreshed part by
part, call some of them key frames."""
REGULAR = 0.1
"""How far the time between two frames may be from the usual one, which is 1."""
MOST_GAPS = 8
"""A video whose times are irregular more often than once in so many frames has no constant rate."""
MOST_REORDERED = 16
"""Frames that a decoder holds back at most, to return them in their order (H.264, A.3.1)."""
_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
"""How a stream of Matroska states how long it is."""


def open_video(path: Path, check_size: SizeCheck) -> FrameSequence:
    """Open a video; its frames are decoded one at a time.

    Raises:
        FusionlabError: it is damaged or holds no video (code `unreadable`).
        Exception: what the library raises at damaged files.
    """
    name = kind_of(path)
    assert name is not None  # it was recognized as one
    return Video(path, name, check_size)


class _NoKeyFrameError(Exception):
    """Where reading was to begin, no frame can be decoded without those before it."""


@dataclass
class _Index:
    """When the frames of a video are shown, in units of its stream."""

    times: array[int]
    """Of all frames, ascending."""
    keys: dict[int, int | None] = field(default_factory=dict)
    """Of key frames, ascending -> where they are in the file, in bytes."""
    packets: int = 0
    """How many packets there are."""


class _Gaps:
    """Whether frames are missing in a video whose frames come at a constant rate.

    What a demuxer skips in a damaged file leaves no other trace.
    """

    def __init__(self, rate: Fraction | None) -> None:
        self._step = 1 / rate if rate else None
        self._before: Fraction | None = None
        self._regular = self._irregular = 0
        self._first: tuple[Fraction, Fraction] | None = None

    def add(self, time: Fraction | None) -> None:
        """Take account of the time of the next frame."""
        before, self._before = self._before, time
        if self._step is None or time is None or before is None:
            return
        steps = (time - before) / self._step
        if abs(steps - 1) < REGULAR:
            self._regular += 1
            return
        self._irregular += 1
        if self._first is None and steps > 1:
            self._first = before, time

    def described(self) -> str:
        """Return where the first frames are missing; empty: nowhere, or the rate varies."""
        if self._first is None or self._irregular * MOST_GAPS > self._regular:
            return ""
        start, end = map(float, self._first)
        return f"between {start:.6g} s and {end:.6g} s"


class Video(FrameSequence):
    """A video.

    Args:
        path: of the file.
        kind: the name of its format, a key of `DEMUXERS`.
        check_size: as for a `SequenceReaderFunction`.

    Raises:
        FusionlabError: it is damaged or holds no video (code `unreadable`).
    """

    def __init__(self, path: Path, kind: str, check_size: SizeCheck) -> None:
        self._path, self._kind, self._check_size = path, kind, check_size
        with self._opened() as (container, stream):
            count, self._packets = _counts(stream, kind)
            rate, self._duration = _rate(stream), _duration(stream)
            estimate = round(self._duration * rate) if self._duration and rate else None
            super().__init__(str(path), count or estimate, rate, is_estimated=count is None)
            context = stream.codec_context
            check_size(context.width, context.height)
            reorders = kind == "AVI" and context.reorder_depth > 0
            self._is_ordered = not reorders
            self._can_seek = (
                kind in INDEXED
                and self._is_ordered
                and context.name not in MAY_SHOW_NOTHING
                and context.field_order in PROGRESSIVE
            )
            """Whether each packet is a frame, and packets can be found without decoding others."""
            if (videos := len(_shown(container))) > 1:
                self.notes.append(f"{path}: it holds {videos} videos, of which the first is used")

    @property
    def identity(self) -> str:
        """The hash of the file.

        Raises:
            OSError: the file cannot be read.
        """
        return sha256_of_file(self._path)

    def frames(self, start: int = 0) -> Generator[Frame]:
        """Decode the frames; those that are damaged, or build on damaged ones, are errors."""
        index = self._index() if start and self._can_seek else None
        if index is not None:
            if start >= len(index.times):
                return
            with suppress(_NoKeyFrameError), self._opened() as (container, stream):
                _seek(container, stream, index, start)
                yield from self._frames(container, stream, start, index)
                return
        with self._opened() as (container, stream):
            yield from self._frames(container, stream, start, None)

    def _frames(
        self, container: InputContainer, stream: VideoStream, start: int, index: _Index | None
    ) -> Generator[Frame]:
        """Decode the frames of a file that is at a key frame, and yield those from a number on."""
        decoding = Decoding(container, stream, is_ordered=self._is_ordered)
        first = index.times[0] if index else None
        last, gaps = Fraction(0), _Gaps(self.rate)
        lost: list[Frame] = []
        count = 0
        for shown in decoding.frames():
            if index and not count and not _is_whole(shown):
                raise _NoKeyFrameError
            first = shown.pts if first is None else first
            number = count if index is None else bisect_left(index.times, shown.pts or 0)
            count = number + 1
            last = (shown.pts or 0) * Fraction(stream.time_base or 0)
            time = self._time(number, shown.pts, first, stream)
            gaps.add(time)
            if number < start:
                continue
            frame = self._frame(number, shown, time)
            if shown.frame is None:
                lost.append(frame)
            else:
                yield from lost
                lost.clear()
                yield frame
        if where := gaps.described():
            self._note(f"{self.name}: frames are missing {where}")
        packets = index.packets if index else decoding.packets
        unknown = not (self._packets or self._duration)
        if self._is_cut_off(packets, last) or decoding.broke_off or (lost and unknown):
            self._note_end(count - len(lost))  # what is lost at a cut is no frame
        else:
            yield from lost

    def _time(
        self, number: int, pts: int | None, first: int | None, stream: VideoStream
    ) -> Fraction | None:
        """Return when a frame is shown, in seconds since the first one."""
        if self._is_ordered and pts is not None and first is not None and stream.time_base:
            return (pts - first) * Fraction(stream.time_base)
        return number / self.rate if self.rate else None

    def _frame(self, number: int, shown: Shown, time: Fraction | None) -> Frame:
        """Return a frame as an image, or why it is none."""
        name = self.name
        if shown.frame is None or shown.damage:
            reason = "builds on a damaged one" if shown.damage == "dependent" else "is damaged"
            return Frame(_unreadable(self._path, f"its frame {number} {reason}"), time)
        try:
            self._check_size(shown.frame.width, shown.frame.height)  # it may change
            return Frame(loaded_image(*decoded(shown.frame), name), time)
        except UnsupportedImage as error:
            return Frame(
                FusionlabError(
                    f"{name} must be a gray or RGB video, got {one_line(error)}; convert it first",
                    code="unsupported-image",
                ),
                time,
            )
        except FusionlabError as error:
            return Frame(error, time)

    def _is_cut_off(self, packets: int, last: Fraction) -> bool:
        """Return whether there is less than the header states.

        Args:
            packets: that were there.
            last: the time of the last frame, in seconds since the beginning of the file.
        """
        if self._packets:
            return packets < self._packets
        return bool(self._duration and self.rate and last + 2 / self.rate < self._duration)

    def _note_end(self, count: int) -> None:
        stated = f", of {self.count} that its header states" if self.count else ""
        if self.is_estimated and self._duration:
            stated = f", before the {float(self._duration):.6g} s that its header states"
        self._note(f"{self.name}: it is damaged or cut off, and ends after {count} frames{stated}")

    def _note(self, note: str) -> None:
        """Add a note that is not there yet: frames may be read several times."""
        if note not in self.notes:
            self.notes.append(note)

    def _index(self) -> _Index | None:
        """Return when the frames are shown, by reading the file without decoding it.

        None: packets do not state it. Left out are the packets that `Decoding` leaves out.
        """
        index = _Index(array("q"))
        with self._opened() as (container, stream):
            try:
                for packet in container.demux(stream):
                    index.packets += packet.size > 0
                    time = packet.pts
                    if packet.is_keyframe and time is not None:
                        index.keys[time] = packet.pos
                    if not packet.size or packet.is_discard or not index.keys:
                        continue
                    if time is None:
                        return None
                    if time >= next(iter(index.keys)):
                        index.times.append(time)
            except MemoryError:
                raise
            except FFmpegError:
                pass  # the end of what can be read
            delay = MOST_REORDERED if stream.codec_context.reorder_depth else 0
        if not index.times or not _is_steady(index.times, delay):
            return None
        index.times = array("q", sorted(index.times))
        index.keys = dict(sorted(index.keys.items()))
        return index

    @contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """Open the file, and find its video."""
        with ExitStack() as stack:
            try:
                container = stack.enter_context(open_container(self._path, DEMUXERS[self._kind]))
            except MemoryError:  # FFmpeg's own is an FFmpegError, too
                raise
            except FFmpegError as error:
                raise _unreadable(
                    self._path,
                    f"its header is damaged, or it is cut off; expected a complete {self._kind} "
                    "video",
                ) from error
            yield container, self._stream(container)

    def _stream(self, container: InputContainer) -> VideoStream:
        streams = _shown(container)
        if not streams:
            kinds = {stream.type for stream in container.streams}
            what = f"only {' and '.join(sorted(kinds))}" if kinds else "nothing"
            raise _unreadable(self._path, f"it holds no video, {what}")
        stream = streams[0]
        context = stream.codec_context
        if context is None:
            raise _unreadable(self._path, "its codec is not one that FFmpeg decodes")
        if not (context.width and context.height):
            raise _unreadable(
                self._path,
                f"its header states no size of its frames, or more than {MAX_PIXELS} pixels",
            )
        context.thread_count = available_cores()
        context.thread_type = "AUTO"
        context.options = {"max_pixels": str(max(MAX_PIXELS, context.width * context.height))}
        return stream


def _shown(container: InputContainer) -> list[VideoStream]:
    """Return the videos in a file, without the cover of a piece of music."""
    return [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]


def _rate(stream: VideoStream) -> Fraction | None:
    """Return frames per second, on average, or what the first times look like."""
    rate = stream.average_rate or stream.guessed_rate
    return Fraction(rate) if rate else None


def _is_steady(times: array[int], delay: int) -> bool:
    """Return whether times grow, but for frames that are decoded before earlier ones.

    Args:
        times: in the order of decoding.
        delay: how many frames may be decoded before an earlier one; 0: none.
    """
    latest = array("q", accumulate(times, max))
    steady = all(after > before for before, after in zip(latest, times[delay + 1 :], strict=False))
    return steady and len(set(times)) == len(times)


def _is_whole(shown: Shown) -> bool:
    """Return whether a frame was decoded without others."""
    return shown.frame is not None and shown.frame.pict_type not in DIFFERENCES


def _counts(stream: VideoStream, kind: str) -> tuple[int | None, int]:
    """Return how many frames a video has, and how many packets, by its header; else None and 0."""
    if kind != "MP4" or not stream.frames:
        return stream.frames or None, stream.frames
    entries = list(stream.index_entries)  # without what is cut off from the beginning or the end
    return sum(not entry.is_discard for entry in entries), len(entries)


def _duration(stream: VideoStream) -> Fraction | None:
    """Return how many seconds a stream of Matroska lasts; None: its header does not state it."""
    match = _DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if match is None:
        return None
    return (int(match[1]) * 60 + int(match[2])) * 60 + Fraction(match[3])


def _seek(container: InputContainer, stream: VideoStream, index: _Index, number: int) -> None:
    """Go to a key frame from which on a frame can be decoded.

    Where frames build on others, that is the last but one: some encoders let frames build on what
    is before a key frame.

    Raises:
        _NoKeyFrameError: that was not possible.
    """
    target = index.times[number]
    keys = list(index.keys)
    last = bisect_right(keys, target) - 1
    begin = keys[last if stream.codec_context.codec.intra_only else max(0, last - 1)]
    try:
        container.seek(begin, stream=stream)
        key = next(packet for packet in container.demux(stream) if packet.is_keyframe)
        container.seek(begin, stream=stream)
    except (FFmpegError, StopIteration) as error:
        raise _NoKeyFrameError from error
    # damaged files may be counted in another way from there on
    if not (key.pts in index.keys and index.keys[key.pts] == key.pos and key.pts <= target):
        raise _NoKeyFrameError


def _unreadable(path: Path, reason: str) -> FusionlabError:
    return FusionlabError(f"cannot read {path}: {reason}", code="unreadable", path=path)
