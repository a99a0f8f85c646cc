"""What ADF and FPDE share: weights from the first principal component of the details.

S_ij = covariance of D_i and D_j over all pixels
S v  = lambda v, lambda the largest eigenvalue
p_i  = |v_i| / sum_n |v_n|       without the absolute values in the authors' programs
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from fusionlab import Strategy, normalize

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics

SQUARINGS = 20
"""How often S is squared: S^(2^20) has converged to a multiple of v v^T."""

ROUNDING = 2.0**-46
"""Variances below this part of the mean square are rounding: 64 times that of float64."""

CANCELED = 1e-6
"""Where the v_i cancel to less than this part of their magnitudes, their sum is mostly rounding."""


@dataclass(frozen=True)
class PrincipalDetails(Strategy):
    """Average the bases of the sources, and weight their details by the first component.

    A subclass smooths the sources into bases; what that takes out of them is the detail.
    """

    domain = "pixels"

    variant: Annotated[
        Literal["corrected", "authors"], "Without the flaws of the authors' program, or with them."
    ] = "corrected"

    @abstractmethod
    def bases(self, images: Tensor) -> Tensor:
        """Smooth images `(k, N, C, h, w)` in gray levels, float64."""

    def mean_base(self, bases: Tensor) -> Tensor:
        """Average bases `(k, N, C, h, w)`."""
        return bases.mean(dim=0)

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:
        """Return what the covariances of the details need."""
        images = features.double()
        return covariance_sums(images - self.bases(images), scene)

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        images = features.double()
        bases = self.bases(images)
        details = images - bases
        statistics = scene.statistics or covariance_sums(details, scene)
        weights = component_weights(statistics, signed=self.variant == "authors")
        return (self.mean_base(bases) + (weights * details).sum(dim=0)).to(features.dtype)


def covariance_sums(details: Tensor, scene: Scene) -> Statistics:
    """Return sums `(N, k, 1)`, products `(N, k, k)` and the count of details `(k, N, 1, h, w)`.

    Pixels of the halo of a tile do not count, so that the sums of all tiles are those of the image.
    """
    import torch

    flat = scene.valid_region(details).double().flatten(2).transpose(0, 1)
    sums = flat.sum(dim=2, keepdim=True)
    return {
        "sums": sums,
        "products": flat @ flat.mT,
        "count": torch.full_like(sums, flat.shape[2]),
    }


def component_weights(statistics: Statistics, *, signed: bool = False) -> Tensor:
    """Return weights `(k, N, 1, 1, 1)` that sum to one: 1/k each where no source has contrast.

    An eigendecomposition has no gradient where eigenvalues are equal, and depends on the order of
    the sources there. Squaring S again and again has one, and treats all sources alike.

    Args:
        statistics: as `covariance_sums` returns them.
        signed: divide v by its sum instead of the magnitudes by theirs; 1/k each where the sum is
            mostly rounding. The two differ where details are negatively correlated: signed weights
            are then negative for some sources, above 1 for others, and have no bound.
    """
    import torch

    count = statistics["count"]
    means, squares = statistics["sums"] / count, statistics["products"] / count
    power = squares - means @ means.mT
    variances, rounding = _diagonal(power), ROUNDING * _diagonal(squares)
    varies = (variances > rounding).to(power)
    power = power * varies[:, :, None] * varies[:, None, :]
    for _ in range(SQUARINGS):
        trace = _diagonal(power).sum(dim=1)[:, None, None]
        power = power / torch.where(trace > 0, trace, 1)
        power = power @ power
    magnitudes = _root(_diagonal(power))
    weights = normalize(magnitudes.T)
    if signed:
        sums = power.sum(dim=2)  # v_i times the sum of v
        total = sums.sum(dim=1)  # the sum of v, squared
        usable = total > (CANCELED * magnitudes.sum(dim=1)) ** 2
        ratios = (sums / torch.where(usable, total, 1)[:, None]).T
        weights = torch.where(usable, ratios, 1 / len(weights))
    return weights[..., None, None, None]


def _diagonal(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=1, dim2=2)


def _root(squares: Tensor) -> Tensor:
    """Return the square root, with gradient 0 at 0."""
    import torch

    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1).sqrt(), 0)
