"""Structural similarity: how alike the fused image and each source are, window by window.

In a window, x and y have means mx, my, variances vx, vy and a covariance vxy:

    l(x, y)    = (2 mx my + C1) / (mx^2 + my^2 + C1)     luminance
    cs(x, y)   = (2 vxy + C2) / (vx + vy + C2)           contrast and structure
    SSIM(x, y) = l cs                                    Q0(x, y): the same with C1 = C2 = 0

    SSIM, SSIM_a   mean over windows and sources of SSIM(S, F)
    MS_SSIM_Wang   the same at five scales, multiplied
    Q_S            mean over windows of sum_S w_S Q0(S, F), w_S = the source's share of variance
    Q_W            the same, but windows count as much as the most varied source varies in them
    Q_C            mean over windows of w Q0(A, F) + (1 - w) Q0(B, F), w = A's share of covariance
    Q_Y            like Q_S where A and B are alike, max(SSIM(A, F), SSIM(B, F)) elsewhere

Where programs differ: in the border (only windows inside the image, or the last pixel repeated),
in the range that the constants are made for, and in whether they sum or average over the sources.
The toolbox of Liu et al. computes Q_S and Q_W with SSIM in place of Q0, and in Q_C and Q_Y, where
its constants are all but zero, leaves windows without contrast to rounding.

Here a window is flat if its variance is at most 1e-13 of its squared mean; variance and
covariances are then zero, and a quotient 0/0 means what its definition tends to: nothing differs,
so the similarity is 1; nothing distinguishes the sources, so they weigh the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import exp, fsum
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from fusionlab.metrics.inputs import WHITE, Images, checked
from fusionlab.metrics.windows import Border, box, gaussian, separable

WINDOW = 11
SIGMA = 1.5
"""Wang's window. Liu's toolbox refuses smaller images even where its own window is smaller."""

K1, K2 = 0.01, 0.03
C1, C2 = (K1 * WHITE) ** 2, (K2 * WHITE) ** 2

SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""How much each scale of MS_SSIM_Wang weighs, from fine to coarse."""

BLOCK = 8
"""The window of Wang's and Bovik's quality index Q0."""

SMALL_WINDOW = 7
SMALL_C = 2e-16
"""The window and both constants of Q_Y, and of Liu's Q_C."""

ALIKE = 0.75
"""From which SSIM on Q_Y takes two sources to show the same."""

FLAT = 1e-13
"""Of the squared mean of a window: variance up to here is rounding.

That leaves some 1e-15 where all pixels are equal. The least that two levels of 16 bits can make,
one pixel in the corner of the 7x7 window, is 3e-13 on white.
"""

CANCELED = 1e-9
"""Up to this part of their sizes, the sum of two covariances is rounding.

With images of 8 bits it is exactly zero, or at least 7e-9 of them.
"""

# ------------------------------------------------------------------ the metrics


def ssim(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Structural similarity of the fused image with each source (SSIM), averaged.

    SSIM = 1/k sum_S mean over windows of l(S, F) cs(S, F), in Gaussian windows of 11x11 pixels,
    sigma 1.5, that lie inside the image; C1 = (0.01 L)^2, C2 = (0.03 L)^2, L = 255.

    Args:
        fused: `(N, H, W)` in 0..255, at least 11x11.
        sources: `(k, N, H, W)` likewise, any k.
        convention: `vifb`: the sum over the sources, in -2..2 for two. `tang`: L = 1, though gray
            levels run to 255, which leaves nothing to damp the noise of even areas; and the last
            pixel repeated at the border.

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
    """Average structural similarity, as in the paper on DenseFuse (SSIM_a).

    As SSIM, but in a window around every pixel of the image, the last pixel being repeated beyond
    the border: so does `ssim` of MATLAB, which the authors call. Of a single source it is the SSIM
    with this one.

    The mean over the 20 pairs of Table II is 0.73186 for "addition" and 0.71901 for "l1-norm" at
    lambda = 100, to all digits printed.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(k, N, H, W)` likewise, any k.
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
    """Multi-scale structural similarity of Wang et al. with each source, averaged (MS_SSIM_Wang).

    MS-SSIM(S, F) = mean(l_5 cs_5)^w_5 prod_{j=1..4} mean(cs_j)^w_j with the published weights,
    0.0448 to 0.1333. In each scale windows and constants are those of SSIM; the next one is the
    mean of 2x2 pixels, where an odd edge repeats its last one. A scale whose mean is negative
    counts 0, since its power is not a real number.

    What papers on fusion print as MS-SSIM is mostly something else: see MS_SSIM.

    Args:
        fused: `(N, H, W)` in 0..255, at least 176x176: 11 pixels in the coarsest scale.
        sources: `(k, N, H, W)` likewise, any k.
        convention: no other is known.

    Returns:
        `(N,)`, float64, in 0..1; 1 where all images are equal.

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Wang, Simoncelli and Bovik 2003, Eq. 7, doi:10.1109/ACSSC.2003.1292216. Scales,
    border and the order of mean and power are those of their program. pytorch-msssim agrees where
    edges are multiples of 16, and adds black pixels where one is odd. torchmetrics drops odd
    pixels, and mirrors the coarsest scale at its border: images of 176 to 256 pixels differed by
    0.02 to 0.2.
    """
    images = checked("MS_SSIM_Wang", fused, sources, convention)
    return torch.stack([_multi_scale(scene).mean() for scene in scenes(images)])


def piella_similarity(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Fusion quality index of Piella and Heijmans (Q_S).

    Q_S = mean over windows of sum_S w_S Q0(S, F), where w_S is the share of source S in the sum of
    the sources' variances; with Q0 in windows of 8x8 pixels, as Wang and Bovik define it. The sum
    runs over all sources; the paper prints it for two. Where all sources are flat they weigh
    the same.

    Args:
        fused: `(N, H, W)` in 0..255, at least 11x11.
        sources: `(k, N, H, W)` likewise, any k.
        convention: `liu`: SSIM with its constants and its Gaussian window in place of Q0.

    Returns:
        `(N,)`, float64, in -1..1; 1 where all images are equal.

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Piella and Heijmans 2003, doi:10.1109/ICIP.2003.1247209; Q0 is that of Wang and
    Bovik 2002, doi:10.1109/97.995823.
    """
    images = checked("Q_S", fused, sources, convention)
    return torch.stack([_piella(scene, convention)[0].mean() for scene in scenes(images)])


def piella_weighted(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Weighted fusion quality index of Piella and Heijmans (Q_W).

    Q_W = sum over windows of c sum_S w_S Q0(S, F) with the weights w_S of Q_S, and c proportional
    to the greatest variance that a source has in the window, summing to one. Where all sources are
    flat everywhere, windows weigh the same.

    Args:
        fused: `(N, H, W)` in 0..255, at least 11x11.
        sources: `(k, N, H, W)` likewise, any k.
        convention: `liu`: SSIM with its constants and its Gaussian window in place of Q0, and
            windows where all sources are flat count as if they had a variance of 1/2.

    Returns:
        `(N,)`, float64, in -1..1; 1 where all images are equal.

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Piella and Heijmans 2003, doi:10.1109/ICIP.2003.1247209.
    """
    images = checked("Q_W", fused, sources, convention)
    return torch.stack([_weighted(*_piella(scene, convention)) for scene in scenes(images)])


def cvejic(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Similarity-based fusion quality of Cvejic et al. (Q_C).

    Q_C = mean over windows of w Q0(A, F) + (1 - w) Q0(B, F) with w = vAF / (vAF + vBF), brought
    into 0..1; in windows of 8x8 pixels. Where the two covariances cancel, w = 1/2.

    With covariances of opposite signs w can be the weight of the source that the fused image
    contradicts: such is the definition.

    Args:
        fused: `(N, H, W)` in 0..255, at least 11x11.
        sources: `(2, N, H, W)` likewise.
        convention: `liu`: a Gaussian window, 7x7 with sigma 1.5, and all but vanishing constants.
            Instead of the weight, what it weighs is set: to 0 where w < 0, to 1 where w > 1.
            Hence the value depends on the order of the sources (infrared comes first). nan where
            vAF + vBF = 0 in a single window, as for a constant fused image. Where an image is
            flat, a rest of rounding decides which of these happens: we round as GNU Octave
            does. MATLAB adds up in another order, which changes the value by up to 3e-4 for
            images with some flat windows.

    Returns:
        `(N,)`, float64, in -1..1; 1 where all images are equal.

    Raises:
        FusionlabError: the images do not fit together or are too small, or k is not 2.

    Reference: Cvejic et al. 2005, International Journal of Signal Processing 2(3), 178-182.
    """
    images = checked("Q_C", fused, sources, convention)
    judge = _cvejic_of_liu if convention == "liu" else _cvejic
    return torch.stack([judge(scene) for scene in scenes(images)])


def yang(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Fusion quality of Yang et al., which tells common from complementary windows (Q_Y).

    Q_Y = mean over windows of w_A SSIM(A, F) + w_B SSIM(B, F) where SSIM(A, B) >= 0.75, with each
    source's share of the variance for its weight, and of max(SSIM(A, F), SSIM(B, F)) elsewhere. In
    Gaussian windows of 7x7 pixels, sigma 1.5, with C1 = C2 = 2e-16. Where both sources are flat
    they weigh the same.

    Args:
        fused: `(N, H, W)` in 0..255, at least 11x11.
        sources: `(2, N, H, W)` likewise.
        convention: `liu`: the same, but a rest of rounding decides where an image is flat: it is
            that of GNU Octave, see Q_C. nan where both sources are constant.

    Returns:
        `(N,)`, float64, in -1..1; 1 where all images are equal.

    Raises:
        FusionlabError: the images do not fit together or are too small, or k is not 2.

    Reference: Yang et al. 2008, doi:10.1016/j.inffus.2006.09.001.
    """
    images = checked("Q_Y", fused, sources, convention)
    return torch.stack([_yang(scene, convention) for scene in scenes(images)])


# ------------------------------------------------------------------ windows


class Moments(NamedTuple):
    """The means `(m, h, w)` of m images in every window, and covariances `(h, w)` of pairs."""

    mean: Tensor
    covariance: dict[tuple[int, int], Tensor]

    def luminance(self, i: int, j: int, constant: float) -> Tensor:
        """How alike the means are."""
        x, y = self.mean[i], self.mean[j]
        return _likeness(x * y, x.square() + y.square(), constant)

    def structure(self, i: int, j: int, constant: float) -> Tensor:
        """How alike contrast and structure are."""
        both = self.covariance[i, i] + self.covariance[j, j]
        return _likeness(self.covariance[i, j], both, constant)

    def similarity(self, i: int, j: int, c1: float = 0, c2: float = 0) -> Tensor:
        """Return SSIM, or Q0 without the constants."""
        return self.luminance(i, j, c1) * self.structure(i, j, c2)


def moments(
    images: Tensor, pairs: Iterable[tuple[int, int]], weights: Tensor, border: Border = "valid"
) -> Moments:
    """Return the means of images `(m, H, W)` and their covariances, in windows of these weights.

    Args:
        images: in gray levels.
        pairs: of which images covariances are wanted; each one's with itself have to be among them.
        weights: `(size,)`, see `separable`. If they are whole numbers, no precision is lost on
            images of whole levels: variances are zero, and covariances cancel, exactly.
        border: see `separable`.
    """
    wanted = list(pairs)
    products = [images[i] * images[j] for i, j in wanted]
    sums = separable(torch.stack([*images, *products]), weights, border)
    total = weights.sum() ** 2
    mean = sums[: len(images)] / total
    covariance = {
        (i, j): (total * product - sums[i] * sums[j]) / total**2
        for (i, j), product in zip(wanted, sums[len(images) :], strict=True)
    }
    flat = [covariance[i, i] <= FLAT * mean[i].square() for i in range(len(images))]
    return Moments(
        mean,
        {(i, j): value.masked_fill(flat[i] | flat[j], 0) for (i, j), value in covariance.items()},
    )


def scenes(images: Images) -> Tensor:
    """Return each fused image followed by its sources, `(N, 1 + k, H, W)`.

    Metrics judge one after another: memory then depends on the size of an image only.
    """
    return torch.cat([images.fused[None], images.sources]).transpose(0, 1)


def pyramid(images: Tensor, levels: int) -> Iterator[Tensor]:
    """Yield images `(m, H, W)` in `levels` scales, each half as large as the one before.

    What comes next is the mean of 2x2 pixels, where an odd edge repeats its last one.
    """
    yield images
    for _ in range(levels - 1):
        height, width = images.shape[-2:]
        images = avg_pool2d(pad(images, (0, width % 2, 0, height % 2), mode="replicate"), 2)
        yield images


# ------------------------------------------------------------------ how they are computed


def _likeness(product: Tensor, squares: Tensor, constant: float) -> Tensor:
    """Return (2 xy + C) / (x^2 + y^2 + C): 1 where nothing differs."""
    below = squares + constant
    return torch.where(below == 0, 1, (2 * product + constant) / below)


def _with_fused(count: int) -> list[tuple[int, int]]:
    """Of which of `count` images covariances are wanted: the first one, fused, with all others."""
    return [(i, i) for i in range(count)] + [(0, i) for i in range(1, count)]


def _ssim(images: Images, border: Border, white: float = WHITE) -> Tensor:
    """Return the SSIM `(N, k)` with each source."""
    weights = gaussian(WINDOW, SIGMA, images.fused)
    c1, c2 = (K1 * white) ** 2, (K2 * white) ** 2
    values = []
    for scene in scenes(images):
        seen = moments(scene, _with_fused(len(scene)), weights, border)
        maps = [seen.similarity(0, i, c1, c2) for i in range(1, len(scene))]
        values.append(torch.stack(maps).mean(dim=(-2, -1)))
    return torch.stack(values)


def _multi_scale(scene: Tensor) -> Tensor:
    """Return the MS-SSIM `(k,)` with each source."""
    weights, others = gaussian(WINDOW, SIGMA, scene), range(1, len(scene))
    value = scene.new_ones(len(others))
    for level, scale in enumerate(pyramid(scene, len(SCALES))):
        seen = moments(scale, _with_fused(len(scene)), weights)
        maps = [seen.structure(0, i, C2) for i in others]
        if level == len(SCALES) - 1:
            maps = [seen.similarity(0, i, C1, C2) for i in others]
        value *= torch.stack(maps).mean(dim=(-2, -1)).clamp(min=0) ** SCALES[level]
    return value


def _piella(scene: Tensor, convention: str) -> tuple[Tensor, Tensor]:
    """Return the weighted similarity in each window, and the greatest variance of a source."""
    pairs, others = _with_fused(len(scene)), range(1, len(scene))
    if convention == "liu":
        seen = moments(scene, pairs, gaussian(WINDOW, SIGMA, scene))
        maps = torch.stack([seen.similarity(0, i, C1, C2) for i in others])
    else:
        seen = moments(scene, pairs, box(BLOCK, scene))
        maps = torch.stack([seen.similarity(0, i) for i in others])
    variances = torch.stack([seen.covariance[i, i] for i in others])
    if convention == "liu":
        variances = variances.masked_fill(variances.sum(dim=0) == 0, 0.5)
    return (_shares(variances) * maps).sum(dim=0), variances.amax(dim=0)


def _weighted(maps: Tensor, salience: Tensor) -> Tensor:
    """Return the mean of a map, weighted; the plain mean if no weight is left."""
    total = salience.sum()
    return torch.where(total == 0, maps.mean(), (salience * maps).sum() / total)


def _shares(parts: Tensor) -> Tensor:
    """Divide `(k, h, w)` by the sums over k; where there is nothing to share, in equal parts."""
    total = parts.sum(dim=0)
    return torch.where(total == 0, 1 / len(parts), parts / total)


def _cvejic(scene: Tensor) -> Tensor:
    seen = moments(scene, _with_fused(3), box(BLOCK, scene))
    first, second = seen.covariance[0, 1], seen.covariance[0, 2]
    total = first + second
    canceled = total.abs() <= CANCELED * (first.abs() + second.abs())
    share = torch.where(canceled, 0.5, first / total).clamp(0, 1)
    return (share * seen.similarity(0, 1) + (1 - share) * seen.similarity(0, 2)).mean()


def _cvejic_of_liu(scene: Tensor) -> Tensor:
    seen = _moments_of_octave(scene, _with_fused(3))
    first, second = seen.covariance[0, 1], seen.covariance[0, 2]
    share = first / (first + second)
    a, b = (seen.similarity(0, i, SMALL_C, SMALL_C) for i in (1, 2))
    value = share * a + (1 - share) * b
    return value.masked_fill(share < 0, 0).masked_fill(share > 1, 1).mean()


def _yang(scene: Tensor, convention: str) -> Tensor:
    pairs = [*_with_fused(3), (1, 2)]
    if convention == "liu":
        seen = _moments_of_octave(scene, pairs)
        first, second = seen.covariance[1, 1], seen.covariance[2, 2]
        shares = torch.stack([first, second]) / (first + second)
    else:
        seen = moments(scene, pairs, gaussian(SMALL_WINDOW, SIGMA, scene))
        shares = _shares(torch.stack([seen.covariance[1, 1], seen.covariance[2, 2]]))
    maps = torch.stack([seen.similarity(0, i, SMALL_C, SMALL_C) for i in (1, 2)])
    alike = seen.similarity(1, 2, SMALL_C, SMALL_C) >= ALIKE
    return torch.where(alike, (shares * maps).sum(dim=0), maps.amax(dim=0)).mean()


# ------------------------------------------------------------------ to the last bit


def _moments_of_octave(images: Tensor, pairs: Iterable[tuple[int, int]]) -> Moments:
    """Return the moments in windows of 7x7, with the rounding errors of GNU Octave's `conv2`.

    Only images of a single value are spared: they have no variance.
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
    """Weigh the neighborhood of each pixel of `(H, W)`, adding up in the order of GNU Octave.

    That is column by column from the last to the first, each from the last row to the first. The
    weights are made without torch, whose `exp` may differ in its last bit between devices.
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
