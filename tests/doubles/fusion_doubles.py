"""Images and backbones that several tests of fusions use."""

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, interpolate

from fusionlab import Backbone, Level


def images(k=2, height=20, width=30, channels=None, seed=0):
    """Return k random arrays `(H, W)` or `(H, W, channels)` of uint8."""
    shape = (height, width) if channels is None else (height, width, channels)
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(k)]


def uniform(seed, *shape):
    """Return a random tensor in 0..1."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


class TwoLevels(Backbone):
    """A backbone with two levels: the pixels, and their 4x4 averages."""

    levels = (Level(channels=1, stride=1), Level(channels=1, stride=4))
    size_divisor = 4
    receptive_field = (0, 0)

    def encode(self, images):
        coarse = avg_pool2d(images, 4)
        return images - interpolate(coarse, scale_factor=4), coarse

    def decode(self, features):
        return features[0] + interpolate(features[1], scale_factor=4)
