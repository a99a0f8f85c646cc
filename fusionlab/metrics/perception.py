"""Metrics made after human vision: what an eye notices weighs more than what it cannot see.

Both filter images with a contrast sensitivity function (CSF): how well an eye sees gratings of r
cycles per degree of its field of view. Whatever its size and shape, an image is taken to fill a
square of 15 (Q_CB) or 4 degrees (Q_CV): the bin (i, j) of the spectrum of H x W pixels,
-H/2 <= i < H/2, has r = sqrt(i^2 + j^2) / degrees. A crop is therefore not judged like the same
part of the whole image. The spectrum takes images for periodic.

What everybody computes is the toolbox of Liu et al. 2012 (`liu`; VIFB, `vifb`, has the same code).
The papers leave much to choice, above all the distance of the viewer; there the default
does as the toolbox does. It leaves out what the toolbox added, or got wrong:

* The toolbox stretches each image by itself to 0..255, and rounds, before it looks at it. A fused
  image that became darker, or lost half of its contrast, is judged as if it had not; one bright
  or dark pixel changes the value of a whole image; a constant image has none (nan).
* It puts black around the images. The step to black is a contrast that all images share (Q_CB),
  or the strongest edge of the scene (Q_CV). By default the pixels at the border go on outside,
  which makes no edge.

What else differs, each function says.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from fusionlab.metrics.inputs import WHITE, checked
from fusionlab.metrics.windows import Border, gaussian, separable

TOOLBOX = ("liu", "vifb")

REGION = 16  # Q_CV judges regions of 16 x 16 pixels
EXPONENT = 5  # how much more a strong edge of them weighs than a weak one

CENTER, SURROUND, DEPTH = 15.3870, 1.3456, 0.7622  # the CSF of Q_CB
NARROW, WIDE = 2.0, 4.0  # its two Gaussians
KERNEL = 31
MASKING = 1e-4  # the Z of its masking
NO_CONTRAST = 1e-12
"""A contrast below it counts as none: on a flat image it is rounding, near 1e-16."""


def q_cb(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Return how well the local contrast of the sources is preserved, weighted by saliency.

        S(r) = exp(-(r / 15.3870)^2) - 0.7622 exp(-(r / 1.3456)^2)     CSF, 15 degrees
        C    = | G_2 * I / (G_4 * I) - 1 |                             of the filtered image I
        C'   = C^3 / (C^2 + 0.0001)                                    masking
        Q_S  = min(C'_S, C'_F) / max(C'_S, C'_F)                       for each source S
        Q_CB = mean over pixels of sum_S C'_S^2 Q_S / sum_S C'_S^2

    G_s is a Gaussian of 31 x 31 pixels with standard deviation s.

    Args:
        fused: `(N, H, W)`, gray levels 0..255, both edges at least 31 pixels.
        sources: `(k, N, H, W)` likewise; more than two share the weight of a pixel.
        convention: `liu` and `vifb`, both the same: each image is stretched to 0..255 and rounded;
            black is around it, and the contrast of that frame, the same in all images, adds up to
            0.2 to the value of 64 x 48 pixels, and 0.01 to that of 360 x 270; the Gaussians are
            not normalized, which matters little. Given uint8 instead of double, the toolbox
            rounds halves in another way, and has values up to 0.0003 apart.

    Returns:
        `(N,)`, float64, in 0..1: 1 if each source is the fused image or a multiple of it; 0 for a
        constant fused image, wherever sources have contrast. The conventions give nan if one of
        the images is constant.

    Where both the fused image and a source are without contrast, Q_S is 1; where no source has
    contrast, they weigh the same.

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Chen and Blum 2009, doi:10.1016/j.imavis.2007.12.002.
    """
    images = checked("Q_CB", fused, sources, convention)
    toolbox = convention in TOOLBOX
    contrast, *contrasts = (
        _masked_contrast(planes, toolbox=toolbox) for planes in (images.fused, *images.sources)
    )
    saliency = torch.stack(contrasts).square()
    preserved = torch.stack([_smaller_of_larger(contrast, other) for other in contrasts])
    total = saliency.sum(0)
    quality = torch.where(total == 0, preserved.mean(0), (saliency * preserved).sum(0) / total)
    return quality.mean((-2, -1))


def q_cv(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Return the error that an eye sees in the fused image, most of all where sources have edges.

        S(r) = 2.6 (0.0192 + 0.114 r) exp(-(0.114 r)^1.1)       CSF, 4 degrees
        D    = mean over a region of (S - F)^2, filtered with the CSF
        w    = sum over a region of the gradient of S (Sobel) to the power of 5
        Q_CV = sum of w D / sum of w                            over regions and sources

    Regions are 16 x 16 pixels, from the upper left corner; what is left at the right and at the
    bottom makes smaller ones, so that a mirrored image can have another value.

    Args:
        fused: `(N, H, W)`, gray levels 0..255, both edges at least 16 pixels.
        sources: `(k, N, H, W)` likewise; more than two are pooled in the same sums.
        convention: `liu` and `vifb`, both the same: each image is stretched to 0..255 and rounded;
            black is around the sources, and that edge has more than half of the weight w in 33 of
            the 40 sources of the TNO test set, and 93 % in the median; the CSF has 0.144 where
            Mannos and Sakrison have 0.114; D of a smaller region is divided by 256, too.

    Returns:
        `(N,)`, float64, squared gray levels: 0 if all sources are equal to the fused image; the
        lower, the better. Nan where all sources are flat; the conventions give nan if one of the
        images is constant and not black.

    A fused image d gray levels brighter than its sources has (0.04992 d)^2; by the conventions 0.

    The paper filters each region by itself, and offers three CSFs, several distances, sizes of
    regions and exponents. The choices made here are those of the toolbox, which filters the
    difference of two images as a whole.

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Chen and Varshney 2007, doi:10.1016/j.inffus.2005.10.001.
    """
    images = checked("Q_CV", fused, sources, convention)
    fused, sources = images
    toolbox = convention in TOOLBOX
    border: Border = "zeros" if toolbox else "replicate"
    if toolbox:
        fused, sources = _stretched(fused), _stretched(sources)
    sensitivity = _mannos_sakrison(_frequencies(fused, degrees=4), 0.144 if toolbox else 0.114)
    area = REGION**2 if toolbox else _sum_by_region(torch.ones_like(fused))

    error = weight = fused.new_zeros(len(fused))
    for source in sources:
        salience = _sum_by_region(_gradient(source, border) ** EXPONENT)
        difference = _filtered(source - fused, sensitivity)
        error = error + (salience * _sum_by_region(difference.square()) / area).sum((-2, -1))
        weight = weight + salience.sum((-2, -1))
    return error / weight


def _stretched(images: Tensor) -> Tensor:
    """Stretch each image to 0..255 and round; nan if it is constant, except that black stays."""
    low, high = images.amin((-2, -1), keepdim=True), images.amax((-2, -1), keepdim=True)
    stretched = torch.floor((images - low) / (high - low) * WHITE + 0.5)
    return torch.where(high == 0, images, stretched)


def _frequencies(like: Tensor, degrees: float) -> Tensor:
    """Return the cycles per degree of each bin of `rfft2`, in a field of `degrees` x `degrees`.

    The same numbers as MATLAB's `freqspace`, for even and for odd sizes.
    """
    height, width = like.shape[-2:]
    rows = torch.fft.fftfreq(height, 1 / height, dtype=like.dtype, device=like.device)
    columns = torch.fft.rfftfreq(width, 1 / width, dtype=like.dtype, device=like.device)
    return torch.hypot(rows[:, None], columns) / degrees


def _filtered(images: Tensor, response: Tensor) -> Tensor:
    seen: Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * response, s=images.shape[-2:])
    return seen


def _mannos_sakrison(frequencies: Tensor, slope: float) -> Tensor:
    scaled = slope * frequencies
    return 2.6 * (0.0192 + scaled) * torch.exp(-(scaled**1.1))


def _difference_of_gaussians(frequencies: Tensor) -> Tensor:
    center, surround = (torch.exp(-(frequencies / r).square()) for r in (CENTER, SURROUND))
    return center - DEPTH * surround


def _masked_contrast(images: Tensor, *, toolbox: bool) -> Tensor:
    """Return C' of Q_CB, `(N, H, W)`."""
    if toolbox:
        images = _stretched(images)
    seen = _filtered(images, _difference_of_gaussians(_frequencies(images, degrees=15)))
    border: Border = "zeros" if toolbox else "replicate"
    narrow, wide = (
        separable(seen, _kernel(sigma, seen, toolbox=toolbox), border) for sigma in (NARROW, WIDE)
    )
    contrast = (narrow / wide - 1).abs()
    if not toolbox:
        contrast = contrast.masked_fill((narrow == 0) & (wide == 0), 0)  # a black image
    contrast = contrast.masked_fill(contrast < NO_CONTRAST, 0)
    return contrast**3 / (contrast.square() + MASKING)


def _kernel(sigma: float, like: Tensor, *, toolbox: bool) -> Tensor:
    """Return the weights of a Gaussian; as the toolbox has them, sampled and not normalized."""
    weights = gaussian(KERNEL, sigma, like)
    center = 1 / (sigma * math.sqrt(2 * math.pi))
    return weights * (center / weights[KERNEL // 2]) if toolbox else weights


def _smaller_of_larger(one: Tensor, other: Tensor) -> Tensor:
    """Return the smaller divided by the larger; 1 where both are 0."""
    larger = torch.maximum(one, other)
    return torch.where(larger == 0, 1, torch.minimum(one, other) / larger)


def _gradient(images: Tensor, border: Border) -> Tensor:
    """Return the length of Sobel's gradient, `(N, H, W)`."""
    mode = "constant" if border == "zeros" else border
    around = pad(images[:, None], (1, 1, 1, 1), mode=mode)[:, 0]
    rows = around[..., :-2, :] + 2 * around[..., 1:-1, :] + around[..., 2:, :]
    columns = around[..., :-2] + 2 * around[..., 1:-1] + around[..., 2:]
    return torch.hypot(rows[..., 2:] - rows[..., :-2], columns[..., 2:, :] - columns[..., :-2, :])


def _sum_by_region(pixels: Tensor) -> Tensor:
    """Sum `(N, H, W)` over regions of 16 x 16, the last ones as small as they come."""
    height, width = pixels.shape[-2:]
    whole = pad(pixels, (0, -width % REGION, 0, -height % REGION))
    return whole.unfold(-2, REGION, REGION).unfold(-2, REGION, REGION).sum((-2, -1))
