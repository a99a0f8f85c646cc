"""Infrared and visible pairs: how salient warm objects are, how much visible texture is kept.

Both take the infrared image as the first source and the visible one as the second. The infrared
only says which pixels count:

    W  the warmest 1 %: at least the infrared value of rank ceil(0.01 H W) from the top
    C  the coldest 95 %: at most the value of rank ceil(0.05 H W) + 1 from the top

Equal values are in or out together, so W and C may be larger. If ties make W more than 5 % of the
image, W is what is strictly warmer, or the warmest value alone if nothing is. So both are the same
for every infrared image that shows the same order of temperatures.
"""

from __future__ import annotations

from math import nan

import torch
from torch import Tensor
from torch.nn.functional import pad

from fusionlab.metrics.edges import edge_preservation
from fusionlab.metrics.inputs import checked
from fusionlab.metrics.sources_part import once_per_sources

WARMEST = 100
"""One of so many pixels is a warm object,"""
WARM = 20
"""and one of so many is too warm to belong to the surroundings of warm objects."""
DISTANCE = 20
"""The surroundings reach as far as the smaller edge divided by this,"""
MIN_DISTANCE = 3
"""but at least this many pixels."""


def warm_contrast(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute how much brighter the warmest pixels are than their surroundings, in gray levels.

    warm_contrast = mean F(W) - mean F(S). W is the warmest 1 % of the infrared. S, the
    surroundings, are the pixels outside W among the coldest 95 % with a pixel of W at most d rows
    and d columns away. d is 1/20 of the smaller edge, halves rounded up, and at least 3; it is
    doubled until S has at least as many pixels as W or d covers the image, since large warm objects
    contain their 1 %. See the module docstring for ties.

    Adding a constant to the fused image changes nothing, and the value is proportional to its
    contrast. A mean of both sources has about half of the contrast of the infrared. Objects that
    are brighter than in both sources raise the value, too; it does not measure fidelity.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(2, N, H, W)` in 0..255: infrared, visible. The visible image is not used.
        convention: there is only the default.

    Returns:
        `(N,)`, float64, in -255..255; 0 if the fused image is constant, nan if the infrared is.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: defined here.
    """
    images = checked("warm_contrast", fused, sources, convention)
    values = []
    for scene, image in enumerate(images.fused):
        warmest, surroundings = _warm_objects(images.sources, scene)
        contrast = image[warmest].mean() - image[surroundings].mean()
        values.append(contrast if surroundings.any() else contrast.new_tensor(nan))
    return torch.stack(values)


@once_per_sources
def _warm_objects(sources: Tensor, scene: int) -> tuple[Tensor, Tensor]:
    """Return which pixels `(H, W)` are W and S."""
    infrared = sources[0, scene]
    warmest = _warmest(infrared)
    return warmest, _surroundings(warmest, _cold(infrared) & ~warmest)


def texture(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the fraction of the visible texture that is preserved where it is not warm.

    texture = sum Q g / sum g over the coldest 95 % of the infrared, where Q and g are those of Qabf
    for the visible image alone, with the same constants: the strength of its edges and how much of
    it the fused image preserves. So warm objects, which should replace what the visible image has
    there, do not count. See the module docstring for ties, and `qabf` for angles and the border.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(2, N, H, W)` in 0..255: infrared, visible.
        convention: there is only the default.

    Returns:
        `(N,)`, float64, in 0..1; at most 0.9748, if all edges are preserved; nan if the visible
        image is black wherever it counts.

    Raises:
        FusionlabError: the images do not fit together, or are smaller than 3x3.

    Reference: Qabf of Xydeas and Petrovic 2000, doi:10.1049/el:20000267; the selection of pixels is
    defined here.
    """
    images = checked("texture", fused, sources, convention)
    quality, strength = edge_preservation(images.fused, images.sources, index=1)
    weight = strength * _colds(images.sources)
    return (quality * weight).sum(dim=(-2, -1)) / weight.sum(dim=(-2, -1))


@once_per_sources
def _colds(sources: Tensor) -> Tensor:
    """Return which pixels `(N, H, W)` are C."""
    return torch.stack([_cold(infrared) for infrared in sources[0]])


# ------------------------------------------------------------------ which pixels count
def _warmest(infrared: Tensor) -> Tensor:
    """Return whether a pixel `(H, W)` is a warm object."""
    threshold = _value_of_rank(infrared, _share(infrared, WARMEST))
    warmest, warmer = infrared >= threshold, infrared > threshold
    too_many = WARM * warmest.sum() > infrared.numel()
    return warmer if too_many and warmer.any() else warmest


def _cold(infrared: Tensor) -> Tensor:
    """Return whether a pixel `(H, W)` is among the coldest 95 %."""
    return infrared <= _value_of_rank(infrared, _share(infrared, WARM) + 1)


def _share(image: Tensor, divisor: int) -> int:
    """Return the number of pixels divided by `divisor`, rounded up."""
    return -(-image.numel() // divisor)


def _value_of_rank(image: Tensor, rank: int) -> Tensor:
    """Return the value of a rank, 1 for the largest; the smallest value for larger ranks."""
    return image.flatten().kthvalue(max(image.numel() - rank + 1, 1)).values


def _surroundings(warmest: Tensor, candidates: Tensor) -> Tensor:
    """Return the candidates that are close to the warmest pixels, about as many as those."""
    smaller, larger = sorted(warmest.shape)
    distance = max(int(smaller / DISTANCE + 0.5), MIN_DISTANCE)
    while True:
        surroundings = candidates & _within(warmest, distance)
        if distance >= larger or surroundings.sum() >= warmest.sum():
            return surroundings
        distance *= 2


def _within(mask: Tensor, distance: int) -> Tensor:
    """Return whether a pixel of the mask is at most `distance` rows and columns away."""
    counts = mask.long()
    for axis in (-1, -2):
        size = counts.shape[axis]
        sums = pad(counts.movedim(axis, -1).cumsum(dim=-1), (1, 0))
        position = torch.arange(size, device=mask.device)
        last = (position + distance + 1).clamp(max=size)
        first = (position - distance).clamp(min=0)
        counts = (sums[..., last] - sums[..., first]).movedim(-1, axis)
    return counts > 0
