"""Local means, variances and covariances, which SSIM and related metrics are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations_with_replacement
from math import exp, fsum
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from fusionlab.metrics.inputs import WHITE
from fusionlab.metrics.sources_part import once_per_sources
from fusionlab.metrics.windows import Border, gaussian, separable

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


class Window(NamedTuple):
    """A square window of Gaussian weights, or of equal ones."""

    size: int
    sigma: float | None = None
    """Standard deviation of the Gaussian; None for equal weights."""
    sum: float = 1
    """Of equal weights, along one edge. If it is the size, so that each is 1, the moments of
    integer gray levels are exact: variances are zero and covariances cancel exactly."""

    def weights(self, like: Tensor) -> Tensor:
        """Return the weights `(size,)` along one edge."""
        if self.sigma is not None:
            return gaussian(self.size, self.sigma, like)
        return torch.full_like(like[0, :1], self.sum / self.size).expand(self.size)


SSIM_WINDOW = Window(WINDOW, SIGMA)


class Place(NamedTuple):
    """One of the N scenes at one scale: 0 the images themselves, each next half as large."""

    scene: int
    level: int = 0


class Moments(NamedTuple):
    """The means of some images in every window, and covariances of pairs, `(h, w)` each."""

    sums: Sequence[Tensor]
    """Weighted sums, one for each image."""
    total: Tensor
    """Sum of all weights."""
    covariance: Mapping[tuple[int, int], Tensor]

    def mean(self, i: int) -> Tensor:
        """Return the means of an image."""
        return self.sums[i] / self.total

    def luminance(self, i: int, j: int, constant: float) -> Tensor:
        """Return the similarity of the means."""
        x, y = self.mean(i), self.mean(j)
        return _similarity(x * y, x.square() + y.square(), constant)

    def structure(self, i: int, j: int, constant: float) -> Tensor:
        """Return the similarity of contrast and structure."""
        variances = self.covariance[i, i] + self.covariance[j, j]
        return _similarity(self.covariance[i, j], variances, constant)

    def similarity(self, i: int, j: int, c1: float = 0, c2: float = 0) -> Tensor:
        """Return SSIM, or Q0 if both constants are zero."""
        return self.luminance(i, j, c1) * self.structure(i, j, c2)

    def flat(self, i: int) -> Tensor:
        """Return which windows of an image are flat."""
        return self.covariance[i, i] <= FLAT * self.mean(i).square()


def local_moments(
    fused: Tensor,
    sources: Tensor,
    place: Place,
    window: Window,
    border: Border = "valid",
) -> Moments:
    """Return the moments of a fused image, 0, and its sources, 1 .. k, with all covariances.

    Args:
        fused: `(h, w)`, in gray levels, one of the N images at the scale of `place`.
        sources: `(k, N, H, W)`.
        place: the scene and the scale. Metrics process one scene at a time, so that memory does
            not grow with N.
        window: the weights.
        border: see `separable`.
    """
    own = source_moments(sources, place, window, border)
    products = [fused * fused, *(fused * source for source in sources_at(sources, place))]
    of_fused, *sums = separable(
        torch.stack([fused, *products]), window.weights(fused), border
    ).unbind()
    own_covariance = {(i + 1, j + 1): value for (i, j), value in own.covariance.items()}
    local = Moments([of_fused, *own.sums], own.total, own_covariance)
    return _with_covariances(local, {(0, j): product for j, product in enumerate(sums)})


@once_per_sources
def source_moments(
    sources: Tensor, place: Place, window: Window, border: Border = "valid"
) -> Moments:
    """Return the moments of the sources `(k, N, H, W)` alone, 0 .. k - 1; see `local_moments`."""
    images = sources_at(sources, place)
    pairs = list(combinations_with_replacement(range(len(images)), 2))
    weights = window.weights(images[0])
    sums = separable(images, weights, border)
    products = separable(torch.stack([images[i] * images[j] for i, j in pairs]), weights, border)
    local = Moments(sums.unbind(), weights.sum() ** 2, {})
    return _with_covariances(local, dict(zip(pairs, products, strict=True)))


def _with_covariances(local: Moments, products: Mapping[tuple[int, int], Tensor]) -> Moments:
    """Add the covariances of pairs, given the weighted sums of their products.

    Flat windows have neither variance nor covariance.
    """
    total, sums = local.total, local.sums
    raw = {
        (i, j): (total * product - sums[i] * sums[j]) / total**2
        for (i, j), product in products.items()
    }
    local = local._replace(covariance={**local.covariance, **raw})
    flat = [local.flat(i) for i in range(len(sums))]
    masked = {(i, j): value.masked_fill(flat[i] | flat[j], 0) for (i, j), value in raw.items()}
    return local._replace(covariance={**local.covariance, **masked})


@once_per_sources
def sources_at(sources: Tensor, place: Place) -> Tensor:
    """Return the sources `(k, h, w)` of one scene at one scale."""
    if place.level == 0:
        return sources[:, place.scene]
    return _halved(sources_at(sources, place._replace(level=place.level - 1)))


def scales(fused: Tensor, levels: int) -> Iterator[Tensor]:
    """Yield the fused image `(H, W)` in `levels` scales, each half as large as the one before."""
    yield fused
    for _ in range(levels - 1):
        (fused,) = _halved(fused[None])
        yield fused


def _halved(images: Tensor) -> Tensor:
    """Average 2x2 pixels of images `(m, H, W)`; an odd edge repeats its last pixel."""
    height, width = images.shape[-2:]
    return avg_pool2d(pad(images, (0, width % 2, 0, height % 2), mode="replicate"), 2)


def _similarity(product: Tensor, squares: Tensor, constant: float) -> Tensor:
    """Return (2 xy + C) / (x^2 + y^2 + C), with 0 / 0 = 1."""
    denominator = squares + constant
    return torch.where(denominator == 0, 1, (2 * product + constant) / denominator)


# ------------------------------------------------------------------ with Octave's rounding


def local_moments_of_octave(fused: Tensor, sources: Tensor, scene: int) -> Moments:
    """Return moments in windows of 7x7, with the rounding errors of GNU Octave's `conv2`.

    Arguments and result are those of `local_moments`. Constant images are the exception: their
    variance is exactly zero.
    """
    own = _source_moments_of_octave(sources, scene)
    images = [fused, *sources[:, scene]]
    means = [_filtered(fused), *own.sums]
    flat = [_constant(image) for image in images]
    covariance = {(i + 1, j + 1): value for (i, j), value in own.covariance.items()}
    for j in range(len(images)):
        covariance[0, j] = _octave_covariance(images, means, flat, 0, j)
    return Moments(means, own.total, covariance)


@once_per_sources
def _source_moments_of_octave(sources: Tensor, scene: int) -> Moments:
    images = list(sources[:, scene])
    means = [_filtered(image) for image in images]
    flat = [_constant(image) for image in images]
    pairs = combinations_with_replacement(range(len(images)), 2)
    covariance = {(i, j): _octave_covariance(images, means, flat, i, j) for i, j in pairs}
    return Moments(means, sources.new_ones(()), covariance)


def _octave_covariance(
    images: Sequence[Tensor], means: Sequence[Tensor], flat: Sequence[Tensor], i: int, j: int
) -> Tensor:
    covariance = _filtered(images[i] * images[j]) - means[i] * means[j]
    return torch.where(flat[i] | flat[j], 0, covariance)


def _constant(image: Tensor) -> Tensor:
    return image.amin() == image.amax()


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
