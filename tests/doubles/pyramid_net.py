"""A small backbone with four levels, as nested encoders have them, with random weights."""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import nn
from torch.nn.functional import interpolate, max_pool2d

from fusionlab import Backbone, Level

STRIDES = (1, 2, 4, 8)


class PyramidNet(Backbone):
    """Four levels of 8, 16, 24 and 32 channels at strides 1, 2, 4 and 8.

    The encoder halves the size three times, with a 3x3 convolution at each size; the decoder adds
    the levels up again, from coarse to fine.
    """

    levels = tuple(Level(channels=8 * (n + 1), stride=s) for n, s in enumerate(STRIDES))
    size_divisor = 8
    # Each convolution sees one pixel of its size farther: 1 + 2 + 4 + 8. Pooling and enlarging stay
    # within a block of 8 pixels.
    receptive_field = (15, 15)

    def __init__(self, gain: Annotated[float, Ge(0), "factor of the random weights"] = 2.0) -> None:
        super().__init__()
        channels = [level.channels for level in self.levels]
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in zip([1, *channels], channels, strict=False)
        )
        self.up = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in zip(channels, [1, *channels], strict=False)
        )
        for parameter in self.parameters():
            parameter.data *= gain

    def encode(self, images):
        maps, levels = images, []
        for number, conv in enumerate(self.down):
            maps = conv(maps if number == 0 else max_pool2d(maps, 2)).relu()
            levels.append(maps)
        return tuple(levels)

    def decode(self, features):
        maps = torch.zeros_like(features[-1])
        for number in reversed(range(4)):
            maps = self.up[number](maps + features[number])
            if number:
                maps = interpolate(maps.relu(), scale_factor=2)
        return maps
