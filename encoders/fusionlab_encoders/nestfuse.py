"""NestFuse: an autoencoder with four scales and a nested decoder.

    encoder     E1 -- E2 -- E3 -- E4        E1..E4 at strides 1, 2, 4, 8, each but E1 after pooling
                |   / |   / |   /
                D11   D21   D31             Dij: level i, column j of the decoder
                |   / |   /
                D12   D22                   each block sees all earlier blocks of its level, and
                |   /                       the next coarser level, enlarged by two
                D13 -- output

    channels of the levels (width=16): 64, 112, 160, 208; of the first layer: 16
    a block: 3x3 to half the channels that come in, then 1x1 to those of the level, each with ReLU

Reference: H. Li, X.-J. Wu and T. Durrani, "NestFuse: An Infrared and Visible Image Fusion
Architecture Based on Nest Connection and Spatial/Channel Attention Models", IEEE Transactions on
Instrumentation and Measurement 69(12), 2020, doi:10.1109/TIM.2020.3005230.
"""

from __future__ import annotations

from typing import Annotated, cast

import torch
from annotated_types import Interval
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from fusionlab import Backbone
from fusionlab.backbone import Features, Level
from fusionlab_encoders.convolution import Conv3x3

GRAY_LEVELS = 255.0
STRIDES = (1, 2, 4, 8)
CHANNELS = (4, 7, 10, 13)
"""Channels of the levels at width 1."""
FIRST = 16
"""Channels of the first layer, at every width."""


class NestFuse(Backbone):
    """The autoencoder of NestFuse: four levels, and a decoder with nested connections.

    At strides 1, 2, 4 and 8 there are 4, 7, 10 and 13 times `width` features, all >= 0. The
    published network has `width=16`; the weights that ship were trained at the default width.

        width      parameters
            3          96,466
            4         172,557
           16       2,732,889

    Inside, images are gray levels 0..255, as in `DenseFuse`. Enlarging repeats pixels, so that it
    stays within a block of 8 pixels, and tiles give the result of the whole image.

    Differs from the paper: sizes that are no multiple of 8 are extended by the framework before
    the encoder; the authors' program pads the enlarged features inside the decoder.
    """

    saves = "minmax"
    size_divisor = 8
    # Encoder: two 3x3 layers at stride 1, and one each at 2, 4 and 8. Decoder: the longest path,
    # D13 - D22 - D31, has one 3x3 layer each at 1, 2 and 4.
    receptive_field = (2 + 2 + 4 + 8, 1 + 2 + 4)
    trainable = True

    def __init__(
        self,
        width: Annotated[
            int, Interval(ge=1, le=64), "the levels have 4, 7, 10 and 13 times this many channels"
        ] = 3,
    ) -> None:
        super().__init__()
        channels = [factor * width for factor in CHANNELS]
        self.levels = tuple(map(Level, channels, STRIDES))
        self.first = Conv3x3(1, FIRST)
        self.encoder = nn.ModuleList(
            _Block(channels_in, channels_out)
            for channels_in, channels_out in zip([FIRST, *channels], channels, strict=False)
        )
        self.decoder = nn.ModuleList(
            nn.ModuleList(
                _Block(column * channels[level] + channels[level + 1], channels[level])
                for level in range(len(STRIDES) - column)
            )
            for column in range(1, len(STRIDES))
        )
        self.last = nn.Conv2d(channels[0], 1, kernel_size=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                # torch's default lets the image fade over ten layers, and training starts slowly
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                layer.bias.data.zero_()

    def encode(self, images: Tensor) -> Features:
        """Turn images `(M, 1, H, W)` in 0..1 into features `(M, C, H / stride, W / stride)`."""
        maps = self.first(images * GRAY_LEVELS).relu_()
        levels: list[Tensor] = []
        for block in self.encoder:
            maps = block(max_pool2d(maps, 2) if levels else maps)
            levels.append(maps)
        return tuple(levels)

    def decode(self, features: Features) -> Tensor:
        """Turn features into images `(M, 1, H, W)` in 0..1; they may overshoot."""
        nodes = [[maps] for maps in features]  # of each level: its features, then its blocks
        for column in self.decoder:
            for level, block in enumerate(cast("nn.ModuleList", column)):
                enlarged = interpolate(nodes[level + 1][-1], scale_factor=2)
                # the coarser level has not reached this column yet, so its last block is the one
                # of the previous column
                nodes[level].append(block(torch.cat([*nodes[level], enlarged], dim=1)))
        image: Tensor = self.last(nodes[0][-1])
        return image / GRAY_LEVELS


class _Block(nn.Module):
    """A 3x3 convolution to half the channels, then a 1x1 convolution, each with ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.reduce = Conv3x3(channels_in, channels_in // 2)
        self.expand = nn.Conv2d(channels_in // 2, channels_out, kernel_size=1)

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.reduce(maps).relu_()
        expanded: Tensor = self.expand(maps).relu_()
        return expanded
