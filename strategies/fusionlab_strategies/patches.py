"""Nuclear norms of the patches around all pixels, in bounded memory.

Imports torch, so strategies import it inside their methods only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

STRIP_BYTES = 2**24
"""How much the patches of one strip of rows may take: 16 MiB, unless one row takes more.

64 channels and 5x5 pixels in float64 take 12.5 KiB a pixel. On a CPU, 1 to 16 MiB were about as
fast as each other, and 64 MiB slower.
"""


def nuclear_norms(features: Tensor, r: int) -> Tensor:
    """Return the nuclear norms `(k, N, 1, h, w)`, in float64, of features `(k, N, C, h, w)`.

    That of a pixel is the sum of the singular values of the ((2r+1)^2 x C) matrix of the features
    in the window around it, with zeros beyond the border.
    """
    norms: Tensor = _NuclearNorms.apply(features, r)  # type: ignore[no-untyped-call]
    return norms


class _NuclearNorms(torch.autograd.Function):
    """Makes the patches again for the gradient: they take (2r+1)^2 times the memory of features."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, r: int) -> Tensor:
        ctx.save_for_backward(features)
        ctx.r = r
        strips = [
            _norms(features[..., seen, :], r, beyond) for _, seen, beyond in _strips(features, r)
        ]
        return torch.cat(strips, dim=-2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None]:
        (features,) = ctx.saved_tensors
        # pixels that two strips see get two summands
        gradient = torch.zeros_like(
            features, dtype=torch.promote_types(features.dtype, torch.float32)
        )
        for rows, seen, beyond in _strips(features, ctx.r):
            with torch.enable_grad():
                strip = features[..., seen, :].detach().double().requires_grad_()
                norms = _norms(strip, ctx.r, beyond)
            gradient[..., seen, :] += torch.autograd.grad(norms, strip, slopes[..., rows, :])[0]
        return gradient.to(features.dtype), None


def _strips(features: Tensor, r: int) -> Iterator[tuple[slice, slice, tuple[int, int]]]:
    """Yield the rows of each strip, the rows that it sees, how many it lacks above and below."""
    height = features.shape[-2]
    row = features[..., 0, :].numel() * (2 * r + 1) ** 2 * torch.float64.itemsize
    step = max(1, STRIP_BYTES // row)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        first, last = max(0, top - r), min(bottom + r, height)
        yield slice(top, bottom), slice(first, last), (first - top + r, bottom + r - last)


def _norms(features: Tensor, r: int, beyond: tuple[int, int]) -> Tensor:
    """Return the norms of one strip, with that many rows of zeros above and below it."""
    edge = 2 * r + 1
    # channels last, so that a row of a window lies together in memory
    x = pad(features.double().movedim(2, -1), (0, 0, r, r, *beyond)).contiguous()
    windows = x.unfold(2, edge, 1).unfold(3, edge, 1)  # (k, N, h, w, C, edge, edge)
    patches = windows.movedim(4, -1).flatten(4, 5)
    wide = patches.shape[-2] <= patches.shape[-1]
    gram = patches @ patches.mT if wide else patches.mT @ patches
    squares: Tensor = torch.linalg.eigvalsh(gram)
    # Below the rounding error of the largest eigenvalue is nothing but noise. The root of it
    # would be much larger noise, with a gradient that may be anything.
    noise = squares[..., -1:] * gram.shape[-1] * torch.finfo(gram.dtype).eps
    present = squares > noise
    return (torch.where(present, squares, 1).sqrt() * present).sum(dim=-1).unsqueeze(2)
