"""Structure of several exposures: does the fused image show what the best of them shows.

MEF-SSIM, made for the fusion of exposures, does not compare the fused image F with each source but,
in each window, with one desired patch r made of all sources:

    x~_k = x_k - mean x_k                                     patch of source k without its mean
    d_k  = ||x~_k|| + 0.001                                   strength of its signal
    R    = ||sum_k x~_k|| / sum_k ||x~_k||                    how far the sources agree, 0..1
    p    = min(tan(pi R / 2), 10)
    r    ~ sum_k (d_k / 11)^p x~_k / d_k                      direction: the stronger, the more
    ||r|| = max_k d_k                                         strength: that of the strongest
    q    = (2 v_rF + C) / (v_r + v_F + C)                     as in SSIM, without luminance

d, R and r are those of plain 11x11 windows, the variances and covariance in q are weighted by the
Gaussian of SSIM. All of them follow from the covariances of the images in two kinds of windows:
the patch r is never made.

The authors of DenseFuse, and Linfeng Tang after them, print it, of three scales, as "MS-SSIM". It
is not the MS-SSIM of Wang et al., which is `MS_SSIM_Wang`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from math import pi

import torch
from torch import Tensor

from fusionlab.metrics.inputs import checked
from fusionlab.metrics.structure import C2, SCALES, SIGMA, WINDOW, Moments, moments, pyramid, scenes
from fusionlab.metrics.windows import gaussian

WEIGHTS = tuple(weight / sum(SCALES[:3]) for weight in SCALES[:3])
"""How much each scale weighs, from fine to coarse: what Wang et al. give the first three."""

STEADY = 0.001
"""Added to the strength of every signal, so that one can divide by it."""

LARGEST = 10
"""An exponent with which the strongest source takes it all."""

CANCELED = 1e-8
"""||r||^2 before its strength is set, of 1 at most: up to here the sources cancel each other.

If they do, 8-bit patches leave exactly 0 and others some 1e-9 of rounding; two 8-bit patches that
do not leave at least 1e-7, where one of 121 pixels between black and white is a level off.
"""

EPS = torch.finfo(torch.float64).eps


def mef_ssim(
    fused: Tensor,
    sources: Tensor,
    convention: str = "default",
) -> Tensor:
    """MEF-SSIM at three scales, which papers on DenseFuse and after it call MS_SSIM.

    MS_SSIM = prod_{l=1..3} mean(q_l)^w_l with w = (0.0448, 0.2856, 0.3001) / 0.6305, over the
    windows inside the image; see above for q. The next scale is the mean of 2x2 pixels, where an
    odd edge repeats its last one. The gray level itself does not count. A scale whose mean is
    negative counts 0, since its power is not a real number. Where the sources cancel each other,
    or are all flat, r is flat.

    The mean over the 20 pairs of Table II of DenseFuse is 0.92995 for "addition" and 0.85975 for
    "l1-norm" at lambda = 100, to all digits printed.

    Args:
        fused: `(N, H, W)` in 0..255, at least 44x44: 11 pixels in the coarsest scale.
        sources: `(k, N, H, W)` likewise, any k; judged together.
        convention: `paper` and `tang` compute the same; both run the program of the inventors.

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
    seen = moments(scene, _all_pairs(range(len(scene))), gaussian(WINDOW, SIGMA, scene))
    parts = _desired(scene[1:])
    others = range(1, len(scene))
    covariance = (parts * torch.stack([seen.covariance[0, i] for i in others])).sum(dim=0)
    variance = _variance(parts, seen, others) + seen.covariance[0, 0]
    return (2 * covariance + C2) / (variance + C2)


def _desired(sources: Tensor) -> Tensor:
    """Return how much of each source's x~ the desired patch consists of, `(k, h, w)`."""
    pixels, every = WINDOW**2, range(len(sources))
    seen = moments(sources, _all_pairs(every), sources.new_ones(WINDOW))
    norms = (pixels * torch.stack([seen.covariance[i, i] for i in every])).sqrt()
    together = (pixels * _variance(torch.ones_like(norms), seen, every)).clamp(min=0).sqrt()
    agreement = ((together + EPS) / (norms.sum(dim=0) + EPS)).clamp(max=1)
    exponent = torch.tan(pi / 2 * agreement).clamp(max=LARGEST)

    strengths = norms + STEADY
    weights = (strengths / WINDOW) ** exponent + EPS
    parts = weights / weights.sum(dim=0) / strengths
    square = pixels * _variance(parts, seen, every)
    scale = torch.where(square > CANCELED, strengths.amax(dim=0) * square.rsqrt(), 0)
    return parts * scale


def _variance(parts: Tensor, seen: Moments, images: Sequence[int]) -> Tensor:
    """Return the variance of a sum of images, of each of which it takes so much."""
    result = torch.zeros_like(parts[0])
    part = dict(zip(images, parts, strict=True))
    for i, j in _all_pairs(images):
        result += (1 if i == j else 2) * part[i] * part[j] * seen.covariance[i, j]
    return result


def _all_pairs(images: Sequence[int]) -> list[tuple[int, int]]:
    return list(combinations_with_replacement(images, 2))
