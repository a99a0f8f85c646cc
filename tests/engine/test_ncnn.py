"""The engine ncnn: recorded backbones, in layers of ncnn."""

import subprocess
from itertools import product

import pytest
import torch
from refusals import refused
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu, max_pool2d, pad

from fusionlab import Backbone, Fusion, FusionlabError, Level
from fusionlab.backbone import WHOLE, Borders
from fusionlab.engine.build import build_engine
from fusionlab.engine.ncnn_graph import ncnn_graph
from fusionlab.engine.recording import recorded
from fusionlab.plugins.host import installed

pytest.importorskip("ncnn", reason="the extra ncnn is not installed")

GRAY_LEVEL = 1 / 255
ALL_BORDERS = [Borders(*sides) for sides in product((False, True), repeat=4)]
SOME_BORDERS = [WHOLE, Borders(top=False, left=False, bottom=False, right=False)]
SOME_BORDERS += [Borders(top=False, right=False)]


def engine_of(name, backbone):
    return build_engine(name, backbone, torch.device("cpu"), "fp32", installed())


def check(name, all_borders, sizes):
    """Compare tiles of some sizes, in units of the size divisor without the halos, with `eager`."""
    backbone = Fusion(name, "mean").backbone
    eager, ncnn = engine_of("eager", backbone), engine_of("ncnn", backbone)
    divisor, generator = backbone.size_divisor, torch.Generator().manual_seed(0)
    encoder, _, decoder = backbone.halos(0)
    for borders, (height, width) in product(all_borders, sizes):
        top, left, bottom, right = ((encoder + decoder) * (not side) for side in borders)
        shape = height * divisor + top + bottom, width * divisor + left + right
        image = torch.rand((2, 1, *shape), generator=generator)
        before = image.clone()
        expected, found = eager.encode(image, borders), ncnn.encode(image, borders)
        assert torch.equal(image, before)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-3)
        kept = [maps.clone() for maps in found]
        decoded = ncnn.decode(found, borders)
        assert all(map(torch.equal, found, kept))
        reference = eager.decode(expected, borders)
        torch.testing.assert_close(decoded, reference, rtol=0, atol=1e-3 * GRAY_LEVEL)


@pytest.mark.parametrize("name", ["densefuse", "deepfuse", "nestfuse", "identity"])
def test_every_backbone_gives_what_eager_gives(name):
    check(name, SOME_BORDERS, [(1, 1), (1, 9), (5, 3)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["densefuse", "deepfuse", "nestfuse", "identity"])
def test_every_backbone_gives_what_eager_gives_at_all_borders_and_sizes(name):
    sizes = [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (2, 2), (3, 40), (5, 7), (33, 21)]
    check(name, ALL_BORDERS, sizes if name == "nestfuse" else [*sizes, (90, 101)])


class Stage(Backbone):
    """Encodes by a function, which makes two maps of an image."""

    levels = (Level(channels=2, stride=1),)
    receptive_field = (4, 0)

    def __init__(self, function):
        super().__init__()
        self.function = function
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 2, 3, padding=1)

    def encode(self, images):
        return (self.function(self, images),)

    def decode(self, features):
        return features[0][:, :1]


def pair(maps):
    return torch.cat([maps, maps], dim=1)


def channels(maps, kernel, **options):
    weight = torch.linspace(-1, 1, 2 * kernel * kernel).reshape(2, 1, kernel, kernel)
    return conv2d(maps, weight, **options)


SUPPORTED = {
    "in place, on what is read once": lambda self, x: self.conv(x).relu_(),
    "read again after relu": lambda self, x: (y := self.conv(x)).relu() + y,
    "relu of an image": lambda _, x: pair((x - 0.5).relu()),
    "leaky": lambda self, x: leaky_relu(self.conv(x), 0.2).abs(),
    "wide, without bias": lambda _, x: channels(x, 5, padding=2),
    "dilated": lambda _, x: channels(x, 3, padding=2, dilation=2),
    "not square": lambda _, x: conv2d(x, torch.ones(2, 1, 1, 3), padding=(0, 1)),
    "numbers": lambda _, x: pair((x * 255 + 0.5 - x / 3) * 1e-3),
    "of two tensors": lambda self, x: self.conv(x) * self.conv(x + 1) - pair(x),
    "average pooling": lambda _, x: pair(avg_pool2d(x, 3, 1, 1, count_include_pad=False)),
    "average with the padding": lambda _, x: pair(avg_pool2d(x, 3, 1, 1)),
    "maximum": lambda _, x: pair(max_pool2d(x, 3, 1, 1)),
    "smaller and larger": lambda _, x: pair(interpolate(avg_pool2d(x, 2), scale_factor=2)),
    "mean of the channels": lambda self, x: pair(self.conv(x).mean(1, keepdim=True)),
    "constant border": lambda _, x: pair(pad(x, (1, 0, 2, 0), value=0.25)[..., :-2, :-1]),
    "mirror": lambda _, x: channels(pad(x, (1, 1, 1, 1), "reflect"), 3),
    "replicate": lambda _, x: channels(pad(x, (1, 1, 1, 1), "replicate"), 3),
    "crops in a row": lambda _, x: pair(pad(x, (3, 2, 2, 3))[:, :, 1:-1, 1:-1][..., 1:-2, 2:-1]),
    "a channel": lambda self, x: pair(self.conv(x)[:, 1:]),
    "computed weights": lambda self, x: conv2d(x, self.conv.weight.abs() / 2, padding=1),
}


@pytest.mark.parametrize("function", SUPPORTED.values(), ids=SUPPORTED)
def test_operations_are_those_of_torch(function):
    backbone = Stage(function).freeze()
    for height, width in ((24, 30), (6, 40)):
        image = torch.rand(2, 1, height, width)
        (expected,) = backbone.encode(image)
        (found,) = engine_of("ncnn", backbone).encode(image, WHOLE)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def in_place_on_a_part(_, x):
    maps = x * 2
    maps[..., 1:].relu_()
    return pair(maps)


UNSUPPORTED = {
    "aten.sin.default": lambda _, x: pair(x.sin()),
    "factor that is not a power of two": lambda _, x: pair(
        interpolate(x, scale_factor=3)[..., ::3]
    ),
    "a part of another tensor": in_place_on_a_part,
    "a graph that depends on the size": lambda _, x: pair(x * x.shape[-1]),
    "a result that does not depend": lambda _, x: torch.zeros(len(x), 2, *x.shape[2:]),
    "a number that depends on the image": lambda _, x: pair(x * x.max().item()),
    "different shapes": lambda self, x: self.conv(x) * x,
}


@pytest.mark.parametrize(("says", "function"), UNSUPPORTED.items(), ids=UNSUPPORTED)
def test_what_ncnn_cannot_compute_is_refused(says, function):
    engine = engine_of("ncnn", Stage(function))
    with pytest.raises(FusionlabError, match=says, check=refused("engine-unsupported")):
        engine.encode(torch.rand(1, 1, 40, 40), WHOLE)


def test_small_tiles_have_networks_of_their_own():
    """What mirrors 3 pixels cannot be given 2, and says so; ncnn would read beyond the image."""

    def mirrored(_, x):
        return pair(pad(x, (3, 3, 3, 3), "reflect")[..., 3:-3, 3:-3])

    engine = engine_of("ncnn", Stage(mirrored))
    engine.encode(torch.rand(1, 1, 40, 40), WHOLE)
    with pytest.raises(FusionlabError, match="Padding size should be less"):
        engine.encode(torch.rand(1, 1, 2, 40), WHOLE)


def test_a_constant_is_folded():
    """Only what depends on the image becomes a layer."""
    backbone = Stage(SUPPORTED["computed weights"]).freeze()
    graph = ncnn_graph(recorded(lambda tile: backbone.encode(*tile), (torch.zeros(1, 1, 9, 9),)))
    kinds = [line.split()[0] for line in graph.text.splitlines()[2:]]
    assert kinds == ["Input", "Convolution"]


def test_recording_does_not_import_the_compiler(python):
    """PyTorch would import it to leave the recorder alone, which takes a second."""
    code = """
import sys, numpy, fusionlab
fusion = fusionlab.Fusion("identity", "mean", engine="ncnn")
fusion([numpy.zeros((8, 8), numpy.uint8)] * 2)
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([python, "-c", code], check=True)
