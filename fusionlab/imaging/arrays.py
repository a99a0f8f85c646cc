"""Stack: sources in any depth, gray or color, to planes, and fused planes to an image like them.

The pipeline knows one shape: planes `(k, N, 1, H, W)` in 0..1. A color image is three planes,
each fused as a gray image, or one plane with its luminance: `fusionlab.imaging.color`. Planes are
cut from the sources tile by tile, and the image is made from the fused planes band by band, so that
neither is in memory as floats at full size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionlab.imaging.color import Color, MergedChroma, fit_to_range, luminance, recolored
from fusionlab.imaging.depth import DTYPES, Depth, depth_of
from fusionlab.imaging.range_policy import (
    RangePolicy,
    RunningMinMax,
    map_to_range,
    round_half_up,
)
from fusionlab.imaging.rows import InMemoryRows, OnDiskRows, Rows
from fusionlab.imaging.rows import bands as bands_of
from fusionlab.imaging.scale import COMPUTE_DTYPE, WHITE, Scale, scales_for
from fusionlab.imaging.sources import Source, TensorSource, bit_depth_order, open_sources

Image = TypeVar("Image", NDArray[Any], Tensor, Rows)
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
        measured = [
            scale.measure(source.parts, source.images, source.dtype, source.name)
            for source, scale in zip(self._sources, self._scales, strict=True)
        ]
        self.limits = torch.stack([limits for limits, _ in measured])
        """Which values became black and white, `(k, images, 2)` in the units of each source."""
        self.extremes = torch.stack([extremes for _, extremes in measured])
        """The smallest and largest values, `(k, images, 2)`; NaN for 8 and 16 bits whose scale is
        the range of their type."""
        self._recolors = color == "luma" and channels > 1
        self._axes = max(source.axes for source in self._sources)
        self._dtype = max((source.dtype for source in self._sources), key=bit_depth_order)
        self._arrays = any(isinstance(source, np.ndarray) for source in sources)

    @property
    def on_tensors(self) -> bool:
        """Whether the sources are tensors, through which gradients may flow."""
        return isinstance(self._sources[0], TensorSource)

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are required of a source."""
        return any(source.requires_grad for source in self._sources)

    @property
    def colors(self) -> tuple[Color, ...]:
        """The color mode of each image."""
        return (self._color,) * self._sources[0].images

    def cut(self, images: slice, rows: slice, columns: slice) -> Tensor:
        """Return a rectangle of some planes, `(k, n, 1, h, w)`, float32 in 0..1."""
        planes = []
        for unit in self._units(rows, columns):
            gray = unit if self._color == "per-channel" else luminance(unit)
            planes.append(gray.expand(-1, self.group, -1, -1).flatten(0, 1)[images])
        return torch.stack(planes).unsqueeze(2)

    def cut_luminance(self, images: slice, rows: slice, columns: slice) -> Tensor:
        """Return a part of the luminance of some images, `(k, n, 1, h, w)`, float32 in 0..1."""
        units = self._units(rows, columns)
        return torch.stack([_exact_luminance(unit[images]) for unit in units])

    def cut_color(self, images: slice, rows: slice, columns: slice) -> Tensor | None:
        """Return a part of some images in color, `(k, n, 3, h, w)`; None if all are gray.

        Float32 in 0..1; a gray source among color ones has three equal channels.
        """
        if self._channels == 1:
            return None
        units = self._units(rows, columns)
        return torch.stack([unit[images].expand(-1, 3, -1, -1) for unit in units])

    def planes(self) -> Tensor:
        """Return all planes, `(k, N, 1, H, W)`."""
        _, images, height, width = self.shape
        return self.cut(slice(images), slice(height), slice(width))

    def image(
        self, bands: Iterable[Tensor], policy: RangePolicy | None, depth: Depth | None
    ) -> Any:
        """Make an image like the sources from decoded planes.

        Args:
            bands: from top to bottom, `(N, 1, h, W)` each, nominally in 0..1; on any device.
            policy: how they become displayable; None returns them unchanged, as floats.
            depth: bits per sample of the result; None: those of the deepest source. Ignored without
                a policy.
        """
        bands = (band.to(self._sources[0].device) for band in bands)
        minmax = None
        if policy == "minmax":  # the range of the complete image is needed before the first pixel
            minmax = RunningMinMax()
            bands = self._measured(bands, minmax)
        dtype = DTYPES[depth or depth_of(self._dtype)]
        if policy is None or (depth is None and self._dtype.is_floating_point):
            dtype = self._dtype if self._dtype.is_floating_point else COMPUTE_DTYPE
        sink, top = self._sink(dtype), 0
        for band in bands:
            images = band.unflatten(0, (-1, self.group)).squeeze(2)  # (N, C, h, W)
            displayed: Any = self._displayed(images, top, policy, minmax, dtype)
            sink.append(displayed if self.on_tensors else _as_array(displayed))
            top += images.shape[-2]
        if isinstance(sink, list):
            return torch.cat(sink, -2)[(0,) * (4 - self._axes)]
        return sink.pixels if isinstance(sink, InMemoryRows) else sink

    def weight_maps(self, bands: Sequence[Tensor]) -> list[Any]:
        """Make images of floats from weight maps `(k, N, 1, h, W)` of the fused planes."""
        maps = []
        for planes in torch.cat(list(bands), -2):
            images = planes.unflatten(0, (-1, self.group)).squeeze(2).to(self._sources[0].device)
            tensor = images[(0,) * (4 - self._axes)]
            maps.append(tensor if self.on_tensors else _as_array(images))
        return maps

    def _displayed(
        self,
        images: Tensor,
        top: int,
        policy: RangePolicy | None,
        minmax: RunningMinMax | None,
        dtype: torch.dtype,
    ) -> Tensor:
        """Bring a band of images `(N, C, h, W)` to the range and the dtype of the result."""
        chroma = None
        if self._recolors:
            height, width = images.shape[-2:]
            merged = MergedChroma()
            for unit in self._units(slice(top, top + height), slice(width)):
                merged.add(unit)
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
        return displayed.to(dtype)

    def _units(self, rows: slice, columns: slice) -> Iterator[Tensor]:
        """Cut every source, and scale it to float32 in 0..1: `(N, C, h, w)`."""
        for number, (source, scale) in enumerate(zip(self._sources, self._scales, strict=True)):
            yield scale.apply(source.cut(rows, columns), self.limits[number])

    def _measured(self, bands: Iterable[Tensor], minmax: RunningMinMax) -> Iterable[Tensor]:
        """Consume all bands to measure them, and yield them again; large ones from the disk."""
        planes, height, width = self.shape[1:]
        sink: Sink = []
        if not self.on_tensors:
            rows_type = OnDiskRows if 4 * planes * height * width > SPOOL_BYTES else InMemoryRows
            sink = rows_type((height, planes, width), np.float32)
        for band in bands:
            minmax.add(band.unflatten(0, (-1, self.group)).squeeze(2))
            rows: Any = band
            if not self.on_tensors:
                rows = band.squeeze(1).movedim(0, 1).numpy()
            sink.append(rows)
        if isinstance(sink, list):
            return sink
        # a few rows at a time: they become float64, several times over
        return (
            torch.from_numpy(rows).movedim(1, 0).unsqueeze(1) for rows in bands_of(sink, size=2**22)
        )

    def _sink(self, dtype: torch.dtype) -> Sink:
        """Return where the result goes: tensors are joined, rows of files stay in a file."""
        if self.on_tensors:
            return []
        colors = (3,) if self.group == 3 or self._recolors else ()
        numpy_dtype = torch.empty(0, dtype=dtype).numpy().dtype
        rows_type = InMemoryRows if self._arrays else OnDiskRows
        return rows_type((*self.shape[2:], *colors), numpy_dtype)


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
    opened = open_sources(sources, names)
    if color != "auto":
        return [color] * opened[0].images
    if all(source.channels == 1 for source in opened):
        return ["per-channel"] * opened[0].images
    by_image = zip(*map(_in_color, opened), strict=True)
    return ["luma" if len(set(kinds)) > 1 else "per-channel" for kinds in by_image]


def _in_color(source: Source) -> list[bool]:
    """Return for each image of a source whether its channels differ at any pixel."""
    colored = [False] * source.images
    if source.channels == 1:
        return colored
    for part in source.parts():
        values = part.detach()
        if values.dtype.itemsize == 2 and not values.dtype.is_floating_point:
            values = values.view(torch.int16)  # torch compares few types without a sign
        differs = (values[:, 1:] != values[:, :1]).flatten(1).any(1).tolist()
        colored = [before or now for before, now in zip(colored, differs, strict=True)]
        if all(colored):
            break
    return colored


def _exact_luminance(images: Tensor) -> Tensor:
    """Return Y of images `(N, C, h, w)`; where the three channels are equal, exactly that value.

    The weights of a gray image that is stored in three channels are then those of the gray image.
    """
    if images.shape[1] == 1:
        return images
    equal = (images[:, 1:] == images[:, :1]).all(1, keepdim=True)
    return torch.where(equal, images[:, :1], luminance(images))


def _as_array(images: Tensor) -> NDArray[Any]:
    """Return the first of images `(N, C, h, W)` as an array `(h, W)` or `(h, W, 3)`."""
    array: NDArray[Any] = images.detach().numpy()[0]
    return array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0))
