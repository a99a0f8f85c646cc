"""Saliency weights: how far the gray level of a pixel is from the mean of its image.

s_i(x, y) = |I_i(x, y) - mean(I_i)|             side=both
            max(0, I_i(x, y) - mean(I_i))       side=bright
w_i = (s_i + 0.02)^2 / sum_n (s_n + 0.02)^2,    f = sum_i w_i phi_i      gray levels I in 0..1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from fusionlab import Law, WeightedStrategy, normalize
from fusionlab_strategies.resolution import at_level

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics

FLOOR = 0.02
"""Five gray levels of 255: smaller differences from the mean hardly count."""


@dataclass(frozen=True)
class Saliency(WeightedStrategy):
    """Weight each source by how far its gray levels are from their mean.

    It looks at the sources, not at the features. With `side=bright` only pixels brighter than the
    mean are salient, such as warm objects in an infrared image.

    The reference compares the colors of a slightly blurred image with their mean, in CIELAB, and
    finds objects in one image; here gray levels are compared, without the blur, and the squares
    become weights. Used in one place the weights are noisy; `multi_scale` smooths them.

    On a coarser level of a backbone, the sources are averaged over the pixels of a feature. The
    mean is that of the padded image, where a size is not divisible by the backbone's
    `size_divisor`.

    Reference: Achanta, Hemami, Estrada and Suesstrunk, Frequency-tuned salient region detection,
    doi:10.1109/CVPR.2009.5206596.
    """

    side: Annotated[
        Literal["both", "bright"], "Which differences from the mean count: all, or brighter pixels."
    ] = "both"

    @property
    def support(self) -> int:
        return 0

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {Law.PERMUTATION, Law.SCALE, Law.TRANSLATION, Law.FLIPS}

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:
        """Return the sum of the gray levels of each source, and their number, `(k, N)`."""
        import torch

        region = scene.valid_region(scene.sources)
        total = region.sum(dim=(2, 3, 4), dtype=torch.float64)
        return {"total": total, "count": torch.full_like(total, region[0, 0].numel())}

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, h, w)`, from the sources of the scene."""
        import torch

        statistics = self.image_statistics(features, scene)
        mean = (statistics["total"] / statistics["count"])[..., None, None, None]
        precise = torch.promote_types(scene.sources.dtype, torch.float32)
        difference = at_level(scene.sources.to(precise), features) - mean.to(precise)
        salient = difference.abs() if self.side == "both" else difference.clamp(min=0)
        return normalize((salient + FLOOR) ** 2)
