"""The input of the metrics: images in gray levels 0..255, gray or in color.

Fusion metrics are defined on gray images. Of a color image the luminance is scored, rounded to
whole levels of its depth, as a gray file would hold it. If red, green and blue are equal, the
luminance equals them. Only the metrics see rounded sources: a fusion takes the luminance of a color
source without rounding it, so that its result is the file that `Fusion` makes. Metrics that declare
that they take color (`MetricRef.color`) get red, green and blue. For comparison with programs that
score channel by channel, all metrics can do so, see `ScoreColor`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionlab.errors import FusionlabError
from fusionlab.imaging.color import luminance
from fusionlab.imaging.range_policy import GRAY_LEVELS, round_half_up
from fusionlab.imaging.scale import CHOOSE_A_SCALE, Scale, full_range
from fusionlab.metrics.sources_part import keep_parts
from fusionlab.namespaces import dtype_name
from fusionlab.torch_defaults import torch_defaults

FULL_SCALE = Scale()
LUMINANCE = "luminance 0.299 R + 0.587 G + 0.114 B, rounded"
"""How color becomes gray, as the head of a table says it."""
ScoreColor = Literal["luma", "per-channel"]
"""What the metrics get of color images: the luminance, or the channels one by one."""
SCORED_BY: Mapping[ScoreColor, str] = {
    "luma": LUMINANCE,
    "per-channel": "red, green and blue one by one, the mean of the three values",
}
"""How color images are scored, as the head of a table says it."""


def checked_score_color(value: str) -> ScoreColor:
    """Return a way of scoring color images that there is.

    Raises:
        FusionlabError: it is another one (code `score-color`).
    """
    if value not in get_args(ScoreColor):
        raise FusionlabError(
            f"color images are scored by {' or '.join(get_args(ScoreColor))}, got {value!r}",
            code="score-color",
            option="score_color",
        )
    return cast("ScoreColor", value)


def to_gray(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the gray image `(H, W)` of pixels `(H, W)` or `(H, W, 3)`, in their depth."""
    if pixels.ndim == 2:
        return pixels
    planes = torch.from_numpy(pixels.astype(np.float64)).movedim(-1, 0)[None]
    luma = luminance(planes)[0, 0]
    if np.issubdtype(pixels.dtype, np.integer):
        luma = round_half_up(luma)
    return luma.numpy().astype(pixels.dtype)


def to_gray_levels(
    pixels: NDArray[Any], name: str, scale: Scale = FULL_SCALE, remedy: str = CHOOSE_A_SCALE
) -> Tensor:
    """Return the luminance `(H, W)` in 0..255, float64: 16 bits divided by 257, floats times 255.

    Args:
        pixels: `(H, W)` or `(H, W, 3)`, in the depth of the file.
        name: what an error calls the image.
        scale: which values are black and white, if not the range of the type. It applies to the
            color image, as in a fusion; the luminance of scaled values is not rounded.
        remedy: what errors say to do about values without black and white.

    Raises:
        FusionlabError: the depth has no white by convention (code `no-white`), or floats lie
            outside 0..1 (code `out-of-range`).
    """
    if scale.of_type:
        return _levels(to_gray(pixels), name, scale, remedy)[0]
    return luminance(_levels(pixels, name, scale, remedy)[None])[0, 0]


def to_color_levels(
    pixels: NDArray[Any], name: str, scale: Scale = FULL_SCALE, remedy: str = CHOOSE_A_SCALE
) -> Tensor:
    """Return red, green and blue `(3, H, W)` in 0..255, three equal channels of a gray image.

    Args and errors are those of `to_gray_levels`.
    """
    return _levels(pixels, name, scale, remedy).expand(3, -1, -1)


def _levels(pixels: NDArray[Any], name: str, scale: Scale, remedy: str) -> Tensor:
    """Return the channels of an image in 0..255, `(C, H, W)` in float64."""
    planes = torch.from_numpy(np.atleast_3d(pixels)).movedim(-1, 0)
    if not scale.of_type:
        unit = scale.apply(planes[None], scale.limits(planes[None], name))
        return unit[0].double() * GRAY_LEVELS
    levels = torch.from_numpy(np.atleast_3d(pixels.astype(np.float64))).movedim(-1, 0)
    _, white = full_range(
        dtype_name(planes), float(levels.min()), float(levels.max()), name, remedy
    )
    # floats may lie outside 0..1 by rounding
    return levels.clamp(0, 1) * GRAY_LEVELS if white == 1 else levels / (white / GRAY_LEVELS)


@dataclass(frozen=True, eq=False)
class MetricInput:
    """Images of one size as the metrics take them, converted when a metric needs them.

    Args:
        images: `(H, W)` or `(H, W, 3)` each, in the depth of their files.
        names: what errors call them.
        scales: which values of each are black and white; None: the range of their types, which is
            no choice for fused images.
        device: where the metrics are computed.
        shared: whether several images are scored with these as their sources; what metrics compute
            of the sources alone is then computed once, see `fusionlab.metrics.sources_part`.
    """

    images: Sequence[NDArray[Any]]
    names: Sequence[str]
    scales: Sequence[Scale] | None = None
    device: str | torch.device = "cpu"
    shared: bool = False

    @property
    def is_gray(self) -> bool:
        """Whether none of them has channels."""
        return all(image.ndim == 2 for image in self.images)

    @cached_property
    def gray(self) -> Tensor:
        """The luminance of each, `(k, 1, H, W)`; see `to_gray_levels` for errors."""
        return self._stacked(to_gray_levels)

    @cached_property
    def color(self) -> Tensor:
        """Each in color, `(k, 1, 3, H, W)`; see `to_gray_levels` for errors."""
        return self._stacked(to_color_levels)

    @cached_property
    def channels(self) -> Tensor:
        """The channels of each as if they were three gray images, `(k, 3, H, W)`."""
        return self._kept(self.color[:, 0])

    @torch_defaults()
    def _stacked(self, convert: Callable[[NDArray[Any], str, Scale, str], Tensor]) -> Tensor:
        scales, remedy = self.scales, CHOOSE_A_SCALE
        if scales is None:
            scales = [FULL_SCALE] * len(self.images)
            remedy = "store it in 8 or 16 bits, or as floats in 0..1"
        levels = map(convert, self.images, self.names, scales, repeat(remedy))
        return self._kept(torch.stack(list(levels))[:, None].to(self.device))

    def _kept(self, images: Tensor) -> Tensor:
        return keep_parts(images) if self.shared else images
