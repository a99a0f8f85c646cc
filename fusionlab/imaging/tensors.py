"""Sources that are tensors, one image or a batch, through which gradients may flow."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from fusionlab.imaging.sources import BaseSource, Part, not_an_image, wrong_mask
from fusionlab.namespaces import dtype_name

_TENSORS = {
    *(torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
}
"""Dtypes of tensors that are images."""


class TensorSource(BaseSource):
    """A source given as a tensor: one image or a batch."""

    def __init__(
        self, source: Tensor, name: str, valid: object = None, nodata: tuple[float, ...] = ()
    ) -> None:
        check_tensor(source, name)
        if source.dtype == torch.bool:
            source = source.to(torch.uint8) * 255
        self.name = name
        self.axes, self.dtype, self.device = source.ndim, dtype_name(source), source.device
        self._tensor = source[(None,) * (4 - source.ndim)]
        self.requires_grad = source.requires_grad
        self.images, self.channels = self._tensor.shape[:2]
        self.size = tuple(self._tensor.shape[2:])
        self._valid = None if valid is None else self._mask(valid)
        self._open(masked=valid is not None, nodata=nodata)

    def cut(self, rows: slice, columns: slice) -> Part:
        """Return a rectangle of all images."""
        valid = None if self._valid is None else self._valid[..., rows, columns]
        return self._part(self._tensor[..., rows, columns], valid)

    def parts(self) -> Iterator[Part]:
        """Yield the complete images, in one part."""
        yield self._part(self._tensor, self._valid)

    def _mask(self, valid: object) -> Tensor:
        mask = valid if isinstance(valid, Tensor) else torch.from_numpy(np.array(valid))
        if (
            mask.dtype.is_floating_point
            or tuple(mask.shape[-2:]) != self.size
            or tuple(mask.shape[:-2]) not in ((), (1,), (1, 1), (self.images, 1))
        ):
            raise wrong_mask(self.name, mask, (self.images, 1, *self.size))
        return (mask != 0).to(self.device).expand(self.images, 1, -1, -1)

    def _as_pixel(self, value: float) -> Tensor | None:
        dtype = self._tensor.dtype
        if dtype.is_floating_point:
            return torch.tensor(value, dtype=dtype)
        limits = torch.iinfo(dtype)
        if not float(value).is_integer() or not limits.min <= value <= limits.max:
            return None
        return self._comparable(torch.tensor(int(value), dtype=dtype))

    def _comparable(self, pixels: Tensor) -> Tensor:
        """Return integers without a sign as others of the same size, which all versions compare."""
        kind = _SIGNED.get(pixels.dtype)
        return pixels if kind is None else pixels.view(kind)


_SIGNED = {
    torch.uint16: torch.int16,
    torch.uint32: torch.int32,
    torch.uint64: torch.int64,
}


def check_tensor(source: Tensor, name: str) -> None:
    """Raise `FusionlabError` (code `not-an-image`) unless a tensor is an image or a batch."""
    shape = tuple(source.shape)
    if source.dtype not in _TENSORS:
        remedy = "take its magnitude" if source.dtype.is_complex else "convert it with float()"
        raise not_an_image(name, f"the dtype {dtype_name(source)}; {remedy}")
    if source.layout != torch.strided or source.is_meta:
        kind = "meta" if source.is_meta else "sparse"
        raise not_an_image(name, f"a {kind} tensor; give one that holds all values")
    if 0 in shape:
        raise not_an_image(name, f"no pixels (shape {shape})")
    if len(shape) not in (2, 3, 4) or (len(shape) > 2 and shape[-3] not in (1, 3)):
        remedy = "a tensor is (H, W), (C, H, W) or (N, C, H, W)"
        if len(shape) in (3, 4) and shape[-1] in (1, 3):
            remedy += "; where its channels come last, give tensor.movedim(-1, -3)"
        elif len(shape) in (3, 4) and shape[-3] in (2, 4):
            remedy += "; leave out its alpha channel, tensor[..., :-1, :, :]"
        raise not_an_image(name, f"the shape {shape}; {remedy}")
