"""Latent low-rank representation: split a matrix into a low-rank, a salient and a sparse part.

min ||Z||_* + ||L||_* + lam ||E||_1   such that   X = X Z + L X + E

Solved by the inexact augmented Lagrangian method of Liu and Yan, Latent low-rank representation for
subspace segmentation and feature extraction, doi:10.1109/ICCV.2011.6126422.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

GROWTH = 1.1
"""By how much the penalty grows at each step."""
FIRST_PENALTY, LAST_PENALTY = 1e-6, 1e6


@dataclass(frozen=True)
class LatentLowRank:
    """The parts of a matrix X, m x n, and how well they add up to it."""

    low_rank: Tensor
    """X Z, m x n."""
    projection: Tensor
    """L, m x m; the salient part is L X."""
    sparse: Tensor
    """E, m x n."""
    iterations: int
    residual: float
    """The largest entry of |X - X Z - L X - E|, and of the differences of the split variables."""


def latent_low_rank(
    matrix: Tensor, lam: float, *, tolerance: float = 1e-6, max_iterations: int = 1000
) -> LatentLowRank:
    """Find the latent low-rank representation of a matrix.

    The minimum is not unique: any share of a singular direction of X may go to Z and the rest to L.
    The order of the updates decides: Z comes first and takes the strong directions, L keeps
    the weak ones, which are the details.

    Z is sought in the row space of X, which contains every minimum: with X = U S Q^T it is Q
    times an r x n matrix, and r is at most m.

    Args:
        matrix: X, m x n, in float64.
        lam: weight of the sparse part.
        tolerance: the largest residual, in units of X.
        max_iterations: after how many iterations to stop anyway.
    """
    import torch

    x = matrix
    rows = torch.linalg.svd(x, full_matrices=False)[2]
    strengths = x @ rows.mT
    inverse_z = torch.linalg.inv(
        torch.eye(len(rows), dtype=x.dtype, device=x.device) + strengths.mT @ strengths
    )
    inverse_l = torch.linalg.inv(torch.eye(len(x), dtype=x.dtype, device=x.device) + x @ x.mT)
    z, z_multiplier = torch.zeros_like(rows), torch.zeros_like(rows)
    projection = torch.zeros_like(inverse_l)
    l_multiplier = torch.zeros_like(projection)
    sparse, multiplier = torch.zeros_like(x), torch.zeros_like(x)
    penalty, residual, iteration = FIRST_PENALTY, float("inf"), 0
    while residual > tolerance and iteration < max_iterations:
        iteration += 1
        z_low = shrink_singular_values(z + z_multiplier / penalty, 1 / penalty)
        l_low = shrink_singular_values(projection + l_multiplier / penalty, 1 / penalty)
        remainder = x - projection @ x - sparse + multiplier / penalty
        z = inverse_z @ (strengths.mT @ remainder + z_low - z_multiplier / penalty)
        remainder = x - strengths @ z - sparse + multiplier / penalty
        projection = (remainder @ x.mT + l_low - l_multiplier / penalty) @ inverse_l
        remainder = x - strengths @ z - projection @ x
        sparse = _shrink(remainder + multiplier / penalty, lam / penalty)
        gaps = remainder - sparse, z - z_low, projection - l_low
        multiplier = multiplier + penalty * gaps[0]
        z_multiplier = z_multiplier + penalty * gaps[1]
        l_multiplier = l_multiplier + penalty * gaps[2]
        penalty = min(GROWTH * penalty, LAST_PENALTY)
        residual = max(float(gap.abs().max()) for gap in gaps)
    return LatentLowRank(strengths @ z, projection, sparse, iteration, residual)


def shrink_singular_values(matrix: Tensor, threshold: float) -> Tensor:
    """Reduce each singular value of a matrix by a threshold, those below it to zero.

    By the eigenvalues of the smaller product of the matrix with its transpose.
    """
    import torch

    wide = matrix.shape[0] <= matrix.shape[1]
    squares, vectors = torch.linalg.eigh(matrix @ matrix.mT if wide else matrix.mT @ matrix)
    values = squares.clamp(min=0).sqrt()
    shares = (values - threshold).clamp(min=0) / values.clamp(min=torch.finfo(values.dtype).tiny)
    scale = (vectors * shares) @ vectors.mT
    return scale @ matrix if wide else matrix @ scale


def _shrink(values: Tensor, threshold: float) -> Tensor:
    return values.sign() * (values.abs() - threshold).clamp(min=0)
