"""The MACs of a backbone."""

import pytest
import torch

from fusionlab import Backbone, Fusion, Level
from fusionlab.bench.cases import Case
from fusionlab.bench.macs import MACsPerPixel
from fusionlab_encoders.identity import Identity

CPU = torch.device("cpu")

# 9 (1*16 + 16*16 + 32*16 + 48*16 + ...) of Table I: 13,968 and 60,048 MACs per pixel
ENCODER = 9 * (1 * 16 + 16 * 16 + 32 * 16 + 48 * 16)
DECODER = 9 * (64 * 64 + 64 * 32 + 32 * 16 + 16 * 1)


def test_of_densefuse_it_is_what_table_i_adds_up_to():
    assert (ENCODER, DECODER) == (13_968, 60_048)
    assert MACsPerPixel.of(Fusion("densefuse").backbone, CPU) == MACsPerPixel(ENCODER, DECODER)


def test_pixels_as_features_are_none():
    assert MACsPerPixel.of(Identity(), CPU) == MACsPerPixel(0, 0)


class Coarse(Backbone):
    """Every fourth pixel of every fourth row, by a convolution with 2 channels, and back."""

    levels = (Level(channels=2, stride=4),)
    receptive_field = (0, 0)
    size_divisor = 4

    def __init__(self):
        super().__init__()
        self.down = torch.nn.Conv2d(1, 2, kernel_size=4, stride=4)
        self.up = torch.nn.ConvTranspose2d(2, 1, kernel_size=4, stride=4)

    def encode(self, images):
        return (self.down(images),)

    def decode(self, features):
        return self.up(features[0])


def test_of_a_backbone_with_strides_it_is_that_of_an_image_pixel():
    assert MACsPerPixel.of(Coarse().freeze(), CPU) == MACsPerPixel(
        2, 2
    )  # 2 * 16 products for 16 pixels


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (Case("any/strategy", width=10, height=5), 50 * (2 * 3 + 7)),
        (Case("any/strategy", width=10, height=5, sources=4), 50 * (4 * 3 + 7)),
        (Case("any/strategy", width=10, height=5, channels=3), 150 * (2 * 3 + 7)),
    ],
)
def test_each_plane_of_each_source_is_encoded_and_one_for_each_channel_decoded(case, expected):
    assert MACsPerPixel(encode=3, decode=7).total(case) == expected
