"""The convolution of the networks that ship: 3x3, stride 1, reflection padding.

It pads only at the borders of the image. At the other sides of a tile it crops its own halo, so
that no pixel is computed in vain.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import pad

from fusionlab.backbone import WHOLE, Borders


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution with reflection padding at the borders of the image.

    The edge pixel is not repeated. On the other sides the result is smaller by a pixel.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, kernel_size=3)

    def forward(self, maps: Tensor, borders: Borders = WHOLE) -> Tensor:
        return super().forward(_extended(maps, borders))


def _extended(maps: Tensor, borders: Borders) -> Tensor:
    """Extend `(M, C, H, W)` by one mirrored pixel at every border of the image.

    An axis of a single pixel has nothing to mirror and is repeated, as in `numpy.pad`, so images of
    every size from 1x1 can be fused.
    """
    if not any(borders):
        return maps
    height, width = maps.shape[-2:]
    top, left, bottom, right = map(int, borders)
    if height > 1 and width > 1:
        return pad(maps, (left, right, top, bottom), mode="reflect")
    maps = pad(maps, (left, right, 0, 0), mode="reflect" if width > 1 else "replicate")
    return pad(maps, (0, 0, top, bottom), mode="reflect" if height > 1 else "replicate")
