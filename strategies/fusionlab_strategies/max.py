"""f = max_i phi_i: the largest value of every feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionlab import Law, Strategy

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class Max(Strategy):
    """Keep the largest value of every feature.

    Element by element over `(k, N, C, h, w)`, so the channels of a pixel may come from
    different sources. Sources that tie share the gradient.

    Reference: `tensor_max` of IFCNN, doi:10.1016/j.inffus.2019.07.011.
    """

    @property
    def support(self) -> int:
        return 0

    @property
    def laws(self) -> frozenset[Law]:
        return frozenset(
            {
                Law.PERMUTATION,
                Law.IDEMPOTENCE,
                Law.CONVEXITY,
                Law.SCALE,
                Law.TRANSLATION,
                Law.FLIPS,
                Law.DUPLICATES,
            }
        )

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        # with the channels last, as features lie in memory on a CPU: several times as fast there
        return features.movedim(2, -1).amax(dim=0).movedim(-1, 1)
