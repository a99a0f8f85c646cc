"""The suite for backbones: it passes for ours, and finds each planted fault."""

import unittest

import pytest
import torch
from pyramid_net import PyramidNet
from torch import nn
from torch.nn.functional import conv2d

from fusionlab import Backbone, Fusion, FusionlabError, Level
from fusionlab.testing import BackboneLaws
from fusionlab_encoders.densefuse import DenseFuse
from fusionlab_encoders.identity import Identity


class TestIdentity(BackboneLaws):
    backbone = Identity


class TestDenseFuse(BackboneLaws):
    backbone = DenseFuse


class TestPyramidNet(BackboneLaws):
    backbone = PyramidNet


class TestInstance(BackboneLaws):
    backbone = PyramidNet(gain=1.0)


class TestWithUnittest(BackboneLaws, unittest.TestCase):
    backbone = Identity


def test_shipped_weights_pass():
    for name in ("test_precisions_agree", "test_tiles_equal_the_whole_image"):
        laws = type("Trained", (BackboneLaws,), {"backbone": Fusion("densefuse").backbone})()
        getattr(laws, name)()


# ---------------------------------------------------------------- faults


class Sound(Backbone):
    """A 5x5 average in steps of two pixels, with a scale; keeps all laws."""

    levels = (Level(channels=2, stride=1),)
    receptive_field = (2, 2)

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        kernel = torch.zeros(5, 5)
        kernel[::2, ::2] = 1 / 9
        self.register_buffer("kernel", kernel[None, None])

    def encode(self, images):
        return (torch.cat([images, self.average(images)], dim=1) * self.scale,)

    def decode(self, features):
        return self.average(features[0].mean(1, keepdim=True)) / self.scale

    def average(self, images):
        return conv2d(images, self.kernel, padding=2)


class TestSound(BackboneLaws):
    backbone = Sound


class NarrowEncoder(Sound):
    """Declares a receptive field of the encoder that is one pixel too small."""

    receptive_field = (1, 2)


class NarrowDecoder(Sound):
    """Likewise of the decoder."""

    receptive_field = (2, 1)


class GlobalMean(Sound):
    """Subtracts the mean of the image."""

    def encode(self, images):
        return super().encode(images - images.mean((-2, -1), keepdim=True))


class BatchMean(Sound):
    """Subtracts the mean of the batch."""

    def encode(self, images):
        return super().encode(images - 0.1 * images.mean(0, keepdim=True))


class BatchMeanDecoder(Sound):
    def decode(self, features):
        return super().decode((features[0] - 0.1 * features[0].mean(0, keepdim=True),))


class ChangesParameter(Sound):
    """Moves a parameter a little at every call."""

    def encode(self, images):
        self.scale.data += 1e-6
        return super().encode(images)


class RunningStatistics(Sound):
    """Normalizes by statistics that it keeps updating."""

    def encode(self, images):
        self.kernel *= 0.999
        return super().encode(images)


class InPlace(Sound):
    def encode(self, images):
        return super().encode(images.mul_(1.0).add_(0.01))


class InPlaceDecoder(Sound):
    def decode(self, features):
        features[0].mul_(0.5)
        return super().decode(features)


class WrongChannels(Sound):
    levels = (Level(channels=3, stride=1),)


class NotATuple(Sound):
    def encode(self, images):
        return super().encode(images)[0]


class NoDivisor(PyramidNet):
    """Needs sizes that are multiples of 8, and does not say so."""

    size_divisor = 1


class Random(Sound):
    def encode(self, images):
        return super().encode(images + 0.01 * torch.rand_like(images))


class NoGradient(Sound):
    def encode(self, images):
        return super().encode(images.detach())


class SinglePrecision(Sound):
    """Computes in float32 whatever it is given."""

    def encode(self, images):
        return tuple(maps.float() for maps in super().encode(images.to(self.scale.dtype)))


class Infinite(Sound):
    """Divides by the brightness."""

    def encode(self, images):
        return super().encode(images / images.mean((-2, -1), keepdim=True))


class WrongTiles(Sound):
    """Crops a pixel too few of its tiles."""

    def encode_tile(self, images, borders):
        maps = borders.trimmed(self.encode(images)[0], 1)
        return (maps,)


class NotGrayLevels(Identity):
    def encode(self, images):
        return (images,)

    def decode(self, features):
        return features[0]


FAULTS: dict[type[Backbone], set[str]] = {
    NarrowEncoder: {"receptive_field_of_the_encoder", "tiles"},
    NarrowDecoder: {"receptive_field_of_the_decoder", "tiles"},
    GlobalMean: {"receptive_field_of_the_encoder", "tiles"},
    BatchMean: {"batch"},
    BatchMeanDecoder: {"batch"},
    ChangesParameter: {"changed", "same_input"},
    RunningStatistics: {"changed", "same_input"},
    InPlace: {"changed", "same_input", "batch"},
    InPlaceDecoder: {"changed"},
    WrongChannels: {"levels"},
    NotATuple: {"levels"},
    NoDivisor: {"levels"},
    Random: {"same_input", "receptive_field_of_the_encoder", "tiles", "batch"},
    NoGradient: {"gradients"},
    SinglePrecision: {"precisions"},
    Infinite: {"multiple_of_the_size_divisor"},
    WrongTiles: {"tiles"},
    NotGrayLevels: {"pixels"},
}
"""Fault -> parts of the names of the tests that must fail, one of them at least the first."""


def failures(backbone):
    class Laws(BackboneLaws):
        pass

    Laws.backbone = backbone
    broken = set()
    for name in (name for name in dir(Laws) if name.startswith("test_")):
        try:
            getattr(Laws(), name)()
        except unittest.SkipTest:
            pass
        except Exception:  # a fault may also make torch complain
            broken.add(name)
    return broken


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found(fault):
    broken = failures(fault)
    for part in FAULTS[fault]:
        assert any(part in name for name in broken), (part, broken)


def test_a_sound_backbone_has_no_failure():
    assert failures(Sound) == set()


def test_a_backbone_that_declares_that_it_sees_everything_may_do_so():
    class Declared(GlobalMean):
        receptive_field = None

    assert failures(Declared) == set()


def test_the_message_says_what_is_wrong():
    laws = type("Laws", (BackboneLaws,), {"backbone": NarrowEncoder})()
    with pytest.raises(AssertionError, match="features of level 0 depend on pixels more than 1"):
        laws.test_the_receptive_field_of_the_encoder_is_as_declared()


def test_a_class_without_a_backbone_is_told_so():
    with pytest.raises(FusionlabError, match="BackboneLaws must name a backbone"):
        BackboneLaws().test_precisions_agree()
