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

from collections.abc import Sequence
from itertools import combinations_with_replacement
from math import pi

import torch
from torch import Tensor

from fusionlab.metrics.inputs import checked
from fusionlab.metrics.moments import C2, SIGMA, WINDOW, Moments, moments, pyramid, scenes
from fusionlab.metrics.structure import SCALES
from fusionlab.metrics.windows import gaussian

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
    return torch.stack([_multi_scale(scene) for scene in scenes(images)])


def _multi_scale(scene: Tensor) -> Tensor:
    means = [_quality(scale).mean() for scale in pyramid(scene, len(WEIGHTS))]
    return (torch.stack(means).clamp(min=0) ** scene.new_tensor(WEIGHTS)).prod()


def _quality(scene: Tensor) -> Tensor:
    """Return q in each window of the fused image and its sources `(1 + k, H, W)`."""
    local = moments(scene, _all_pairs(range(len(scene))), gaussian(WINDOW, SIGMA, scene))
    factors = _desired(scene[1:])
    sources = range(1, len(scene))
    covariance = (factors * torch.stack([local.covariance[0, i] for i in sources])).sum(dim=0)
    variance = _variance(factors, local, sources) + local.covariance[0, 0]
    return (2 * covariance + C2) / (variance + C2)


def _desired(sources: Tensor) -> Tensor:
    """Return the factor of each source's x~ in the desired patch, `(k, h, w)`."""
    pixels, indices = WINDOW**2, range(len(sources))
    local = moments(sources, _all_pairs(indices), sources.new_ones(WINDOW))
    norms = (pixels * torch.stack([local.covariance[i, i] for i in indices])).sqrt()
    norm_of_sum = (pixels * _variance(torch.ones_like(norms), local, indices)).clamp(min=0).sqrt()
    consistency = ((norm_of_sum + EPS) / (norms.sum(dim=0) + EPS)).clamp(max=1)
    exponent = torch.tan(pi / 2 * consistency).clamp(max=MAX_EXPONENT)

    strengths = norms + STABILIZER
    weights = (strengths / WINDOW) ** exponent + EPS
    factors = weights / weights.sum(dim=0) / strengths
    square = pixels * _variance(factors, local, indices)
    scale = torch.where(square > CANCELED, strengths.amax(dim=0) * square.rsqrt(), 0)
    return factors * scale


def _variance(factors: Tensor, local: Moments, images: Sequence[int]) -> Tensor:
    """Return the variance of the sum of some images, each multiplied by its factor."""
    result = torch.zeros_like(factors[0])
    factor = dict(zip(images, factors, strict=True))
    for i, j in _all_pairs(images):
        result += (1 if i == j else 2) * factor[i] * factor[j] * local.covariance[i, j]
    return result


def _all_pairs(images: Sequence[int]) -> list[tuple[int, int]]:
    return list(combinations_with_replacement(images, 2))
