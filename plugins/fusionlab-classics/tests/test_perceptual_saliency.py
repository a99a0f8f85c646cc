"""The perceptual saliency against its definition in numpy, in tiles, and of flat images."""

import numpy as np
import pytest
import torch
from scipy.ndimage import sobel

from fusionlab import Scene
from fusionlab_classics.common.perceptual_saliency import saliency_ratio, saliency_sums


def random_pair(height, width, seed=0):
    images = np.random.default_rng(seed).uniform(0, 255, (2, 1, 1, height, width))
    images[1] *= np.linspace(0, 1, width)
    return torch.from_numpy(images)


def sums(features, **scene):
    found = saliency_sums(features, Scene(sources=features / 255, **scene))
    return [found[name].squeeze().numpy() for name in ("weighted", "total")]


def expected_sums(image):
    """Return the sums of one image, block by block."""
    gradients = sobel(image, axis=0) ** 2 + sobel(image, axis=1) ** 2
    weighted = total = 0.0
    for top in range(1, image.shape[0] - 1, 40):
        for left in range(1, image.shape[1] - 1, 40):
            inside = slice(top, min(top + 40, image.shape[0] - 1))
            across = slice(left, min(left + 40, image.shape[1] - 1))
            block = image[inside, across]
            m, n = block.shape
            r = 0.114 * 32 * np.hypot(np.fft.fftfreq(m)[:, None], np.fft.fftfreq(n))
            sensitivity = 2.6 * (0.0192 + r) * np.exp(-(r**1.1))
            energy = np.linalg.norm(np.fft.fft2(block) * sensitivity) / (m * n)
            weight = gradients[inside, across].sum()
            weighted, total = weighted + weight * energy, total + weight
    return weighted, total


@pytest.mark.parametrize("shape", [(53, 61), (42, 82), (3, 3), (100, 9), (2, 9), (1, 1)])
def test_it_follows_its_definition(shape):
    features = random_pair(*shape)
    expected = [expected_sums(image) for image in features[:, 0, 0].numpy()]
    np.testing.assert_allclose(np.transpose(sums(features)), expected)


def test_tiles_add_up_to_the_whole_image():
    """A block counts in the tile that has its first pixel; the halo has the rest of it."""
    features, halo = random_pair(130, 97), 45
    whole, parts = np.array(sums(features)), []
    for top, bottom in ((0, 40), (40, 90), (90, 130)):
        for left, right in ((0, 60), (60, 97)):
            first, start = max(0, top - halo), max(0, left - halo)
            tile = features[..., first : bottom + halo, start : right + halo]
            box = (top - first, left - start, bottom - first, right - start)
            place = {"top": first, "left": start, "height": 130, "width": 97}
            parts.append(sums(tile, valid_box=box, **place))
    np.testing.assert_allclose(np.sum(parts, axis=0), whole)


def test_ratios_of_equal_and_flat_images():
    image = random_pair(30, 30)[:1]
    flat = torch.full_like(image, 90)

    def ratio(infrared, visible):
        features = torch.cat((infrared, visible))
        return saliency_ratio(saliency_sums(features, Scene(sources=features))).item()

    assert ratio(image, image) == 1
    assert ratio(flat, flat) == 1
    assert ratio(flat, image) == 0
    assert ratio(image, flat) == 2**20
    assert ratio(image, image / 2) == pytest.approx(2)
