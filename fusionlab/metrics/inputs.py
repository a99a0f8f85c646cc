"""Input validation for metrics: check the images and convert them to float64.

All metrics compute in float64. The original programs do, several definitions compare numbers for
equality or divide by differences of large sums, and a value should not depend on the dtype of its
input.

The unit is the gray level, 0..255, whatever the bit depth of the files: 16-bit values are divided
by 257 and keep their fractions, except where a definition counts gray levels (`quantized`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fusionlab.errors import FusionlabError
from fusionlab.metrics.catalog import CATALOG

WHITE = 255.0
LEVELS = 256

_CATALOG = {ref.name: ref for ref in CATALOG}


class Images(NamedTuple):
    """The fused images `(N, H, W)` and their sources `(k, N, H, W)`, float64 gray levels."""

    fused: Tensor
    sources: Tensor


def checked(name: str, fused: Tensor, sources: Tensor, convention: str = "default") -> Images:
    """Return the images in float64, or say what is wrong with them.

    Args:
        name: the metric; what it takes stands in the catalog.
        fused: `(N, H, W)` in 0..255, any real dtype.
        sources: `(k, N, H, W)` likewise, on the same device.
        convention: one of those that the catalog lists, or the default.

    Raises:
        FusionlabError: the shapes do not fit together, an image is too small, a value is not in
            0..255, the sources are not two where they have to be, or the convention is unknown.
    """
    ref = _CATALOG[name]
    if convention not in ("default", *ref.conventions):
        raise FusionlabError(
            f"{name} has no convention {convention!r}; known: "
            f"{', '.join(('default', *ref.conventions))}"
        )
    if fused.ndim != 3 or sources.ndim != 4 or sources.shape[1:] != fused.shape or 0 in fused.shape:
        raise FusionlabError(
            f"{name} takes fused images (N, H, W) and sources (k, N, H, W) of one size, got "
            f"{tuple(fused.shape)} and {tuple(sources.shape)}"
        )
    if min(fused.shape[1:]) < ref.min_size:
        height, width = fused.shape[1:]
        raise FusionlabError(
            f"{name} needs at least {ref.min_size} pixels along both edges, got {width}x{height}"
        )
    if ref.sources == "pair" and len(sources) != 2:
        raise FusionlabError(f"{name} is defined for exactly two sources, got {len(sources)}")
    if len(sources) < 1:
        raise FusionlabError(f"{name} needs at least one source, got none")
    for images, what in ((fused, "the fused image"), (sources, "a source")):
        low, high = (limit.item() for limit in images.aminmax())
        if not (low >= 0 and high <= WHITE):  # false for NaN, too
            raise FusionlabError(
                f"{name} takes gray levels in 0..255, got {what} with values from {low:g} to "
                f"{high:g}"
            )
    return Images(fused.double(), sources.double())


def quantized(images: Tensor) -> Tensor:
    """Round half up to integer gray levels, int64, for definitions that count them."""
    return torch.floor(images + 0.5).long()
