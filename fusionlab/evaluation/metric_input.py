"""Which numbers a metric sees: one gray image of each picture, in gray levels 0..255.

Metrics of fusion are defined on gray images. Of a color picture it is the luminance that is
fused and judged, rounded to whole levels of its depth as a gray file would hold it; red, green
and blue that are equal give themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionlab.errors import FusionlabError
from fusionlab.imaging.color import luminance
from fusionlab.imaging.range_policy import GRAY_LEVELS, round_half_up
from fusionlab.imaging.scale import Scale

FULL = Scale()
RULE = "luminance 0.299 R + 0.587 G + 0.114 B, rounded"
"""How color becomes gray, for the head of a table."""


def gray(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the gray image `(H, W)` of pixels `(H, W)` or `(H, W, 3)`, in their depth."""
    if pixels.ndim == 2:
        return pixels
    planes = torch.from_numpy(pixels.astype(np.float64)).movedim(-1, 0)[None]
    luma = luminance(planes)[0, 0]
    if np.issubdtype(pixels.dtype, np.integer):
        luma = round_half_up(luma)
    return luma.numpy().astype(pixels.dtype)


def gray_levels(image: NDArray[Any], name: str, scale: Scale = FULL) -> Tensor:
    """Return a gray image `(H, W)` in 0..255, float64: 16 bits divided by 257, floats times 255.

    Args:
        image: the pixels, in the depth of the file.
        name: what an error calls it.
        scale: which of its values are black and white, where it is not the range of its type.

    Raises:
        FusionlabError: the depth has no agreed white, or floats lie outside 0..1.
    """
    if scale.kind != "full":
        planes = torch.from_numpy(image)[None, None]
        unit = scale.apply(planes, scale.limits(planes, name))
        return unit[0, 0].double() * GRAY_LEVELS
    levels = torch.from_numpy(image.astype(np.float64))
    if image.dtype == np.uint8:
        return levels
    if image.dtype == np.uint16:
        return levels / 257
    if not np.issubdtype(image.dtype, np.floating):
        raise FusionlabError(
            f"{name} is {image.dtype}, which has no agreed white; choose its --scale"
        )
    if not (levels.min() >= 0 and levels.max() <= 1):  # false for NaN, too
        raise FusionlabError(f"{name} must hold floats in 0..1; choose its --scale, or convert it")
    return levels * GRAY_LEVELS
