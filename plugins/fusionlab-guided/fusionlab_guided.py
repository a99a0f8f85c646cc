"""A fusionlab plugin with two strategies, whose weights are smoothed along the sources' edges.

`guided`, from the features:

    a_i = mean of sum_m |phi_i^m| over a (2r+1)^2 window          activity (DenseFuse, Eq. 5-6)
    w_i = a_i / sum_n a_n                                         weights (Eq. 7)

`histogram_saliency`, from the 256 gray levels of the sources:

    a_i = sum_j h_i(j) |I_i - j|                                  h_i(j): share of gray level j
    w_i = a_i / sum_n a_n

and then both:

    v_i = max(0, guided filter of w_i with guide I_i)             smoothed along edges
    f   = sum_i v_i / (sum_n v_n) phi_i

References: DenseFuse, doi:10.1109/TIP.2018.2887342; guided filter, He, Sun & Tang 2013,
doi:10.1109/TPAMI.2012.213; guided filtering of fusion weights, Li, Kang & Hu 2013,
doi:10.1109/TIP.2013.2244222; histogram saliency, Lahoud & Süsstrunk 2019, arXiv:1905.03590.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from fusionlab import (
    Law,
    StrategyRef,
    WeightedStrategy,
    box_average,
    guided_filter,
    histograms,
    hookimpl,
    normalize,
)

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics

_LEVELS = 256


@hookimpl
def fusionlab_strategies() -> list[StrategyRef]:
    return [
        StrategyRef(
            "guided", f"{__name__}:Guided", "Weight by activity, along the sources' edges."
        ),
        StrategyRef(
            "histogram_saliency",
            f"{__name__}:HistogramSaliency",
            "Weight by how rare a gray level is, along the sources' edges.",
        ),
    ]


@dataclass(frozen=True)
class Guided(WeightedStrategy):
    """Weight by activity, along the sources' edges."""

    r: Annotated[int, Interval(ge=0, le=64), "Half-width of the activity window, in pixels."] = 1
    radius: Annotated[int, Interval(ge=1, le=64), "Half-width of the guided filter's window."] = 8
    eps: Annotated[
        float,
        Interval(ge=1e-6, le=1e6),
        "What counts as an edge: variance of the source, whose pixels are in 0..1.",
    ] = 1e-3

    @property
    def support(self) -> int:
        """The guided filter averages twice: its coefficients, then their products."""
        return self.r + 2 * self.radius

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

        precise = torch.promote_types(features.dtype, torch.float32)
        activity = features.abs().sum(dim=2, keepdim=True, dtype=precise)
        weights = normalize(box_average(activity.flatten(0, 1), self.r).view_as(activity))
        return _along_edges(weights, scene, self.radius, self.eps)


@dataclass(frozen=True)
class HistogramSaliency(WeightedStrategy):
    """Weight by how rare a gray level is, along the sources' edges.

    The saliency of a pixel is the mean difference of its gray level from all others of its source.
    It is computed from the sources, not from the features, so the weights are the same with every
    backbone. Where no source has any contrast, each weighs 1/k. The histogram is that of the whole
    image, gathered in a first pass if the image is cut into tiles.

    In the authors' program these weights, with this radius and eps, fuse the averages over 45x45
    pixels, and the residuals are fused by features of VGG-19; here they fuse the features. There
    are two more differences: it adds 1e-12 to each smoothed weight and keeps negative ones, which
    are clamped to zero here; and its filter mirrors the image at the border, where windows here
    average the pixels inside, as in the filter's paper.

    Gray levels have no gradient, so the saliency is a constant for differentiation.
    """

    radius: Annotated[int, Interval(ge=1, le=64), "Half-width of the guided filter's window."] = 45
    eps: Annotated[
        float,
        Interval(ge=1e-6, le=1e6),
        "What counts as an edge: variance of the source, whose pixels are in 0..1.",
    ] = 0.01

    @property
    def support(self) -> int:
        """The guided filter averages twice: its coefficients, then their products."""
        return 2 * self.radius

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {Law.PERMUTATION, Law.SCALE, Law.TRANSLATION, Law.FLIPS}

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:
        """Return how many pixels of each source have each gray level, `(k, N, 256)`."""
        k, count = scene.sources.shape[:2]
        levels = _levels(scene.valid_region(scene.sources)).flatten(0, 1).flatten(1)
        return {"counts": histograms(levels, _LEVELS).view(k, count, _LEVELS)}

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, h, w)` of features `(k, N, C, h, w)`."""
        import torch

        precise = torch.promote_types(features.dtype, torch.float32)
        counts = self.image_statistics(features, scene)["counts"].double()
        shares = counts / counts.sum(dim=2, keepdim=True)
        gray = torch.arange(_LEVELS, dtype=torch.float64, device=counts.device)
        table = shares @ (gray[:, None] - gray).abs()  # (k, N, 256): saliency of each level
        saliency = table.gather(2, _levels(scene.sources).flatten(2))
        saliency = _pooled(saliency.view_as(scene.sources), scene.stride).to(precise)
        return _along_edges(normalize(saliency), scene, self.radius, self.eps)


def _levels(sources: Tensor) -> Tensor:
    """Round sources in 0..1 to gray levels 0..255."""
    import torch

    precise = torch.promote_types(sources.dtype, torch.float32)
    scaled = sources.detach().to(precise).clamp(0, 1) * (_LEVELS - 1)
    return (scaled + 0.5).floor().long()


def _along_edges(weights: Tensor, scene: Scene, radius: int, eps: float) -> Tensor:
    """Smooth weights `(k, N, 1, h, w)` along the edges of their sources, and normalize them."""
    guide = _pooled(scene.sources, scene.stride).to(weights.dtype)
    equal = 1 / len(weights)
    # so that equal weights stay exactly equal
    smooth = guided_filter(guide, weights - equal, radius, eps) + equal
    return normalize(smooth.clamp(min=0))


def _pooled(maps: Tensor, stride: int) -> Tensor:
    """Average maps `(k, N, 1, H, W)` as fine as the sources to the features' `(k, N, 1, h, w)`."""
    from torch.nn.functional import avg_pool2d

    if stride == 1:
        return maps
    coarse: Tensor = avg_pool2d(maps.flatten(0, 1), stride).unflatten(0, maps.shape[:2])
    return coarse
