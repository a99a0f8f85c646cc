"""f = (1/k) sum_i phi_i: the average of the features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionlab import Law, WeightedStrategy

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class Mean(WeightedStrategy):
    """Average the features.

    `addition` divided by k: it stays in the range of the sources. With a near-lossless
    backbone the image is the pixel average of the sources.

    Reference: "addition" in the PyTorch port of DenseFuse; `tensor_mean` of IFCNN,
    doi:10.1016/j.inffus.2019.07.011.
    """

    @property
    def support(self) -> int:
        return 0

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {Law.PERMUTATION, Law.SCALE, Law.TRANSLATION, Law.FLIPS}

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return 1/k everywhere, `(k, N, 1, 1, 1)`."""
        k, count = features.shape[:2]
        return features.new_full((k, count, 1, 1, 1), 1 / k)
