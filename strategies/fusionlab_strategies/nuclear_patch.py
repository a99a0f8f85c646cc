"""Nuclear norm of patches: weight each source by how strong and varied its features are.

P_i(x, y)  = the ((2r+1)^2 x C) matrix of the features phi_i in the window around (x, y)
a_i(x, y)  = sum of the singular values of P_i(x, y)             activity
w_i        = a_i / sum_n a_n,   f = sum_i w_i phi_i              weights, features
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from fusionlab import Law, WeightedStrategy, normalize

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class NuclearPatch(WeightedStrategy):
    """Weight each source by the nuclear norm of its features around a pixel.

    Of two windows with the same energy, the more varied one has the larger weight: a flat window
    has one singular value, a textured one many. With `r=0` the norm is that of
    `l2norm` with `r=0`. The default r = 2 is the window of the reference.

    The window holds the pixels inside the image. Zero padding, as in the reference, gives the same
    weights: a row of zeros changes no singular value.

    Differs from the reference (`nuclear` in its `whitening_norm.m`), which takes the norm of
    whitened features of another network, so its results cannot be reproduced here. Where no
    source is active, each weighs 1/k.

    The singular values are the roots of the eigenvalues of P P^T or P^T P, the smaller one, in
    float64: as exact as a singular value decomposition in float32, for every dtype of the
    features, and several times as fast. Even so, with 64 channels a pixel of a source takes some
    25 microseconds on a CPU, and with `r=8` ten times as long.

    Reference: ResNet50 and ZCA, doi:10.1016/j.infrared.2019.103039.
    """

    r: Annotated[
        int, Interval(ge=0, le=8), "Half-width of the window, in pixels (0: the pixel alone)."
    ] = 2

    @property
    def support(self) -> int:
        return self.r

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {
            Law.PERMUTATION,
            Law.SCALE,
            Law.TRANSLATION,
            Law.FLIPS,
            Law.DOMINANCE,
        }

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, h, w)` of features `(k, N, C, h, w)`."""
        import torch

        from fusionlab_strategies.patches import nuclear_norms

        precise = torch.promote_types(features.dtype, torch.float32)
        return normalize(nuclear_norms(features, self.r)).to(precise)
