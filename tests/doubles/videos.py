"""Small videos, written with PyAV."""

from fractions import Fraction

import av
import numpy as np

rows, columns = np.mgrid[:48, :64]
DEEP = [
    ((columns * 500 + rows * 300 + number * 997) % 65536).astype(np.uint16) for number in range(30)
]
"""Thirty gray frames of 16 bits, `(48, 64)`."""
GRAY = [(frame >> 8).astype(np.uint8) for frame in DEEP]
COLOR = [np.stack([f, np.roll(f, 5, 1), np.roll(f, 9, 0)], -1) for f in GRAY]

_noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
NOISE = [np.roll(_noise, (2 * number, number), (0, 1)) for number in range(30)]
"""Frames that move, of which no part is like another one."""


def write(path, codec, pix_fmt, frames, given="rgb24", rate=25, times=None, color=None, **options):
    """Write a video.

    Args:
        path: its suffix decides the container.
        codec: of FFmpeg.
        pix_fmt: of the file.
        frames: arrays of the format `given`, or frames of PyAV.
        given: the format of the arrays.
        rate: frames per second.
        times: of the frames, in milliseconds; None: at the rate.
        color: (matrix, range) that the file states.
        options: of the codec.
    """
    with av.open(str(path), "w") as file:
        stream = file.add_stream(
            codec, rate=rate, options={key: str(value) for key, value in options.items()}
        )
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        if color:
            stream.codec_context.colorspace, stream.codec_context.color_range = color
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, pixels in enumerate(frames):
            frame = pixels
            if isinstance(pixels, np.ndarray):
                frame = av.VideoFrame.from_ndarray(pixels, format=given)
            if number == 0:
                stream.width, stream.height = frame.width, frame.height
            if color:
                frame.colorspace, frame.color_range = color
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def planar(planes, pix_fmt):
    """Return a frame of PyAV of these planes."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, values in zip(frame.planes, planes, strict=True):
        line = np.zeros((plane.height, plane.line_size // values.itemsize), values.dtype)
        line[:, : values.shape[1]] = values
        plane.update(line.tobytes())
    return frame


def joined(path, *parts):
    """Write videos of one codec behind each other, 40 ms a frame."""
    with av.open(str(path), "w") as file:
        stream, time = None, 0
        for part in parts:
            with av.open(str(part)) as source:
                video = source.streams.video[0]
                stream = stream or file.add_stream_from_template(video)
                for packet in source.demux(video):
                    if packet.size:
                        packet.stream, packet.pts, packet.dts = stream, time, time
                        file.mux(packet)
                        time += 40
    return path


def music(path):
    """Write half a second of silence."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.int16), "s16", "mono")
        frame.rate = 8000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def without_index(path):
    """Write an MP4 that is cut off before its index, which is at its end."""
    write(path, "libx264", "yuv420p", COLOR)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moov")])
    return path


def turned(path):
    """Write a video that is to be turned by a right angle, as phones held upright do it."""
    write(path, "png", "rgb24", COLOR[:3])
    content, unit, none = path.read_bytes(), b"\0\1\0\0", bytes(4)
    straight = unit + none * 3 + unit
    matrix = none + unit + none + b"\xff\xff\0\0" + none
    place = content.index(straight, content.index(b"tkhd"))
    path.write_bytes(content[:place] + matrix + content[place + len(matrix) :])
    return path


def packets(path):
    """Return where the packets of the video in a file are, and how long: (position, size)."""
    with av.open(str(path)) as file:
        return [(p.pos, p.size) for p in file.demux(file.streams.video[0]) if p.size]


def damage(path, number, at=0.5):
    """Invert some bytes in a packet of a file."""
    content = bytearray(path.read_bytes())
    position, size = packets(path)[number]
    start = position + int(size * at)
    content[start : start + 8] = bytes(byte ^ 0x5A for byte in content[start : start + 8])
    path.write_bytes(content)
