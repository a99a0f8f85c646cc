"""The input of the metrics: one gray image of each image, in gray levels 0..255.

Fusion metrics are defined on gray images. Of a color image the luminance is scored, rounded to
whole levels of its depth, as a gray file would hold it. If red, green and blue are equal, the
luminance equals them. Only the metrics see rounded sources: a fusion takes the luminance of a color
source without rounding it, so that its result is the file that `Fusion` makes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionlab.imaging.color import luminance
from fusionlab.imaging.range_policy import GRAY_LEVELS, round_half_up
from fusionlab.imaging.scale import Scale, full_range

FULL_SCALE = Scale()
LUMINANCE = "luminance 0.299 R + 0.587 G + 0.114 B, rounded"
"""How color becomes gray, as the head of a table says it."""


def to_gray(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the gray image `(H, W)` of pixels `(H, W)` or `(H, W, 3)`, in their depth."""
    if pixels.ndim == 2:
        return pixels
    planes = torch.from_numpy(pixels.astype(np.float64)).movedim(-1, 0)[None]
    luma = luminance(planes)[0, 0]
    if np.issubdtype(pixels.dtype, np.integer):
        luma = round_half_up(luma)
    return luma.numpy().astype(pixels.dtype)


def to_gray_levels(pixels: NDArray[Any], name: str, scale: Scale = FULL_SCALE) -> Tensor:
    """Return the luminance `(H, W)` in 0..255, float64: 16 bits divided by 257, floats times 255.

    Args:
        pixels: `(H, W)` or `(H, W, 3)`, in the depth of the file.
        name: what an error calls the image.
        scale: which values are black and white, if not the range of the type. It applies to the
            color image, as in a fusion; the luminance of scaled values is not rounded.

    Raises:
        FusionlabError: the depth has no white by convention (code `no-white`), or floats lie
            outside 0..1 (code `out-of-range`).
    """
    if scale.kind != "full":
        planes = torch.from_numpy(np.atleast_3d(pixels)).movedim(-1, 0)[None]
        unit = scale.apply(planes, scale.limits(planes, name))
        return luminance(unit)[0, 0].double() * GRAY_LEVELS
    gray = to_gray(pixels)
    dtype, levels = torch.from_numpy(gray).dtype, torch.from_numpy(gray.astype(np.float64))
    _, white = full_range(dtype, float(levels.min()), float(levels.max()), name)
    return levels * GRAY_LEVELS if white == 1 else levels / (white / GRAY_LEVELS)
