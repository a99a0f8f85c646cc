"""Training patches: clear ones, and the same ones blurred, cut from photographs.

The patches of an iteration are a function of seed and iteration number, so that a resumed run sees
what an uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d

from fusionlab.training.data.image_cache import GrayImages
from fusionlab_cnn.network import PATCH

BLUR_LEVELS = 5
"""How often a patch is blurred at most."""
BLUR_HALF = 3
BLUR_SIGMA = 2.0
"""Half-width and standard deviation of the Gaussian, in pixels: 7x7."""
MIN_VARIANCE = 25.0
"""Variance in gray levels squared below which a clear patch shows too little to be compared."""
MAX_NOISE = 5.0
"""Largest standard deviation of the noise, in gray levels, that is added to a clear patch."""
CONTEXT = BLUR_LEVELS * BLUR_HALF
"""Pixels around a patch that its strongest blur takes into account."""


def patch_pairs(images: GrayImages, count: int, seed: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Draw clear patches and their blurred versions, both `(count, 1, 16, 16)` in 0..1.

    Images, places and the number of blurs, 1 to 5, are uniformly distributed; a patch without
    enough variance is replaced by the next one drawn. Before it is blurred, a patch gets Gaussian
    noise of a standard deviation between 0 and 5 gray levels, which the papers do not add: their
    photographs have the noise of the sensor, and training images that were shrunk to 256x256 have
    lost it.

    Args:
        images: gray levels, `(n, h, w)`.
        count: the number of patches.
        seed: what determines the patches.
    """
    windows, levels = [], []
    for window, level in _drawn(images, np.random.default_rng(seed), draws=100 * count):
        windows.append(window)
        levels.append(level)
        if len(windows) == count:
            break
    else:
        raise ValueError(f"hardly any patch has a variance above {MIN_VARIANCE}")
    clear = torch.from_numpy(np.stack(windows))[:, None].float() / 255
    center = slice(CONTEXT, CONTEXT + PATCH)
    wanted = torch.tensor(levels)
    blurred, patches = clear, torch.empty_like(clear[..., center, center])
    for level in range(1, BLUR_LEVELS + 1):
        blurred = blur(blurred)
        chosen, margin = wanted == level, CONTEXT - level * BLUR_HALF
        inside = slice(margin, margin + PATCH)
        patches[chosen] = blurred[chosen][..., inside, inside]
    return clear[..., center, center].contiguous(), patches


def blur(images: Tensor) -> Tensor:
    """Blur images `(N, 1, h, w)` by a 7x7 Gaussian; the border of 3 pixels is lost."""
    offsets = torch.arange(-BLUR_HALF, BLUR_HALF + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-(offsets**2) / (2 * BLUR_SIGMA**2))
    kernel = kernel / kernel.sum()
    return conv2d(conv2d(images, kernel[None, None, None]), kernel[None, None, :, None])


def _drawn(
    images: GrayImages, rng: np.random.Generator, draws: int
) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Yield patches that show something, with their context, and how often to blur them."""
    edge = PATCH + 2 * CONTEXT
    deviations = rng.uniform(0, MAX_NOISE, draws)
    indices = rng.integers(0, len(images), draws)
    tops, lefts = (rng.integers(0, size - edge + 1, draws) for size in images.shape[1:])
    levels = rng.integers(1, BLUR_LEVELS + 1, draws)
    for index, top, left, level, deviation in zip(
        indices, tops, lefts, levels, deviations, strict=True
    ):
        window = images[index, top : top + edge, left : left + edge]
        window = window + deviation * rng.standard_normal(window.shape, np.float32)
        if window[CONTEXT:-CONTEXT, CONTEXT:-CONTEXT].var() > MIN_VARIANCE:
            yield window.astype(np.float32), int(level)
