"""Visual information fidelity: the fraction of a source's visual information that F preserves.

A source S is modeled as a random signal, and the eye as a channel that adds noise of variance n.
The fused image F is S after a distortion channel with gain g and noise of variance v, both
estimated in the window around each pixel:

    g         = max(cov(S, F) / var(S), 0)         remaining contrast
    v         = var(F) - g cov(S, F)               part of F that does not come from S
    preserved = log10(1 + g^2 var(S) / (v + n))    information about S that the eye gets from F
    total     = log10(1 + var(S) / n)              information that it gets from S itself

There are four bands, with Gaussian windows of 17, 9, 5 and 3 pixels, sigma = size / 5, that lie
inside the image. From band to band the images are smoothed with the window of the next band and
subsampled: every second pixel is kept, starting with the first. If their number is even the last
pixel is dropped, so that a mirrored image can have a different value.

The VIF of 2006 is defined on wavelets; programs compute the authors' simplification for pixels,
`vifp_mscale`. Since n is given in squared gray levels, programs that use images in 0..1 give
different values.

The midpoint of its range is subtracted from each image first. That only affects rounding: a
constant image has variance 0, not 1e-11.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from fusionlab.metrics.inputs import Images, checked
from fusionlab.metrics.sources_part import once_per_sources
from fusionlab.metrics.windows import gaussian, separable

WINDOWS = (17, 9, 5, 3)

NOISE_VIF = 2.0
NOISE_VIFF = 0.005 * 255**2
FLAT = 1e-10
"""Variance below which a window counts as flat, in squared gray levels, as in both programs."""

BANDS_VIFF = (1 / 2.15, 0.0, 0.15 / 2.15, 1 / 2.15)
TINY_VIFF = 1e-7


def vif(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Sum the visual information fidelity of each source in the fused image (VIF).

        VIF = sum over sources ( sum of preserved / sum of total ),   n = 2

    with both inner sums over all windows of all bands.

    Args:
        fused: `(N, H, W)`, gray levels 0..255, both edges at least 41 pixels.
        sources: `(k, N, H, W)` in 0..255.
        convention: `tang` is the default.

    Returns:
        `(N,)`, float64: 0 for a constant fused image; 1 for each source that is equal to it, more
        if its contrast is increased. Nan if a source is constant, because it has no information.

    Sheikh and Bovik compare two images; the sum over the sources is the convention of image fusion.
    Papers that use the mean print this value divided by k.

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Sheikh and Bovik 2006, doi:10.1109/TIP.2005.859378; in the pixel domain as in their
    program `vifp_mscale`.
    """
    images = checked("VIF", fused, sources, convention)
    preserved = total = images.sources.new_zeros(())
    for band in _bands(images):
        information = _information(*band, NOISE_VIF)
        preserved = preserved + information.preserved.sum((-2, -1))
        total = total + information.total.sum((-2, -1))
    return (preserved / total).sum(0)


def viff(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the visual information fidelity for fusion (VIFF), with one source per window.

        VIFF = sum over bands b of p_b sum(preserved + 1e-7) / sum(total + 1e-7)
        p = (1, 0, 0.15, 1) / 2.15,   n = 0.005 * 255^2

    In each window only the source with the smallest gain counts: it has the most contrast, or F
    lost it. A source that is flat there has gain 0 and is chosen although it has no information, so
    that the window has almost no weight, regardless of the other sources. Of sources with equal
    gains the last one counts. Where F is flat, or anticorrelated with all sources, all gains are 0
    and VIFF depends on the order of the sources.

    Args:
        fused: `(N, H, W)`, gray levels 0..255, both edges at least 41 pixels.
        sources: `(k, N, H, W)` in 0..255; the smallest gain is taken over all k.
        convention: only the default.

    Returns:
        `(N,)`, float64: 1 if all sources are equal to the fused image, more if its contrast is
        increased, near 0 if it is constant.

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Han, Cai, Cao and Xu 2013, doi:10.1016/j.inffus.2011.08.002; numbers and order of
    computation as in their program.
    """
    images = checked("VIFF", fused, sources, convention)
    value = images.fused.new_zeros(len(images.fused))
    for weight, band in zip(BANDS_VIFF, _bands(images), strict=True):
        if weight:
            preserved, total = _of_smallest_gain(_information(*band, NOISE_VIFF))
            value += weight * _sum(preserved) / _sum(total)
    return value


class _Band(NamedTuple):
    """Some images in one band, with their local means and variances."""

    pixels: Tensor
    mean: Tensor
    variance: Tensor


class _Information(NamedTuple):
    """Gain and information per window and source, `(k, N, h, w)`; see the module docstring."""

    gain: Tensor
    preserved: Tensor
    total: Tensor


def _bands(images: Images) -> Iterator[tuple[_Band, _Band, int]]:
    """Yield the fused images `(N, h, w)` and the sources `(k, N, h, w)` in each band, 0 .. 3."""
    pixels = _centered(images.fused)
    for index in range(len(WINDOWS)):
        pixels = _next_band(pixels, index)
        yield _band(pixels, index), _source_band(images.sources, index), index


@once_per_sources
def _source_band(sources: Tensor, index: int) -> _Band:
    if index == 0:
        return _band(_centered(sources), 0)
    return _band(_next_band(_source_band(sources, index - 1).pixels, index), index)


def _band(pixels: Tensor, index: int) -> _Band:
    mean = _average(pixels, index)
    return _Band(pixels, mean, _average(pixels.square(), index) - mean.square())


def _next_band(pixels: Tensor, index: int) -> Tensor:
    """Smooth and subsample the images of the band before; the first band is the images."""
    return pixels if index == 0 else _average(pixels, index)[..., ::2, ::2]


def _average(planes: Tensor, index: int) -> Tensor:
    """Average planes over the windows of a band."""
    size = WINDOWS[index]
    return separable(planes, gaussian(size, size / 5, planes), "valid")


def _centered(images: Tensor) -> Tensor:
    low, high = images.amin((-2, -1), keepdim=True), images.amax((-2, -1), keepdim=True)
    return images - (low + high) / 2


def _information(fused: _Band, sources: _Band, index: int, noise: float) -> _Information:
    variance_f = fused.variance.clamp(min=0)
    covariance = _average(fused.pixels * sources.pixels, index) - fused.mean * sources.mean

    flat = sources.variance < FLAT
    variance_s = sources.variance.masked_fill(flat, 0)
    gain = (covariance / (variance_s + FLAT)).masked_fill(flat | (variance_f < FLAT), 0)
    gain = gain.clamp(min=0)
    residual = (variance_f - gain * covariance).clamp(min=FLAT)
    return _Information(
        gain,
        torch.log10(1 + gain.square() * variance_s / (residual + noise)),
        torch.log10(1 + variance_s / noise),
    )


def _of_smallest_gain(information: _Information) -> tuple[Tensor, Tensor]:
    """Return `preserved` and `total` `(N, h, w)` of the source of smallest gain per window."""
    *earlier, (smallest, preserved, total) = zip(*information, strict=True)
    for gain, source_preserved, source_total in reversed(earlier):
        smaller = gain < smallest
        smallest = torch.where(smaller, gain, smallest)
        preserved = torch.where(smaller, source_preserved, preserved)
        total = torch.where(smaller, source_total, total)
    return preserved, total


def _sum(windows: Tensor) -> Tensor:
    return (windows + TINY_VIFF).sum((-2, -1))
