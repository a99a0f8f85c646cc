"""A fusionlab plugin: l1-norm weights, smoothed along the edges of each source.

    a_i = mean of sum_m |phi_i^m| over a (2r+1)^2 window          activity (DenseFuse, Eq. 5-6)
    w_i = a_i / sum_n a_n                                         weights (Eq. 7)
    v_i = max(0, guided filter of w_i with guide I_i)             smoothed along edges
    f   = sum_i v_i / (sum_n v_n) phi_i

References: DenseFuse, doi:10.1109/TIP.2018.2887342; guided filter, He, Sun & Tang 2013,
doi:10.1109/TPAMI.2012.213; guided filtering of fusion weights, Li, Kang & Hu 2013,
doi:10.1109/TIP.2013.2244222.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt, Interval

from fusionlab import Law, StrategyRef, WeightedStrategy, hookimpl, normalise

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@hookimpl
def fusionlab_strategies() -> list[StrategyRef]:
    return [
        StrategyRef("guided", f"{__name__}:Guided", "Weight by activity, along the sources' edges.")
    ]


@dataclass(frozen=True)
class Guided(WeightedStrategy):
    """Weight by activity, along the sources' edges."""

    r: Annotated[int, Interval(ge=0, le=64), "Half-width of the activity window, in pixels."] = 1
    radius: Annotated[int, Interval(ge=1, le=64), "Half-width of the guided filter's window."] = 8
    eps: Annotated[
        float, Gt(0), "What counts as an edge: variance of the source, whose pixels are in 0..1."
    ] = 1e-3

    @property
    def support(self) -> int:
        """The guided filter averages twice: its coefficients, then their products."""
        return self.r + 2 * self.radius

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {Law.PERMUTATION, Law.SCALE, Law.FLIPS}

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, h, w)` of features `(k, N, C, h, w)`."""
        import torch
        from torch.nn.functional import avg_pool2d

        k, count = features.shape[:2]
        precise = torch.promote_types(features.dtype, torch.float32)
        activity = features.abs().sum(dim=2, keepdim=True, dtype=precise)
        guide = scene.sources.flatten(0, 1).to(precise)  # (k N, 1, H, W)
        if scene.stride > 1:
            guide = avg_pool2d(guide, scene.stride)
        weights = normalise(_mean(activity.flatten(0, 1), self.r).unflatten(0, (k, count)))
        smooth = self._filtered(weights.flatten(0, 1), guide)
        return normalise(smooth.clamp(min=0).unflatten(0, (k, count)))

    def _filtered(self, images: Tensor, guide: Tensor) -> Tensor:
        """Apply the guided filter (Eq. 5, 6 and 8 of He, Sun & Tang) to `(M, 1, h, w)`."""
        mean_g, mean_i = _mean(guide, self.radius), _mean(images, self.radius)
        variance = _mean(guide * guide, self.radius) - mean_g * mean_g
        covariance = _mean(guide * images, self.radius) - mean_g * mean_i
        slope = covariance / (variance.clamp(min=0) + self.eps)
        offset = mean_i - slope * mean_g
        return _mean(slope, self.radius) * guide + _mean(offset, self.radius)


def _mean(images: Tensor, r: int) -> Tensor:
    """Average `(M, 1, h, w)` over the pixels of a (2r+1)^2 window that lie inside the image."""
    from torch.nn.functional import avg_pool2d

    for kernel, padding in (((2 * r + 1, 1), (r, 0)), ((1, 2 * r + 1), (0, r))):
        images = avg_pool2d(images, kernel, 1, padding, count_include_pad=False)
    return images
