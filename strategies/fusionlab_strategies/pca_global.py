"""PCA weights: one weight per source, from the first principal component of all sources.

S_ij = covariance of phi_i and phi_j over all channels and pixels
S v  = lambda v, lambda the largest eigenvalue
w_i  = |v_i| / sum_n |v_n|,   f = sum_i w_i phi_i
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionlab import Law, WeightedStrategy, normalize

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics

_SQUARINGS = 20


@dataclass(frozen=True)
class PCAGlobal(WeightedStrategy):
    """Weight each source by its share in the first principal component.

    One weight per source, the same at every pixel and channel: a source of high contrast, or one
    that correlates with the others, has a larger weight. If no source has contrast, each weighs
    1/k.

    The classical method takes v from an eigendecomposition of the pixels of two images; its sign is
    arbitrary, and so is v itself where two eigenvalues are equal. Here S is raised to the power
    2^20 by repeated squaring. That converges to v v^T, has the same |v| on its diagonal, treats
    all sources alike where eigenvalues are equal, and has finite gradients there.

    Reference: principal component analysis as a method of image fusion, in textbooks since the
    1990s; here on features.
    """

    @property
    def support(self) -> int:
        return 0

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {
            Law.PERMUTATION,
            Law.SCALE,
            Law.TRANSLATION,
            Law.FLIPS,
            Law.DOMINANCE,
        }

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:
        """Return sums `(N, k, 1)`, products `(N, k, k)` and the number of samples."""
        import torch

        # in float64, since v magnifies the rounding of S where two eigenvalues are close
        flat = scene.valid_region(features).double().movedim(2, -1).flatten(2).transpose(0, 1)
        sums = flat.sum(dim=2, keepdim=True)
        count = torch.full_like(sums, flat.shape[2])
        return {"sums": sums, "products": flat @ flat.mT, "count": count}

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, 1, 1)` of features `(k, N, C, h, w)`."""
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        statistics = self.image_statistics(features, scene)
        count = statistics["count"]
        means, squares = statistics["sums"] / count, statistics["products"] / count
        power = squares - means @ means.mT
        # the difference of squares leaves a constant source a variance that is only rounding
        rounding = 64 * torch.finfo(power.dtype).eps * squares.diagonal(dim1=1, dim2=2)
        varies = (power.diagonal(dim1=1, dim2=2) > rounding).to(power)
        power = power * varies[:, :, None] * varies[:, None, :]
        for _ in range(_SQUARINGS):
            trace = _trace(power)
            power = power / torch.where(trace > 0, trace, 1)
            power = power @ power
        squares = power.diagonal(dim1=1, dim2=2)
        # the inner `where` keeps the gradient of the root at 0 from becoming NaN
        positive = squares > 0
        shares = torch.where(positive, torch.where(positive, squares, 1).sqrt(), 0)
        return normalize(shares.T)[..., None, None, None].to(precise)


def _trace(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None, None]
