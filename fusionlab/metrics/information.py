"""Information: how much there is in an image, and how much of it comes from the sources.

What counts is how often each whole gray level 0..255 occurs. p(i) is the share of the pixels
that have level i, p(i, j) the share of those with level i in one image and j in the other:

    H(X)     = - sum_i p(i) log2 p(i)                               entropy, bits
    I(X, Y)  = sum_ij p(i, j) log2 [p(i, j) / (p(i) p(j))]          mutual information, bits

A constant image holds no information and shares none: both are exactly zero, not a rest of
rounding.

Where programs differ: VIFB takes natural logarithms; Linfeng Tang's code mixes up levels 254 and
255 in joint histograms; the toolbox of Liu et al. cannot judge constant images, and mixes up the
images in its Tsallis entropy. VIFB and Liu et al. stretch each image to 0..255 before they count.
That makes no difference to anything above: a stretch of whole levels keeps different levels
different, and which level it is does not matter.
"""

from __future__ import annotations

from itertools import combinations
from math import log, nan

import torch
from torch import Tensor

from fusionlab.metrics.inputs import LEVELS, WHITE, checked, quantized

NAVA = 0.43137
"""The order q of the Tsallis entropies in Q_TE, as chosen by Nava et al."""

# ------------------------------------------------------------------ the metrics


def entropy(
    fused: Tensor,
    sources: Tensor,
    convention: str = "default",
) -> Tensor:
    """Entropy of the fused image (EN): H(F), in bits per pixel.

    0 for a constant image, 8 where all levels are equally frequent. It looks at the fused image
    alone, and noise raises it.

    Args:
        fused: `(N, H, W)` in 0..255; rounded to whole levels.
        sources: `(k, N, H, W)` likewise; not looked at.
        convention: `paper`, `vifb` and `tang` compute the same.

    Returns:
        `(N,)`, float64, in 0..8.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Roberts, van Aardt and Ahmed 2008, Journal of Applied Remote Sensing 2(1), 023522.
    """
    images = checked("EN", fused, sources, convention)
    return _bits(_shares(quantized(images.fused)))


def mutual_information(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Mutual information of the fused image and each source (MI), summed, in bits.

    MI = I(A, F) + I(B, F); the sum over all sources where there are more than two. It is not
    bounded by the information of the sources taken together: what they have in common counts
    twice.

    The "MI" of the authors of DenseFuse is not offered: their program always gives 2 H(F).

    Args:
        fused: `(N, H, W)` in 0..255; rounded to whole levels.
        sources: `(k, N, H, W)` likewise.
        convention: `vifb`: in nats instead of bits, by a factor ln 2 smaller. `tang`: levels 254
            and 255 are one in the joint histograms, but two in the entropies, so that images
            with both share more than they should.

    Returns:
        `(N,)`, float64, from 0 to 8 k.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Qu et al. 2002, doi:10.1049/el:20020212.
    """
    images = checked("MI", fused, sources, convention)
    levels = quantized(images.fused)
    total = torch.zeros_like(images.fused[:, 0, 0])
    for source in quantized(images.sources):
        joint = _joint(source, levels)
        total += _mutual(joint)
        if convention == "tang":
            merged = _joint(source.clamp(max=254), levels.clamp(max=254))
            total += _bits(_normalized(joint)) - _bits(_normalized(merged))
    return total * log(2) if convention == "vifb" else total


def normalized_mutual_information(
    fused: Tensor, sources: Tensor, convention: str = "default"
) -> Tensor:
    """Mutual information, each in proportion to the entropies (NMI, Q_MI).

    NMI = 2 [I(A, F) / (H(A) + H(F)) + I(B, F) / (H(B) + H(F))]; the sum over all sources where
    there are more than two. 1 for each source that the fused image equals. A fused image and a
    source that are both constant share no information, and count 0.

    Args:
        fused: `(N, H, W)` in 0..255; rounded to whole levels.
        sources: `(k, N, H, W)` likewise.
        convention: `liu`: nan where an image is constant, but not black (divides by zero).

    Returns:
        `(N,)`, float64, from 0 to k.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Hossny et al. 2008, doi:10.1049/el:20081754.
    """
    images = checked("NMI", fused, sources, convention)
    levels, parts = quantized(images.fused), quantized(images.sources)
    mine = _bits(_shares(levels))
    total = torch.zeros_like(mine)
    for source in parts:
        total += 2 * _ratio(_mutual(_joint(source, levels)), _bits(_shares(source)) + mine)
    return _refused(total, levels, parts) if convention == "liu" else total


def cross_entropy(
    fused: Tensor,
    sources: Tensor,
    convention: str = "default",
) -> Tensor:
    """Cross entropy of each source and the fused image (CE), averaged, in bits; lower is better.

    CE = mean over the sources S of  sum_i p_S(i) log2 [p_S(i) / p_F(i)], over the levels that
    both images have. 0 where the fused image has the histogram of every source.

    What the field calls cross entropy is the Kullback-Leibler divergence of the histograms, but
    for the levels that the fused image lacks. There the divergence is infinite, which nearly
    every fused image would be; published values leave such levels out, and so does this. The
    price: CE does not see what is missing. It can be negative, and a constant image, which lacks
    all levels but one, is among the best.

    Args:
        fused: `(N, H, W)` in 0..255; rounded to whole levels.
        sources: `(k, N, H, W)` likewise, any k.
        convention: `vifb` computes the same.

    Returns:
        `(N,)`, float64, at least -log2(e) / e = -0.531.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Bulanon et al. 2009, doi:10.1016/j.biosystemseng.2009.02.009.
    """
    images = checked("CE", fused, sources, convention)
    mine = _shares(quantized(images.fused))
    theirs = torch.stack([_shares(source) for source in quantized(images.sources)])
    terms = torch.xlogy(theirs, theirs / mine).where((theirs > 0) & (mine > 0), 0)
    return terms.sum(dim=-1).mean(dim=0) / log(2)


def nonlinear_correlation(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Nonlinear correlation information entropy of all images together (Q_NCIE).

    The images, K = k + 1 with the fused one, have the matrix of correlations R: 1 on the
    diagonal, I(X, Y) / 8 elsewhere, which is mutual information in logarithms to the base 256.
    With its eigenvalues l_1 .. l_K

        Q_NCIE = 1 + sum_n (l_n / K) log256 (l_n / K)

    from 1 - log256 K (0.8019 for two sources), where no two images share any information, to 1.
    What the sources share with each other counts, too. More than two sources make the matrix
    larger, and the values smaller.

    Args:
        fused: `(N, H, W)` in 0..255; rounded to whole levels.
        sources: `(k, N, H, W)` likewise.
        convention: `liu`: nan where an image is constant, but not black (divides by zero).

    Returns:
        `(N,)`, float64, in 0..1.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Wang, Shen and Jin 2008, in Stathaki (ed.), Image Fusion: Algorithms and
    Applications, chapter 19, pp. 469-492; the measure is that of Wang, Shen and Zhang 2005, "A
    nonlinear correlation measure for multivariable data set", Physica D 200(3-4), pp. 287-295.
    """
    images = checked("Q_NCIE", fused, sources, convention)
    levels, parts = quantized(images.fused), quantized(images.sources)
    everything = [*parts, levels]
    size = len(everything)
    matrix = torch.eye(size, dtype=torch.float64, device=levels.device).repeat(len(levels), 1, 1)
    for (row, one), (column, other) in combinations(enumerate(everything), 2):
        matrix[:, row, column] = matrix[:, column, row] = _mutual(_joint(one, other)) / 8
    # rounding may leave a zero eigenvalue slightly below zero
    weights = torch.linalg.eigvalsh(matrix).clamp(min=0) / size
    value = 1 - torch.special.entr(weights).sum(dim=-1) / log(LEVELS)
    return _refused(value, levels, parts) if convention == "liu" else value


def tsallis_information(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Mutual information after Tsallis, normalized (Q_TE).

    With the Tsallis entropy and mutual information of order q = 0.43137

        H_q(X)    = (sum_i p(i)^q - 1) / (1 - q)
        I_q(X, Y) = (1 - sum_ij p(i, j)^q (p(i) p(j))^(1-q)) / (1 - q)

        Q_TE = [I_q(A, F) + I_q(B, F)] / [H_q(A) + H_q(B) - I_q(A, B)]

    0 where the fused image is constant, or both sources are. Defined for two sources.

    Args:
        fused: `(N, H, W)` in 0..255; rounded to whole levels.
        sources: `(2, N, H, W)` likewise.
        convention: `liu`: as the toolbox computes it, which is something else. The marginals are
            exchanged: p(i, j) meets p_Y(i) p_X(j), so that the value depends on which levels an
            image has, and the images are stretched to 0..255 for it; H_q is the Shannon entropy
            to the power of q; and I_q(A, B) is added instead of subtracted. Nan where an image
            is constant, but not black (divides by zero).

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
    levels, parts = quantized(images.fused), quantized(images.sources)
    if convention == "liu":
        return _refused(_tsallis_liu(_stretched(levels), *_stretched(parts)), levels, parts)
    a, b = parts
    transferred = _tsallis(_joint(a, levels)) + _tsallis(_joint(b, levels))
    entropies = sum(((_shares(x) ** NAVA).sum(dim=-1) - 1) / (1 - NAVA) for x in parts)
    return _ratio(transferred, entropies - _tsallis(_joint(a, b)))


# ------------------------------------------------------------------ counting


def _counts(values: Tensor, kinds: int) -> Tensor:
    """Count how often each of 0 .. kinds - 1 occurs in each image `(N, H, W)`: `(N, kinds)`."""
    first = kinds * torch.arange(len(values), device=values.device).view(-1, 1, 1)
    counts = torch.bincount((values + first).flatten(), minlength=len(values) * kinds)
    return counts.view(-1, kinds).double()


def _joint(one: Tensor, other: Tensor) -> Tensor:
    """Count how often levels meet: `(N, 256, 256)`, the level of `one` chooses the row."""
    return _counts(LEVELS * one + other, LEVELS**2).view(-1, LEVELS, LEVELS)


def _shares(levels: Tensor) -> Tensor:
    """Return the share of the pixels that each level has, `(N, 256)`."""
    return _counts(levels, LEVELS) / levels[0].numel()


def _normalized(joint: Tensor) -> Tensor:
    """Return the share of the pixels that each pair of levels has, `(N, 65536)`."""
    pairs = joint.flatten(1)
    return pairs / pairs.sum(dim=1, keepdim=True)


def _bits(shares: Tensor) -> Tensor:
    """Return the entropy `(N,)` of shares `(N, kinds)`, in bits."""
    nats: Tensor = torch.special.entr(shares).sum(dim=-1)
    return nats / log(2)


# ------------------------------------------------------------------ what images share


def _surprise(joint: Tensor) -> Tensor:
    """Return p(i, j) / (p(i) p(j)), `(N, 256, 256)`; 1 where the two levels never meet.

    Exactly 1 where they meet as often as by chance: all that is divided are whole numbers.
    """
    pixels = joint.sum(dim=(1, 2), keepdim=True)
    by_chance = joint.sum(dim=2, keepdim=True) * joint.sum(dim=1, keepdim=True)
    return (joint * pixels / by_chance).where(joint > 0, 1)


def _mutual(joint: Tensor) -> Tensor:
    """Return the mutual information `(N,)` in bits."""
    return (_normalized(joint) * _surprise(joint).flatten(1).log2()).sum(dim=1)


def _tsallis(joint: Tensor) -> Tensor:
    """Return the mutual information `(N,)` of order q, with p^q r^(1-q) = p (p/r)^(q-1)."""
    lost: Tensor = 1 - _surprise(joint).flatten(1) ** (NAVA - 1)
    return (_normalized(joint) * lost).sum(dim=1) / (1 - NAVA)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Divide; nothing of nothing is nothing."""
    return part / whole.where(whole > 0, 1)


# ------------------------------------------------------------------ the toolbox of Liu et al.


def _stretched(levels: Tensor) -> Tensor:
    """Stretch the levels of each image to 0..255, and round; a constant image becomes black."""
    low, high = levels.amin(dim=(-2, -1), keepdim=True), levels.amax(dim=(-2, -1), keepdim=True)
    return quantized((levels - low) / (high - low).clamp(min=1) * WHITE)


def _refused(values: Tensor, fused: Tensor, sources: Tensor) -> Tensor:
    """Return nan where the stretch divides zero by zero: constant images, but for black ones."""
    low, high = torch.cat([sources, fused[None]]).flatten(2).aminmax(dim=2)
    return values.masked_fill(((low == high) & (high > 0)).any(dim=0), nan)


def _tsallis_liu(fused: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return Q_TE of stretched levels `(N, H, W)` as the toolbox computes it."""
    entropies = _bits(_shares(a)) ** NAVA + _bits(_shares(b)) ** NAVA
    return (_exchanged(a, fused) + _exchanged(b, fused)) / (entropies + _exchanged(a, b))


def _exchanged(one: Tensor, other: Tensor) -> Tensor:
    """Return the mutual information of order q with the two marginals exchanged."""
    by_chance = _shares(other)[:, :, None] * _shares(one)[:, None, :]
    terms = _normalized(_joint(one, other)) ** NAVA * by_chance.flatten(1) ** (1 - NAVA)
    lost: Tensor = 1 - terms.sum(dim=1)
    return lost / (1 - NAVA)
