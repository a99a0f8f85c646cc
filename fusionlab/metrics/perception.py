"""Metrics modeled on human vision: visible differences weigh more than invisible ones.

Both filter images with a contrast sensitivity function (CSF): the eye's sensitivity to gratings of
r cycles per degree of the visual field. Whatever its size and shape, an image is assumed to fill a
square of 15 (Q_CB) or 4 degrees (Q_CV): the bin (i, j) of the spectrum of H x W pixels,
-H/2 <= i < H/2, has r = sqrt(i^2 + j^2) / degrees. A crop therefore scores differently from the
same part of the whole image. The spectrum treats images as periodic.

Published values come from the toolbox of Liu et al. 2012 (`liu`; VIFB, `vifb`, has the same code).
The papers leave several choices open, above all the viewing distance; for these the default follows
the toolbox. It omits what the toolbox added or got wrong:

* The toolbox min-max normalizes each image separately to 0..255 and rounds. A fused image that is
  darker, or has half the contrast, scores as if it were not; a single bright or dark pixel
  changes the value of a whole image; a constant image has none (nan).
* It pads the images with black. The step to black is a contrast that all images share (Q_CB), or
  the strongest edge of the scene (Q_CV). The default repeats the border pixels, which adds no
  edge.

The docstring of each function lists the other differences.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from fusionlab.metrics.inputs import WHITE, checked
from fusionlab.metrics.sources_part import once_per_sources
from fusionlab.metrics.windows import Border, gaussian, separable

TOOLBOX = ("liu", "vifb")

REGION = 16  # Q_CV averages over regions of 16 x 16 pixels
EXPONENT = 5  # exponent of the edge strength in the weight of a region

CENTER, SURROUND, DEPTH = 15.3870, 1.3456, 0.7622  # the CSF of Q_CB
NARROW, WIDE = 2.0, 4.0  # standard deviations of its two Gaussians
KERNEL = 31
MASKING = 1e-4  # the constant Z of its masking
NO_CONTRAST = 1e-12
"""Contrast below which an image counts as flat: rounding leaves about 1e-16."""


def q_cb(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute how well the local contrast of the sources is preserved (Q_CB).

        S(r) = exp(-(r / 15.3870)^2) - 0.7622 exp(-(r / 1.3456)^2)     CSF, 15 degrees
        C    = | G_2 * I / (G_4 * I) - 1 |                             of the filtered image I
        C'   = C^3 / (C^2 + 0.0001)                                    masking
        Q_S  = min(C'_S, C'_F) / max(C'_S, C'_F)                       for each source S
        Q_CB = mean over pixels of sum_S C'_S^2 Q_S / sum_S C'_S^2

    G_s is a Gaussian of 31 x 31 pixels with standard deviation s.

    Args:
        fused: `(N, H, W)`, gray levels 0..255, both edges at least 31 pixels.
        sources: `(k, N, H, W)` in 0..255; the weights of a pixel are normalized over all k.
        convention: `liu` and `vifb` compute the same: each image is min-max normalized to 0..255
            and rounded; it is padded with black, and the contrast of that frame, which all images
            share, adds up to 0.2 to the value at 64 x 48 pixels and 0.01 at 360 x 270; the
            Gaussians are not normalized, which has little effect. With uint8 instead of double
            input the toolbox rounds halves differently, and its values differ by up to 0.0003.

    Returns:
        `(N,)`, float64, in 0..1: 1 if each source is the fused image or a multiple of it; 0 for a
        constant fused image if the sources have contrast. The conventions give nan if one of the
        images is constant.

    Where neither the fused image nor a source has contrast, Q_S is 1; where no source has contrast,
    all have the same weight.

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Chen and Blum 2009, doi:10.1016/j.imavis.2007.12.002.
    """
    images = checked("Q_CB", fused, sources, convention)
    toolbox = convention in TOOLBOX
    of_fused = _masked_contrast(images.fused, toolbox=toolbox)
    of_sources = _source_contrasts(images.sources, toolbox)
    saliency = of_sources.square()
    preserved = torch.stack([_min_over_max(of_fused, contrast) for contrast in of_sources])
    total = saliency.sum(0)
    quality = torch.where(total == 0, preserved.mean(0), (saliency * preserved).sum(0) / total)
    return quality.mean((-2, -1))


def q_cv(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the visible error of the fused image, weighted by the sources' edges (Q_CV).

        S(r) = 2.6 (0.0192 + 0.114 r) exp(-(0.114 r)^1.1)       CSF, 4 degrees
        D    = mean over a region of (S - F)^2, filtered with the CSF
        w    = sum over a region of the gradient of S (Sobel) to the power of 5
        Q_CV = sum of w D / sum of w                            over regions and sources

    Regions are 16 x 16 pixels, starting at the upper left corner; those at the right and bottom may
    be smaller, so that a mirrored image can have a different value.

    Args:
        fused: `(N, H, W)`, gray levels 0..255, both edges at least 16 pixels.
        sources: `(k, N, H, W)` in 0..255; pooled in the same sums.
        convention: `liu` and `vifb` compute the same: each image is min-max normalized to 0..255
            and rounded; the sources are padded with black, and that edge has more than half of the
            weight w in 33 of the 40 sources of the TNO test set, 93 % in the median; the CSF uses
            0.144 where Mannos and Sakrison have 0.114; D of a smaller region is divided by 256 as
            well.

    Returns:
        `(N,)`, float64, squared gray levels; lower is better, 0 if all sources are equal to the
        fused image. Nan if all sources are flat; the conventions give nan if one of the images is
        constant and not black.

    A fused image d gray levels brighter than its sources has (0.04992 d)^2, or 0 by the
    conventions.

    The paper filters each region separately, and offers three CSFs and several viewing distances,
    region sizes and exponents. The choices made here are those of the toolbox, which filters the
    difference of two whole images.

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Chen and Varshney 2007, doi:10.1016/j.inffus.2005.10.001.
    """
    images = checked("Q_CV", fused, sources, convention)
    toolbox = convention in TOOLBOX
    fused = _minmax_normalized(images.fused) if toolbox else images.fused
    sources = _normalized_sources(images.sources) if toolbox else images.sources
    saliences = _saliences(images.sources, toolbox)
    sensitivity = _mannos_sakrison(_frequencies(fused, degrees=4), 0.144 if toolbox else 0.114)
    area = REGION**2 if toolbox else _sum_by_region(torch.ones_like(fused))

    error = weight = fused.new_zeros(len(fused))
    for source, salience in zip(sources, saliences, strict=True):
        difference = _filtered(source - fused, sensitivity)
        error = error + (salience * _sum_by_region(difference.square()) / area).sum((-2, -1))
        weight = weight + salience.sum((-2, -1))
    return error / weight


@once_per_sources
def _source_contrasts(sources: Tensor, toolbox: bool) -> Tensor:
    """Return C' of Q_CB of the sources, `(k, N, H, W)`."""
    return torch.stack([_masked_contrast(source, toolbox=toolbox) for source in sources])


@once_per_sources
def _normalized_sources(sources: Tensor) -> Tensor:
    return _minmax_normalized(sources)


@once_per_sources
def _saliences(sources: Tensor, toolbox: bool) -> Tensor:
    """Return the weight w of Q_CV of each region of each source, `(k, N, rows, columns)`."""
    if toolbox:
        sources = _normalized_sources(sources)
    border: Border = "zeros" if toolbox else "replicate"
    return torch.stack([_sum_by_region(_gradient(each, border) ** EXPONENT) for each in sources])


def _minmax_normalized(images: Tensor) -> Tensor:
    """Normalize each image to 0..255 and round; nan if it is constant and not black."""
    low, high = images.amin((-2, -1), keepdim=True), images.amax((-2, -1), keepdim=True)
    normalized = torch.floor((images - low) / (high - low) * WHITE + 0.5)
    return torch.where(high == 0, images, normalized)


def _frequencies(like: Tensor, degrees: float) -> Tensor:
    """Return the cycles per degree of each bin of `rfft2`, in a field of `degrees` x `degrees`.

    The values are those of MATLAB's `freqspace`, for even and for odd sizes.
    """
    height, width = like.shape[-2:]
    rows = torch.fft.fftfreq(height, 1 / height, dtype=like.dtype, device=like.device)
    columns = torch.fft.rfftfreq(width, 1 / width, dtype=like.dtype, device=like.device)
    return torch.hypot(rows[:, None], columns) / degrees


def _filtered(images: Tensor, response: Tensor) -> Tensor:
    filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * response, s=images.shape[-2:])
    return filtered


def _mannos_sakrison(frequencies: Tensor, slope: float) -> Tensor:
    scaled = slope * frequencies
    return 2.6 * (0.0192 + scaled) * torch.exp(-(scaled**1.1))


def _difference_of_gaussians(frequencies: Tensor) -> Tensor:
    center, surround = (torch.exp(-(frequencies / r).square()) for r in (CENTER, SURROUND))
    return center - DEPTH * surround


def _masked_contrast(images: Tensor, *, toolbox: bool) -> Tensor:
    """Return C' of Q_CB, `(N, H, W)`."""
    if toolbox:
        images = _minmax_normalized(images)
    filtered = _filtered(images, _difference_of_gaussians(_frequencies(images, degrees=15)))
    border: Border = "zeros" if toolbox else "replicate"
    narrow, wide = (
        separable(filtered, _kernel(sigma, filtered, toolbox=toolbox), border)
        for sigma in (NARROW, WIDE)
    )
    contrast = (narrow / wide - 1).abs()
    if not toolbox:
        contrast = contrast.masked_fill((narrow == 0) & (wide == 0), 0)  # a black image
    contrast = contrast.masked_fill(contrast < NO_CONTRAST, 0)
    return contrast**3 / (contrast.square() + MASKING)


def _kernel(sigma: float, like: Tensor, *, toolbox: bool) -> Tensor:
    """Return a Gaussian window; for the toolbox, sampled from the density and not normalized."""
    weights = gaussian(KERNEL, sigma, like)
    center = 1 / (sigma * math.sqrt(2 * math.pi))
    return weights * (center / weights[KERNEL // 2]) if toolbox else weights


def _min_over_max(x: Tensor, y: Tensor) -> Tensor:
    """Divide the smaller value by the larger; 1 where both are 0."""
    larger = torch.maximum(x, y)
    return torch.where(larger == 0, 1, torch.minimum(x, y) / larger)


def _gradient(images: Tensor, border: Border) -> Tensor:
    """Return the magnitude of the Sobel gradient, `(N, H, W)`."""
    mode = "constant" if border == "zeros" else border
    padded = pad(images[:, None], (1, 1, 1, 1), mode=mode)[:, 0]
    rows = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    columns = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    return torch.hypot(rows[..., 2:] - rows[..., :-2], columns[..., 2:, :] - columns[..., :-2, :])


def _sum_by_region(pixels: Tensor) -> Tensor:
    """Sum `(N, H, W)` over regions of 16 x 16 pixels; the last row and column may be smaller."""
    height, width = pixels.shape[-2:]
    padded = pad(pixels, (0, -width % REGION, 0, -height % REGION))
    return padded.unfold(-2, REGION, REGION).unfold(-2, REGION, REGION).sum((-2, -1))
