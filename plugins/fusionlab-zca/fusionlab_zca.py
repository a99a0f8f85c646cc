"""A fusionlab plugin: weights by whitened features, in which all directions weigh the same.

    mu_i = mean of phi_i over all pixels                                     (C)
    S_i  = mean of (phi_i - mu_i)(phi_i - mu_i)^T over all pixels            (C, C)
    e    = eps times the mean diagonal entry of all S_n
    a_i  = mean of sum_m |((S_i + e I)^(-1/2) (phi_i - mu_i))^m| over a (2r+1)^2 window
    f    = sum_i a_i / (sum_n a_n) phi_i

With S = U L U^T, (S + e I)^(-1/2) = U (L + e I)^(-1/2) U^T: zero-phase component analysis (ZCA).

Reference: Li, Wu & Durrani 2019, doi:10.1016/j.infrared.2019.103039.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from fusionlab import Law, StrategyRef, WeightedStrategy, box_average, hookimpl, normalize

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics


@hookimpl
def fusionlab_strategies() -> list[StrategyRef]:
    return [StrategyRef("zca", f"{__name__}:ZCA", "Weight by activity after whitening.")]


@dataclass(frozen=True)
class ZCA(WeightedStrategy):
    """Weight by activity after whitening.

    The channels of each source are decorrelated and brought to the same variance before their
    magnitudes are added up. Strong channels no longer dominate weak ones, and all sources have
    about the same total activity: only its position matters. Contrast as such does not count, so a
    source of faint noise competes with a sharp one until its variance comes down to `eps`.

    Differs from the authors' program in these ways:

    * It whitens each channel by itself, with the rows of the image as variables (H x H); here the
      variables are the channels (C x C). That treats all pixels alike, so that turning the image
      turns the result, and takes statistics that can be gathered tile by tile.
    * It does not divide S by the number of pixels, so that its eps of 1e-5 means less the larger
      the image; it is also in units of the features. Apart from eps neither matters, since what
      is common to all sources cancels. Here eps is a share of the mean variance of all channels
      of all sources: neither the size of the image nor the scale of the features changes weights.
    * It leaves a channel of zeros unchanged; here a channel without variance, zero or not, is
      ignored, since its rounding errors would be multiplied by 1/sqrt(eps).
    * Where all sources are constant it divides 0 by 0; here each weighs 1/k.
    * It weighs the pixels of two sources by upsampled features of ResNet-50; here the features of
      any number of sources are weighed by themselves.

    It averages over 5x5 pixels, with zeros beyond the border: r = 2, and the same weights.
    """

    r: Annotated[
        int, Interval(ge=0, le=64), "Half-width of the averaging window, in pixels (0: none)."
    ] = 2
    eps: Annotated[
        float,
        Interval(ge=1e-9, le=1e3),
        "Variance below which a direction fades, as a share of the mean variance of all channels.",
    ] = 1e-5

    @property
    def support(self) -> int:
        return self.r

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {Law.PERMUTATION, Law.SCALE, Law.TRANSLATION, Law.FLIPS}

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:
        """Return sums `(k, N, C, 1)` and products `(k, N, C, C)` of channels, and their number."""
        import torch

        # in float64: S is a difference of large numbers, and weak directions are magnified
        flat = scene.valid_region(features).double().flatten(3)
        sums = flat.sum(dim=3, keepdim=True)
        return {
            "sums": sums,
            "products": flat @ flat.mT,
            "count": torch.full_like(sums, flat.shape[3]),
        }

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, h, w)` of features `(k, N, C, h, w)`."""
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        statistics = self.image_statistics(features, scene)
        count = statistics["count"]
        means, squares = statistics["sums"] / count, statistics["products"] / count
        covariance = squares - means @ means.mT
        # the difference of squares leaves a constant channel a variance that is only rounding
        rounding = 64 * torch.finfo(torch.float64).eps * squares.diagonal(dim1=2, dim2=3)
        varies = (covariance.diagonal(dim1=2, dim2=3) > rounding)[..., None]
        covariance = torch.where(varies & varies.mT, covariance, 0)
        # the same for all sources of an image: changes no weight, but avoids overflow
        unit = covariance.diagonal(dim1=2, dim2=3).mean(dim=(0, 2))[:, None, None]
        unit = torch.where(unit > 0, unit, 1)
        identity = torch.eye(features.shape[2], dtype=unit.dtype, device=unit.device)
        whitening = _inverse_root(covariance / unit + self.eps * identity, self.eps)
        whitening = torch.where(varies.mT, whitening / unit.sqrt(), 0)
        centered = features.double().flatten(3) - means
        activity = (whitening @ centered).abs().sum(dim=2).view_as(features[:, :, 0])
        return normalize(box_average(activity, self.r).unsqueeze(2)).to(precise)


def _inverse_root(matrices: Tensor, min_eigenvalue: float) -> Tensor:
    """Return S^(-1/2) of positive definite matrices `(..., C, C)`.

    Eigenvalues are below `min_eigenvalue` only by rounding, which is large for nearly constant
    channels.

    The gradient of an eigendecomposition is infinite where eigenvalues are equal, though that of
    S^(-1/2) is not: it is made of divided differences (Daleckii and Krein), which for 1/sqrt are
    -1 / (s t (s + t)), s and t being the roots of two eigenvalues. So eigenvalues and vectors are
    constants, and the first-order term of a change of S, whose value is zero and whose gradient is
    the desired one, is added to the result. Second derivatives are not available.
    """
    import torch

    with torch.no_grad():
        values, vectors = torch.linalg.eigh(matrices)
        roots = values.clamp(min=min_eigenvalue).sqrt()
        s, t = roots[..., :, None], roots[..., None, :]
        slopes = -1 / (s * t * (s + t))
    change = vectors.mT @ (matrices - matrices.detach()) @ vectors
    root: Tensor = vectors @ (vectors.mT / s + (slopes * change) @ vectors.mT)
    return root
