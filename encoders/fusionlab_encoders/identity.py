"""The backbone without a network: pixels are the features.

It is the baseline that a learned backbone has to beat: with a near-lossless autoencoder, a linear
strategy such as `addition` gives the same image on the pixels themselves.
"""

from __future__ import annotations

from torch import Tensor

from fusionlab import Backbone
from fusionlab.backbone import Features, Level

GRAY_LEVELS = 255.0


class Identity(Backbone):
    """Pixels as one feature channel, in gray levels 0..255.

    DenseFuse computes on the same scale, so that temperatures and thresholds of strategies have the
    same meaning on both.
    """

    levels = (Level(channels=1, stride=1),)
    receptive_field = (0, 0)
    domain = "pixels"

    def encode(self, images: Tensor) -> Features:
        """Turn images `(M, 1, H, W)` in 0..1 into the same pixels in 0..255."""
        return (images * GRAY_LEVELS,)

    def decode(self, features: Features) -> Tensor:
        """Undo `encode`; exact for the integer gray levels of 8-bit images."""
        return features[0] / GRAY_LEVELS
