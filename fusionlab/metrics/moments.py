"""Local means, variances and covariances, which SSIM and related metrics are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import exp, fsum
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from fusionlab.metrics.inputs import WHITE, Images
from fusionlab.metrics.windows import Border, separable

WINDOW = 11
SIGMA = 1.5
"""The window of Wang et al. Liu's toolbox rejects smaller images even for its smaller window."""

K1, K2 = 0.01, 0.03
C1, C2 = (K1 * WHITE) ** 2, (K2 * WHITE) ** 2

SMALL_WINDOW = 7
"""The window of Liu's toolbox for Q_C and Q_Y, of the same sigma."""

FLAT = 1e-13
"""Largest variance of a flat window, relative to its squared mean.

Rounding leaves about 1e-15 where all pixels are equal. The smallest nonzero variance of 16-bit
images, one pixel in the corner of the 7x7 window off by one level, is 3e-13 on white.
"""


class Moments(NamedTuple):
    """The means `(m, h, w)` of m images in every window, and covariances `(h, w)` of pairs."""

    mean: Tensor
    covariance: dict[tuple[int, int], Tensor]

    def luminance(self, i: int, j: int, constant: float) -> Tensor:
        """Return the similarity of the means."""
        x, y = self.mean[i], self.mean[j]
        return _similarity(x * y, x.square() + y.square(), constant)

    def structure(self, i: int, j: int, constant: float) -> Tensor:
        """Return the similarity of contrast and structure."""
        variances = self.covariance[i, i] + self.covariance[j, j]
        return _similarity(self.covariance[i, j], variances, constant)

    def similarity(self, i: int, j: int, c1: float = 0, c2: float = 0) -> Tensor:
        """Return SSIM, or Q0 if both constants are zero."""
        return self.luminance(i, j, c1) * self.structure(i, j, c2)


def moments(
    images: Tensor, pairs: Iterable[tuple[int, int]], weights: Tensor, border: Border = "valid"
) -> Moments:
    """Return the means of images `(m, H, W)` and covariances of pairs of them, in each window.

    Args:
        images: in gray levels.
        pairs: the pairs of indices of the covariances; (i, i) must be included for every image.
        weights: `(size,)`, see `separable`. With integer weights and integer gray levels the
            results are exact: variances are zero and covariances cancel exactly.
        border: see `separable`.
    """
    pairs = list(pairs)
    products = [images[i] * images[j] for i, j in pairs]
    sums = separable(torch.stack([*images, *products]), weights, border)
    total = weights.sum() ** 2
    mean = sums[: len(images)] / total
    covariance = {
        (i, j): (total * product - sums[i] * sums[j]) / total**2
        for (i, j), product in zip(pairs, sums[len(images) :], strict=True)
    }
    flat = [covariance[i, i] <= FLAT * mean[i].square() for i in range(len(images))]
    return Moments(
        mean,
        {(i, j): value.masked_fill(flat[i] | flat[j], 0) for (i, j), value in covariance.items()},
    )


def scenes(images: Images) -> Tensor:
    """Return each fused image followed by its sources, `(N, 1 + k, H, W)`.

    Metrics process one scene at a time, so that memory does not grow with N.
    """
    return torch.cat([images.fused[None], images.sources]).transpose(0, 1)


def pyramid(images: Tensor, levels: int) -> Iterator[Tensor]:
    """Yield images `(m, H, W)` in `levels` scales, each half as large as the one before.

    Each scale averages 2x2 pixels of the one before; an odd edge repeats its last pixel.
    """
    yield images
    for _ in range(levels - 1):
        height, width = images.shape[-2:]
        images = avg_pool2d(pad(images, (0, width % 2, 0, height % 2), mode="replicate"), 2)
        yield images


def _similarity(product: Tensor, squares: Tensor, constant: float) -> Tensor:
    """Return (2 xy + C) / (x^2 + y^2 + C), with 0 / 0 = 1."""
    denominator = squares + constant
    return torch.where(denominator == 0, 1, (2 * product + constant) / denominator)


# ------------------------------------------------------------------ with Octave's rounding


def moments_of_octave(images: Tensor, pairs: Iterable[tuple[int, int]]) -> Moments:
    """Return the moments in windows of 7x7, with the rounding errors of GNU Octave's `conv2`.

    Constant images are the exception: their variance is exactly zero.
    """
    flat = [bool(image.amin() == image.amax()) for image in images]
    mean = torch.stack([_filtered(image) for image in images])
    return Moments(
        mean,
        {
            (i, j): torch.zeros_like(mean[i])
            if flat[i] or flat[j]
            else _filtered(images[i] * images[j]) - mean[i] * mean[j]
            for i, j in pairs
        },
    )


def _filtered(image: Tensor) -> Tensor:
    """Filter `(H, W)` with the 7x7 Gaussian window, summing in the order of GNU Octave.

    The order is column by column from the last to the first, each from the last row to the first.
    The weights are computed without torch, whose `exp` may differ in its last bit between devices.
    """
    size = SMALL_WINDOW
    offsets = range(-(size // 2), size // 2 + 1)
    bell = [[exp(-(x * x + y * y) / (2 * SIGMA**2)) for x in offsets] for y in offsets]
    total = fsum(weight for row in bell for weight in row)
    height, width = image.shape[0] - size + 1, image.shape[1] - size + 1
    result = image.new_zeros(height, width)
    for x in reversed(range(size)):
        for y in reversed(range(size)):
            result += image[y : y + height, x : x + width] * (bell[y][x] / total)
    return result
