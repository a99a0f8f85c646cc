"""Arrays and tensors, gray and color, in whatever depth, to planes and back.

The pipeline knows one shape: planes `(k, N, 1, H, W)` in 0..1. A color image is three planes,
each fused as a gray image, or one plane of its luminance: `fusionlab.imaging.color`. Planes are
made of the sources a tile at a time, and the picture of the fused planes a band at a time, so that
neither stands in memory as floats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionlab.errors import FusionlabError
from fusionlab.imaging.color import Color, MergedChroma, luminance, recolored
from fusionlab.imaging.depth import DTYPES, Depth, depth_of
from fusionlab.imaging.range_policy import Extremes, RangePolicy, stretch, whole
from fusionlab.imaging.rows import InMemoryRows, OnDiskRows, Rows, RowSource
from fusionlab.imaging.rows import bands as in_bands
from fusionlab.imaging.scale import FLOAT, WHITE, Scale, scales_for

Image = TypeVar("Image", NDArray[Any], Tensor, Rows)
"""numpy: `(H, W)` or `(H, W, 3)`; torch: `(H, W)`, `(C, H, W)` or `(N, C, H, W)`, C 1 or 3; or
`Rows` of a file, like numpy."""

Sink = list[Any] | InMemoryRows | OnDiskRows
"""What bands are appended to."""

SPOOLED = 2**27
"""From how many bytes on decoded planes that wait to be stretched are put on the disk."""


class Stack:
    """K sources as gray planes, and what makes a picture like them of fused planes.

    N is the batch size, times three where color is fused channel by channel.

    Args:
        sources: k >= 2 images of one size.
        scale: what becomes black and white, one for all sources or one for each; see
            `fusionlab.imaging.scale`.
        color: which planes stand for a color image; see `fusionlab.imaging.color`.
        names: what errors call the sources; by default source 1, source 2, ...

    Raises:
        FusionlabError: fewer than two sources, arrays mixed with tensors, other shapes than an
            `Image` has, sizes or batches that differ, or values that the scale does not take.
    """

    def __init__(
        self,
        sources: Sequence[Image],
        scale: Sequence[Scale] = (Scale(),),
        color: Color = "per-channel",
        names: Sequence[str] = (),
    ) -> None:
        k = len(sources)
        if k < 2:
            raise FusionlabError(f"a fusion needs at least two sources, got {k}")
        if len({isinstance(source, Tensor) for source in sources}) > 1:
            raise FusionlabError("the sources must all be arrays or all be tensors, got both")
        names = names or [f"source {number}" for number in range(1, k + 1)]
        found: list[_Batch | _Picture] = [
            _opened(one, name) for one, name in zip(sources, names, strict=True)
        ]
        _check_sizes(found)
        channels = max(one.channels for one in found)
        self._sources = found
        self._scales = scales_for(scale, k)
        self._color: Color = color
        self.group: int = channels if color == "per-channel" else 1
        """How many planes after one another belong to one picture."""
        height, width = found[0].size
        self.shape = (k, found[0].images * self.group, height, width)
        """k, N, H, W."""
        self.limits = torch.stack(
            [
                one.limits_of(source.parts, source.images, source.dtype, name)
                for source, one, name in zip(found, self._scales, names, strict=True)
            ]
        )
        """What became black and white of each source, `(k, N, 2)`, in its own units."""
        self._recolors = color == "luma" and channels > 1
        self._axes = max(source.axes for source in found)
        self._dtype = max((source.dtype for source in found), key=_deepness)
        self._arrays = any(isinstance(source, np.ndarray) for source in sources)

    @property
    def on_tensors(self) -> bool:
        """Whether the sources are tensors, through which gradients may flow."""
        return isinstance(self._sources[0], _Batch)

    def cut(self, images: slice, rows: slice, columns: slice) -> Tensor:
        """Return a part of some planes, `(k, n, 1, h, w)`, float32 in 0..1."""
        planes = []
        for unit in self._units(rows, columns):
            gray = unit if self._color == "per-channel" else luminance(unit)
            planes.append(gray.expand(-1, self.group, -1, -1).flatten(0, 1)[images])
        return torch.stack(planes).unsqueeze(2)

    def whole(self) -> Tensor:
        """Return all planes, `(k, N, 1, H, W)`."""
        _, images, height, width = self.shape
        return self.cut(slice(images), slice(height), slice(width))

    def picture(
        self, bands: Iterable[Tensor], policy: RangePolicy | None, depth: Depth | None
    ) -> Any:
        """Make an image like the sources of decoded planes.

        Args:
            bands: from top to bottom, `(N, 1, h, W)` each, 0..1 and beyond; on any device.
            policy: how they become displayable; None returns them as they are, as floats.
            depth: of the result; None: that of the deepest source. Raw floats have none.
        """
        bands = (band.to(self._sources[0].device) for band in bands)
        extremes = Extremes()
        if policy == "minmax":  # the whole range has to be known before the first pixel
            bands = self._seen(bands, extremes)
        dtype = DTYPES[depth or depth_of(self._dtype)]
        if policy is None or (depth is None and self._dtype.is_floating_point):
            dtype = self._dtype if self._dtype.is_floating_point else FLOAT
        canvas, top = self._canvas(dtype), 0
        for band in bands:
            images = band.unflatten(0, (-1, self.group)).squeeze(2)  # (N, C, h, W)
            shown: Any = self._shown(images, top, policy, extremes, dtype)
            canvas.append(shown if self.on_tensors else _as_array(shown))
            top += images.shape[-2]
        if isinstance(canvas, list):
            return torch.cat(canvas, -2)[(0,) * (4 - self._axes)]
        return canvas.pixels if isinstance(canvas, InMemoryRows) else canvas

    def maps(self, bands: Sequence[Tensor]) -> list[Any]:
        """Turn weight maps `(k, N, 1, h, W)` of the fused planes into images of floats."""
        found = []
        for planes in torch.cat(list(bands), -2):
            images = planes.unflatten(0, (-1, self.group)).squeeze(2).to(self._sources[0].device)
            tensor = images[(0,) * (4 - self._axes)]
            found.append(tensor if self.on_tensors else _as_array(images))
        return found

    def _shown(
        self,
        images: Tensor,
        top: int,
        policy: RangePolicy | None,
        extremes: Extremes,
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
            shown = images if chroma is None else recolored(images, chroma)
        else:
            white = WHITE.get(dtype, 1)
            limits = extremes if policy == "minmax" else None
            if chroma is None:
                shown = stretch(images, white, limits)
            else:
                shown = recolored(stretch(images, 1, limits), chroma).clamp(0, 1) * white
            shown = whole(shown) if dtype in WHITE else shown
        return shown.to(dtype)

    def _units(self, rows: slice, columns: slice) -> Iterator[Tensor]:
        """Cut every source, and scale it to float32 in 0..1: `(N, C, h, w)`."""
        for source, scale, limits in zip(self._sources, self._scales, self.limits, strict=True):
            yield scale.apply(source.cut(rows, columns), limits)

    def _seen(self, bands: Iterable[Tensor], extremes: Extremes) -> Iterable[Tensor]:
        """Take in all bands and their extremes; give them back, from the disk if they are large."""
        planes, height, width = self.shape[1:]
        kept: Sink = []
        if not self.on_tensors:
            room = OnDiskRows if 4 * planes * height * width > SPOOLED else InMemoryRows
            kept = room((height, planes, width), np.float32)
        for band in bands:
            extremes.add(band.unflatten(0, (-1, self.group)).squeeze(2))
            rows: Any = band
            if not self.on_tensors:
                rows = band.squeeze(1).movedim(0, 1).numpy()
            kept.append(rows)
        if isinstance(kept, list):
            return kept
        # a few rows at a time: they become float64, several times over
        back = in_bands(kept, size=2**22)
        return (torch.from_numpy(band).movedim(1, 0).unsqueeze(1) for band in back)

    def _canvas(self, dtype: torch.dtype) -> Sink:
        """Return where the result goes: tensors are joined, rows of files stay in a file."""
        if self.on_tensors:
            return []
        colors = (3,) if self.group == 3 or self._recolors else ()
        kind = torch.empty(0, dtype=dtype).numpy().dtype
        room = InMemoryRows if self._arrays else OnDiskRows
        return room((*self.shape[2:], *colors), kind)


class _Batch:
    """Images of a tensor."""

    def __init__(self, source: Tensor, name: str) -> None:
        axes = "a tensor is (H, W), (C, H, W) or (N, C, H, W)"
        _check_kind(source.dtype, source.shape, name)
        if source.ndim not in (2, 3, 4) or (source.ndim > 2 and source.shape[-3] not in (1, 3)):
            raise _unfit(name, f"shape {tuple(source.shape)}; {axes}")
        self.axes, self.dtype, self.device = source.ndim, source.dtype, source.device
        self._tensor = source[(None,) * (4 - source.ndim)]
        self.images, self.channels = self._tensor.shape[:2]
        self.size = tuple(self._tensor.shape[2:])

    def cut(self, rows: slice, columns: slice) -> Tensor:
        """Return a part, `(N, C, h, w)`."""
        return self._tensor[..., rows, columns]

    def parts(self) -> Iterator[Tensor]:
        """Give all of it."""
        yield self._tensor


class _Picture:
    """An array, or the rows of a file."""

    images, device = 1, torch.device("cpu")

    def __init__(self, source: Rows, name: str) -> None:
        axes = "an array is (H, W) or (H, W, 3)"
        native = source.dtype.newbyteorder("=")
        try:
            self.dtype = torch.from_numpy(np.empty(0, native)).dtype
        except TypeError:
            raise _unfit(name, f"dtype {source.dtype}") from None
        if source.ndim not in (2, 3) or source.shape[2:] not in ((), (1,), (3,)):
            raise _unfit(name, f"shape {source.shape}; {axes}")
        _check_kind(self.dtype, source.shape, name)
        self.axes, self.channels = source.ndim, 1 if source.ndim == 2 else source.shape[2]
        self.size = source.shape[:2]
        self._rows, self._native = source, native
        self._band: tuple[tuple[int, int], NDArray[Any]] | None = None

    def cut(self, rows: slice, columns: slice) -> Tensor:
        """Return a part, `(1, C, h, w)`."""
        return self._tensor(self._between(rows.start or 0, rows.stop)[:, columns])

    def parts(self) -> Iterator[Tensor]:
        """Give all of it, from top to bottom."""
        return map(self._tensor, in_bands(self._rows))

    def _between(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows; those read last are kept for the other tiles of their band."""
        if isinstance(self._rows, np.ndarray):
            return self._rows[top:bottom]
        if self._band is None or self._band[0] != (top, bottom):
            self._band = (top, bottom), self._rows[top:bottom]
        return self._band[1]

    def _tensor(self, rows: NDArray[Any]) -> Tensor:
        pixels = torch.from_numpy(np.array(rows, self._native, order="C"))
        return (pixels.movedim(-1, 0) if pixels.ndim == 3 else pixels[None])[None]


def _opened(source: object, name: str) -> _Batch | _Picture:
    if isinstance(source, Tensor):
        return _Batch(source, name)
    if isinstance(source, np.ndarray | RowSource):
        return _Picture(source, name)
    raise _unfit(name, type(source).__name__)


def _as_array(images: Tensor) -> NDArray[Any]:
    """Return the first of images `(N, C, h, W)` as an array `(h, W)` or `(h, W, 3)`."""
    array: NDArray[Any] = images.detach().numpy()[0]
    return array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0))


def _check_kind(dtype: torch.dtype, shape: Sequence[int], name: str) -> None:
    if dtype == torch.bool or dtype.is_complex:
        raise _unfit(name, f"dtype {str(dtype).removeprefix('torch.')}")
    if 0 in shape:
        raise _unfit(name, f"no pixel at all (shape {tuple(shape)})")


def _check_sizes(sources: Sequence[_Batch | _Picture]) -> None:
    if len({source.size for source in sources}) > 1:
        found = ", ".join(f"{source.size[1]}x{source.size[0]}" for source in sources)
        raise FusionlabError(
            f"the sources must have the same size, got {found} (width x height); "
            "crop or resize them first (--resize)"
        )
    if len({source.images for source in sources}) > 1:
        found = ", ".join(str(source.images) for source in sources)
        raise FusionlabError(f"the sources must be batches of the same size, got {found}")


def _deepness(dtype: torch.dtype) -> tuple[bool, int]:
    """Order dtypes by depth: any float is deeper than any integer."""
    return dtype.is_floating_point, dtype.itemsize


def _unfit(name: str, got: str) -> FusionlabError:
    return FusionlabError(f"{name} is no image: expected integers or floats, got {got}")
