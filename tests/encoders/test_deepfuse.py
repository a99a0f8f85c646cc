"""The DeepFuse network: its layers, against the definition of each."""

import torch
from torch.nn.functional import conv2d, pad

from fusionlab.testing import BackboneLaws
from fusionlab_encoders.deepfuse import DeepFuse

LAYERS = {"c11": (1, 16), "c12": (16, 32), "c21": (32, 32), "c22": (32, 16), "c23": (16, 1)}


class TestDeepFuse(BackboneLaws):
    backbone = DeepFuse


def random_backbone():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DeepFuse().freeze()


def test_it_has_the_layers_and_the_size_of_the_published_variant():
    shapes = {name: tuple(p.shape) for name, p in random_backbone().named_parameters()}
    expected = {f"{name}.weight": (c, i, 3, 3) for name, (i, c) in LAYERS.items()}
    expected |= {f"{name}.bias": (c,) for name, (_, c) in LAYERS.items()}
    assert shapes == expected
    assert sum(p.numel() for p in random_backbone().parameters()) == 18_817


def test_all_layers_but_the_last_of_encoder_and_decoder_have_a_relu():
    backbone = random_backbone()
    state = backbone.state_dict()

    def layer(maps, name):
        padded = pad(maps, (1, 1, 1, 1), mode="reflect")
        return conv2d(padded, state[f"{name}.weight"], state[f"{name}.bias"])

    images = torch.rand(2, 1, 9, 12)
    (features,) = backbone.encode(images)
    torch.testing.assert_close(features, layer(layer(images * 255, "c11").relu(), "c12"))
    assert (features < 0).any()
    decoded = layer(layer(layer(features, "c21").relu(), "c22").relu(), "c23")
    torch.testing.assert_close(backbone.decode((features,)), decoded / 255)
