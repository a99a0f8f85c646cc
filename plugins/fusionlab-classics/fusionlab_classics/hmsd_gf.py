"""Hybrid scales by guided filters: infrared edges and large scales in a visible image.

M_l: guided by itself with eps = 10^4, which leaves two means    windows of radius r = 2, 4, 8, 16
L_l: guided by itself with eps = e^2                             e = 0.1, 0.05, 0.025, 0.0125
lambda = 2500 PS(A) / PS(B) - 1900, within 100 and 2000          PS: perceptual saliency
The rest is that of `hybrid_scales`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from fusionlab import Law, guided_filter
from fusionlab_classics.common.hybrid_scales import BASE_RADIUS, LEVELS, HybridScales, Scales
from fusionlab_classics.common.perceptual_saliency import saliency_ratio, saliency_sums

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics

RADII = (2, 4, 8, 16)
EDGES = (0.1, 0.05, 0.025, 0.0125)
"""Contrasts, with gray levels in 0..1, above which L_l keeps an edge."""
MEAN_EPS = 1e4

LOW, HIGH = 100.0, 2000.0
"""Bounds of lambda: for a ratio of saliencies below 0.8, and above 1.6."""


@dataclass(frozen=True)
class HMSDGF(HybridScales):
    """Merge infrared edges and large scales into a visible image by guided filters.

    Exactly two sources, infrared first. Two chains of guided filters split each into texture and
    edges at four scales. Where infrared edges are larger, the infrared image has more weight, the
    more so the steeper the weights are: their steepness lambda follows from the saliencies of both
    images for the human eye (`perceptual_saliency`).

    The authors' program has three flaws, which `variant=authors` keeps:

    * It multiplies the result by 275 instead of 255, so it is 8 % brighter than the sources.
    * lambda rises to 2100 and falls back to 2000 at a ratio of saliencies of 1.6. `corrected` stays
      at 2000.
    * Where no infrared edge is larger than a visible one at a scale, it divides 0 by 0. Here
      the weights are zero then, in both variants.

    All arithmetic is in float64. Tiles gather saliencies and the maxima of the weights in a first
    pass; apart from these, a pixel depends on no other more than 252 away.

    Reference: Zhou, Dong, Xie and Gao, Fusion of infrared and visible images for night-vision
    context enhancement, Applied Optics 55(23), 6480-6490, 2016.
    """

    smooths_finest = True

    variant: Annotated[
        Literal["corrected", "authors"], "Without the flaws of the authors' program, or with them."
    ] = "corrected"

    @property
    def support(self) -> int:
        return 2 * sum(RADII) + BASE_RADIUS

    @property
    def laws(self) -> frozenset[Law]:
        return frozenset({Law.IDEMPOTENCE} if self.variant == "corrected" else ())

    @property
    def gain(self) -> float:
        return 255.0 if self.variant == "corrected" else 275.0

    def decompose(self, images: Tensor, scene: Scene) -> Scales:  # for others
        means, smooth = [images], [images]
        for level in range(LEVELS):
            radius = RADII[level]
            means.append(guided_filter(means[-1], means[-1], radius, MEAN_EPS))
            smooth.append(guided_filter(smooth[-1], smooth[-1], radius, EDGES[level] ** 2))
        return Scales(means, smooth)

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:
        """Return the maxima of the weights, and the sums that the saliencies need."""
        return {**super().statistics(features, scene), **saliency_sums(features, scene)}

    def _whole_statistics(self, scales: Scales, features: Tensor, scene: Scene) -> Statistics:
        return {**self._statistics(scales, scene), **saliency_sums(features, scene)}

    def steepness(self, statistics: Statistics) -> Tensor:
        import torch

        ratio = saliency_ratio(statistics)
        linear = 2500 * ratio.clamp(max=1.6) - 1900
        if self.variant == "corrected":
            return linear.clamp(LOW, HIGH)
        return torch.where(ratio > 1.6, HIGH, linear.clamp(min=LOW))
