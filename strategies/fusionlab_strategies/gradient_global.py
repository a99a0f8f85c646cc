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

    One weight per source, the same at every pixel and channel. The smaller `c`, the larger
    the weight of the source with the strongest gradients; a large `c` gives the average. Since g is
    a square, doubling the features has the effect of a quarter of `c`.

    In U2Fusion these weights balance the sources in the training loss; here they fuse the features.
    Its program measures five layers of VGG-16 and uses c = 3200, 3500 and 100 for its three tasks;
    here the features of the fused level are measured, and the default is the last of the three. Its
    program pads with zeros, which gives a bright constant image gradients at the border; here the
    border pixels are repeated, and a constant image has none.

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
        """Return the sum `(k, N)` of the squared gradients, and their number."""
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
        statistics = self.image_statistics(features, scene)
        strength = (statistics["squares"] / statistics["count"])[..., None, None, None]
        return (strength / self.c).softmax(dim=0).to(precise)
