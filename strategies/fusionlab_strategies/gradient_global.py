"""Gradient weights (U2Fusion): one weight per source, by how strong its gradients are overall.

g_i = mean_{m,x,y} (L phi_i^m)^2,   L phi = mean of the 8 neighbors - phi
w_i = exp(g_i / c) / sum_n exp(g_n / c),   f = sum_i w_i phi_i
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from fusionlab import Law, WeightedStrategy

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics


@dataclass(frozen=True)
class GradientGlobal(WeightedStrategy):
    """Weight each source by the gradients of its features over the whole image.

    One weight per source, the same at every pixel and channel. The smaller `c`, the more the
    source with the strongest gradients takes; a large `c` gives the average. As g is a square,
    features twice as large do as a quarter of `c` does.

    In U2Fusion these weights tell the sources apart in the loss that trains the network; here
    they fuse the features. Its program measures features of VGG-16, of five layers, and has c =
    3200, 3500 and 100 for its three tasks; here it is the features of the level that is fused,
    and the default is the last of the three. Its program sees zeros beyond the border, which
    makes a bright plain image look as if it had gradients; here the border pixels are repeated,
    and a plain image has none.

    Reference: U2Fusion, doi:10.1109/TPAMI.2020.3012548.
    """

    c: Annotated[
        float,
        Interval(ge=1e-3, le=1e9),
        "Temperature, in squared units of the features (larger: closer to the average).",
    ] = 100.0

    @property
    def support(self) -> int:
        return 1

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {Law.PERMUTATION, Law.TRANSLATION, Law.FLIPS, Law.DOMINANCE}

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:
        """Return the sum `(k, N)` of the squares of the gradients, and of how many."""
        import torch
        from torch.nn.functional import avg_pool2d, pad

        # in float64, since a small c magnifies the rounding of squares and of their mean
        maps = features.flatten(0, 1).double()
        box = avg_pool2d(pad(maps, (1, 1, 1, 1), mode="replicate"), 3, 1)
        squares = scene.valid_region((box - maps).square().unflatten(0, features.shape[:2]))
        # the mean of all 9 pixels is 8/9 of that of the neighbors and 1/9 of the pixel itself
        total = squares.sum(dim=(2, 3, 4)) * (9 / 8) ** 2
        return {"squares": total, "count": torch.full_like(total, squares[0, 0].numel())}

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, 1, 1)` of features `(k, N, C, h, w)`."""
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        known = self.image_statistics(features, scene)
        strength = (known["squares"] / known["count"])[..., None, None, None]
        return (strength / self.c).softmax(dim=0).to(precise)
