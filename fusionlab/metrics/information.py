"""Information: how much an image contains, and how much of it comes from the sources.

All metrics are computed from histograms of integer gray levels 0..255. p(i) is the fraction of the
pixels with level i, p(i, j) the fraction with level i in one image and j in the other:

    H(X)     = - sum_i p(i) log2 p(i)                               entropy, bits
    I(X, Y)  = sum_ij p(i, j) log2 [p(i, j) / (p(i) p(j))]          mutual information, bits

For a constant image both are exactly zero, not a rounding residue.

Where programs differ: VIFB uses natural logarithms; Linfeng Tang's code merges levels 254 and 255
in joint histograms; the toolbox of Liu et al. cannot score constant images and exchanges the images
in its Tsallis entropy. VIFB and Liu et al. apply min-max normalization to 0..255 before they count.
That does not change the quantities above, because it maps different integer levels to different
levels.
"""

from __future__ import annotations

from itertools import combinations
from math import log, nan

import torch
from torch import Tensor

from fusionlab.metrics.inputs import LEVELS, WHITE, checked, quantized
from fusionlab.metrics.sources_part import once_per_sources
from fusionlab.ops import histograms

ORDER = 0.43137
"""The order q of the Tsallis entropies in Q_TE, as chosen by Nava et al."""

# ------------------------------------------------------------------ the metrics


def entropy(
    fused: Tensor,
    sources: Tensor,
    convention: str = "default",
) -> Tensor:
    """Compute the entropy of the fused image (EN), H(F), in bits per pixel.

    It is 0 for a constant image and 8 if all levels are equally frequent. It depends on the fused
    image only, and noise increases it.

    Args:
        fused: `(N, H, W)` in 0..255; rounded to integer levels.
        sources: `(k, N, H, W)` in 0..255; ignored.
        convention: `paper`, `vifb` and `tang` compute the same.

    Returns:
        `(N,)`, float64, in 0..8.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Roberts, van Aardt and Ahmed 2008, Journal of Applied Remote Sensing 2(1), 023522.
    """
    images = checked("EN", fused, sources, convention)
    return _bits(_histogram(quantized(images.fused)))


def mutual_information(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Sum the mutual information of the fused image and each source (MI), in bits.

    MI = I(A, F) + I(B, F), the sum over all sources for k > 2. It is not bounded by the joint
    information of the sources: what they have in common counts twice.

    The "MI" of the authors of DenseFuse is not offered: their program always returns 2 H(F).

    Args:
        fused: `(N, H, W)` in 0..255; rounded to integer levels.
        sources: `(k, N, H, W)` in 0..255.
        convention: `vifb`: in nats instead of bits, smaller by a factor ln 2. `tang`: levels 254
            and 255 share a bin in the joint histograms but not in the entropies, so that images
            with both levels score too high.

    Returns:
        `(N,)`, float64, from 0 to 8 k.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Qu et al. 2002, doi:10.1049/el:20020212.
    """
    images = checked("MI", fused, sources, convention)
    levels = quantized(images.fused)
    total = torch.zeros_like(images.fused[:, 0, 0])
    for source in _source_levels(images.sources):
        joint = _joint(source, levels)
        total += _mutual(joint)
        if convention == "tang":
            merged = _joint(source.clamp(max=254), levels.clamp(max=254))
            total += _bits(_normalized(joint)) - _bits(_normalized(merged))
    return total * log(2) if convention == "vifb" else total


def normalized_mutual_information(
    fused: Tensor, sources: Tensor, convention: str = "default"
) -> Tensor:
    """Sum the mutual information with each source, normalized by the entropies (NMI, Q_MI).

    NMI = 2 [I(A, F) / (H(A) + H(F)) + I(B, F) / (H(B) + H(F))], the sum over all sources for k > 2.
    A source that equals the fused image counts 1. If the fused image and a source are both
    constant, that source counts 0.

    Args:
        fused: `(N, H, W)` in 0..255; rounded to integer levels.
        sources: `(k, N, H, W)` in 0..255.
        convention: `liu`: nan if an image is constant but not black (division by zero).

    Returns:
        `(N,)`, float64, from 0 to k.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Hossny et al. 2008, doi:10.1049/el:20081754.
    """
    images = checked("NMI", fused, sources, convention)
    fused_levels, source_levels = quantized(images.fused), _source_levels(images.sources)
    fused_entropy = _bits(_histogram(fused_levels))
    total = torch.zeros_like(fused_entropy)
    histograms = _source_histograms(images.sources)
    for source, histogram in zip(source_levels, histograms, strict=True):
        entropies = _bits(histogram) + fused_entropy
        total += 2 * _ratio(_mutual(_joint(source, fused_levels)), entropies)
    return _nan_if_constant(total, fused_levels, source_levels) if convention == "liu" else total


def cross_entropy(
    fused: Tensor,
    sources: Tensor,
    convention: str = "default",
) -> Tensor:
    """Average the cross entropy of each source and the fused image (CE), in bits; lower is better.

    CE = mean over the sources S of  sum_i p_S(i) log2 [p_S(i) / p_F(i)], over the levels that
    occur in both images. It is 0 if the fused image has the histogram of every source.

    The fusion literature calls this cross entropy; it is the Kullback-Leibler divergence of the
    histograms, except for the levels that the fused image lacks. With these the divergence would be
    infinite for nearly every fused image; published values skip them, and so does this function.
    As a consequence CE ignores missing levels: it can be negative, and a constant image, which
    lacks all levels but one, gets one of the best values.

    Args:
        fused: `(N, H, W)` in 0..255; rounded to integer levels.
        sources: `(k, N, H, W)` in 0..255, any k.
        convention: `vifb` computes the same.

    Returns:
        `(N,)`, float64, at least -log2(e) / e = -0.531.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Bulanon et al. 2009, doi:10.1016/j.biosystemseng.2009.02.009.
    """
    images = checked("CE", fused, sources, convention)
    of_fused = _histogram(quantized(images.fused))
    of_sources = _source_histograms(images.sources)
    terms = torch.xlogy(of_sources, of_sources / of_fused)
    terms = terms.where((of_sources > 0) & (of_fused > 0), 0)
    return terms.sum(dim=-1).mean(dim=0) / log(2)


def nonlinear_correlation(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the nonlinear correlation information entropy of all images together (Q_NCIE).

    The K = k + 1 images (sources and fused image) have a correlation matrix R with 1 on the
    diagonal and I(X, Y) / 8 elsewhere, the mutual information with base-256 logarithms. With its
    eigenvalues l_1 .. l_K

        Q_NCIE = 1 + sum_n (l_n / K) log256 (l_n / K)

    It ranges from 1 - log256 K (0.8019 for two sources), if no two images share any information,
    to 1. Information shared between sources counts, too. With more sources values are lower.

    Args:
        fused: `(N, H, W)` in 0..255; rounded to integer levels.
        sources: `(k, N, H, W)` in 0..255.
        convention: `liu`: nan if an image is constant but not black (division by zero).

    Returns:
        `(N,)`, float64, in 0..1.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Wang, Shen and Jin 2008, in Stathaki (ed.), Image Fusion: Algorithms and
    Applications, chapter 19, pp. 469-492; the measure is that of Wang, Shen and Zhang 2005, "A
    nonlinear correlation measure for multivariable data set", Physica D 200(3-4), pp. 287-295.
    """
    images = checked("Q_NCIE", fused, sources, convention)
    fused_levels, source_levels = quantized(images.fused), _source_levels(images.sources)
    last = len(source_levels)
    size = last + 1
    identity = torch.eye(size, dtype=torch.float64, device=fused_levels.device)
    matrix = identity.repeat(len(fused_levels), 1, 1)
    for row, column in combinations(range(size), 2):
        if column == last:
            information = _mutual(_joint(source_levels[row], fused_levels))
        else:
            information = _mutual_of_sources(images.sources, row, column)
        matrix[:, row, column] = matrix[:, column, row] = information / 8
    # rounding may leave a zero eigenvalue slightly below zero
    weights = torch.linalg.eigvalsh(matrix).clamp(min=0) / size
    value = 1 - torch.special.entr(weights).sum(dim=-1) / log(LEVELS)
    return _nan_if_constant(value, fused_levels, source_levels) if convention == "liu" else value


def tsallis_information(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the normalized Tsallis mutual information (Q_TE).

    With the Tsallis entropy and mutual information of order q = 0.43137

        H_q(X)    = (sum_i p(i)^q - 1) / (1 - q)
        I_q(X, Y) = (1 - sum_ij p(i, j)^q (p(i) p(j))^(1-q)) / (1 - q)

        Q_TE = [I_q(A, F) + I_q(B, F)] / [H_q(A) + H_q(B) - I_q(A, B)]

    It is 0 if the fused image or both sources are constant. Defined for two sources.

    Args:
        fused: `(N, H, W)` in 0..255; rounded to integer levels.
        sources: `(2, N, H, W)` in 0..255.
        convention: `liu`: what the toolbox computes, which is a different quantity. The marginals
            are exchanged: p(i, j) is compared with p_Y(i) p_X(j), so that the value depends on
            which levels an image has, and each image is min-max normalized to 0..255 first; H_q is
            the Shannon entropy to the power of q; and I_q(A, B) is added instead of subtracted.
            Nan if an image is constant but not black (division by zero).

    Returns:
        `(N,)`, float64, in 0..2.

    Raises:
        FusionlabError: the images do not fit together, or there are not two sources.

    Reference: Nava, Escalante-Ramirez and Cristobal, "Mutual information improves image fusion
    quality assessments", SPIE Newsroom, 4 September 2007, article 0824, after Cvejic,
    Canagarajah and Bull 2006, Electronics Letters 42(11), 626-627; the formula is printed as
    Eq. 8 of Liu et al. 2012, doi:10.1109/TPAMI.2011.109.
    """
    images = checked("Q_TE", fused, sources, convention)
    fused_levels, source_levels = quantized(images.fused), _source_levels(images.sources)
    if convention == "liu":
        value = _tsallis_liu(_minmax_normalized(fused_levels), images.sources)
        return _nan_if_constant(value, fused_levels, source_levels)
    a, b = source_levels
    transferred = _tsallis(_joint(a, fused_levels)) + _tsallis(_joint(b, fused_levels))
    return _ratio(transferred, _transferable(images.sources))


@once_per_sources
def _transferable(sources: Tensor) -> Tensor:
    """Return the denominator of Q_TE."""
    a, b = _source_levels(sources)
    entropies = ((_source_histograms(sources) ** ORDER).sum(dim=-1) - 1) / (1 - ORDER)
    return entropies.sum(dim=0) - _tsallis(_joint(a, b))


# ------------------------------------------------------------------ histograms


@once_per_sources
def _source_levels(sources: Tensor) -> Tensor:
    return quantized(sources)


@once_per_sources
def _source_histograms(sources: Tensor) -> Tensor:
    """Return the histograms of the sources, `(k, N, 256)`."""
    return torch.stack([_histogram(levels) for levels in _source_levels(sources)])


def _counts(values: Tensor, bins: int) -> Tensor:
    """Count the occurrences of 0 .. bins - 1 in each image `(N, H, W)`: `(N, bins)`."""
    return histograms(values.flatten(1), bins).double()


def _joint(rows: Tensor, columns: Tensor) -> Tensor:
    """Count the pairs of levels of two images: `(N, 256, 256)`."""
    return _counts(LEVELS * rows + columns, LEVELS**2).view(-1, LEVELS, LEVELS)


def _histogram(levels: Tensor) -> Tensor:
    """Return the fraction of the pixels with each level, `(N, 256)`."""
    return _counts(levels, LEVELS) / levels[0].numel()


def _normalized(joint: Tensor) -> Tensor:
    """Return the fraction of the pixels with each pair of levels, `(N, 65536)`."""
    pairs = joint.flatten(1)
    return pairs / pairs.sum(dim=1, keepdim=True)


def _bits(histogram: Tensor) -> Tensor:
    """Return the entropy `(N,)` of histograms `(N, bins)`, in bits."""
    nats: Tensor = torch.special.entr(histogram).sum(dim=-1)
    return nats / log(2)


# ------------------------------------------------------------------ mutual information


def _dependence(joint: Tensor) -> Tensor:
    """Return p(i, j) / (p(i) p(j)), `(N, 256, 256)`; 1 for pairs of levels that do not occur.

    It is exactly 1 for pairs as frequent as under independence: all operands are integers.
    """
    pixels = joint.sum(dim=(1, 2), keepdim=True)
    independent = joint.sum(dim=2, keepdim=True) * joint.sum(dim=1, keepdim=True)
    return (joint * pixels / independent).where(joint > 0, 1)


def _mutual(joint: Tensor) -> Tensor:
    """Return the mutual information `(N,)` in bits."""
    return (_normalized(joint) * _dependence(joint).flatten(1).log2()).sum(dim=1)


@once_per_sources
def _mutual_of_sources(sources: Tensor, i: int, j: int) -> Tensor:
    """Return the mutual information `(N,)` of two sources, in bits."""
    levels = _source_levels(sources)
    return _mutual(_joint(levels[i], levels[j]))


def _tsallis(joint: Tensor) -> Tensor:
    """Return the mutual information `(N,)` of order q, with p^q r^(1-q) = p (p/r)^(q-1)."""
    terms: Tensor = 1 - _dependence(joint).flatten(1) ** (ORDER - 1)
    return (_normalized(joint) * terms).sum(dim=1) / (1 - ORDER)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide, with 0 / 0 = 0."""
    return numerator / denominator.where(denominator > 0, 1)


# ------------------------------------------------------------------ the toolbox of Liu et al.


def _minmax_normalized(levels: Tensor) -> Tensor:
    """Normalize the levels of each image to 0..255 and round; a constant image becomes black."""
    low, high = levels.amin(dim=(-2, -1), keepdim=True), levels.amax(dim=(-2, -1), keepdim=True)
    return quantized((levels - low) / (high - low).clamp(min=1) * WHITE)


def _nan_if_constant(values: Tensor, fused: Tensor, sources: Tensor) -> Tensor:
    """Return nan where an image is constant but not black: the normalization divides 0 by 0."""
    low, high = torch.cat([sources, fused[None]]).flatten(2).aminmax(dim=2)
    return values.masked_fill(((low == high) & (high > 0)).any(dim=0), nan)


def _tsallis_liu(fused: Tensor, sources: Tensor) -> Tensor:
    """Return Q_TE of normalized levels `(N, H, W)` as the toolbox computes it."""
    normalized, denominator = _sources_of_tsallis_liu(sources)
    a, b = normalized
    return (_exchanged(a, fused) + _exchanged(b, fused)) / denominator


@once_per_sources
def _sources_of_tsallis_liu(sources: Tensor) -> tuple[Tensor, Tensor]:
    """Return the normalized levels of the two sources, and the denominator."""
    normalized = _minmax_normalized(_source_levels(sources))
    a, b = normalized
    entropies = _bits(_histogram(a)) ** ORDER + _bits(_histogram(b)) ** ORDER
    return normalized, entropies + _exchanged(a, b)


def _exchanged(x: Tensor, y: Tensor) -> Tensor:
    """Return the mutual information of order q with the two marginals exchanged."""
    independent = _histogram(y)[:, :, None] * _histogram(x)[:, None, :]
    terms = _normalized(_joint(x, y)) ** ORDER * independent.flatten(1) ** (1 - ORDER)
    information: Tensor = 1 - terms.sum(dim=1)
    return information / (1 - ORDER)
