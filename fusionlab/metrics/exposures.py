"""Multi-exposure structural similarity: MEF-SSIM of Ma et al.

MEF-SSIM was designed for multi-exposure fusion. It does not compare the fused image F with each
source but, in each window, with one desired patch r built from all sources:

    x~_k = x_k - mean x_k                                     patch of source k without its mean
    d_k  = ||x~_k|| + 0.001                                   strength of its signal
    R    = ||sum_k x~_k|| / sum_k ||x~_k||                    consistency of the sources, 0..1
    p    = min(tan(pi R / 2), 10)
    r    ~ sum_k (d_k / 11)^p x~_k / d_k                      direction: favors strong signals
    ||r|| = max_k d_k                                         strength: that of the strongest
    q    = (2 v_rF + C) / (v_r + v_F + C)                     as in SSIM, without luminance

d, R and r are computed in uniform 11x11 windows; the variances and covariance in q are weighted by
the Gaussian of SSIM. All of them follow from the covariances of the images in both kinds of
windows, so the patch r is never materialized.

The authors of DenseFuse, and Linfeng Tang after them, print it at three scales as "MS-SSIM". It is
not the MS-SSIM of Wang et al., which is `MS_SSIM_Wang`.
"""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

from fusionlab.metrics.inputs import checked
from fusionlab.metrics.moments import (
    C2,
    SSIM_WINDOW,
    WINDOW,
    Moments,
    Place,
    Window,
    local_moments,
    scales,
    source_moments,
)
from fusionlab.metrics.sources_part import once_per_sources
from fusionlab.metrics.structure import SCALES

WEIGHTS = tuple(weight / sum(SCALES[:3]) for weight in SCALES[:3])
"""Weight of each scale, fine to coarse: the first three weights of Wang et al., normalized."""

STABILIZER = 0.001
"""Added to the strength of every signal to avoid division by zero."""

MAX_EXPONENT = 10
"""The largest exponent p, at which only the strongest source counts."""

CANCELED = 1e-8
"""Largest ||r||^2, before its strength is set and 1 at most, at which the sources cancel.

If they cancel, 8-bit patches leave exactly 0 and others about 1e-9 of rounding. Two 8-bit patches
that do not cancel leave at least 1e-7: one of 121 pixels between black and white is a level off.
"""

EPS = torch.finfo(torch.float64).eps


def mef_ssim(
    fused: Tensor,
    sources: Tensor,
    convention: str = "default",
) -> Tensor:
    """Compute MEF-SSIM at three scales, which DenseFuse and later papers call MS_SSIM.

    MS_SSIM = prod_{l=1..3} mean(q_l)^w_l with w = (0.0448, 0.2856, 0.3001) / 0.6305, over the
    windows inside the image; q is defined in the module docstring. Each scale averages 2x2 pixels
    of the one before; an odd edge repeats its last pixel. Mean gray levels do not count. A scale
    whose mean is negative counts 0, since its power is not a real number. Where the sources cancel
    or are all flat, r is flat.

    The mean over the 20 pairs of Table II of DenseFuse is 0.92995 for "addition" and 0.85975 for
    "l1-norm" at lambda = 100, to all digits printed.

    Args:
        fused: `(N, H, W)` in 0..255, at least 44x44: 11 pixels in the coarsest scale.
        sources: `(k, N, H, W)` in 0..255, any k; all of them make the desired patch.
        convention: `paper` and `tang` compute the same; both run the program of Ma et al.

    Returns:
        `(N,)`, float64, in 0..1; 1 where all images are equal.

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Ma, Zeng and Wang 2015, doi:10.1109/TIP.2015.2442920. The constants 0.001 and 10 are
    those of their program.
    """
    images = checked("MS_SSIM", fused, sources, convention)
    return torch.stack(
        [_multi_scale(fused, images.sources, scene) for scene, fused in enumerate(images.fused)]
    )


def _multi_scale(fused: Tensor, sources: Tensor, scene: int) -> Tensor:
    means = [
        _quality(scale, sources, Place(scene, level)).mean()
        for level, scale in enumerate(scales(fused, len(WEIGHTS)))
    ]
    return (torch.stack(means).clamp(min=0) ** fused.new_tensor(WEIGHTS)).prod()


def _quality(fused: Tensor, sources: Tensor, place: Place) -> Tensor:
    """Return q in each window of the fused image `(h, w)` and the sources at a place."""
    local = local_moments(fused, sources, place, SSIM_WINDOW)
    factors, variance_r = _desired(sources, place)
    covariances = torch.stack([local.covariance[0, i] for i in range(1, len(factors) + 1)])
    covariance = (factors * covariances).sum(dim=0)
    variance = variance_r + local.covariance[0, 0]
    return (2 * covariance + C2) / (variance + C2)


@once_per_sources
def _desired(sources: Tensor, place: Place) -> tuple[Tensor, Tensor]:
    """Return the factor of each source's x~ in the desired patch r, `(k, h, w)`, and v_r."""
    uniform = Window(WINDOW, sum=WINDOW)
    local = source_moments(sources, place, uniform)
    pixels, indices = WINDOW**2, range(len(sources))
    norms = (pixels * torch.stack([local.covariance[i, i] for i in indices])).sqrt()
    norm_of_sum = (pixels * _variance(torch.ones_like(norms), local)).clamp(min=0).sqrt()
    consistency = ((norm_of_sum + EPS) / (norms.sum(dim=0) + EPS)).clamp(max=1)
    exponent = torch.tan(pi / 2 * consistency).clamp(max=MAX_EXPONENT)

    strengths = norms + STABILIZER
    weights = (strengths / WINDOW) ** exponent + EPS
    factors = weights / weights.sum(dim=0) / strengths
    square = pixels * _variance(factors, local)
    scale = torch.where(square > CANCELED, strengths.amax(dim=0) * square.rsqrt(), 0)
    factors = factors * scale
    return factors, _variance(factors, source_moments(sources, place, SSIM_WINDOW))


def _variance(factors: Tensor, local: Moments) -> Tensor:
    """Return the variance of the sum of all images, each multiplied by its factor."""
    result = torch.zeros_like(factors[0])
    for (i, j), covariance in local.covariance.items():
        result += (1 if i == j else 2) * factors[i] * factors[j] * covariance
    return result
