"""The result of a fusion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, cast

import numpy as np
from numpy.typing import NDArray

from fusionlab.errors import FusionlabError
from fusionlab.imaging.arrays import Image, Stack
from fusionlab.imaging.color import Color
from fusionlab.imaging.depth import Depth
from fusionlab.imaging.formats.pillow_formats import encode_png
from fusionlab.imaging.range_policy import OutsideCount, RangePolicy, RunningMinMax
from fusionlab.namespaces import Array, as_dtype, is_tensor, namespace_of

MAX_8_BIT_SOURCES = 256
"""The index map of more sources has 16 bits."""

PREVIEW_EDGE = 2048
"""Larger images are subsampled for notebooks, to at most this many rows and columns."""


@dataclass(frozen=True)
class Fused(Generic[Image]):
    """A fused image, and the weights of the sources. Notebooks display the image."""

    image: Image
    weights: list[Image]
    """One map per source, floats in 0..1; empty unless requested. Where color was fused channel
    by channel, the maps are in color, with equal channels where these share their weights."""
    limits: NDArray[np.float64]
    """The values of each source that became black and white: `(k, N, 2)`, float64, in its units."""
    extremes: NDArray[np.float64]
    """The smallest and largest value of each source, likewise; NaN for sources of 8 and 16
    bits whose scale is `auto` or `full`."""
    colors: tuple[Color, ...]
    """The color mode of each of the N images."""
    outside: NDArray[np.float64]
    """The share of the decoded values of each image that the range policy had to bring into 0..255:
    `(N,)` in 0..1, float64. Rounding errors do not count."""
    tile: int | None = None
    """Edge of the tiles, if memory did not suffice for those that were planned."""
    valid: Image | None = None
    """Where at least one source is data: truth values, of the kind of the weight maps, without
    color; None: everywhere. Elsewhere floats of the image are NaN, integers 0, weights 0."""
    no_data: NDArray[np.int64] | None = None
    """How many pixels of each source are no data: `(k, N)`, int64; None: not known."""

    @property
    def index(self) -> Image:
        """Which source each pixel mostly comes from: the number of the largest weight, from 0.

        Of the kind of the weight maps, without color: `(H, W)`, `(1, H, W)` or `(N, 1, H, W)`;
        uint8, or uint16 for more than 256 sources. The first of several equal weights wins, also
        where no source is data. For a focus stack it is a map of depth. It takes `weights=True`.

        Raises:
            FusionlabError: the weights were not requested (code `no-weights`).
        """
        if not self.weights:
            raise FusionlabError(
                "the index map needs the weights of the sources; fuse with weights=True",
                code="no-weights",
            )
        maps: Any = self.weights
        many = len(maps) > MAX_8_BIT_SOURCES
        if is_tensor(maps[0]):
            gray = [m if m.ndim == 2 else m.mean(dim=-3, keepdim=True) for m in maps]
            numbers: Any = namespace_of(maps[0]).stack(gray).argmax(dim=0)
            return cast("Image", as_dtype(numbers, "uint16" if many else "uint8"))
        arrays = [m if m.ndim == 2 else m.mean(axis=2) for m in map(np.asarray, maps)]
        numbers = np.stack(arrays).argmax(axis=0)
        return cast("Image", numbers.astype(np.uint16 if many else np.uint8))

    def _repr_png_(self) -> bytes | None:
        """Return the image as an 8-bit PNG, clipped to 0..1; None for a batch of several."""
        pixels = _pixels(self.image)
        if pixels is None:
            return None
        step = max(1, -(-max(pixels.shape[:2]) // PREVIEW_EDGE))
        return encode_png(_as_8_bits(pixels[::step, ::step]))


def shown_bands(
    stack: Stack,
    bands: Iterable[Array],
    policy: RangePolicy | None,
    depth: Depth | None,
    minmax: RunningMinMax | None = None,
) -> Fused[Any]:
    """Make an image of decoded planes, without weights; see `Stack.image` for the arguments."""
    outside = OutsideCount()

    def counted() -> Iterator[Array]:
        top = 0
        for band in bands:
            outside.add(stack.grouped(band), stack.valid_rows(top, top + band.shape[-2]))
            top += band.shape[-2]
            yield band

    image = stack.image(counted(), policy, depth, minmax)
    return Fused(
        image,
        [],
        stack.limits,
        stack.extremes,
        stack.colors,
        outside.share(),
        None,
        stack.valid,
        stack.no_data,
    )


def fuse_by_mode(
    sources: Sequence[Image],
    colors: Sequence[Color],
    fuse: Callable[[Sequence[Image], Color], Fused[Image]],
) -> Fused[Image]:
    """Fuse the images of a batch, those of each color mode together.

    Args:
        sources: k sources of N images; tensors `(N, C, H, W)` where there are several modes.
        colors: the color mode of each image.
        fuse: fuses sources in one color mode.
    """
    modes = sorted(set(colors))
    if len(modes) == 1:
        return fuse(sources, modes[0])
    positions = [[n for n, color in enumerate(colors) if color == mode] for mode in modes]
    batches: Any = sources
    parts: list[Any] = [
        fuse([batch[numbers] for batch in batches], mode)
        for numbers, mode in zip(positions, modes, strict=True)
    ]
    order = np.argsort([number for numbers in positions for number in numbers]).tolist()

    def joined(parts: Iterable[Array], axis: int = 0) -> Any:
        images = list(parts)
        xp = namespace_of(images[0])
        together = xp.concatenate(images, axis=axis)
        in_order = [together[n : n + 1] if axis == 0 else together[:, n : n + 1] for n in order]
        return xp.concatenate(in_order, axis=axis)

    weights = []
    for maps in zip(*(part.weights for part in parts), strict=True):
        channels = max(images.shape[1] for images in maps)
        weights.append(joined(images.expand(-1, channels, -1, -1) for images in maps))
    image: Any = joined(part.image for part in parts)
    valid: Any = None
    if any(part.valid is not None for part in parts):
        valid = joined(
            as_dtype(part.image[:, :1] * 0 + 1, "bool") if part.valid is None else part.valid
            for part in parts
        )
    return Fused(
        image,
        weights,
        joined((part.limits for part in parts), 1),
        joined((part.extremes for part in parts), 1),
        tuple(colors),
        joined(part.outside for part in parts),
        min((part.tile for part in parts if part.tile), default=None),
        valid,
        joined((part.no_data for part in parts), 1),
    )


def _pixels(image: Any) -> NDArray[Any] | None:
    """Return a single image as an array `(H, W)` or `(H, W, 3)`."""
    if not is_tensor(image):
        array = np.asarray(image)
        return array[..., 0] if array.shape[2:] == (1,) else array
    tensor = image.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.double()  # numpy has no bfloat16
    if tensor.ndim == 4:
        if len(tensor) != 1:
            return None
        tensor = tensor[0]
    if tensor.ndim == 3:
        tensor = tensor[0] if len(tensor) == 1 else tensor.movedim(0, -1)
    pixels: NDArray[Any] = tensor.numpy()
    return pixels


def _as_8_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    white = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    levels = np.clip(pixels.astype(np.float64) / white, 0, 1) * 255
    return np.floor(levels + 0.5).astype(np.uint8)
