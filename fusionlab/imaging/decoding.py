"""The interface of the decoders: their result, and the exception for unsupported images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionlab.imaging.depth import pixel_dtype
from fusionlab.imaging.metadata import NOTHING, Metadata
from fusionlab.imaging.nodata import has_value

SizeCheck = Callable[[int, int], None]
"""Called with (width, height) from the header before any pixel is decoded; may raise."""

_UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: np.fliplr(np.rot90(pixels, -1)),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.fliplr(np.rot90(pixels, 1)),
    8: lambda pixels: np.rot90(pixels, 1),
}
"""EXIF orientation -> function that makes the image upright (CIPA DC-008, tag 0x0112)."""


class UnsupportedImage(Exception):  # noqa: N818  # not an error of the file, which is intact
    """The file is intact, but is not a gray or RGB image; the message says what it is instead."""


def held(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels as they are held in memory: contiguous, in a dtype that torch has.

    Two-level images become 0 and 255; see `fusionlab.imaging.depth.pixel_dtype`.
    """
    contiguous = np.ascontiguousarray(pixels, pixel_dtype(pixels.dtype))
    return contiguous * np.uint8(255) if pixels.dtype == bool else contiguous


@dataclass(frozen=True)
class Decoded:
    """One image of a file, as it is stored."""

    pixels: NDArray[Any]
    """`(H, W)`, or `(H, W, C)` with the channels of its `Page`: gray or RGB, possibly followed by
    alpha, or others, of which some must be selected."""
    orientation: int = 1
    """How it is to be turned: the value of the EXIF tag."""
    notes: tuple[str, ...] = ()
    """What was ignored or changed; each continues the sentence "X: ..."."""
    bits: int | None = None
    """Bits of an unsigned sample that the format counts from black to white, as 12 bits in a dtype
    of 16: white is 2**bits - 1. None: all of the dtype."""
    unit: str = ""
    """The physical unit of the values: `"C"` for degrees Celsius, `"K"`, `"HU"`; empty: none."""
    window: tuple[float, float] | None = None
    """The values that the file wants to be black and white, such as the window of a CT."""

    valid: NDArray[np.bool_] | None = None
    """Which pixels are data, `(H, W)`, beside what alpha says; None: all."""
    nodata: float | None = None
    """A pixel whose channels all have this value is no data."""
    metadata: Metadata = NOTHING
    """What the file says beside the pixels, as it says it."""

    def with_channels(self, numbers: tuple[int, ...]) -> Decoded:
        """Return one channel, `(H, W)`, or three of them, `(H, W, 3)`, as an image."""
        pixels = self.pixels if self.pixels.ndim == 3 else self.pixels[..., None]
        chosen = pixels[..., numbers[0]] if len(numbers) == 1 else pixels[..., list(numbers)]
        return replace(self, pixels=chosen)

    def normalized(self) -> Decoded:
        """Return the image upright, without alpha, with a note for everything that was ignored.

        Raises:
            UnsupportedImage: the result is not a gray or RGB image.
        """
        if pixel_dtype(self.pixels.dtype) is None:
            raise UnsupportedImage(f"pixels of the type {self.pixels.dtype}")
        pixels, notes = self.pixels, list(self.notes)
        valid = self.valid
        if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
            visible = pixels[..., -1] != 0
            notes.append(_note_alpha(pixels[..., -1], visible))
            valid = visible if valid is None else valid & visible
            pixels = pixels[..., :-1]
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[..., 0]
        if 0 in pixels.shape or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
            raise UnsupportedImage(f"pixels of shape {pixels.shape}")
        if self.nodata is not None:
            present = ~has_value(pixels, self.nodata)
            valid = present if valid is None else valid & present
        if valid is not None and valid.all():
            valid = None
        metadata = self.metadata
        if turn := _UPRIGHT.get(self.orientation):
            pixels, metadata = turn(pixels), metadata.reshaped()
            valid = None if valid is None else np.ascontiguousarray(turn(valid))
        pixels = held(pixels)
        return replace(self, pixels=pixels, notes=tuple(notes), valid=valid, metadata=metadata)


def _note_alpha(alpha: NDArray[Any], visible: NDArray[np.bool_]) -> str:
    """Return what is done with alpha: transparent pixels are no data, and the rest is ignored."""
    if visible.all():
        return "its alpha channel is ignored"
    opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else 1
    count = np.sum(~visible)
    note = f"it is transparent at {count} of {visible.size} pixels, which are no data"
    soft = bool((visible & (alpha != opaque)).any())
    return f"{note}; the rest of its alpha channel is ignored" if soft else note
