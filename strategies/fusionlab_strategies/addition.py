"""f = sum_i phi_i: the addition strategy (Eq. 4)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from fusionlab import Law, Strategy

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class Addition(Strategy):
    """Add up the features.

    A sum, not a mean, of `(k, N, C, h, w)`: the decoder is close to homogeneous, so the image
    is about k times as bright as the mean of the sources and needs the range policy `minmax`. With
    it, and k = 2, this reproduces the "Addition" rows of Table II.

    Differs from the PyTorch port of the authors, which averages under this name; here that
    is the strategy `mean`.

    Reference: Eq. 4 of DenseFuse, doi:10.1109/TIP.2018.2887342; before that, DeepFuse,
    doi:10.1109/ICCV.2017.505.
    """

    saves = "minmax"

    @property
    def support(self) -> int:
        return 0

    @property
    def laws(self) -> frozenset[Law]:
        return frozenset({Law.PERMUTATION, Law.SCALE, Law.TRANSLATION, Law.FLIPS, Law.DOMINANCE})

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        total: Tensor = reduce(torch.add, features.to(precise))
        return total.to(features.dtype)
