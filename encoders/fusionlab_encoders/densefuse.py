"""DenseFuse: the dense-block autoencoder of Li & Wu, as defined in their Table I.

    layer     C1  DC1  DC2  DC3 | C2  C3  C4  C5      all 3x3, stride 1, reflection padding
    channels   1   16   32   48 | 64  64  32  16  in  ReLU after each but the last
              16   16   16   16 | 64  32  16   1  out 74,193 parameters

Reference: H. Li and X.-J. Wu, "DenseFuse: A Fusion Approach to Infrared and Visible Images",
IEEE Transactions on Image Processing 28(5), 2019, doi:10.1109/TIP.2018.2887342.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusionlab import Backbone
from fusionlab.backbone import WHOLE, Borders, Features, Level
from fusionlab_encoders.convolution import Conv3x3

GRAY_LEVELS = 255.0


class DenseFuse(Backbone):
    """The dense-block autoencoder of DenseFuse (Table I).

    One level of 64 features at full resolution.

    Inside, images are gray levels 0..255, as in the authors' program. With 0..1 the lambda of Eq. 1
    would have another meaning: only in gray levels is the pixel loss "three orders of magnitude"
    above the SSIM loss.

    Differs from the released programs:

    * the dense block concatenates [old, new], the TensorFlow original [new, old]: the same network
      with permuted kernels;
    * the last layer has no ReLU (Table I, and the original); the PyTorch port has one.
    """

    levels = (Level(channels=64, stride=1),)
    saves = "minmax"
    receptive_field = (4, 4)  # four 3x3 layers on the way in, four on the way out
    trainable = True

    def __init__(self) -> None:
        super().__init__()
        self.c1 = Conv3x3(1, 16)
        self.dense = nn.ModuleList([Conv3x3(16, 16), Conv3x3(32, 16), Conv3x3(48, 16)])  # DC1..DC3
        self.c2 = Conv3x3(64, 64)
        self.c3 = Conv3x3(64, 32)
        self.c4 = Conv3x3(32, 16)
        self.c5 = Conv3x3(16, 1)

    def encode(self, images: Tensor) -> Features:
        """Turn images `(M, 1, H, W)` in 0..1 into features `(M, 64, H, W)`, all >= 0."""
        # not the method of a subclass, which may call this one
        return DenseFuse.encode_tile(self, images, WHOLE)

    def decode(self, features: Features) -> Tensor:
        """Turn features `(M, 64, H, W)` into images `(M, 1, H, W)`; 0..1, may overshoot."""
        return DenseFuse.decode_tile(self, features, WHOLE)

    def encode_tile(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile; each layer crops its own halo, so that no pixel is computed in vain."""
        maps = self.c1(images * GRAY_LEVELS, borders).relu_()  # (M, 16, H, W)
        for conv in self.dense:
            new = conv(maps, borders).relu_()
            maps = torch.cat([borders.trimmed(maps, 1), new], dim=1)  # 32, 48, 64 channels
        return (maps,)

    def decode_tile(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile; each layer crops its own halo."""
        (maps,) = features
        for conv in (self.c2, self.c3, self.c4):
            maps = conv(maps, borders).relu_()
        image: Tensor = self.c5(maps, borders)
        return image / GRAY_LEVELS
