"""Edge preservation at several scales: Q_M of Wang and Liu 2008.

A Haar pyramid splits the images into bands at two levels. At each level

W_i = H_i^2 + V_i^2 + D_i^2                         energy of source i at each coefficient
E_i = e^-|H_i - H_F| + e^-|V_i - V_F| + e^-|D_i - D_F|      how much of it the fused image preserves
Q_s = sum_i sum E_i W_i / sum_i sum W_i

and Q_M = Q_1^(2/3) Q_2^(1/3), with level 1 the finer one.

The exponential has no scale parameter: a coefficient that is off by one gray level counts 0.37,
one that is off by five counts 0.007. The metric therefore rewards pixels copied from a source and
almost nothing else.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fusionlab.metrics.inputs import checked
from fusionlab.metrics.sources_part import once_per_sources

EXPONENTS = (2 / 3, 1 / 3)
"""Exponent of each level, finest first."""


def q_m(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the edge preservation over two levels of a Haar pyramid (Q_M), in 0..3.

    3 means that every source is preserved completely: the three bands are added, not averaged.
    Haar coefficients are those of an orthonormal transform of gray levels 0..255: (a + b - c - d)/2
    of each 2x2 block. The last row or column of a level with an odd edge is dropped.

    Args:
        fused: `(N, H, W)` in 0..255, both edges at least 4.
        sources: `(k, N, H, W)` in 0..255. With more than two, the sums above run over all of them.
        convention: `liu` is the same as the default: the toolbox of Liu et al. is the public
            program for this metric.

    Returns:
        `(N,)`; nan where no source has any detail at one of the levels.

    Raises:
        FusionlabError: the shapes do not fit, or an image is too small.

    Reference: P. Wang and B. Liu, "A novel image fusion metric based on multi-scale analysis",
    ICSP 2008, pp. 965-968; exponents and wavelet as in Liu et al. 2012,
    doi:10.1109/TPAMI.2011.109.
    """
    fused, sources = checked("Q_M", fused, sources, convention)
    quality = fused.new_ones(len(fused))
    for exponent, of_sources in zip(EXPONENTS, _source_details(sources), strict=True):
        fused, details = _haar(fused)
        quality = quality * _preservation(details[:, None], of_sources) ** exponent
    return quality


@once_per_sources
def _source_details(sources: Tensor) -> list[Tensor]:
    """Return the detail bands `(3, k, N, h, w)` of the sources at each level."""
    details = []
    for _ in EXPONENTS:
        sources, bands = _haar(sources)
        details.append(bands)
    return details


def _preservation(fused: Tensor, sources: Tensor) -> Tensor:
    """Return Q_s `(N,)` of the detail bands `(3, 1, N, h, w)` and `(3, k, N, h, w)`."""
    energy = sources.square().sum(dim=0)
    preservation = torch.exp(-(sources - fused).abs()).sum(dim=0)
    return (preservation * energy).sum(dim=(0, 2, 3)) / energy.sum(dim=(0, 2, 3))


def _haar(images: Tensor) -> tuple[Tensor, Tensor]:
    """Split `(..., H, W)` into the low band `(..., h, w)` and the detail bands `(3, ..., h, w)`."""
    low, high = _sum_and_difference(images, -2)
    low_low, low_high = _sum_and_difference(low, -1)
    high_low, high_high = _sum_and_difference(high, -1)
    return low_low, torch.stack([high_low, low_high, high_high])


def _sum_and_difference(images: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return both bands of an orthonormal Haar step along one axis, dropping an odd last entry."""
    pairs = images.shape[dim] // 2
    first, second = images.narrow(dim, 0, 2 * pairs).unflatten(dim, (pairs, 2)).unbind(dim)
    return (first + second) / math.sqrt(2), (first - second) / math.sqrt(2)
