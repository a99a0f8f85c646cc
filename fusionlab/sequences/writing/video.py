"""Frames as a video: H.264 for players, or lossless FFV1 with 8 or 16 bits for computing.

A segment is a file of its own encoder, so that its packets depend on no frame outside it. At the
end the packets are copied, not encoded again. Segments are in the container NUT, which holds any
codec and exact times. Frames are never reordered (no B-frames), and encoders run with a fixed
number of threads, on which the packets of H.264 depend.

PyAV does the work, an extra of this package (`fusionlab-imaging[video]`).
"""

from __future__ import annotations

import heapq
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError, one_line
from fusionlab.imaging.depth import Depth
from fusionlab.imaging.writing import FORMATS, Format
from fusionlab.sequences.writing.files import SegmentFile, SingleFileOutput, written
from fusionlab.sequences.writing.output import Layout, SegmentContent, SegmentWriter
from fusionlab.storage.versions import library_versions

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from fusionlab.runs.file_fusion import Product

DEFAULT_RATE = Fraction(25)
"""Frames per second where the sources state no times."""

TICKS = 90_000
"""A second has at least so many ticks, a multiple of the rate: the clock of MPEG."""

SEGMENTS = "nut"
"""The container of segments: of any codec, with exact times."""

MAX_TICKS = 2**31 - 1
"""More ticks in a second do not fit into MP4."""

BLACK, WHITE = 16, 235
"""Luma of black and white in H.264, where players expect the limited range of ITU-R BT.709."""

THREADS = 4
"""Of each encoder, whatever the machine has: with another number H.264 gives other packets."""


@dataclass(frozen=True)
class Codec:
    """How frames are encoded."""

    name: str
    """Of FFmpeg."""
    options: Callable[[Layout], dict[str, str]]
    depths: tuple[Depth, ...]
    pixel_format: Callable[[Layout], str]


@dataclass(frozen=True)
class Container:
    """A kind of video file."""

    name: str
    """Of FFmpeg."""
    codec: Codec


def _h264_pixels(layout: Layout) -> str:
    """Return 4:2:0, which all players show; of odd sizes 4:4:4, since 4:2:0 has none."""
    return "yuv444p" if layout.width % 2 or layout.height % 2 else "yuv420p"


def _ffv1_pixels(layout: Layout) -> str:
    names = {(1, 8): "gray", (1, 16): "gray16le", (3, 8): "bgr0", (3, 16): "gbrp16le"}
    return names[layout.channels, layout.depth]


def _h264_options(_layout: Layout) -> dict[str, str]:
    return {"crf": "18", "preset": "medium", "bf": "0"}


def _ffv1_options(layout: Layout) -> dict[str, str]:
    """Return four slices, which are decoded at the same time and have checksums."""
    slices = "4" if min(layout.height, layout.width) > 1 else "1"  # they are two by two
    return {"level": "3", "g": "1", "slices": slices, "slicecrc": "1", "context": "0"}


H264 = Codec("libx264", _h264_options, (8,), _h264_pixels)
FFV1 = Codec("ffv1", _ffv1_options, (8, 16), _ffv1_pixels)
CONTAINERS = {
    ".mp4": Container("mp4", H264),
    ".mov": Container("mov", H264),
    ".mkv": Container("matroska", FFV1),
}


class VideoOutput(SingleFileOutput):
    """A video.

    Args:
        path: the file; its suffix decides the container and the codec: .mp4 and .mov are H.264
            with 8 bits, for players; .mkv is lossless FFV1 with 8 or 16 bits.
        rate: frames per second; None: `DEFAULT_RATE`.
        audio: the file whose audio is copied, as far as the video is long; None: none is.

    Raises:
        FusionlabError: PyAV is not installed (code `missing-extra`); or the audio cannot be copied
            (`no-audio`).
    """

    suffixes = tuple(CONTAINERS)

    def __init__(self, path: Path, rate: Fraction | None = None, audio: Path | None = None) -> None:
        _check_installed(path)
        self.container = CONTAINERS[path.suffix.lower()]
        # a frame by itself would be a PNG
        self.format = Format(self.container.codec.depths, FORMATS[".png"].encode, lossless=False)
        super().__init__(path)
        self.rate = DEFAULT_RATE if rate is None else rate.limit_denominator(100_000)
        self.audio = audio
        if audio is not None:
            self._check_audio(audio)
        per_frame = -(-TICKS // self.rate.numerator)
        ticks = self.rate.numerator * per_frame
        self.time_base = Fraction(1, ticks if ticks <= MAX_TICKS else TICKS)

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the packets depend on besides the frames."""
        codec = self.container.codec
        return {
            "video": self.container.name,
            "codec": [codec.name, THREADS],
            "time_base": str(self.time_base),
            "rate": str(self.rate),
            "libraries": library_versions(["av"]),
        }

    def notes(self, layout: Layout) -> list[str]:
        """Return what the user should know about the video, sentences that begin with its name."""
        if self.container.codec.pixel_format(layout) == "yuv444p":
            size = f"{layout.width}x{layout.height}"
            note = f"{self.path} has chroma in full resolution (4:4:4) for its odd size {size}"
            return [f"{note}, which some players do not show"]
        return []

    def ticks(self, number: int, time: Fraction | None) -> int:
        """Return when a frame is shown, in units of the time base."""
        seconds = number / self.rate if time is None else time
        return round(seconds / self.time_base)

    def add_stream(self, output: OutputContainer, layout: Layout) -> VideoStream:
        """Add the stream of the frames to a file that is written."""
        codec = self.container.codec
        stream = cast(
            "VideoStream",
            output.add_stream(codec.name, rate=self.rate, options=codec.options(layout)),
        )
        stream.width, stream.height = layout.width, layout.height
        stream.pix_fmt = codec.pixel_format(layout)
        stream.time_base = stream.codec_context.time_base = self.time_base
        stream.codec_context.thread_count = THREADS
        _describe_color(stream, stream.pix_fmt)
        return stream

    def segment(self, number: int, layout: Layout) -> SegmentWriter:
        """Begin a segment: a file with an encoder of its own."""
        return _Packets(self, f"{number:06}.nut", layout)

    def comment(self) -> str:
        """Return the comment among the metadata of the video."""
        with _opened_video(self.path) as video:
            return next(
                (text for name, text in video.metadata.items() if name.lower() == "comment"), ""
            )

    def write(
        self, file: BinaryIO, contents: Sequence[SegmentContent], layout: Layout, comment: str
    ) -> None:
        """Copy the packets of all segments; see `SingleFileOutput`."""
        paths = [self.parts / name for content in contents for name in content["files"]]
        with ExitStack() as stack:
            output = stack.enter_context(_open_to_write(file, self.container.name))
            output.metadata["comment"] = comment
            video = self.add_stream(output, layout)  # describes the packets; encodes none
            packets = self._of_segments(paths, video)
            if self.audio is not None:
                source = stack.enter_context(_opened_video(self.audio))
                audio = output.add_stream_from_template(source.streams.audio[0])
                end = contents[-1]["last"] * self.time_base + 1 / self.rate
                sounds = _audio_packets(source, audio, end)
                packets = heapq.merge(packets, sounds, key=itemgetter(0))
            output.start_encoding()
            for _, packet in packets:  # in the order of their times: the container keeps few
                output.mux(packet)

    def _of_segments(
        self, paths: Sequence[Path], stream: VideoStream
    ) -> Iterator[tuple[Fraction, Packet[Any]]]:
        """Yield the packets of all segments, and their times, which only grow."""
        last = -1
        for path in paths:
            with _opened(path) as segment:
                video = segment.streams.video[0]
                if video.codec_context.extradata != stream.codec_context.extradata:
                    raise ValueError(f"{path} is from another encoder; begin anew")
                for packet in segment.demux(video):
                    if packet.pts is None:  # the end
                        continue
                    last = max(round(packet.pts * packet.time_base / self.time_base), last + 1)
                    packet.time_base = self.time_base
                    packet.pts = packet.dts = last
                    packet.duration = round(1 / self.rate / self.time_base)
                    packet.stream = stream
                    yield last * self.time_base, packet

    def _check_audio(self, audio: Path) -> None:
        """Refuse a file without audio, or with audio that the container cannot hold."""
        with _opened_video(audio) as source:
            if not source.streams.audio:
                raise FusionlabError(
                    f"{audio} has no audio to copy; leave it out",
                    code="no-audio",
                    option="audio",
                    path=audio,
                )
            name = source.streams.audio[0].codec_context.codec.canonical_name
        if name not in _codecs_in(self.container.name):
            able = [
                suffix for suffix, other in CONTAINERS.items() if name in _codecs_in(other.name)
            ]
            remedy = f"write a {able[0]}, or leave it out" if able else "leave it out"
            raise FusionlabError(
                f"{self.path} cannot hold the audio of {audio}, which is {name}; {remedy}",
                code="no-audio",
                option="audio",
                path=audio,
            )


class _Packets(SegmentFile):
    """The packets of one segment."""

    def __init__(self, video: VideoOutput, name: str, layout: Layout) -> None:
        self._video, self._layout = video, layout
        self._pixel_format = video.container.codec.pixel_format(layout)
        self._last = -1
        super().__init__(video.parts, name)

    def begin(self) -> None:
        """Open the encoder.

        Raises:
            FusionlabError: it takes no frames of this size (code `encoding`).
        """
        from av.error import FFmpegError

        self._output = _open_to_write(self.file, SEGMENTS)
        self._stream = self._video.add_stream(self._output, self._layout)
        try:
            self._output.start_encoding()
        except FFmpegError as error:
            path, layout = self._video.path, self._layout
            raise FusionlabError(
                f"cannot write {path}: its encoder takes no frames of {layout.width}x"
                f"{layout.height} pixels; write a .tif, or a folder of frames",
                code="encoding",
                path=path,
            ) from error

    def add(self, number: int, time: Fraction | None, product: Product) -> None:
        """Encode a frame."""
        with written(self.path):
            frame = _frame(np.asarray(product.fused.image), self._pixel_format)
            frame.pts = self._last = max(self._video.ticks(number, time), self._last + 1)
            frame.time_base = self._video.time_base
            self._output.mux(self._stream.encode(frame))

    def close(self) -> SegmentContent:
        """Complete the file."""
        return {**super().close(), "last": self._last}

    def finish(self) -> None:
        """Write the packets that the encoder still holds."""
        self._output.mux(self._stream.encode())
        self._output.close()


def _describe_color(stream: VideoStream, pixel_format: str) -> None:
    """Declare what the samples mean, in the numbers of ITU-T H.273."""
    context = stream.codec_context
    if pixel_format.startswith("yuv"):
        context.color_primaries = context.color_trc = context.colorspace = 1  # BT.709
        context.color_range = 1  # limited
    else:
        context.color_range = 2  # full


def _frame(pixels: NDArray[Any], pixel_format: str) -> VideoFrame:
    """Return a frame of an image `(H, W)` or `(H, W, 3)`."""
    from av.video.frame import VideoFrame
    from av.video.reformatter import ColorRange, Colorspace

    pixels = np.ascontiguousarray(pixels)
    if pixel_format == "bgr0":
        return VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgr0")
    if not pixel_format.startswith("yuv"):
        return VideoFrame.from_ndarray(pixels, format=pixel_format)
    if pixels.ndim == 3:
        return VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
            format=pixel_format,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
    return _gray_as_yuv(pixels, pixel_format)


def _gray_as_yuv(pixels: NDArray[np.uint8], pixel_format: str) -> VideoFrame:
    """Return gray levels as luma, with chroma that is neutral everywhere."""
    from av.video.frame import VideoFrame

    height, width = pixels.shape
    levels = np.floor(np.arange(256) * (WHITE - BLACK) / 255 + BLACK + 0.5).astype(np.uint8)
    frame = VideoFrame(width, height, pixel_format)
    for plane, samples in zip(frame.planes, (levels[pixels], None, None), strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)  # type: ignore[call-overload]
        rows[:, : plane.width] = 128 if samples is None else samples
    return frame


def _audio_packets(
    source: InputContainer, stream: AudioStream, end: Fraction
) -> Iterator[tuple[Fraction, Packet[Any]]]:
    """Yield the audio packets of a video and their times, which count from its first frame.

    Args:
        source: the video.
        stream: of the result.
        end: when the result ends, in seconds.
    """
    start = Fraction(0)
    if source.streams.video:
        video = source.streams.video[0]
        start = (video.start_time or 0) * (video.time_base or Fraction(1))
    for packet in source.demux(source.streams.audio[0]):
        if packet.pts is None:  # the end, or damaged
            continue
        time = packet.pts * packet.time_base - start
        if time >= end:
            return
        if time >= 0:
            shift = round(start / packet.time_base)
            packet.dts = (packet.pts if packet.dts is None else packet.dts) - shift
            packet.pts -= shift
            packet.stream = stream
            yield time, packet


@contextmanager
def _opened(path: Path, demuxer: str = SEGMENTS) -> Iterator[InputContainer]:
    """Open a file to read its packets.

    Raises:
        FusionlabError: it cannot be read (code `unreadable`).
    """
    from av.error import FFmpegError

    from fusionlab.sequences.formats.containers import open_container

    with ExitStack() as stack:
        try:
            container = stack.enter_context(open_container(path, demuxer))
        except (OSError, FFmpegError) as error:
            raise FusionlabError(
                f"cannot read {path}: {one_line(error)}",
                code="unreadable",
                path=path,
            ) from error
        yield container


@contextmanager
def _opened_video(path: Path) -> Iterator[InputContainer]:
    """Open a video of any kind.

    Raises:
        FusionlabError: it is none (code `no-video`), or cannot be read (`unreadable`).
    """
    from fusionlab.sequences.formats import DEMUXERS
    from fusionlab.sequences.formats.containers import kind_of

    try:
        kind = kind_of(path)
    except OSError as error:
        raise FusionlabError(
            f"cannot read {path}: {error.strerror}", code="unreadable", path=path
        ) from error
    if kind is None:
        raise FusionlabError(f"{path} is not a video of a known format", code="no-video", path=path)
    with _opened(path, DEMUXERS[kind]) as source:
        yield source


def _open_to_write(file: BinaryIO, container: str) -> OutputContainer:
    import av

    # without random numbers and versions: the same frames give the same bytes
    return av.open(file, "w", format=container, options={"fflags": "+bitexact"})


def _codecs_in(container: str) -> AbstractSet[str]:
    """Return the names of the codecs that a container can hold."""
    with _open_to_write(io.BytesIO(), container) as output:
        return output.supported_codecs


def _check_installed(path: Path) -> None:
    """Refuse to write a video without PyAV."""
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise FusionlabError(
            f"cannot write {path}: videos need fusionlab-imaging[video]; install it: "
            "pip install 'fusionlab-imaging[video]', or write a .tif or a folder of frames",
            code="missing-extra",
            path=path,
        ) from error
