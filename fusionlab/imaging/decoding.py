"""What the decoders of the file formats share: their result, and how they decline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

SizeCheck = Callable[[int, int], None]
"""Called with (width, height) as the header has them, before any pixel is decoded."""

_UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: np.fliplr(np.rot90(pixels, -1)),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.fliplr(np.rot90(pixels, 1)),
    8: lambda pixels: np.rot90(pixels, 1),
}
"""EXIF orientation -> what brings the picture upright (CIPA DC-008, tag 0x0112)."""


class UnsupportedImage(Exception):  # noqa: N818  # not an error of the file: it is sound, and something else
    """The file is complete, but holds no gray or RGB image; the message says what it holds."""


def frames_left_out(frames: int) -> tuple[str, ...]:
    """Say that a file has more frames than are used; nothing if it has one."""
    return (f"only the first of its {frames} frames or pages is used",) if frames > 1 else ()


@dataclass(frozen=True)
class Decoded:
    """The first image of a file."""

    pixels: NDArray[Any]
    """`(H, W)`, or `(H, W, C)` with C up to 4: gray or RGB, and perhaps alpha behind it."""
    orientation: int = 1
    frames: int = 1
    notes: tuple[str, ...] = ()
    """What was left out or changed, each continuing the sentence "X: ..."."""

    def normalized(self) -> Decoded:
        """Bring the image upright and leave out alpha and further frames, saying so.

        Raises:
            UnsupportedImage: what remains is no image.
        """
        pixels, notes = self.pixels, list(self.notes)
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * np.uint8(255)
        if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
            pixels = pixels[..., :-1]
            notes.append("its alpha channel is left out")
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[..., 0]
        if 0 in pixels.shape or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
            raise UnsupportedImage(f"pixels in the shape {pixels.shape}")
        notes += frames_left_out(self.frames)
        if turn := _UPRIGHT.get(self.orientation):
            pixels = turn(pixels)
        return replace(self, pixels=np.ascontiguousarray(pixels), notes=tuple(notes))
