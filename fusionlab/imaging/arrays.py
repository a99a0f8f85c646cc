"""Stack: sources in any depth, gray or color, to planes, and fused planes to an image like them.

The pipeline knows one shape: planes `(k, N, 1, H, W)` in 0..1. A color image is three planes,
each fused as a gray image, or one plane with its luminance: `fusionlab.imaging.color`. Planes are
cut from the sources tile by tile, and the image is made from the fused planes band by band, so that
neither is in memory as floats at full size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from threading import local
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fusionlab.imaging.color import Color, MergedChroma, fit_to_range, luminance, recolored
from fusionlab.imaging.depth import DTYPES, Depth, depth_of
from fusionlab.imaging.filling import RADIUS, SAMPLES, Filler, stacked_masks
from fusionlab.imaging.range_policy import (
    RangePolicy,
    RunningMinMax,
    map_to_range,
    round_half_up,
)
from fusionlab.imaging.rows import BAND_BYTES, BaseRows, InMemoryRows, OnDiskRows, Rows
from fusionlab.imaging.rows import bands as bands_of
from fusionlab.imaging.scale import COMPUTE_DTYPE, WHITE, Scale, scales_for
from fusionlab.imaging.sources import (
    BaseSource,
    CountedParts,
    Part,
    bit_depth_order,
    open_sources,
    unmasked,
)
from fusionlab.namespaces import (
    Array,
    as_array,
    as_dtype,
    detached,
    dtype_name,
    is_floating,
    is_tensor,
    namespace_of,
)

if TYPE_CHECKING:
    from torch import Tensor

Image = TypeVar("Image", NDArray[Any], "Tensor", Rows)
"""numpy: `(H, W)` or `(H, W, 3)`; torch: `(H, W)`, `(C, H, W)` or `(N, C, H, W)`, C 1 or 3; or
`Rows` of a file, shaped like numpy."""

Sink = list[Any] | InMemoryRows | OnDiskRows
"""What bands of the result are appended to."""

SPOOL_BYTES = 2**27
"""Decoded planes larger than this are kept on disk while their minimum and maximum are computed."""


class Stack:
    """K sources as gray planes, and the way back from fused planes to an image like the sources.

    N is the batch size, times three where color is fused channel by channel.

    Args:
        sources: k >= 2 images of one size.
        scale: what becomes black and white, one for all sources or one for each; see
            `fusionlab.imaging.scale`.
        color: which planes represent a color image; see `fusionlab.imaging.color`.
        names: of the sources, for error messages; by default source 1, source 2, ...

    Raises:
        FusionlabError: there are fewer than two sources, they are arrays mixed with tensors, have
            other shapes than an `Image`, differ in size or batch size, or hold values that the
            scale does not accept.
    """

    def __init__(
        self,
        sources: Sequence[Image],
        scale: Sequence[Scale] = (Scale(),),
        color: Color = "per-channel",
        names: Sequence[str] = (),
    ) -> None:
        k = len(sources)
        self._sources = open_sources(sources, names)
        self._scales = scales_for(scale, k)
        self._color: Color = color
        channels = max(source.channels for source in self._sources)
        self._channels = channels
        self.group: int = channels if color == "per-channel" else 1
        """How many consecutive planes belong to one image."""
        height, width = self._sources[0].size
        self.shape = (k, self._sources[0].images * self.group, height, width)
        """k, N, H, W."""
        parts = [CountedParts(source) for source in self._sources]
        measured = [
            scale.measure(counted, source.images, source.dtype, source.name)
            for source, counted, scale in zip(self._sources, parts, self._scales, strict=True)
        ]
        self.no_data = np.stack([counted.counts() for counted in parts])
        """How many pixels of each source are no data, `(k, images)`."""
        for source, counts in zip(self._sources, self.no_data, strict=True):
            source.may_lack_data = bool(counts.any())
        self.limits = np.stack([limits for limits, _ in measured])
        """Which values became black and white, `(k, images, 2)` in the units of each source."""
        self.extremes = np.stack([extremes for _, extremes in measured])
        """The smallest and largest values, `(k, images, 2)`; NaN for 8 and 16 bits whose scale is
        the range of their type."""
        self._recolors = color == "luma" and channels > 1
        self._axes = max(source.axes for source in self._sources)
        self._dtype = max((source.dtype for source in self._sources), key=bit_depth_order)
        self._arrays = any(isinstance(unmasked(source), np.ndarray) for source in sources)
        self._filler = self._make_filler() if self.no_data.any() else None
        self._last_filled = _LastFilled()

    @property
    def on_tensors(self) -> bool:
        """Whether the sources are tensors, through which gradients may flow."""
        return self.device is not None

    @property
    def device(self) -> Any:
        """Where the sources are, if they are tensors; None for arrays."""
        return self._sources[0].device

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are required of a source."""
        return any(source.requires_grad for source in self._sources)

    @property
    def colors(self) -> tuple[Color, ...]:
        """The color mode of each image."""
        return (self._color,) * self._sources[0].images

    def cut(self, images: slice, rows: slice, columns: slice) -> Array:
        """Return a rectangle of some planes, `(k, n, 1, h, w)`, float32 in 0..1."""
        planes = []
        for unit in self._units(rows, columns):
            gray = unit if self._color == "per-channel" else luminance(unit)
            planes.append(_with_channels(gray, self.group).reshape(-1, 1, *gray.shape[2:])[images])
        return namespace_of(planes[0]).stack(planes)

    def cut_luminance(self, images: slice, rows: slice, columns: slice) -> Array:
        """Return a part of the luminance of some images, `(k, n, 1, h, w)`, float32 in 0..1."""
        parts = [_exact_luminance(unit[images]) for unit in self._units(rows, columns)]
        return namespace_of(parts[0]).stack(parts)

    def cut_color(self, images: slice, rows: slice, columns: slice) -> Array | None:
        """Return a part of some images in color, `(k, n, 3, h, w)`; None if all are gray.

        Float32 in 0..1; a gray source among color ones has three equal channels.
        """
        if self._channels == 1:
            return None
        parts = [_with_channels(unit[images], 3) for unit in self._units(rows, columns)]
        return namespace_of(parts[0]).stack(parts)

    def cut_valid(self, images: slice, rows: slice, columns: slice) -> Array | None:
        """Return which pixels of a part of some images are data, `(k, n, 1, h, w)`; None: all."""
        if self._filler is None:
            return None
        valid = self._filled(self._filler, rows, columns).valid
        return None if valid is None else valid[:, images]

    def planes(self) -> Array:
        """Return all planes, `(k, N, 1, H, W)`."""
        _, images, height, width = self.shape
        return self.cut(slice(images), slice(height), slice(width))

    def image(
        self,
        bands: Iterable[Array],
        policy: RangePolicy | None,
        depth: Depth | None,
        minmax: RunningMinMax | None = None,
    ) -> Any:
        """Make an image like the sources from decoded planes.

        Args:
            bands: from top to bottom, `(N, 1, h, W)` each, nominally in 0..1: arrays, or tensors on
                the device of the sources where these are tensors.
            policy: how they become displayable; None returns them unchanged, as floats.
            depth: bits per sample of the result; None: those of the deepest source. Ignored without
                a policy.
            minmax: what is known of earlier frames, for `minmax`; None: this image stands alone.
        """
        if policy != "minmax":
            minmax = None
        else:  # the range of the complete image is needed before the first pixel
            minmax = minmax or RunningMinMax()
            bands = self._measured(bands, minmax) if minmax.needs_values else bands
        dtype = DTYPES[depth or depth_of(self._dtype)]
        if policy is None or (depth is None and is_floating(self._dtype)):
            dtype = self._dtype if is_floating(self._dtype) else COMPUTE_DTYPE
        sink, top = self._sink(dtype), 0
        for band in bands:
            images = self.grouped(band)
            displayed: Any = self._displayed(images, top, policy, minmax, dtype)
            sink.append(displayed if self.on_tensors else _as_array(displayed))
            top += images.shape[-2]
        if isinstance(sink, list):
            return namespace_of(sink[0]).concatenate(sink, axis=-2)[(0,) * (4 - self._axes)]
        return sink.pixels if isinstance(sink, InMemoryRows) else sink

    def weight_maps(self, bands: Sequence[Array]) -> list[Any]:
        """Make images of floats from weight maps `(k, N, 1, h, W)` of the fused planes."""
        maps = []
        for planes in namespace_of(bands[0]).concatenate(list(bands), axis=-2):
            images = self.grouped(planes)
            axes = (0,) * (4 - self._axes)
            maps.append(images[axes] if self.on_tensors else _as_array(images))
        return maps

    def grouped(self, planes: Array) -> Array:
        """Return planes `(N, 1, h, W)` as the images that they belong to, `(N, C, h, W)`."""
        return planes.reshape(-1, self.group, *planes.shape[2:])

    def _displayed(
        self,
        images: Array,
        top: int,
        policy: RangePolicy | None,
        minmax: RunningMinMax | None,
        dtype: str,
    ) -> Array:
        """Bring a band of images `(N, C, h, W)` to the range and the dtype of the result."""
        chroma = None
        if self._recolors:
            height, width = images.shape[-2:]
            merged = MergedChroma()
            for unit, valid in self._scaled(slice(top, top + height), slice(width)):
                merged.add(unit, valid)
            chroma = merged.result()
        if policy is None:
            displayed = images if chroma is None else recolored(images, chroma)
        else:
            white = WHITE.get(dtype, 1)
            if chroma is None:
                displayed = map_to_range(images, white, minmax)
            else:
                luma = map_to_range(images, 1, minmax)
                displayed = fit_to_range(recolored(luma, chroma), luma) * white
            displayed = round_half_up(displayed) if dtype in WHITE else displayed
        somewhere = self.valid_rows(top, top + images.shape[-2])
        if somewhere is not None:
            nothing = math.nan if is_floating(dtype) else 0
            displayed = namespace_of(displayed).where(somewhere, displayed, nothing)
        return as_dtype(displayed, dtype)

    @property
    def valid(self) -> Any:
        """Where at least one source is data, as an image without color; None: everywhere.

        Tensors `(H, W)`, `(1, H, W)` or `(N, 1, H, W)`, arrays `(H, W)`, or rows that are read from
        the files of the sources, which hold 0 and 1.
        """
        if self.no_data.min(axis=0).max() == 0:
            return None
        if not (self.on_tensors or self._arrays):
            height, width = self.shape[2:]
            step = max(1, BAND_BYTES // width)
            tops = range(0, height, step)
            some = any(self.valid_rows(t, min(t + step, height)) is not None for t in tops)
            return _ValidRows(self) if some else None
        valid = self.valid_rows(0, self.shape[2])
        if valid is None:
            return None
        return valid[(0,) * (4 - self._axes)] if self.on_tensors else valid[0, 0]

    def valid_rows(self, top: int, bottom: int) -> Array | None:
        """Return where at least one source is data in some rows, `(N, 1, h, W)`; None: all are."""
        if not all(source.may_lack_data for source in self._sources):
            return None
        somewhere: Array | None = None
        for source in self._sources:
            _, valid = source.cut(slice(top, bottom), slice(self.shape[3]))
            if valid is None:
                return None
            somewhere = valid if somewhere is None else somewhere | valid
        return None if somewhere is None or somewhere.all() else somewhere

    def _units(self, rows: slice, columns: slice) -> Iterable[Array]:
        """Cut every source, scale it to float32 in 0..1, and fill it: `(N, C, h, w)`."""
        if self._filler is not None:
            return self._filled(self._filler, rows, columns).images
        return (unit for unit, _ in self._scaled(rows, columns))

    def _scaled(self, rows: slice, columns: slice) -> Iterator[Part]:
        """Cut every source, and scale it to float32 in 0..1; 0 where it is no data."""
        for number, source in enumerate(self._sources):
            yield self._scale(number, *source.cut(rows, columns))

    def _scale(self, number: int, pixels: Array, valid: Array | None) -> Part:
        unit = self._scales[number].apply(pixels, self.limits[number])
        return (unit if valid is None else namespace_of(unit).where(valid, unit, 0)), valid

    def _make_filler(self) -> Filler:
        step = max(1, max(self.shape[2:]) // SAMPLES)
        parts = [
            self._scale(number, *source.sampled(step))
            for number, source in enumerate(self._sources)
        ]
        return Filler([unit for unit, _ in parts], stacked_masks(parts))

    def _filled(self, filler: Filler, rows: slice, columns: slice) -> _Filled:
        """Cut and fill; the last part is kept, since it is asked for in several forms."""
        last = self._last_filled
        if last.part != (rows, columns):
            outer, inner = zip(
                *(
                    _with_halo(part, size)
                    for part, size in zip((rows, columns), self.shape[2:], strict=True)
                ),
                strict=True,
            )
            parts = list(self._scaled(*outer))
            valid = stacked_masks(parts)
            units = [unit for unit, _ in parts]
            if not valid[..., *inner].all():
                units = filler.fill(units, valid)
            valid = valid[..., *inner]
            filled = _Filled([unit[..., *inner] for unit in units], None if valid.all() else valid)
            last.part, last.filled = (rows, columns), filled
        return last.filled

    def _measured(self, bands: Iterable[Array], minmax: RunningMinMax) -> Iterable[Array]:
        """Consume all bands to measure them, and yield them again; large ones from the disk."""
        planes, height, width = self.shape[1:]
        sink: Sink = []
        if not self.on_tensors:
            rows_type = OnDiskRows if 4 * planes * height * width > SPOOL_BYTES else InMemoryRows
            sink = rows_type((height, planes, width), np.float32)
        top = 0
        for band in bands:
            valid = self.valid_rows(top, top + band.shape[-2])
            minmax.add(self.grouped(band), valid)
            top += band.shape[-2]
            rows: Any = band
            if not self.on_tensors:
                rows = np.moveaxis(band[:, 0], 0, 1)
            sink.append(rows)
        if isinstance(sink, list):
            return sink
        # a few rows at a time: they become float64, several times over
        return (np.moveaxis(rows, 1, 0)[:, None] for rows in bands_of(sink, size=2**22))

    def _sink(self, dtype: str) -> Sink:
        """Return where the result goes: tensors are joined, rows of files stay in a file."""
        if self.on_tensors:
            return []
        colors = (3,) if self.group == 3 or self._recolors else ()
        rows_type = InMemoryRows if self._arrays else OnDiskRows
        return rows_type((*self.shape[2:], *colors), dtype)


class _Filled(NamedTuple):
    """A part of the sources whose pixels that are no data are filled."""

    images: list[Array]
    """In 0..1, `(N, C, h, w)` each."""
    valid: Array | None
    """Which pixels are data, `(k, N, 1, h, w)`; None: all."""


class _LastFilled(local):
    """The part that a thread has filled last."""

    part: tuple[slice, slice] | None = None
    filled: _Filled


class _ValidRows(BaseRows):
    """Where at least one source is data: 0 and 1, read from the files of the sources."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack.shape[2:], np.uint8)
        self._stack = stack

    def _read(self, top: int, bottom: int) -> NDArray[Any]:
        valid = self._stack.valid_rows(top, bottom)
        if valid is None:
            return np.ones((bottom - top, self.shape[1]), np.uint8)
        rows: NDArray[Any] = valid[0, 0].astype(np.uint8)
        return rows


def color_modes(
    sources: Sequence[Image], color: Color | Literal["auto"], names: Sequence[str] = ()
) -> list[Color]:
    """Return the color mode of each of the N images.

    `auto` becomes `luma` where a gray source meets one in color, else `per-channel`. A source
    of three channels is gray if they are equal at every pixel.

    Args:
        sources: as for `Stack`.
        color: the mode that was chosen.
        names: of the sources, for error messages.

    Raises:
        FusionlabError: as `Stack`.
    """
    if color != "auto":
        return [color] * open_sources(sources, names)[0].images
    return [mode_of(kinds) for kinds in zip(*in_color(sources, names), strict=True)]


def in_color(sources: Sequence[Image], names: Sequence[str] = ()) -> list[list[bool]]:
    """Return for each source which of its N images are in color; see `color_modes`."""
    opened = open_sources(sources, names)
    if all(source.channels == 1 for source in opened):
        return [[False] * source.images for source in opened]
    return list(map(_in_color, opened))


def mode_of(kinds: Iterable[bool]) -> Color:
    """Return the color mode of sources that are in color, or not."""
    return "luma" if len(set(kinds)) > 1 else "per-channel"


def _in_color(source: BaseSource) -> list[bool]:
    """Return for each image of a source whether its channels differ at any pixel."""
    colored = [False] * source.images
    if source.channels == 1:
        return colored
    for part, valid in source.parts():
        values = comparable(detached(part))
        differs = values[:, 1:] != values[:, :1]
        if valid is not None:
            differs = differs & valid
        now = differs.reshape(len(differs), -1).any(axis=1).tolist()
        colored = [before or also for before, also in zip(colored, now, strict=True)]
        if all(colored):
            break
    return colored


def _with_halo(part: slice, size: int) -> tuple[slice, slice]:
    """Return a part of an axis with what the fill looks at, and where the part lies in that."""
    start, stop, _ = part.indices(size)
    first, last = max(0, start - RADIUS), min(size, stop + RADIUS)
    return slice(first, last), slice(start - first, stop - first)


def comparable(images: Array) -> Array:
    """Return integers of 16 bits as signed ones: torch compares few types without a sign."""
    if is_tensor(images) and dtype_name(images) == "uint16":
        return images.view(namespace_of(images).int16)
    return images


def _with_channels(images: Array, channels: int) -> Array:
    """Return gray images `(N, 1, h, w)` with equal channels; others as they are."""
    shape = (len(images), channels, *images.shape[2:])
    return namespace_of(images).broadcast_to(images, shape)


def _exact_luminance(images: Array) -> Array:
    """Return Y of images `(N, C, h, w)`; where the three channels are equal, exactly that value.

    The weights of a gray image that is stored in three channels are then those of the gray image.
    """
    if images.shape[1] == 1:
        return images
    equal = (images[:, 1:] == images[:, :1]).all(axis=1, keepdims=True)
    return namespace_of(images).where(equal, images[:, :1], luminance(images))


def _as_array(images: Array) -> NDArray[Any]:
    """Return the first of images `(N, C, h, W)` as an array `(h, W)` or `(h, W, 3)`."""
    array = as_array(images)[0]
    return array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0))
