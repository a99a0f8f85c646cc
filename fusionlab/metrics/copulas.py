"""Mutual information of two windows, from a joint distribution constructed from their marginals.

The fast FMI of Haghighat and Razian 2014 interprets a 3x3 window x as the distribution p of a
variable on 1..9, one value per pixel in column-major order. The mutual information of two such
variables needs their joint distribution, which the windows do not determine. It is constructed as
Nelsen proposed: a mixture of the product of both distributions (independence) and of one of the
Frechet bounds (the strongest dependence that p and q allow), such that the correlation of the
variables is c, the correlation of p and q as lists of nine numbers:

    p_i = (x_i - min x) / sum_i (x_i - min x)     1/9 in a window of a single value
    c   = Pearson correlation of p and q          0 where a window is of a single value
    M   = min(P_i, Q_j)           for c >= 0      P, Q: the cumulative distributions;
    M   = max(P_i + Q_j - 1, 0)   for c < 0       M is one, too, with the masses m_ij
    phi = c / corr(M)                             0 where p or q lies on a single value
    j   = phi m_ij + (1 - phi) p_i q_j
    H(j) = -sum_ij j log |j|,  H(p) = -sum_i p_i log p_i

    value = 2 (H(p) + H(q) - H(j)) / (H(p) + H(q))    1 where both windows are equal, to the bit;
                                                      0 where both entropies are 0

c is not a correlation of the variables, so phi is not confined to 0..1. Some j may be negative;
for these the programs take the real part of the complex logarithm, log |j|. The value of a window
may be below 0 or above 1.

This file computes the same values differently: the lower bound of p and q is the upper bound of p
and the reversed q, so that one formula serves both; covariances are sums of M_ij - P_i Q_j
(Hoeffding), and a variance is the covariance of a distribution with itself; logarithms are natural,
as the base cancels.

References: M. Haghighat, M. A. Razian, "Fast-FMI: non-reference image fusion metric", AICT 2014,
pp. 1-3, and their program fmi.m; R. B. Nelsen, "Discrete bivariate distributions with given
marginals and correlation", Communications in Statistics - Simulation and Computation 16(1), 1987,
doi:10.1080/03610918708812585.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SIDE = 3
PIXELS = SIDE * SIDE

NO_SPREAD = 1e-8
"""Variance below which a distribution counts as concentrated on a single value.

The programs compare with 0. Between 0 and this threshold, phi is a ratio of differences that
float64 does not resolve, and their values for such windows are rounding noise.
"""

CPU_BATCH = 1 << 11
"""Windows per batch on a CPU: what fits into its cache."""

ACCELERATOR_BATCH = 1 << 16
"""Windows per batch on an accelerator, enough to keep it busy; takes about 250 MB."""


class Variables(NamedTuple):
    """The distributions of n windows on 1..9, for several images."""

    pdf: Tensor  # (9, images, n)
    cdf: Tensor  # (10, images, n), from 0 to 1
    area: Tensor  # (images, n), the sum of the cdf
    variance: Tensor  # (images, n)
    entropy: Tensor  # (images, n), in nats


def mean_information(fused: Tensor, sources: Tensor) -> Tensor:
    """Average the information of each 3x3 window and the same window of each source.

    Args:
        fused: the features `(H, W)` of the fused image, float64, both edges at least 3.
        sources: those of its sources, `(k, H, W)`.

    Returns:
        The mean `()` of the value defined by this module, over all windows and sources.
    """
    features = torch.cat([fused[None], sources])
    height, width = (edge - SIDE + 1 for edge in fused.shape)
    batch = CPU_BATCH if fused.device.type == "cpu" else ACCELERATOR_BATCH
    columns = min(width, batch)
    rows = max(1, batch // columns)
    total = features.new_zeros(())
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            block = features[:, top : top + rows + SIDE - 1, left : left + columns + SIDE - 1]
            total += _information(_windows(block)).sum()
    return total / (len(sources) * height * width)


def _windows(features: Tensor) -> Tensor:
    """Return all 3x3 windows `(9, images, n)` of `(images, H, W)`, in column-major order."""
    height, width = (edge - SIDE + 1 for edge in features.shape[-2:])
    shifted = [
        features[:, row : row + height, column : column + width]
        for column in range(SIDE)
        for row in range(SIDE)
    ]
    return torch.stack(shifted).flatten(2)


def _information(windows: Tensor) -> Tensor:
    """Return the information `(images - 1, n)` of the first image's windows with each other's."""
    equal = (windows[:, 1:] == windows[:, :1]).all(dim=0)
    variables = _variables(windows)
    correlations = _correlations(variables.pdf)
    values = torch.empty_like(correlations)
    for source, c in enumerate(correlations, start=1):
        entropies = variables.entropy[0] + variables.entropy[source]
        shared = entropies - _joint_entropy(variables, source, c)
        values[source - 1] = torch.where(entropies == 0, 0, 2 * shared / entropies)
    return values.masked_fill_(equal, 1)


def _variables(windows: Tensor) -> Variables:
    """Turn windows `(9, images, n)` into distributions, overwriting the windows."""
    low, high = windows.amin(dim=0), windows.amax(dim=0)
    pdf = windows.sub_(low).masked_fill_(low == high, 1)
    pdf /= pdf.sum(dim=0)
    cdf = torch.cat([torch.zeros_like(pdf[:1]), pdf.cumsum(dim=0)])
    area = cdf.sum(dim=0)
    # Of all pairs (i, j) of 1..9, min(P_i, P_j) is P_i in 19 - 2 i.
    pairs = torch.arange(19, 0, -2, dtype=pdf.dtype, device=pdf.device)
    variance = (cdf * pairs[:, None, None]).sum(dim=0) - area.square()
    return Variables(pdf, cdf, area, variance, _entropy(pdf))


def _correlations(pdf: Tensor) -> Tensor:
    """Return the Pearson correlations `(images - 1, n)` of the first image and each other."""
    deviations = pdf - 1 / PIXELS
    products = (deviations[:, 1:] * deviations[:, :1]).sum(dim=0)
    squares = deviations.square_().sum(dim=0)
    return torch.where(products == 0, 0, products / (squares[1:] * squares[:1]).sqrt_())


def _joint_entropy(variables: Variables, source: int, c: Tensor) -> Tensor:
    """Return the joint entropies `(n,)` of the first image's windows and a source's."""
    pdf, cdf, area, variance, _ = variables
    reverse = c < 0
    q = torch.where(reverse, pdf[:, source].flip(0), pdf[:, source])
    cdf_q = torch.where(reverse, 1 - cdf[:, source].flip(0), cdf[:, source])
    area_q = torch.where(reverse, PIXELS + 1 - area[source], area[source])

    bound = torch.minimum(cdf[:, None, 0], cdf_q)  # (10, 10, n)
    covariance = bound.flatten(0, 1).sum(dim=0) - area[0] * area_q
    phi = c.abs() * (variance[0] * variance[source]).sqrt_() / covariance
    phi.masked_fill_(torch.minimum(variance[0], variance[source]) < NO_SPREAD, 0)

    joint = bound.diff(dim=0).diff(dim=1)  # (9, 9, n), the masses of the bound
    joint.mul_(phi).addcmul_(((1 - phi) * pdf[:, 0])[:, None], q)
    return _entropy(joint.flatten(0, 1))


def _entropy(pdf: Tensor) -> Tensor:
    """Return -sum p log |p| over the first dimension, in nats; 0 log 0 is 0."""
    tiny = pdf.new_tensor(torch.finfo(pdf.dtype).tiny)
    logarithms = torch.addcmul(tiny, pdf, pdf).log_()  # of the squares: twice those of |p|
    return logarithms.mul_(pdf).sum(dim=0).mul_(-0.5)
