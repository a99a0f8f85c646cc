"""Exposure weights by hand, and against the formula written down once more with SciPy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from fusionlab import Scene
from fusionlab_strategies.well_exposed import WellExposed

LAPLACIAN = np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])


def weights_of(sources, color=None, **parameters):
    """Return the weights (k, h, w) of sources (k, h, w), or of color sources (k, h, w, 3)."""
    maps = torch.as_tensor(np.asarray(sources))[:, None, None]
    read = None if color is None else lambda: torch.as_tensor(color).permute(0, 3, 1, 2)[:, None]
    scene = Scene(sources=maps, read_color=read)
    return WellExposed(**parameters).weights(255 * maps, scene)[:, 0, 0].numpy()


def reference(images, contrast=1.0, saturation=1.0, exposure=1.0):
    """Images (k, h, w, channels)."""
    gray = images @ [0.299, 0.587, 0.114] if images.shape[-1] == 3 else images[..., 0]
    quality = np.array([np.abs(convolve(g, LAPLACIAN, mode="mirror")) for g in gray]) ** contrast
    if images.shape[-1] == 3:
        quality *= images.std(axis=-1) ** saturation
    quality *= np.exp(-((images - 0.5) ** 2) / (2 * 0.2**2)).prod(axis=-1) ** exposure
    quality += 1e-12
    return quality / quality.sum(axis=0)


def test_by_hand():
    """Contrasts of 0.2 and 0.4 in the middle; the second value is 0.2 from 1/2."""
    line = np.array([[0.4, 0.5, 0.5], [0.9, 0.7, 0.9]])[:, None]
    expected = 0.1 / (0.1 + 0.4 * np.exp(-0.5))
    np.testing.assert_allclose(weights_of(line)[0, 0, 1], expected)


@pytest.mark.parametrize(
    "parameters", [{}, {"contrast": 0.0}, {"exposure": 2.0}, {"saturation": 0.5}]
)
def test_the_weights_are_those_of_the_formula(parameters):
    color = np.random.default_rng(0).uniform(0, 1, (3, 9, 11, 3))
    gray = color @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(
        weights_of(gray, color, **parameters), reference(color, **parameters), rtol=1e-9
    )
    np.testing.assert_allclose(
        weights_of(gray, **parameters), reference(gray[..., None], **parameters), rtol=1e-9
    )


def test_flat_sources_weigh_by_nothing_but_the_floor():
    np.testing.assert_allclose(
        weights_of(np.array([0.1, 0.5])[:, None, None] * np.ones((3, 4))), 0.5
    )


def test_a_coarser_level_takes_the_averages_of_the_qualities():
    sources = torch.rand(2, 1, 1, 8, 12, dtype=torch.float64)
    features = torch.zeros(2, 1, 5, 2, 3)
    weights = WellExposed().weights(features, Scene(sources=sources, stride=4))
    assert weights.shape == (2, 1, 1, 2, 3)
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(1, 1, 2, 3))
