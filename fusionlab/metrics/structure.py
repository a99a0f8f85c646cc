"""Structural similarity of the fused image and each source in sliding windows.

In a window, x and y have means mx, my, variances vx, vy and a covariance vxy:

    l(x, y)    = (2 mx my + C1) / (mx^2 + my^2 + C1)     luminance
    cs(x, y)   = (2 vxy + C2) / (vx + vy + C2)           contrast and structure
    SSIM(x, y) = l cs                                    Q0(x, y): the same with C1 = C2 = 0

    SSIM, SSIM_a   mean over windows and sources of SSIM(S, F)
    MS_SSIM_Wang   product over five scales
    Q_S            mean over windows of sum_S w_S Q0(S, F), w_S = the source's share of variance
    Q_W            Q_S with windows weighted by the largest variance of a source
    Q_C            mean over windows of w Q0(A, F) + (1 - w) Q0(B, F), w = A's share of covariance
    Q_Y            like Q_S where A and B are similar, max(SSIM(A, F), SSIM(B, F)) elsewhere

Programs differ in the border (only windows inside the image, or edge pixels repeated), in the data
range of the constants, and in whether they sum or average over the sources. The toolbox of Liu et
al. computes Q_S and Q_W with SSIM in place of Q0; in Q_C and Q_Y its constants are almost zero, so
that rounding decides the value of flat windows.

Here a window is flat if its variance is at most 1e-13 of its squared mean. Its variance and
covariances are set to zero, and 0/0 is replaced by the limit: a similarity of 1, or equal weights
of the sources.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from fusionlab.metrics.inputs import WHITE, Images, checked
from fusionlab.metrics.moments import (
    C1,
    C2,
    K1,
    K2,
    SIGMA,
    SMALL_WINDOW,
    SSIM_WINDOW,
    Place,
    Window,
    local_moments,
    local_moments_of_octave,
    scales,
)
from fusionlab.metrics.windows import Border

SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weight of each scale of MS_SSIM_Wang, fine to coarse."""

BLOCK = 8
"""The window of the quality index Q0 of Wang and Bovik."""

SMALL_C = 2e-16
"""Both constants of Q_Y, and of Liu's Q_C."""

SIMILAR_SOURCES = 0.75
"""SSIM from which Q_Y treats two sources as similar."""

CANCELED = 1e-9
"""Largest sum of two covariances that counts as zero, relative to their absolute values.

With 8-bit images the sum is exactly zero or at least 7e-9.
"""

# ------------------------------------------------------------------ the metrics


def ssim(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Average the structural similarity of the fused image with each source (SSIM).

    SSIM = 1/k sum_S mean over windows of l(S, F) cs(S, F), in Gaussian windows of 11x11 pixels,
    sigma 1.5, that lie inside the image; C1 = (0.01 L)^2, C2 = (0.03 L)^2, L = 255.

    Args:
        fused: `(N, H, W)` in 0..255, at least 11x11.
        sources: `(k, N, H, W)` in 0..255, any k.
        convention: `vifb`: the sum over the sources, in -2..2 for two. `tang`: L = 1 although gray
            levels go up to 255, so that the constants do not suppress noise in uniform areas; edge
            pixels are repeated beyond the border.

    Returns:
        `(N,)`, float64, in -1..1; 1 where all images are equal.

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Wang et al. 2004, Eq. 13 and 17, doi:10.1109/TIP.2003.819861.
    """
    images = checked("SSIM", fused, sources, convention)
    if convention == "tang":
        return _ssim(images, "replicate", white=1).mean(dim=1)
    values = _ssim(images, "valid")
    return values.sum(dim=1) if convention == "vifb" else values.mean(dim=1)


def ssim_average(
    fused: Tensor,
    sources: Tensor,
    convention: str = "default",
) -> Tensor:
    """Average the structural similarity with each source as DenseFuse does (SSIM_a).

    Unlike SSIM, every pixel of the image is the center of a window; edge pixels are repeated beyond
    the border, as in MATLAB's `ssim`, which the authors call. With a single source it is the SSIM
    with that source.

    The mean over the 20 pairs of Table II is 0.73186 for "addition" and 0.71901 for "l1-norm" at
    lambda = 100, to all digits printed.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(k, N, H, W)` in 0..255, any k.
        convention: `paper` computes the same.

    Returns:
        `(N,)`, float64, in -1..1; 1 where all images are equal.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Eq. 8 of DenseFuse, doi:10.1109/TIP.2018.2887342.
    """
    return _ssim(checked("SSIM_a", fused, sources, convention), "replicate").mean(dim=1)


def ms_ssim_wang(
    fused: Tensor,
    sources: Tensor,
    convention: str = "default",
) -> Tensor:
    """Average the multi-scale structural similarity with each source (MS_SSIM_Wang).

    MS-SSIM(S, F) = mean(l_5 cs_5)^w_5 prod_{j=1..4} mean(cs_j)^w_j with the published weights,
    0.0448 to 0.1333. Windows and constants are those of SSIM at each scale; each scale averages 2x2
    pixels of the one before, and an odd edge repeats its last pixel. A scale whose mean is negative
    counts 0, since its power is not a real number.

    What fusion papers print as MS-SSIM is mostly a different metric: see MS_SSIM.

    Args:
        fused: `(N, H, W)` in 0..255, at least 176x176: 11 pixels in the coarsest scale.
        sources: `(k, N, H, W)` in 0..255, any k.
        convention: only the default.

    Returns:
        `(N,)`, float64, in 0..1; 1 where all images are equal.

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Wang, Simoncelli and Bovik 2003, Eq. 7, doi:10.1109/ACSSC.2003.1292216. Scales,
    border and the order of mean and power are those of their program. pytorch-msssim agrees if the
    edges are multiples of 16, and pads odd edges with black. torchmetrics drops odd pixels and
    mirrors the border of the coarsest scale: images of 176 to 256 pixels differed by 0.02 to 0.2.
    """
    images = checked("MS_SSIM_Wang", fused, sources, convention)
    return torch.stack([_multi_scale(*scene).mean() for scene in _scenes(images)])


def piella_similarity(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the fusion quality index of Piella and Heijmans (Q_S).

    Q_S = mean over windows of sum_S w_S Q0(S, F), where w_S is the share of source S in the sum of
    the sources' variances, and Q0 uses windows of 8x8 pixels as defined by Wang and Bovik. The sum
    runs over all sources; the paper prints it for two. Where all sources are flat they have equal
    weights.

    Args:
        fused: `(N, H, W)` in 0..255, at least 11x11.
        sources: `(k, N, H, W)` in 0..255, any k.
        convention: `liu`: SSIM with its constants and its Gaussian window in place of Q0.

    Returns:
        `(N,)`, float64, in -1..1; 1 where all images are equal.

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Piella and Heijmans 2003, doi:10.1109/ICIP.2003.1247209; Q0 is that of Wang and
    Bovik 2002, doi:10.1109/97.995823.
    """
    images = checked("Q_S", fused, sources, convention)
    return torch.stack([_piella(*scene, convention)[0].mean() for scene in _scenes(images)])


def piella_weighted(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the weighted fusion quality index of Piella and Heijmans (Q_W).

    Q_W = sum over windows of c sum_S w_S Q0(S, F) with the weights w_S of Q_S, and c proportional
    to the largest variance of a source in the window, summing to one. If all sources are flat
    everywhere, all windows have equal weights.

    Args:
        fused: `(N, H, W)` in 0..255, at least 11x11.
        sources: `(k, N, H, W)` in 0..255, any k.
        convention: `liu`: SSIM with its constants and its Gaussian window in place of Q0; windows
            where all sources are flat count as if they had a variance of 1/2.

    Returns:
        `(N,)`, float64, in -1..1; 1 where all images are equal.

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Piella and Heijmans 2003, doi:10.1109/ICIP.2003.1247209.
    """
    images = checked("Q_W", fused, sources, convention)
    return torch.stack([_weighted(*_piella(*scene, convention)) for scene in _scenes(images)])


def cvejic(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the similarity-based fusion quality of Cvejic et al. (Q_C).

    Q_C = mean over windows of w Q0(A, F) + (1 - w) Q0(B, F) with w = vAF / (vAF + vBF), clamped to
    0..1; in windows of 8x8 pixels. Where the two covariances cancel, w = 1/2.

    By this definition, if the covariances have opposite signs, w can favor the source that is
    anticorrelated with the fused image.

    Args:
        fused: `(N, H, W)` in 0..255, at least 11x11.
        sources: `(2, N, H, W)` in 0..255.
        convention: `liu`: a Gaussian window, 7x7 with sigma 1.5, and almost vanishing constants.
            Instead of clamping w, the value of a window is set to 0 where w < 0 and to 1 where
            w > 1, so that it depends on the order of the sources (infrared comes first). nan if
            vAF + vBF = 0 in any window, as for a constant fused image. Where an image is flat,
            rounding decides between these cases: we round as GNU Octave does. MATLAB sums in a
            different order, which changes the value by up to 3e-4 for images with some flat
            windows.

    Returns:
        `(N,)`, float64, in -1..1; 1 where all images are equal.

    Raises:
        FusionlabError: the images do not fit together or are too small, or k is not 2.

    Reference: Cvejic et al. 2005, International Journal of Signal Processing 2(3), 178-182.
    """
    images = checked("Q_C", fused, sources, convention)
    quality = _cvejic_of_liu if convention == "liu" else _cvejic
    return torch.stack([quality(*scene) for scene in _scenes(images)])


def yang(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the fusion quality of Yang et al. (Q_Y).

    Q_Y = mean over windows of w_A SSIM(A, F) + w_B SSIM(B, F) where SSIM(A, B) >= 0.75, with the
    shares of variance as weights, and of max(SSIM(A, F), SSIM(B, F)) elsewhere. It uses Gaussian
    windows of 7x7 pixels, sigma 1.5, and C1 = C2 = 2e-16. Where both sources are flat they have
    equal weights.

    Args:
        fused: `(N, H, W)` in 0..255, at least 11x11.
        sources: `(2, N, H, W)` in 0..255.
        convention: `liu`: the same, but where an image is flat, rounding decides the value, here
            that of GNU Octave, see Q_C. nan if both sources are constant.

    Returns:
        `(N,)`, float64, in -1..1; 1 where all images are equal.

    Raises:
        FusionlabError: the images do not fit together or are too small, or k is not 2.

    Reference: Yang et al. 2008, doi:10.1016/j.inffus.2006.09.001.
    """
    images = checked("Q_Y", fused, sources, convention)
    return torch.stack([_yang(*scene, convention) for scene in _scenes(images)])


# ------------------------------------------------------------------ implementation


def _scenes(images: Images) -> Iterator[tuple[Tensor, Tensor, Place]]:
    """Yield each fused image, all sources, and which of their N scenes belongs to it."""
    for index, fused in enumerate(images.fused):
        yield fused, images.sources, Place(index)


def _ssim(images: Images, border: Border, white: float = WHITE) -> Tensor:
    """Return the SSIM `(N, k)` with each source."""
    c1, c2 = (K1 * white) ** 2, (K2 * white) ** 2
    values = []
    for scene in _scenes(images):
        local = local_moments(*scene, SSIM_WINDOW, border)
        maps = [local.similarity(0, i, c1, c2) for i in _each(images.sources)]
        values.append(torch.stack(maps).mean(dim=(-2, -1)))
    return torch.stack(values)


def _each(sources: Tensor) -> range:
    """Return the indices of the sources; that of the fused image is 0."""
    return range(1, len(sources) + 1)


def _multi_scale(fused: Tensor, sources: Tensor, place: Place) -> Tensor:
    """Return the MS-SSIM `(k,)` with each source."""
    value = fused.new_ones(len(sources))
    for level, scale in enumerate(scales(fused, len(SCALES))):
        local = local_moments(scale, sources, place._replace(level=level), SSIM_WINDOW)
        maps = [local.structure(0, i, C2) for i in _each(sources)]
        if level == len(SCALES) - 1:
            maps = [local.similarity(0, i, C1, C2) for i in _each(sources)]
        value *= torch.stack(maps).mean(dim=(-2, -1)).clamp(min=0) ** SCALES[level]
    return value


def _piella(fused: Tensor, sources: Tensor, place: Place, convention: str) -> tuple[Tensor, Tensor]:
    """Return the weighted similarity in each window, and the largest variance of a source."""
    window, c1, c2 = (SSIM_WINDOW, C1, C2) if convention == "liu" else (Window(BLOCK), 0.0, 0.0)
    local = local_moments(fused, sources, place, window)
    maps = torch.stack([local.similarity(0, i, c1, c2) for i in _each(sources)])
    variances = torch.stack([local.covariance[i, i] for i in _each(sources)])
    if convention == "liu":
        variances = variances.masked_fill(variances.sum(dim=0) == 0, 0.5)
    return (_shares(variances) * maps).sum(dim=0), variances.amax(dim=0)


def _weighted(maps: Tensor, salience: Tensor) -> Tensor:
    """Return the weighted mean of a map, or the mean if all weights are zero."""
    total = salience.sum()
    return torch.where(total == 0, maps.mean(), (salience * maps).sum() / total)


def _shares(parts: Tensor) -> Tensor:
    """Divide `(k, h, w)` by the sum over k; where it is zero, return 1 / k."""
    total = parts.sum(dim=0)
    return torch.where(total == 0, 1 / len(parts), parts / total)


def _cvejic(fused: Tensor, sources: Tensor, place: Place) -> Tensor:
    local = local_moments(fused, sources, place, Window(BLOCK))
    first, second = local.covariance[0, 1], local.covariance[0, 2]
    total = first + second
    canceled = total.abs() <= CANCELED * (first.abs() + second.abs())
    share = torch.where(canceled, 0.5, first / total).clamp(0, 1)
    return (share * local.similarity(0, 1) + (1 - share) * local.similarity(0, 2)).mean()


def _cvejic_of_liu(fused: Tensor, sources: Tensor, place: Place) -> Tensor:
    local = local_moments_of_octave(fused, sources, place.scene)
    first, second = local.covariance[0, 1], local.covariance[0, 2]
    share = first / (first + second)
    a, b = (local.similarity(0, i, SMALL_C, SMALL_C) for i in (1, 2))
    value = share * a + (1 - share) * b
    return value.masked_fill(share < 0, 0).masked_fill(share > 1, 1).mean()


def _yang(fused: Tensor, sources: Tensor, place: Place, convention: str) -> Tensor:
    if convention == "liu":
        local = local_moments_of_octave(fused, sources, place.scene)
        first, second = local.covariance[1, 1], local.covariance[2, 2]
        shares = torch.stack([first, second]) / (first + second)
    else:
        local = local_moments(fused, sources, place, Window(SMALL_WINDOW, SIGMA))
        shares = _shares(torch.stack([local.covariance[1, 1], local.covariance[2, 2]]))
    maps = torch.stack([local.similarity(0, i, SMALL_C, SMALL_C) for i in (1, 2)])
    similar = local.similarity(1, 2, SMALL_C, SMALL_C) >= SIMILAR_SOURCES
    return torch.where(similar, (shares * maps).sum(dim=0), maps.amax(dim=0)).mean()
