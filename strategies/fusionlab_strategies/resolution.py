"""Bring maps of the sources to the resolution of a level of the backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def at_level(maps: Tensor, features: Tensor) -> Tensor:
    """Average maps `(k, N, C, H, W)` over the image pixels of each feature pixel.

    Args:
        maps: at image resolution.
        features: `(k, N, C', h, w)`, with H and W the same multiple of h and w.
    """
    from torch.nn.functional import avg_pool2d

    stride = maps.shape[-1] // features.shape[-1]
    if stride == 1:
        return maps
    averages: Tensor = avg_pool2d(maps.flatten(0, 1), stride).unflatten(0, maps.shape[:2])
    return averages
