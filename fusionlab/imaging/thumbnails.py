"""Thumbnails of sources: small versions to tell what kind of images they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fusionlab.imaging.arrays import Image, comparable
from fusionlab.imaging.filling import filled
from fusionlab.imaging.scale import Scale, scales_for
from fusionlab.imaging.sources import open_sources
from fusionlab.namespaces import Array, dtype_name, is_tensor

if TYPE_CHECKING:
    from torch import Tensor

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
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

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
        limits, _ = source_scale.measure(sample.copy, len(pixels), dtype_name(pixels), source.name)
        parts.append((source_scale.apply(pixels, limits), valid))
        gray.append(_is_gray(pixels, valid))
    tensors = (
        image if is_tensor(image) else torch.from_numpy(np.ascontiguousarray(image))
        for image in filled(parts)
    )
    images = [adaptive_avg_pool2d(image, size).expand(-1, 3, -1, -1).cpu() for image in tensors]
    return [
        Thumbnails(stack, flags)
        for stack, flags in zip(torch.stack(images, dim=1), zip(*gray, strict=True), strict=True)
    ]


def _is_gray(pixels: Array, valid: Array | None) -> list[bool]:
    """Return for each image `(N, C, h, w)` whether its channels are equal in every valid pixel."""
    pixels = comparable(pixels)
    equal = pixels[:, 1:] == pixels[:, :1]
    if valid is not None:
        equal = equal | ~valid
    gray: list[bool] = equal.reshape(len(equal), -1).all(axis=1).tolist()
    return gray
