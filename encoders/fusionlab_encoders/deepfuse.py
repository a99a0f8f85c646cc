"""DeepFuse: a small convolutional autoencoder, in the variant that DenseFuse is compared with.

    layer     C11  C12 | C21  C22  C23      all 3x3, stride 1, reflection padding
    channels    1   16 |  32   32   16  in  ReLU after C11, C21 and C22
               16   32 |  32   16    1  out 18,817 parameters

Reference: K. R. Prabhakar, V. S. Srikar and R. V. Babu, "DeepFuse: A Deep Unsupervised Approach for
Exposure Fusion with Extreme Exposure Image Pairs", ICCV 2017, doi:10.1109/ICCV.2017.505.
"""

from __future__ import annotations

from torch import Tensor

from fusionlab import Backbone
from fusionlab.backbone import WHOLE, Borders, Features, Level
from fusionlab_encoders.convolution import Conv3x3

GRAY_LEVELS = 255.0


class DeepFuse(Backbone):
    """The autoencoder of DeepFuse, as DenseFuse compares with it (Table II).

    One level of 32 features at full resolution, which may be negative: the last layer of the
    encoder has no ReLU. The published method adds the features of two images (`deepfuse/addition`)
    and normalizes the result from its minimum to its maximum.

    Inside, images are gray levels 0..255, as in `DenseFuse`.

    Differs from the paper, as the network behind the row of Table II does:

    * it is trained to reproduce single photographs; the paper trains it to fuse exposures, with
      the loss MEF_SSIM and without ground truth;
    * all kernels are 3x3; those of the paper are 5x5 and 7x7;
    * gray images in and out; the paper fuses Y as here, and Cb and Cr by another rule.
    """

    levels = (Level(channels=32, stride=1),)
    saves = "minmax"
    receptive_field = (2, 3)  # two 3x3 layers on the way in, three on the way out
    trainable = True

    def __init__(self) -> None:
        super().__init__()
        self.c11 = Conv3x3(1, 16)
        self.c12 = Conv3x3(16, 32)
        self.c21 = Conv3x3(32, 32)
        self.c22 = Conv3x3(32, 16)
        self.c23 = Conv3x3(16, 1)

    def encode(self, images: Tensor) -> Features:
        """Turn images `(M, 1, H, W)` in 0..1 into features `(M, 32, H, W)` of either sign."""
        # not the method of a subclass, which may call this one
        return DeepFuse.encode_tile(self, images, WHOLE)

    def decode(self, features: Features) -> Tensor:
        """Turn features `(M, 32, H, W)` into images `(M, 1, H, W)`; 0..1, may overshoot."""
        return DeepFuse.decode_tile(self, features, WHOLE)

    def encode_tile(self, images: Tensor, borders: Borders) -> Features:
        """Encode a tile; each layer crops its own halo."""
        maps = self.c11(images * GRAY_LEVELS, borders).relu_()  # (M, 16, H, W)
        return (self.c12(maps, borders),)

    def decode_tile(self, features: Features, borders: Borders) -> Tensor:
        """Decode a tile; each layer crops its own halo."""
        (maps,) = features
        for conv in (self.c21, self.c22):
            maps = conv(maps, borders).relu_()
        image: Tensor = self.c23(maps, borders)
        return image / GRAY_LEVELS
