"""Input validation for metrics: check the images and convert them to float64.

All metrics compute in float64. The original programs do, several definitions compare numbers for
equality or divide by differences of large sums, and a value should not depend on the dtype of its
input.

The unit is the gray level, 0..255, for every bit depth of the files: 16-bit values are divided
by 257 and keep their fractions, except where a definition counts gray levels (`quantized`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fusionlab.errors import FusionlabError, distinct_texts
from fusionlab.metrics.catalog import CATALOG, TEMPORAL_CATALOG
from fusionlab.plugins.offers import MetricRef, TemporalMetricRef

WHITE = 255.0
LEVELS = 256

_CATALOG = {ref.name: ref for ref in CATALOG}
_TEMPORAL = {ref.name: ref for ref in TEMPORAL_CATALOG}


class Images(NamedTuple):
    """The fused images `(N, H, W)` and their sources `(k, N, H, W)`, float64 gray levels.

    `(N, 3, H, W)` and `(k, N, 3, H, W)` for metrics that take color.
    """

    fused: Tensor
    sources: Tensor


def checked(name: str, fused: Tensor, sources: Tensor, convention: str = "default") -> Images:
    """Check the images of a shipped metric, and return them in float64.

    Args:
        name: of the metric in the catalog.
        fused: `(N, H, W)` in 0..255, any real dtype; `(N, 3, H, W)` if the metric takes color.
        sources: `(k, N, H, W)` in 0..255, on the same device; `(k, N, 3, H, W)` likewise.
        convention: one that the catalog lists, or the default.

    Raises:
        FusionlabError: see `check_images`.
    """
    check_images(_CATALOG[name], fused, sources, convention)
    return Images(fused.double(), sources.double())


def checked_frames(
    name: str, fused: Tensor, sources: Tensor, convention: str = "default"
) -> Images:
    """Check the frames of a shipped metric over time, and return them in float64.

    Args:
        name: of the metric in the catalog of metrics over time.
        fused: `(T, H, W)` in 0..255, consecutive frames, any real dtype.
        sources: `(k, T, H, W)` in 0..255, on the same device.
        convention: one that the catalog lists, or the default.

    Raises:
        FusionlabError: see `check_frames`.
    """
    check_frames(_TEMPORAL[name], fused, sources, convention)
    return Images(fused.double(), sources.double())


def check_frames(
    ref: TemporalMetricRef, fused: Tensor, sources: Tensor, convention: str = "default"
) -> None:
    """Check frames against the description of any metric over time, shipped or of a plugin.

    Args:
        ref: the description of the metric.
        fused: `(T, H, W)` in 0..255.
        sources: `(k, T, H, W)` in 0..255.
        convention: one of the description, or the default.

    Raises:
        FusionlabError: as `check_images`, or there are too few frames (code `too-few-frames`).
    """
    check_images(ref, fused, sources, convention)
    if len(fused) < ref.frames:
        raise FusionlabError(
            f"{ref.name} compares {ref.frames} consecutive frames, got {len(fused)}",
            code="too-few-frames",
        )


def check_images(
    ref: MetricRef | TemporalMetricRef,
    fused: Tensor,
    sources: Tensor,
    convention: str = "default",
) -> None:
    """Check images against the description of any metric, shipped or of a plugin.

    Args:
        ref: the description of the metric.
        fused: `(N, H, W)` in 0..255; `(N, 3, H, W)` if the metric takes color.
        sources: `(k, N, H, W)` in 0..255; `(k, N, 3, H, W)` if the metric takes color.
        convention: one of the description, or the default.

    Raises:
        FusionlabError: the shapes do not match (code `size-mismatch`), an image is too small (code
            `too-small`), a value is outside 0..255 or NaN (code `value-range`), the number of
            sources is wrong (code `number-of-sources`), or the convention is unknown (code
            `unknown-convention`).
    """
    name = ref.name
    if convention not in ("default", *ref.conventions):
        raise FusionlabError(
            f"{name} has no convention {convention!r}; known: "
            f"{', '.join(('default', *ref.conventions))}",
            code="unknown-convention",
        )
    in_color = isinstance(ref, MetricRef) and ref.color
    channels = (3,) if in_color else ()
    one_size = sources.shape[1:] == fused.shape and 0 not in fused.shape
    if fused.shape[1:-2] != channels or fused.ndim != 3 + len(channels) or not one_size:
        axes = "3, H, W" if in_color else "H, W"
        raise FusionlabError(
            f"{name} takes fused images (N, {axes}) and sources (k, N, {axes}) of one size, got "
            f"{tuple(fused.shape)} and {tuple(sources.shape)}",
            code="size-mismatch",
        )
    if min(fused.shape[-2:]) < ref.min_size:
        height, width = fused.shape[-2:]
        raise FusionlabError(
            f"{name} needs at least {ref.min_size} pixels along both edges, got {width}x{height}",
            code="too-small",
        )
    if ref.sources == "pair" and len(sources) != 2:
        raise FusionlabError(
            f"{name} is defined for exactly two sources, got {len(sources)}",
            code="number-of-sources",
        )
    if len(sources) < 1:
        raise FusionlabError(
            f"{name} needs at least one source, got none", code="number-of-sources"
        )
    # read at once: a GPU makes the host wait for every value
    limits = [limit.double() for images in (fused, sources) for limit in images.aminmax()]
    values = torch.stack(limits).cpu().tolist()
    for what, low, high in (("the fused image", *values[:2]), ("a source", *values[2:])):
        if not (low >= 0 and high <= WHITE):  # false for NaN, too
            smallest, largest, *_ = distinct_texts(low, high, 0, WHITE)
            raise FusionlabError(
                f"{name} takes gray levels in 0..255, got {what} with values from {smallest} to "
                f"{largest}",
                code="value-range",
            )


def quantized(images: Tensor) -> Tensor:
    """Round half up to integer gray levels, int64, for definitions that count them."""
    return torch.floor(images + 0.5).long()
