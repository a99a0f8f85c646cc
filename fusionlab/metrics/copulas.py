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

This file computes the same values differently, without tables of 9x9:

* The lower bound of p and q is the upper bound of p and the reversed q, so that one formula serves
  both. Logarithms are natural, as the base cancels.
* All mass of M lies on a staircase of 17 cells from (1, 1) to (9, 9). Walk through P_1..P_8 and
  Q_1..Q_8 in ascending order, t_1 <= ... <= t_16, with t_0 = 0 and t_17 = 1; after a P take
  the next i, after a Q the next j. The cell (i, j) of step k has the mass m_k = t_k - t_{k-1}.
  In all other cells, j is (1 - phi) p_i q_j, whose entropy has a closed form. With a = 1 - phi,
  f(x) = x log |x|, and w_k = p_i q_j in the cell of step k:

      H(j) = a (H(p) + H(q)) - f(a) + sum_k f(a w_k) - f(a w_k + phi m_k)

* A covariance is the sum of min(P_i, Q_j) - P_i Q_j over i, j in 1..8 (Hoeffding). The first sum is
  half of that over all pairs of t_1..t_16, less the pairs of two P and of two Q; of n ascending
  numbers, x_k is the smaller one in 2 (n - k) + 1 pairs. Where p lies almost on a single value, all
  P_i are near 0 or 1, and these sums near integers that cancel. They are left out: with
  P_i = [P_i] + u_i, Q_j = [Q_j] + v_j, [x] the nearest integer, and S the sum over pairs,

      cov = (S(t - [t]) - S(u) - S(v)) / 2 - sum [P] sum v - sum [Q] sum u - sum u sum v

  A variance is the covariance of a distribution with itself, S(u) - 2 sum [P] sum u - (sum u)^2.
* Features of 0 and 1 only (edges) have few distinct pairs of windows: each is computed once.

References: M. Haghighat, M. A. Razian, "Fast-FMI: non-reference image fusion metric", AICT 2014,
pp. 1-3, and their program fmi.m; R. B. Nelsen, "Discrete bivariate distributions with given
marginals and correlation", Communications in Statistics - Simulation and Computation 16(1), 1987,
doi:10.1080/03610918708812585.
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from fusionlab.ops import histograms

SIDE = 3
PIXELS = SIDE * SIDE
INNER = PIXELS - 1
"""Values of a cumulative distribution that are not always 1."""

STEPS = 2 * INNER + 1
"""Cells of the staircase."""

NO_SPREAD = 1e-8
"""Variance below which a distribution counts as concentrated on a single value.

The programs compare with 0. Between 0 and this threshold, phi is a ratio of differences that
float64 does not resolve, and their values for such windows are rounding noise.
"""

TINY = torch.finfo(torch.float64).tiny

CPU_BATCH = 1 << 13
"""Windows per batch on a CPU: few enough for its cache, enough to make up for about 200 calls."""

ACCELERATOR_BATCH = 1 << 17
"""Windows per batch on an accelerator, enough to keep it busy; takes 350 MB for two sources."""


class Variables(NamedTuple):
    """The distributions of n windows on 1..9, for several images."""

    pdf: Tensor  # (9, images, n)
    cdf: Tensor  # (9, images, n), up to 1
    deviations: Tensor  # (9, images, n), of the pdf from 1/9
    whole: Tensor  # (images, n), sum [P]
    rest: Tensor  # (images, n), sum u
    pairs: Tensor  # (images, n), S(u)
    spread: Tensor  # (images, n), standard deviation / norm of the deviations; 0 below NO_SPREAD
    entropy: Tensor  # (images, n), in nats

    def of(self, images: slice) -> Variables:
        """Return those of some images."""
        return Variables(*(field[..., images, :] for field in self))


class Workspace(NamedTuple):
    """Memory for all batches: fresh memory for each result costs as much time as computing it."""

    pdf: Tensor  # (9, images, n)
    cdf: Tensor  # (9, images, n)
    deviations: Tensor  # (9, images, n)
    terms: Tensor  # (9, images, n)
    q: Tensor  # (9, images - 1, n), and so on
    cdf_q: Tensor  # (9, ..)
    passed: Tensor  # (8, ..)
    lists: Tensor  # (2, 18, ..)
    cells: Tensor  # (2, 17, ..)
    weights: Tensor  # (16,), 31, 29 .. 1: for sums over pairs
    tiny: Tensor  # ()

    @classmethod
    def allocate(cls, images: int, n: int, like: Tensor) -> Workspace:
        """Allocate memory on the device of `like`, of its type."""

        def image(*rows: int) -> Tensor:
            return like.new_empty(*rows, images, n)

        def pair(*rows: int) -> Tensor:
            return like.new_empty(*rows, images - 1, n)

        return cls(
            pdf=image(PIXELS),
            cdf=image(PIXELS),
            deviations=image(PIXELS),
            terms=image(PIXELS),
            q=pair(PIXELS),
            cdf_q=pair(PIXELS),
            passed=pair(INNER),
            lists=pair(2, STEPS + 1),
            cells=pair(2, STEPS),
            weights=torch.arange(2 * STEPS - 3, 0, -2, dtype=like.dtype, device=like.device),
            tiny=like.new_tensor(TINY),
        )

    def narrow(self, n: int) -> Workspace:
        """Return the memory of the first n windows."""
        buffers = self._asdict().items()
        return self._replace(**{name: rows[..., :n] for name, rows in buffers if rows.dim() > 1})


def mean_information(fused: Tensor, sources: Tensor) -> Tensor:
    """Average the information of each 3x3 window and the same window of each source.

    Args:
        fused: the features `(H, W)` of the fused image, float64, both edges at least 3.
        sources: those of its sources, `(k, H, W)`.

    Returns:
        The mean `()` of the value defined by this module, over all windows and sources.
    """
    features = torch.cat([fused[None], sources])
    if ((features == 0) | (features == 1)).all():
        return _mean_of_distinct(features)
    height, width = (edge - SIDE + 1 for edge in fused.shape)
    batch = _batch(features)
    columns = min(width, batch)
    rows = min(height, max(1, batch // columns))
    workspace = Workspace.allocate(len(features), rows * columns, features)
    total = features.new_zeros(())
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            block = features[:, top : top + rows + SIDE - 1, left : left + columns + SIDE - 1]
            equal = reduce(torch.logical_and, _pixels(block[1:] == block[0]))
            total += _information(_pixels(block), equal, workspace).sum()
    return total / (len(sources) * height * width)


def _mean_of_distinct(features: Tensor) -> Tensor:
    """Average over the windows of features of 0 and 1: each distinct pair once, times its count."""
    bits = [pixel.int() << k for k, pixel in enumerate(_pixels(features))]
    windows = reduce(torch.add, bits)  # each one as a number of nine bits
    pairs_of_windows = ((windows[:1] << PIXELS) + windows[1:]).flatten()
    (counts,) = histograms(pairs_of_windows.long()[None], 1 << 2 * PIXELS)
    numbers = counts.nonzero()[:, 0]
    pairs = torch.stack([numbers >> PIXELS, numbers % (1 << PIXELS)])
    batch = min(_batch(features), len(numbers))
    workspace = Workspace.allocate(2, batch, features)
    total = features.new_zeros(())
    for part, count in zip(pairs.split(batch, dim=1), counts[numbers].split(batch), strict=True):
        pixels = [(part >> k & 1).to(features) for k in range(PIXELS)]
        equal = part[1:] == part[0]
        total += (_information(pixels, equal, workspace)[0] * count).sum()
    mean: Tensor = total / counts.sum()
    return mean


def _batch(features: Tensor) -> int:
    return CPU_BATCH if features.device.type == "cpu" else ACCELERATOR_BATCH


def _pixels(features: Tensor) -> list[Tensor]:
    """Return views `(images, H - 2, W - 2)` of `(images, H, W)`, one per pixel of all windows."""
    height, width = (edge - SIDE + 1 for edge in features.shape[-2:])
    return [
        features[:, row : row + height, column : column + width]
        for column in range(SIDE)
        for row in range(SIDE)
    ]


def _information(pixels: list[Tensor], equal: Tensor, workspace: Workspace) -> Tensor:
    """Return the information `(images - 1, n)` of the first image's windows with each other's.

    Args:
        pixels: the nine pixels of all windows in column-major order, each `(images, ..)` with n
            elements per image.
        equal: whether all nine are equal in the first image and each other, `(images - 1, ..)`.
        workspace: of at least n windows; overwritten.
    """
    work = workspace.narrow(pixels[0][0].numel())
    variables = _variables(pixels, work)
    fused, sources = variables.of(slice(1)), variables.of(slice(1, None))
    entropies = fused.entropy + sources.entropy
    shared = entropies - _joint_entropy(fused, sources, entropies, work)
    values = shared.mul_(2).div_(entropies.clamp_min_(TINY))  # 0 where both entropies are 0
    return values.masked_fill_(equal.flatten(1), 1)


def _variables(pixels: list[Tensor], work: Workspace) -> Variables:
    """Turn windows, given as `_information` takes them, into distributions."""
    pdf, terms = work.pdf, work.terms
    low = reduce(torch.minimum, pixels)
    for row, pixel in zip(pdf.unbind(), pixels, strict=True):
        torch.sub(pixel, low, out=row.unflatten(1, pixel.shape[1:]))
    total = pdf.sum(dim=0)
    flat = (total == 0).to(total)
    torch.addcdiv(flat / PIXELS, pdf, total.add_(flat), out=pdf)
    cdf = _cumulated(pdf, out=work.cdf)
    whole, rest, pairs = _sums(cdf[:INNER], terms[:INNER], work)
    variance = pairs - (2 * whole + rest) * rest
    variance.masked_fill_(variance < NO_SPREAD, 0)
    deviations = torch.sub(pdf, 1 / PIXELS, out=work.deviations)
    squares = torch.mul(deviations, deviations, out=terms).sum(dim=0)
    spread = variance.div_(squares.add_(flat)).sqrt_()
    entropy = _logarithms(pdf, terms, work).mul_(pdf).sum(dim=0).mul_(-0.5)
    return Variables(pdf, cdf, deviations, whole, rest, pairs, spread, entropy)


def _joint_entropy(
    fused: Variables, sources: Variables, entropies: Tensor, work: Workspace
) -> Tensor:
    """Return the joint entropies `(images - 1, n)` of the fused image's windows and a source's."""
    products = torch.mul(fused.deviations, sources.deviations, out=work.terms[:, 1:]).sum(dim=0)
    # The weights of these linear interpolations are 0 or 1: a faster `where`, and as exact.
    q = torch.lerp(sources.pdf, sources.pdf.flip(0), (products < 0).to(products), out=work.q)
    cdf_q = _cumulated(q, out=work.cdf_q)
    merged, other = _merged(fused.cdf, cdf_q, work)

    offsets, terms = other[1:STEPS], work.passed
    torch.sub(merged[1:STEPS], torch.round(merged[1:STEPS], out=offsets), out=offsets)
    whole, rest, pairs = _sums(cdf_q[:INNER], terms, work)
    covariance = _pairs(offsets, work).sub_(pairs).sub_(fused.pairs).mul_(0.5)
    covariance.addcmul_(fused.whole + fused.rest, rest, value=-1)
    covariance.addcmul_(whole, fused.rest, value=-1)
    covariance.masked_fill_(covariance <= 0, torch.inf)  # rounding: it is above 0 or has no spread
    phi = products.abs_().mul_(fused.spread).mul_(sources.spread).div_(covariance)
    a = 1 - phi

    independent, joint = work.cells
    _staircase(fused, q, cdf_q, work).mul_(a)
    masses = torch.sub(merged[1:], merged[:-1], out=other[:STEPS])
    torch.addcmul(independent, masses, phi, out=joint)
    terms = _logarithms(work.cells, work.lists[:, :STEPS], work).mul_(work.cells)
    less, more = terms.sum(dim=1).unbind()
    logarithm = _logarithms(a, torch.empty_like(a), work)
    return less.sub_(more).addcmul_(logarithm, a, value=-1).mul_(0.5).addcmul_(a, entropies)


def _merged(cdf_p: Tensor, cdf_q: Tensor, work: Workspace) -> tuple[Tensor, Tensor]:
    """Return t_0..t_17 `(18, ..)`, the values of two cdfs in ascending order, and free memory.

    A bitonic merge (Batcher 1968): an ascending and a descending list, one after the other, are
    sorted by comparing each with the one 8, 4, 2 and 1 places on.
    """
    result, other = work.lists
    p, q = cdf_p[:INNER], cdf_q[:INNER].flip(0)
    source, target = result[1:STEPS], other[1:STEPS]
    torch.minimum(p, q, out=target[:INNER])
    torch.maximum(p, q, out=target[INNER:])
    for distance in (4, 2, 1):
        source, target = target, source
        first, second = source.unflatten(0, (-1, 2, distance)).unbind(1)
        low, high = target.unflatten(0, (-1, 2, distance)).unbind(1)
        torch.minimum(first, second, out=low)
        torch.maximum(first, second, out=high)
    result[0] = 0
    torch.minimum(cdf_p[-1], cdf_q[-1], out=result[-1])  # 1 except for rounding
    torch.maximum(result[-1], result[-2], out=result[-1])
    return result, other


def _staircase(fused: Variables, q: Tensor, cdf_q: Tensor, work: Workspace) -> Tensor:
    """Return w_1..w_17 `(17, ..)`, the products p_i q_j in the cells of the staircase.

    Step k is at a cell with i + j = k + 1. It is beyond row i if P_i <= Q_j for j = k - i, since
    then the walk has passed P_i before step k. So start with the row i = 1, and replace the cells
    of those steps that are beyond each row by those of the next row.
    """
    p, steps, passed, row = fused.pdf, work.cells[0], work.passed, work.lists[1, :INNER]
    torch.mul(p[0], q, out=steps[:PIXELS])
    torch.mul(p[1:], q[-1], out=steps[PIXELS:])
    for i, (cdf, following) in enumerate(zip(fused.cdf[:INNER], p[1:], strict=True), start=1):
        torch.le(cdf, cdf_q[:INNER], out=passed)
        torch.mul(following, q[:INNER], out=row)
        cells = steps[i : i + INNER]
        torch.lerp(cells, row, passed, out=cells)
    return steps


def _cumulated(pdf: Tensor, out: Tensor) -> Tensor:
    """Return the sums of the first 1..9, row by row: faster than torch.cumsum."""
    out[0] = pdf[0]
    rows = out.unbind()
    for before, p, row in zip(rows, pdf[1:], rows[1:], strict=False):
        torch.add(before, p, out=row)
    return out


def _sums(inner: Tensor, terms: Tensor, work: Workspace) -> tuple[Tensor, Tensor, Tensor]:
    """Return sum [P], sum u and S(u) of cumulative probabilities `(8, ..)`."""
    whole = torch.round(inner, out=terms).sum(dim=0)
    offsets = torch.sub(inner, terms, out=terms)
    return whole, offsets.sum(dim=0), _pairs(offsets, work)


def _pairs(offsets: Tensor, work: Workspace) -> Tensor:
    """Return S(u) of `(n, ..)`: over all pairs of ascending numbers, sum the u of the smaller."""
    pairs: Tensor = torch.tensordot(work.weights[-len(offsets) :], offsets, dims=1)
    return pairs


def _logarithms(x: Tensor, out: Tensor, work: Workspace) -> Tensor:
    """Return 2 log |x|; a finite number where x is 0, so that x log |x| is 0."""
    return torch.addcmul(work.tiny, x, x, out=out).log_()
