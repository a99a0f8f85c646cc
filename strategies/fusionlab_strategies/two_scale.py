"""Two scales: merge what an edge-aware filter keeps of the features, and what it takes away.

B_i = S(phi_i; I_i),   D_i = phi_i - B_i                     base and detail
V_i ~ max(0, S(v_i; I_i)),   sum_i V_i = 1                   weights `base`, smoothed likewise
A_i = mean over (2r+1)^2 pixels of sum_m |D_i^m|             activity of the details
u_i ~ (d_i + 0.001) (A_i)^p,   sum_i u_i = 1                 weights `detail`
f   = sum_i V_i B_i + sum_i u_i D_i

S(x; I): guided filter of x with guide I, or the box average of the box average of x
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from fusionlab import Law, WeightedStrategy, box_average, guided_filter, normalize
from fusionlab_strategies.base_and_detail import RULES, BaseAndDetail, detail_weights
from fusionlab_strategies.resolution import at_level

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class TwoScale(BaseAndDetail):
    """Blend base and details of the features, with the weights of any strategy.

    The base of a source is its features `(k, N, C, h, w)`, smoothed by a guided filter along the
    edges of the source's own image `(k, N, 1, h, w)`, in 0..1 and averaged over the pixels of a
    feature. Edges stay in the base, so there are no halos around bright objects. With `smooth=box`
    they do not: two box averages are faster, and give more local contrast.

    `base` and `detail` name strategies that weight the sources, as in `multi_scale`:
    `detail=saliency;side:bright`. The weights of the base are smoothed like the features, those of
    the details favor the more active details. All channels of a pixel share the activity.

    On `identity` it merges pixels, and an image is its own guide. The result may leave the range of
    the sources a little. In tiles it is that of the whole image, to rounding; both filters look 2
    radius away.

    Raises:
        FusionlabError: `base` or `detail` is unknown, or does not weight the sources (code
            `not-weights`).

    Reference: Li, Kang and Hu, Image fusion with guided filtering, doi:10.1109/TIP.2013.2244222,
    for two scales and weights smoothed by the image; they separate the scales by a box average,
    smooth also the weights of the details, and choose by one saliency. The filter is that of He,
    Sun and Tang, doi:10.1109/TPAMI.2012.213. Scales of features, separated along the edges of the
    image, and weights by name and activity are this project's.
    """

    radius: Annotated[
        int, Interval(ge=1, le=64), "Half-width of the windows of the filter, in pixels."
    ] = 15
    eps: Annotated[
        float,
        Interval(ge=1e-4, le=1e3),
        "Variance below which the guide has no edge; its pixels are in 0..1.",
    ] = 0.01
    smooth: Annotated[
        Literal["guided", "box"], "Filter that makes the base: along edges, or box averages."
    ] = "guided"
    r: Annotated[
        int,
        Interval(ge=0, le=16),
        "Half-width of the window that averages activities, in pixels.",
    ] = 2
    power: Annotated[
        float, Interval(ge=0, le=16), "Exponent of the activity (0: only the weights decide)."
    ] = 8.0
    base: Annotated[str, RULES, "Strategy whose weights merge the bases."] = "mean"
    detail: Annotated[str, RULES, "Strategy whose weights favor the details of a source."] = "mean"

    @property
    def support(self) -> int | None:
        """The filter, and what is averaged before or after it."""
        supports = self.supports()
        if supports is None:
            return None
        base, detail = supports
        smoothed: int = 2 * self.radius
        return max(smoothed + max(self.r, base), detail)

    @property
    def laws(self) -> frozenset[Law]:
        """Those that the weights share; a base spreads beyond its source, up to the border."""
        kept = {Law.PERMUTATION, Law.SCALE, Law.FLIPS}
        return frozenset({Law.IDEMPOTENCE}) | (self.shared_laws() & kept)

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        values = features.to(precise)
        guide = at_level(scene.sources, features).to(precise)
        base_weights = self.named_weights("base", features, scene).to(precise)
        favor = base_weights
        if self.detail != self.base:
            favor = self.named_weights("detail", features, scene).to(precise)
        equal = 1 / len(features)
        # so that equal weights stay exactly equal
        smoothed = self._smoothed(base_weights - equal, guide) + equal
        base = self._smoothed(values, guide)
        detail = values - base
        weights = detail_weights(detail, favor, r=self.r, power=self.power, channels=2)
        # the details first: they have the memory layout of the features, averages have not
        fused = WeightedStrategy.weighted_sum(detail, weights)
        fused = fused + WeightedStrategy.weighted_sum(base, normalize(smoothed.clamp(min=0)))
        return fused.to(features.dtype)

    def _smoothed(self, maps: Tensor, guide: Tensor) -> Tensor:
        """Smooth maps `(k, N, C, h, w)`, guided by `(k, N, 1, h, w)`."""
        if self.smooth == "box":
            return box_average(box_average(maps, self.radius), self.radius)
        return guided_filter(guide, maps, self.radius, self.eps)
