"""Thumbnails of sources: small versions to tell what kind of images they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from fusionlab.imaging.arrays import Image
from fusionlab.imaging.scale import Scale, scales_for
from fusionlab.imaging.sources import Source, open_sources

EDGE = 256
"""The longest edge of a thumbnail, in pixels; smaller sources keep their size."""

SAMPLES = 2 * EDGE
"""Of larger sources rows and columns are left out, so that about this many are averaged."""


class Thumbnails(NamedTuple):
    """Thumbnails of the k sources of one fusion."""

    images: Tensor
    """`(k, 3, h, w)`, float32 in 0..1, on the CPU; gray sources have three equal channels."""
    gray: tuple[bool, ...]
    """For each source, whether it has one channel, or three that are equal in every pixel."""


def thumbnails(
    sources: Sequence[Image], scale: Sequence[Scale] = (Scale(),), names: Sequence[str] = ()
) -> list[Thumbnails]:
    """Return the thumbnails of sources, one item for each image of a batch.

    Of large sources only a part of the pixels is looked at, also for their scale.

    Args:
        sources: k >= 2 images of one size, as for `Fusion`.
        scale: what becomes black and white, one for all sources or one for each.
        names: of the sources, for error messages.

    Raises:
        FusionlabError: as `fusionlab.imaging.arrays.Stack`.
    """
    opened = open_sources(sources, names)
    height, width = opened[0].size
    longest = max(height, width)
    step = max(1, round(longest / SAMPLES))
    shrink = min(1.0, EDGE / longest)
    size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    images, gray = [], []
    for source, source_scale in zip(opened, scales_for(scale, len(opened)), strict=True):
        pixels = _sampled(source, step)
        limits = source_scale.limits(pixels, source.name)
        scaled = source_scale.apply(pixels, limits)
        images.append(adaptive_avg_pool2d(scaled, size).expand(-1, 3, -1, -1).cpu())
        gray.append(_is_gray(pixels))
    return [
        Thumbnails(stack, flags)
        for stack, flags in zip(torch.stack(images, dim=1), zip(*gray, strict=True), strict=True)
    ]


def _sampled(source: Source, step: int) -> Tensor:
    """Return every `step`-th pixel of every `step`-th row, `(N, C, h, w)`."""
    parts, top = [], 0
    for part in source.parts():
        parts.append(part.detach()[..., -top % step :: step, ::step])
        top += part.shape[-2]
    return torch.cat([part.contiguous() for part in parts], dim=-2)


def _is_gray(pixels: Tensor) -> list[bool]:
    """Return for each image `(N, C, h, w)` whether its channels are equal in every pixel."""
    if pixels.dtype.itemsize == 2 and not pixels.dtype.is_floating_point:
        pixels = pixels.view(torch.int16)  # torch compares few types without a sign
    equal: list[bool] = (pixels[:, 1:] == pixels[:, :1]).flatten(1).all(1).tolist()
    return equal
