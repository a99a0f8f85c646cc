"""The siamese network against its layers one by one, and weight maps against their definition."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import max_pool2d, pad

from fusionlab_cnn import network as module
from fusionlab_cnn.network import average_over_patches

GOLDEN = Path(__file__).parent / "golden" / "cnn" / "weights.npz"


def encoded(network, images):
    """The layers as the paper has them; the authors append zeros to odd sizes."""
    maps = torch.relu(network.second(torch.relu(network.first(images))))
    height, width = maps.shape[-2:]
    return torch.relu(network.third(max_pool2d(pad(maps, (0, width % 2, 0, height % 2)), 2)))


@pytest.mark.parametrize(("height", "width"), [(15, 16), (34, 21)])
def test_strips_give_the_logits_of_the_whole_image(network, monkeypatch, height, width):
    monkeypatch.setattr(module, "STRIP_PIXELS", 1)
    monkeypatch.setattr(module, "MIN_STRIP_ROWS", 3)
    images = torch.rand(2, 2, 1, height, width, dtype=torch.float64)
    maps = torch.cat([encoded(network, image) for image in images], dim=1)
    logits = network.output(maps)
    expected = logits[:, 1:] - logits[:, :1]
    torch.testing.assert_close(network.logits(images), expected, rtol=0, atol=1e-11)
    network.output_bias = False
    bias = network.output.bias[1] - network.output.bias[0]
    torch.testing.assert_close(network.logits(images), expected - bias, rtol=0, atol=1e-11)


def test_a_patch_of_a_whole_image_that_touches_no_border_is_compared_as_in_the_image(network):
    """All pixels that its 8x8 places depend on lie within 3 pixels around it."""
    images = torch.rand(2, 1, 1, 40, 40, dtype=torch.float64)
    whole, part = network.logits(images), network.logits(images[..., 8:32, 6:32])
    torch.testing.assert_close(part[..., 2:3, 2:3], whole[..., 6:7, 5:6], rtol=0, atol=1e-11)


def test_the_weight_of_a_pixel_is_the_mean_over_the_patches_that_cover_it():
    probabilities = np.random.default_rng(0).random((4, 6))
    sums, counts = np.zeros((22, 26)), np.zeros((22, 26))
    for j, i in np.ndindex(4, 6):
        sums[2 * j : 2 * j + 16, 2 * i : 2 * i + 16] += probabilities[j, i]
        counts[2 * j : 2 * j + 16, 2 * i : 2 * i + 16] += 1
    weights = average_over_patches(torch.from_numpy(probabilities))
    np.testing.assert_allclose(weights, sums / counts, atol=1e-14)


@pytest.mark.parametrize("pair", ["s64", "s61"])
def test_weight_maps_are_those_of_the_authors_given_their_probabilities(pair, authors_weights):
    probabilities = np.load(GOLDEN)[f"{pair}_probabilities"].astype(float)
    expected = authors_weights(pair)
    height, width = expected.shape
    weights = average_over_patches(torch.from_numpy(probabilities))[:height, :width]
    np.testing.assert_allclose(weights, expected, atol=1e-7)  # stored in float32


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 20), (53, 15)])
def test_every_size_has_a_weight_map_between_0_and_1(network, height, width):
    weights = network(torch.rand(2, 2, 1, height, width, dtype=torch.float64))
    assert weights.shape == (2, 1, height, width)
    assert 0 <= weights.min() <= weights.max() <= 1


def test_single_precision_and_autocast_do_not_change_a_weight_map(network):
    images = torch.rand(2, 1, 1, 30, 30, dtype=torch.float64)
    expected = network(images)
    network.float()
    torch.testing.assert_close(network(images.float()).double(), expected, rtol=0, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(network(images.float()).double(), expected, rtol=0, atol=1e-5)
