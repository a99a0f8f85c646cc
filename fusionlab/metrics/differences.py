"""Differences: how far the fused image is from its sources, pixel by pixel.

    MSE  = mean over the sources S, over all pixels, of (F - S)^2        gray levels squared
    RMSE = sqrt(MSE)                                                     gray levels
    PSNR = 20 log10 (255 / RMSE)                                         dB
    CC   = mean over the sources S of corr(F, S)                         -1..1
    SCD  = corr(F - B, A) + corr(F - A, B)                               -2..2

with corr the correlation of Pearson over all pixels. Gray levels run from 0 to 255.

Where programs differ: both programs with a PSNR are wrong. VIFB divides the square root of the sum
of squares by the number of pixels and uses that as the mean square; Linfeng Tang's code uses images
in 0..1 for the error but in 0..255 for the peak.
"""

from __future__ import annotations

from math import nan

import torch
from torch import Tensor

from fusionlab.metrics.inputs import WHITE, Images, checked

FLAT = 1e-9
"""Gray levels: an image whose range is smaller counts as constant (rounding)."""


def mean_square_error(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Average the mean squared error against each source (MSE); lower is better.

    MSE = 1/k sum_S 1/(H W) sum_xy (F - S)^2. Unless the sources are equal, the minimum is not 0;
    the mean of the sources reaches it, regardless of its visual quality.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(k, N, H, W)` in 0..255, any k.
        convention: `tang`: of images in 0..1, smaller by a factor of 255^2.

    Returns:
        `(N,)`, float64, gray levels squared, in 0..65025.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Jagalingam and Hegde 2015, doi:10.1016/j.aqpro.2015.02.019.
    """
    value = _squares(checked("MSE", fused, sources, convention)).mean(dim=0)
    return value / WHITE**2 if convention == "tang" else value


def root_mean_square_error(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the root mean squared error (RMSE), in gray levels; lower is better.

    RMSE = sqrt(MSE): with several sources the root of the average, not the average of the roots.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(k, N, H, W)` in 0..255, any k.
        convention: `vifb`: the mean over the sources of sqrt(sum_xy (F - S)^2) / (H W). It
            decreases with image size: 4 times as many pixels, half the error.

    Returns:
        `(N,)`, float64, gray levels, in 0..255.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Jagalingam and Hegde 2015, doi:10.1016/j.aqpro.2015.02.019.
    """
    images = checked("RMSE", fused, sources, convention)
    if convention == "vifb":
        return _vifb_error(images)
    return _squares(images).mean(dim=0).sqrt()


def peak_signal_to_noise_ratio(
    fused: Tensor, sources: Tensor, convention: str = "default"
) -> Tensor:
    """Compute the peak signal-to-noise ratio (PSNR), in dB.

    PSNR = 20 log10 (255 / RMSE), with the errors against all sources averaged before the logarithm.
    Infinite if the fused image equals every source.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(k, N, H, W)` in 0..255, any k.
        convention: `vifb`: with the square root of VIFB's RMSE as the RMSE, about 30 dB higher,
            and higher for larger images. `tang`: with an RMSE in 0..1 and a peak of 255, higher by
            20 log10 255 = 48.13 dB.

    Returns:
        `(N,)`, float64, dB, from 0 to infinity.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Jagalingam and Hegde 2015, doi:10.1016/j.aqpro.2015.02.019.
    """
    images = checked("PSNR", fused, sources, convention)
    square = _vifb_error(images) if convention == "vifb" else _squares(images).mean(dim=0)
    if convention == "tang":
        square = square / WHITE**2
    return 20 * torch.log10(WHITE / square.sqrt())


def correlation(
    fused: Tensor,
    sources: Tensor,
    convention: str = "default",
) -> Tensor:
    """Average the correlation of the fused image with each source (CC).

    CC = 1/k sum_S corr(F, S), Pearson's correlation over all pixels; nan if the fused image or a
    source is constant.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(k, N, H, W)` in 0..255, any k.
        convention: `tang` computes the same.

    Returns:
        `(N,)`, float64, in -1..1.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Deshmukh and Bhosale 2010, International Journal of Image Processing 4(5).
    """
    images = checked("CC", fused, sources, convention)
    return torch.stack([_pearson(images.fused, source) for source in images.sources]).mean(dim=0)


def sum_of_correlations(
    fused: Tensor,
    sources: Tensor,
    convention: str = "default",
) -> Tensor:
    """Compute the sum of the correlations of differences (SCD).

    SCD = corr(F - B, A) + corr(F - A, B): the fused image minus one source should resemble the
    other source. Defined for two sources. Nan if the fused image differs from a source by a
    constant, or if a source is constant. A constant fused image gets -2 corr(A, B), which may be
    the highest value of all.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(2, N, H, W)` in 0..255.
        convention: `paper` and `tang` compute the same.

    Returns:
        `(N,)`, float64, in -2..2.

    Raises:
        FusionlabError: the images do not fit together, or there are not two sources.

    Reference: Aslantas and Bendes 2015, doi:10.1016/j.aeue.2015.09.004.
    """
    fused, (a, b) = checked("SCD", fused, sources, convention)
    return _pearson(fused - b, a) + _pearson(fused - a, b)


def _squares(images: Images) -> Tensor:
    """Return the mean squared error against each source, `(k, N)`."""
    return (images.fused - images.sources).square().mean(dim=(-2, -1))


def _vifb_error(images: Images) -> Tensor:
    """Return what VIFB calls the mean squared error, averaged over the sources, `(N,)`."""
    pixels = images.fused[0].numel()
    return (_squares(images) / pixels).sqrt().mean(dim=0)


def _pearson(x: Tensor, y: Tensor) -> Tensor:
    """Return the correlation `(N,)` of images `(N, H, W)`; nan where one is constant."""
    flat = (_range(x) < FLAT) | (_range(y) < FLAT)
    x, y = (images - images.mean(dim=(-2, -1), keepdim=True) for images in (x, y))
    energies = x.square().sum(dim=(-2, -1)) * y.square().sum(dim=(-2, -1))
    value = (x * y).sum(dim=(-2, -1)) / energies.sqrt()
    return value.clamp(-1, 1).masked_fill(flat, nan)


def _range(images: Tensor) -> Tensor:
    return images.amax(dim=(-2, -1)) - images.amin(dim=(-2, -1))
