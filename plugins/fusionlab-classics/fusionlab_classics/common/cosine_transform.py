"""The discrete cosine transform of images, by the FFT of their lines."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LINES_AT_ONCE = 2**20
"""How many numbers are transformed at a time: 8 MiB, and a few copies."""


def dct(maps: Tensor) -> Tensor:
    """Return the orthonormal two-dimensional DCT-II of maps `(..., h, w)`."""
    return _by_lines(_dct, _by_lines(_dct, maps).mT).mT


def idct(spectra: Tensor) -> Tensor:
    """Undo `dct`."""
    return _by_lines(_idct, _by_lines(_idct, spectra).mT).mT


def _by_lines(transform: Callable[[Tensor], Tensor], maps: Tensor) -> Tensor:
    """Transform the lines of maps `(..., h, w)`, some at a time: their intermediates stay small."""
    import torch

    size = maps.shape[-1]
    parts = maps.reshape(-1, size).split(max(1, LINES_AT_ONCE // size))
    return torch.cat([transform(part) for part in parts]).view(maps.shape)


def _dct(lines: Tensor) -> Tensor:
    """Transform lines `(..., n)` by an FFT of the even entries and then the odd ones backwards."""
    import torch

    size = lines.shape[-1]
    ordered = torch.cat([lines[..., ::2], lines[..., 1::2].flip(-1)], dim=-1)
    turned = torch.fft.rfft(ordered) * _twiddles(size, lines).conj()
    ends = turned[..., 1 : (size + 1) // 2].imag.flip(-1)
    return torch.cat([turned.real, -ends], dim=-1) * _norms(size, lines)


def _idct(lines: Tensor) -> Tensor:
    import torch

    size = lines.shape[-1]
    lines = lines / _norms(size, lines)
    half = size // 2 + 1
    ends = torch.cat([torch.zeros_like(lines[..., :1]), lines[..., size - half + 1 :].flip(-1)], -1)
    turned = torch.complex(lines[..., :half].contiguous(), -ends)
    ordered = torch.fft.irfft(turned * _twiddles(size, lines), n=size)
    evens, odds = ordered[..., : -(-size // 2)], ordered[..., -(-size // 2) :].flip(-1)
    if size % 2:
        last = evens[..., -1:]
        pairs = torch.stack([evens[..., :-1], odds], dim=-1).flatten(-2)
        return torch.cat([pairs, last], dim=-1)
    return torch.stack([evens, odds], dim=-1).flatten(-2)


def _twiddles(size: int, like: Tensor) -> Tensor:
    """Return exp(i pi n / 2 size) for n = 0..size/2."""
    import torch

    angles = torch.arange(size // 2 + 1, dtype=like.dtype, device=like.device) * (pi / (2 * size))
    return torch.polar(torch.ones_like(angles), angles)


def _norms(size: int, like: Tensor) -> Tensor:
    import torch

    norms = torch.full((size,), sqrt(2 / size), dtype=like.dtype, device=like.device)
    norms[0] = sqrt(1 / size)
    return norms
