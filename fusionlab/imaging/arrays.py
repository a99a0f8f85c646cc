"""Arrays and tensors, gray and colour, in whatever depth, to planes and back.

The pipeline knows one shape: planes `(k, N, 1, H, W)` in 0..1. A colour image is three planes,
each fused as a gray image, or one plane of its luminance: `fusionlab.imaging.colour`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionlab.errors import FusionlabError
from fusionlab.imaging.colour import Colour, MergedChroma, luminance, recoloured
from fusionlab.imaging.depth import DTYPES, Depth, depth_of
from fusionlab.imaging.display import RangePolicy, stretch, whole
from fusionlab.imaging.scale import FLOAT, WHITE, Scale, scales_for

Image = TypeVar("Image", NDArray[Any], Tensor)
"""numpy: `(H, W)` or `(H, W, 3)`; torch: `(H, W)`, `(C, H, W)` or `(N, C, H, W)`, C 1 or 3."""


@dataclass(frozen=True)
class Kind:
    """What the sources were, so that the result can be the same."""

    numpy: bool
    axes: int
    channels: int
    """Planes per image: three where colour is fused channel by channel, else one."""
    dtype: torch.dtype
    """Of the deepest source."""
    device: torch.device
    limits: Tensor
    """What became black and white of each source, `(k, N, 2)`, in its own units."""
    chroma: Tensor | None = None
    """What colours a fused luminance again, `(N, 2, H, W)`."""

    def restore(self, planes: Tensor, policy: RangePolicy | None, depth: Depth | None) -> Any:
        """Turn decoded planes `(N, 1, H, W)` into an image like the sources.

        Args:
            planes: 0..1 and beyond, in the order that `to_planes` gave them.
            policy: how they become displayable; None returns them as they are, as floats.
            depth: of the result; None: that of the deepest source. Raw floats have none.
        """
        images = planes.unflatten(0, (-1, self.channels)).squeeze(2)  # (N, C, H, W)
        if policy is None:
            raw = images if self.chroma is None else recoloured(images, self.chroma)
            return self._shaped(raw.to(self.dtype if self.dtype.is_floating_point else FLOAT))
        dtype = DTYPES[depth or depth_of(self.dtype)]
        if depth is None and self.dtype.is_floating_point:
            dtype = self.dtype
        white = WHITE.get(dtype, 1)
        if self.chroma is None:
            shown = stretch(images, policy, white)
        else:
            shown = recoloured(stretch(images, policy, 1), self.chroma).clamp(0, 1) * white
        return self._shaped((whole(shown) if dtype in WHITE else shown).to(dtype))

    def maps(self, planes: Tensor) -> Any:
        """Turn one weight map `(N, 1, H, W)` of the fused planes into an image of floats."""
        return self._shaped(planes.unflatten(0, (-1, self.channels)).squeeze(2))

    def _shaped(self, images: Tensor) -> Any:
        """Give images `(N, C, H, W)` the axes of the sources, as an array or a tensor."""
        images = images.to(self.device)
        if not self.numpy:
            return images[(0,) * (4 - self.axes)]
        array = images.detach().numpy()[0]
        return array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0))


def to_planes(
    sources: Sequence[Image],
    scale: Sequence[Scale] = (Scale(),),
    colour: Colour = "per-channel",
    names: Sequence[str] = (),
) -> tuple[Tensor, Kind]:
    """Stack k sources to planes `(k, N, 1, H, W)`, float32 in 0..1.

    N is the batch size, times three where colour is fused channel by channel.

    Args:
        sources: k >= 2 images of one size.
        scale: what becomes black and white, one for all sources or one for each; see
            `fusionlab.imaging.scale`.
        colour: which planes stand for a colour image; see `fusionlab.imaging.colour`.
        names: what errors call the sources; by default source 1, source 2, ...

    Returns:
        The planes, and what the result has to look like: in colour if any source is, and in the
        dtype of the deepest of them.

    Raises:
        FusionlabError: fewer than two sources, arrays mixed with tensors, other shapes than an
            `Image` has, sizes or batches that differ, or values that the scale does not take.
    """
    k = len(sources)
    if k < 2:
        raise FusionlabError(f"a fusion needs at least two sources, got {k}")
    kinds = {isinstance(source, np.ndarray) for source in sources}
    if len(kinds) > 1:
        raise FusionlabError("the sources must all be arrays or all be tensors, got both")
    names = names or [f"source {number}" for number in range(1, k + 1)]
    batches = [_batch(source, name) for source, name in zip(sources, names, strict=True)]
    _check_sizes(batches)
    scales = scales_for(scale, k)
    channels = max(batch.shape[1] for batch in batches) if colour == "per-channel" else 1
    images, _, height, width = batches[0].shape
    planes = batches[0].new_empty((k, images, channels, height, width), dtype=FLOAT)
    limits, merged = [], MergedChroma()
    for number, (batch, one, name) in enumerate(zip(batches, scales, names, strict=True)):
        limits.append(one.limits(batch, name))
        unit = one.apply(batch, limits[-1])  # one by one: all at once would stand twice
        if colour == "luma":
            merged.add(unit)
        planes[number] = unit if colour == "per-channel" else luminance(unit)
    kind = Kind(
        numpy=kinds.pop(),
        axes=max(source.ndim for source in sources),
        channels=channels,
        dtype=max((batch.dtype for batch in batches), key=_deepness),
        device=batches[0].device,
        limits=torch.stack(limits),
        chroma=merged.result(),
    )
    return planes.flatten(1, 2).unsqueeze(2), kind


def _batch(source: NDArray[Any] | Tensor, name: str) -> Tensor:
    """Return one source as a tensor `(N, C, H, W)` of its own dtype."""
    images, axes = source, "a tensor is (H, W), (C, H, W) or (N, C, H, W)"
    if isinstance(source, np.ndarray):
        axes = "an array is (H, W) or (H, W, 3)"
        try:
            native = source.astype(source.dtype.newbyteorder("="), copy=False)
            images = torch.tensor(np.ascontiguousarray(native))
        except TypeError:
            raise _unfit(name, f"dtype {source.dtype}") from None
        if source.ndim == 3:
            images = images.movedim(-1, 0)
        elif source.ndim != 2:
            raise _unfit(name, f"shape {source.shape}; {axes}")
    if not isinstance(images, Tensor):
        raise _unfit(name, type(source).__name__)
    if images.dtype == torch.bool or images.is_complex():
        raise _unfit(name, f"dtype {source.dtype}")
    if images.ndim not in (2, 3, 4) or (images.ndim > 2 and images.shape[-3] not in (1, 3)):
        raise _unfit(name, f"shape {tuple(source.shape)}; {axes}")
    if 0 in images.shape:
        raise _unfit(name, f"no pixel at all (shape {tuple(source.shape)})")
    return images[(None,) * (4 - images.ndim)]


def _check_sizes(batches: list[Tensor]) -> None:
    if len({batch.shape[-2:] for batch in batches}) > 1:
        found = ", ".join(f"{batch.shape[3]}x{batch.shape[2]}" for batch in batches)
        raise FusionlabError(
            f"the sources must have the same size, got {found} (width x height); "
            "crop or resize them first (--resize)"
        )
    if len({len(batch) for batch in batches}) > 1:
        found = ", ".join(str(len(batch)) for batch in batches)
        raise FusionlabError(f"the sources must be batches of the same size, got {found}")


def _deepness(dtype: torch.dtype) -> tuple[bool, int]:
    """Order dtypes by depth: any float is deeper than any integer."""
    return dtype.is_floating_point, dtype.itemsize


def _unfit(name: str, got: str) -> FusionlabError:
    return FusionlabError(f"{name} is no image: expected integers or floats, got {got}")
