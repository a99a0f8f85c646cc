"""The NestFuse network: its layers, and the contract of backbones with several levels."""

import numpy as np
import pytest
import torch

from fusionlab import Fusion
from fusionlab.testing import BackboneLaws
from fusionlab_encoders.nestfuse import NestFuse


class TestNestFuse(BackboneLaws):
    backbone = NestFuse


def narrow():
    """Return a narrow network with random weights, the same in every run."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NestFuse(width=1)


class TestNarrowNestFuse(BackboneLaws):
    backbone = narrow()


@pytest.fixture(scope="module")
def backbone():
    return narrow().freeze()


def images(height, width, k=2):
    return list(np.random.default_rng(0).integers(0, 256, (k, height, width), dtype=np.uint8))


@pytest.mark.parametrize(("width", "count"), [(3, 96_466), (4, 172_557), (16, 2_732_889)])
def test_the_width_determines_the_channels_of_the_levels(width, count):
    network = NestFuse(width=width)
    channels = [factor * width for factor in (4, 7, 10, 13)]
    assert [(level.channels, level.stride) for level in network.levels] == [
        *zip(channels, (1, 2, 4, 8), strict=True)
    ]
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_each_block_of_the_decoder_sees_its_level_and_the_coarser_one():
    """The channels of Fig. 1 and Table I: every block takes all earlier ones of its level."""
    inputs = [[block.reduce.in_channels for block in column] for column in NestFuse(16).decoder]
    one, two, three, four = 64, 112, 160, 208
    assert inputs == [
        [one + two, two + three, three + four],
        [2 * one + two, 2 * two + three],
        [3 * one + two],
    ]


@pytest.mark.parametrize("strategy", ["nestfuse,tau=100", "l1norm,r=1"])
def test_tiles_of_four_levels_give_the_whole_image(backbone, strategy):
    sources = images(75, 90)
    whole = Fusion(backbone, strategy, range_policy=None, tile=999)(sources)
    tiled = Fusion(backbone, strategy, range_policy=None, tile=24)(sources)
    # float32 in another order, through up to ten layers
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5 * np.abs(whole).max())


@pytest.mark.parametrize("size", [(3, 40), (1, 1), (9, 17)])
def test_openvino_agrees_at_every_size(backbone, size):
    """Where the coarsest level is a single pixel, reflection padding repeats it."""
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    eager, openvino = (
        Fusion(backbone, "nestfuse,tau=100", range_policy=None, engine=engine)(images(*size))
        for engine in ("eager", "openvino")
    )
    np.testing.assert_allclose(openvino, eager, rtol=0, atol=1e-5 * np.abs(eager).max())


def test_every_parameter_gets_a_gradient_in_training():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = NestFuse()
        network(torch.rand(2, 1, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
