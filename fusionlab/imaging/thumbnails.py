"""Thumbnails of sources: small versions to tell what kind of images they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from fusionlab.imaging.arrays import Image
from fusionlab.imaging.filling import filled
from fusionlab.imaging.scale import Scale, scales_for
from fusionlab.imaging.sources import open_sources

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

    Of large sources only a part of the pixels is looked at, also for their scale. Pixels that are
    no data are filled.

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
    parts, gray = [], []
    for source, source_scale in zip(opened, scales_for(scale, len(opened)), strict=True):
        pixels, valid = source.sampled(step)
        sample = [(pixels, valid)]
        limits, _ = source_scale.measure(sample.copy, len(pixels), pixels.dtype, source.name)
        parts.append((source_scale.apply(pixels, limits), valid))
        gray.append(_is_gray(pixels, valid))
    images = [
        adaptive_avg_pool2d(image, size).expand(-1, 3, -1, -1).cpu() for image in filled(parts)
    ]
    return [
        Thumbnails(stack, flags)
        for stack, flags in zip(torch.stack(images, dim=1), zip(*gray, strict=True), strict=True)
    ]


def _is_gray(pixels: Tensor, valid: Tensor | None) -> list[bool]:
    """Return for each image `(N, C, h, w)` whether its channels are equal in every valid pixel."""
    if pixels.dtype.itemsize == 2 and not pixels.dtype.is_floating_point:
        pixels = pixels.view(torch.int16)  # torch compares few types without a sign
    equal = pixels[:, 1:] == pixels[:, :1]
    if valid is not None:
        equal = equal | ~valid
    gray: list[bool] = equal.flatten(1).all(1).tolist()
    return gray
