"""Make images of the frames of a video: gray in full depth, color as RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation
from numpy.typing import NDArray

from fusionlab.imaging.contents import channel_names
from fusionlab.imaging.decoding import Decoded, UnsupportedImage

MATRICES = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
"""How a frame encodes color (ITU-T H.273, MatrixCoefficients) -> the parts of red and blue in the
luma: BT.709, FCC, BT.601 (twice), SMPTE 240M, BT.2020 (twice)."""
OF_SCALER = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
"""The same -> what FFmpeg's scaler calls it."""
RGB, UNSPECIFIED = 0, 2
HD = (1280, 576)
"""Frames of at least this width, or of more rows, are of BT.709 where a file does not say, as
players take them; smaller ones of BT.601."""
FLAGS = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.BITEXACT
)
"""The same result on every processor, rounded."""
ORIENTATIONS = {-90: 6, 90: 8, 180: 3, -180: 3}
"""Degrees, counterclockwise, by which a frame is to be turned -> the value of EXIF for that."""
LUMA_BLACK, LUMA_RANGE, CHROMA_RANGE = 16, 219, 224
"""Of the limited range, in 8 bits (ITU-R BT.601, 2.5.3)."""


def decoded(frame: VideoFrame) -> tuple[Decoded, tuple[str, ...]]:
    """Return the pixels of a frame as an image file would give them, and names of its channels.

    Gray frames, and RGB of separate planes, have the values and the bits of the file. Luma and
    chroma become RGB, of 8 bits, or of 16 bits where they have more than 8.

    Raises:
        UnsupportedImage: its color or its numbers are of a kind that cannot be converted.
    """
    try:
        pixels, bits = _pixels(frame)
    except MemoryError:  # FFmpeg's own is an FFmpegError, too
        raise
    except (FFmpegError, ValueError) as error:  # the scaler, and PyAV
        raise UnsupportedImage(f"pixels of the format {frame.format.name}") from error
    notes = []
    rotation = frame.rotation
    if rotation and rotation not in ORIENTATIONS:
        notes.append(f"it is to be turned by {rotation} degrees, which is ignored")
    if frame.interlaced_frame:
        notes.append(
            "it is interlaced: every other row is of another time, so that what moves has combs; "
            "deinterlace it first"
        )
    channels = channel_names(1 if pixels.ndim == 2 else pixels.shape[2])
    return Decoded(pixels, ORIENTATIONS.get(rotation, 1), tuple(notes), bits), channels


def _pixels(frame: VideoFrame) -> tuple[NDArray[Any], int | None]:
    """Return the pixels, `(H, W)` or `(H, W, C)`, and the bits of a sample."""
    form = frame.format
    bits = max(component.bits for component in form.components)
    alpha = any(component.is_alpha for component in form.components) or form.has_palette
    if form.name.startswith("ya"):  # gray and alpha
        return _converted(frame, "rgba64le" if bits > 8 else "rgba")[..., [0, 3]], None
    if form.name.startswith(("gray", "gbr")):
        return frame.to_ndarray(), bits
    matrix = None
    if not (form.is_rgb or form.name.startswith("xyz")) and len(form.components) >= 3:
        matrix = _matrix(frame)  # of luma and chroma
    if matrix is not None and bits > 8 and not alpha:
        return _rgb_of(frame, *MATRICES[matrix]), None
    target = f"rgb{'a' if alpha else ''}"
    if bits > 8:
        target = "rgba64le" if alpha else "rgb48le"
    elif form.name.startswith("mono"):
        target = "gray"
    elif not alpha:
        target = "rgb24"
    return _converted(frame, target, matrix), None


def _matrix(frame: VideoFrame) -> int:
    """Return how a frame encodes color."""
    matrix = frame.colorspace
    if matrix in (RGB, UNSPECIFIED):  # of luma and chroma, RGB is a mistake
        return 1 if frame.width >= HD[0] or frame.height > HD[1] else 6
    if matrix not in MATRICES:
        raise UnsupportedImage(f"color of the kind {matrix} of ITU-T H.273")
    return matrix


def _converted(frame: VideoFrame, target: str, matrix: int | None = None) -> NDArray[Any]:
    """Return the pixels of a frame in another format, in the full range."""
    space, source = (None, None) if matrix is None else (OF_SCALER[matrix], _range(frame))
    return frame.reformat(
        format=target,
        src_colorspace=space,
        dst_colorspace=space,
        src_color_range=source,
        dst_color_range=None if matrix is None else ColorRange.JPEG,
        interpolation=FLAGS,
    ).to_ndarray()


def _range(frame: VideoFrame) -> ColorRange:
    """Return the range of the luma of a frame: limited, unless the file says otherwise."""
    full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    return ColorRange.JPEG if full else ColorRange.MPEG


def _rgb_of(frame: VideoFrame, red: float, blue: float) -> NDArray[np.uint16]:
    """Return a frame of more than 8 bits as RGB of 16.

    FFmpeg's scaler gives 65280 for white of the limited range, which is one gray level of 255 less.
    It is used for what it does without loss or by interpolation: bits in front, and full chroma.
    """
    planes = frame.reformat(
        format="yuv444p16le",
        src_color_range=ColorRange.MPEG,  # else bits are repeated behind those of the luma
        dst_color_range=ColorRange.MPEG,
        interpolation=FLAGS,
    ).to_ndarray()
    bits = frame.format.components[0].bits
    if _range(frame) == ColorRange.JPEG:  # bits were put in front, so that white is not 65535
        luma, chroma, black = (2.0**bits - 1) * 2 ** (16 - bits), 2.0 ** (16 - bits), 0
        chroma *= 2.0**bits - 1
    else:
        luma, chroma, black = LUMA_RANGE * 256.0, CHROMA_RANGE * 256.0, LUMA_BLACK * 256
    y = (planes[..., 0].astype(np.float32) - black) / luma
    u, v = ((planes[..., c].astype(np.float32) - 2**15) / chroma for c in (1, 2))
    rgb = np.empty(planes.shape, np.float32)
    rgb[..., 0] = y + 2 * (1 - red) * v
    rgb[..., 2] = y + 2 * (1 - blue) * u
    green = 1 - red - blue
    rgb[..., 1] = y - 2 * red * (1 - red) / green * v - 2 * blue * (1 - blue) / green * u
    rgb *= 65535
    rgb += 0.5
    return rgb.clip(0, 65535).astype(np.uint16)
