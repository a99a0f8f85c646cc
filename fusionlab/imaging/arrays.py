"""Arrays and tensors, gray and colour, in whatever depth, to planes and back.

The pipeline knows one shape: planes `(k, N, 1, H, W)` in 0..1. A colour image is three planes,
each fused as a gray image (Section IV-D of the paper); a gray source beside a colour source
stands for all three of its channels.
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
from fusionlab.imaging.display import RangePolicy, quantise, stretch

Image = TypeVar("Image", NDArray[Any], Tensor)
"""numpy: `(H, W)` or `(H, W, 3)`; torch: `(H, W)`, `(C, H, W)` or `(N, C, H, W)`, C 1 or 3."""

FLOAT = torch.float32
"""What everything is computed in."""

WHITE = {torch.uint8: 255, torch.uint16: 65535}
"""The integer types an image may have, from shallow to deep, and the value that white has."""


@dataclass(frozen=True)
class Kind:
    """What the sources were, so that the result can be the same."""

    numpy: bool
    axes: int
    channels: int
    dtype: torch.dtype
    device: torch.device

    def restore(self, planes: Tensor, policy: RangePolicy | None) -> Any:
        """Turn decoded planes `(N, 1, H, W)` into an image like the sources.

        Args:
            planes: 0..1 and beyond, in the order that `to_planes` gave them.
            policy: how they become displayable; None returns them as they are, as floats.
        """
        images = planes.unflatten(0, (-1, self.channels)).squeeze(2)  # (N, C, H, W)
        if self.dtype not in WHITE:
            images = images if policy is None else stretch(images, policy, 1)
            return self._shaped(images.to(self.dtype))
        if policy is None:
            return self._shaped(images)
        return self._shaped(quantise(images, policy, WHITE[self.dtype]).to(self.dtype))

    def _shaped(self, images: Tensor) -> Any:
        """Give images `(N, C, H, W)` the axes of the sources, as an array or a tensor."""
        images = images.to(self.device)
        if not self.numpy:
            return images[(0,) * (4 - self.axes)]
        array = images.detach().numpy()[0]
        return array[0] if self.axes == 2 else np.ascontiguousarray(array.transpose(1, 2, 0))


def to_planes(sources: Sequence[Image]) -> tuple[Tensor, Kind]:
    """Stack k sources to planes `(k, N, 1, H, W)`, float32 in 0..1.

    Integers are divided by the largest value of their type; floats must lie in 0..1 already.
    N is the batch size, times three where a source is in colour.

    Returns:
        The planes, and what the result has to look like: as many channels as any source has, and
        the dtype of the deepest of them.

    Raises:
        FusionlabError: fewer than two sources, arrays mixed with tensors, other shapes than an
            `Image` has, sizes or batches that differ, or values that are not in 0..1.
    """
    if len(sources) < 2:
        raise FusionlabError(f"a fusion needs at least two sources, got {len(sources)}")
    kinds = {isinstance(source, np.ndarray) for source in sources}
    if len(kinds) > 1:
        raise FusionlabError("the sources must all be arrays or all be tensors, got both")
    batches = [_batch(source, number) for number, source in enumerate(sources, start=1)]
    _check_sizes(batches)
    channels = max(batch.shape[1] for batch in batches)
    images, _, height, width = batches[0].shape
    planes = batches[0].new_empty((len(batches), images, channels, height, width), dtype=FLOAT)
    for number, batch in enumerate(batches, start=1):  # one by one: all at once would stand twice
        planes[number - 1] = _unit(batch, number)
    kind = Kind(
        numpy=kinds.pop(),
        axes=max(source.ndim for source in sources),
        channels=channels,
        dtype=max((batch.dtype for batch in batches), key=_depth),
        device=batches[0].device,
    )
    return planes.flatten(1, 2).unsqueeze(2), kind


def _batch(source: NDArray[Any] | Tensor, number: int) -> Tensor:
    """Return one source as a tensor `(N, C, H, W)` of its own dtype."""
    images, axes = source, "a tensor is (H, W), (C, H, W) or (N, C, H, W)"
    if isinstance(source, np.ndarray):
        axes = "an array is (H, W) or (H, W, 3)"
        try:
            native = source.astype(source.dtype.newbyteorder("="), copy=False)
            images = torch.tensor(np.ascontiguousarray(native))
        except TypeError:
            raise _unfit(number, f"dtype {source.dtype}") from None
        if source.ndim == 3:
            images = images.movedim(-1, 0)
        elif source.ndim != 2:
            raise _unfit(number, f"shape {source.shape}; {axes}")
    if not isinstance(images, Tensor):
        raise _unfit(number, type(source).__name__)
    if images.dtype not in WHITE and not images.is_floating_point():
        raise _unfit(number, f"dtype {source.dtype}")
    if images.ndim not in (2, 3, 4) or (images.ndim > 2 and images.shape[-3] not in (1, 3)):
        raise _unfit(number, f"shape {tuple(source.shape)}; {axes}")
    if 0 in images.shape:
        raise _unfit(number, f"no pixel at all (shape {tuple(source.shape)})")
    return images[(None,) * (4 - images.ndim)]


def _check_sizes(batches: list[Tensor]) -> None:
    if len({batch.shape[-2:] for batch in batches}) > 1:
        found = ", ".join(f"{batch.shape[3]}x{batch.shape[2]}" for batch in batches)
        raise FusionlabError(
            f"the sources must have the same size, got {found} (width x height); "
            "crop or resize them first"
        )
    if len({len(batch) for batch in batches}) > 1:
        found = ", ".join(str(len(batch)) for batch in batches)
        raise FusionlabError(f"the sources must be batches of the same size, got {found}")


def _unit(images: Tensor, number: int) -> Tensor:
    """Bring images to floats in 0..1."""
    if images.dtype in WHITE:
        return images.float() / WHITE[images.dtype]
    low, high = images.detach().aminmax()
    if not (low >= 0 and high <= 1):  # not true for NaN either
        raise FusionlabError(
            f"source {number} must hold floats in 0..1, got values from {low:.6g} to {high:.6g}; "
            "divide it by its white level first"
        )
    return images


def _depth(dtype: torch.dtype) -> int:
    """Order dtypes by depth: any float is deeper than any integer."""
    return list(WHITE).index(dtype) if dtype in WHITE else 8 * dtype.itemsize


def _unfit(number: int, got: str) -> FusionlabError:
    return FusionlabError(
        f"source {number} is no image: expected uint8, uint16, or floats in 0..1, got {got}"
    )
