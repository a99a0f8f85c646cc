"""Saliency weights by hand, against the formula in numpy, and in tiles."""

import numpy as np
import pytest
import torch

from fusionlab import Fusion, Scene
from fusionlab_strategies.saliency import Saliency


def weights_of(sources, **parameters):
    """Return the weights (k, h, w) of sources (k, h, w)."""
    maps = torch.as_tensor(np.asarray(sources))[:, None, None]
    return Saliency(**parameters).weights(255 * maps, Scene(sources=maps))[:, 0, 0].numpy()


def reference(sources, side):
    difference = sources - sources.mean(axis=(1, 2), keepdims=True)
    salient = np.abs(difference) if side == "both" else np.maximum(difference, 0)
    squares = (salient + 0.02) ** 2
    return squares / squares.sum(axis=0)


def test_by_hand():
    """Means 0.5 and 0.3: the first deviates by 0.5 everywhere, the second by 0.2, 0.2, 0.2, 0.6."""
    first, second = [[0, 1], [1, 0]], [[0.1, 0.1], [0.1, 0.9]]
    weights = weights_of([np.array(first, float), np.array(second)])
    np.testing.assert_allclose(weights[0, 0, 0], 0.52**2 / (0.52**2 + 0.22**2))
    np.testing.assert_allclose(weights[0, 1, 1], 0.52**2 / (0.52**2 + 0.62**2))
    bright = weights_of([np.array(first, float), np.array(second)], side="bright")
    np.testing.assert_allclose(bright[0, 0, 0], 0.5)  # both are darker than their means
    np.testing.assert_allclose(bright[0, 1, 1], 0.02**2 / (0.02**2 + 0.62**2))


@pytest.mark.parametrize("side", ["both", "bright"])
def test_the_weights_are_those_of_the_formula(side):
    sources = np.random.default_rng(0).uniform(0, 1, (3, 9, 11))
    np.testing.assert_allclose(weights_of(sources, side=side), reference(sources, side))


def test_a_constant_source_has_no_weight_beside_a_salient_one():
    weights = weights_of([np.full((2, 2), 0.5), np.array([[0.0, 1], [0, 1]])])
    assert (weights[0] < 0.002).all()


def test_the_mean_is_that_of_the_whole_image_in_tiles():
    sources = np.random.default_rng(1).uniform(0, 1, (2, 40, 50))
    sources[:, :, 25:] /= 4  # the mean of a tile is not that of the image
    whole = Fusion("identity", "saliency")(list(sources))
    np.testing.assert_allclose(
        Fusion("identity", "saliency", tile=16)(list(sources)), whole, atol=1e-6
    )


def test_a_coarser_level_takes_the_averages_of_the_sources():
    sources = torch.rand(2, 1, 1, 8, 12, dtype=torch.float64)
    coarse = torch.nn.functional.avg_pool2d(sources.flatten(0, 1), 4).unflatten(0, (2, 1))
    weights = Saliency().weights(coarse, Scene(sources=sources, stride=4))
    np.testing.assert_allclose(weights[:, 0, 0], reference(coarse[:, 0, 0].numpy(), "both"))
