"""Guided filtering: merge two scales with weights that follow the edges of each source.

B_i = 31x31 mean of I_i,   D_i = I_i - B_i                base and detail
S_i = Gaussian 11x11 (sigma 5) of |Laplacian of I_i|      saliency
P_i = 1 where S_i is the largest of all, else 0           ties share it
W_i = guided filter of P_i, guide I_i, clamped to 0..1, divided by the sum over the sources
f   = sum_i W_i^base B_i + sum_i W_i^detail D_i
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from fusionlab import Law, Strategy, guided_filter, normalize
from fusionlab_classics.common.filters import (
    correlate,
    gaussian_filter,
    mean_filter,
    round_to_8_bits,
)

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene

MEAN_RADIUS = 15
"""Half-width of the mean that separates base and detail."""

SALIENCY_RADIUS, SALIENCY_SIGMA = 5, 5.0
"""Half-width and sigma of the Gaussian that smooths the saliency."""

LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))

TIE = 1e-9
"""Saliencies whose ratio is this close to 1 are tied: far above the rounding of float64."""

SILENT = 1e-12
"""Saliencies below this, for gray levels in 0..1, are rounding: those of constant images."""


@dataclass(frozen=True)
class GFF(Strategy):
    """Merge base and detail with saliency weights that follow the edges of each source.

    Any number of sources k >= 2, in any order: the definition compares k saliencies. Gray levels
    are divided by 255 first, so eps is a variance of gray levels in 0..1. The base takes wide
    windows and a large eps, which smooth its weights; the detail takes narrow windows and a small
    eps, so that its weights jump at edges. Laplacian, Gaussian and mean repeat the outermost
    pixel of the image; windows of the guided filter are clipped at the border.

    The authors' program has two flaws, which `variant=authors` keeps:

    * The filtered weights are rounded to 8 bits before they are divided by their sum. `corrected`
      clamps them to 0..1, which rounding to 8 bits does too, and does not round.
    * Where saliencies tie, as in regions without texture, the first source takes all the weight.
      In `corrected` the tied sources share it, so that the order of the sources does not matter.

    It also refuses images with an edge below 2 base_radius + 1; here windows are clipped. The
    authors give the visible source first, which matters to `variant=authors` at ties only.

    All arithmetic is in float64. A pixel depends on no other more than 6 + 2 base_radius away, 96
    by default, and tiles give the result of the whole image.

    Reference: Li, Kang and Hu, Image fusion with guided filtering, doi:10.1109/TIP.2013.2244222.
    """

    domain = "pixels"

    base_radius: Annotated[
        int, Interval(ge=1, le=128), "Half-width of the windows of the base weights, in pixels."
    ] = 45
    base_eps: Annotated[
        float, Interval(ge=1e-9, le=1e3), "Variance below which base weights are smoothed."
    ] = 0.3
    detail_radius: Annotated[
        int, Interval(ge=1, le=128), "Half-width of the windows of the detail weights, in pixels."
    ] = 7
    detail_eps: Annotated[
        float, Interval(ge=1e-9, le=1e3), "Variance below which detail weights are smoothed."
    ] = 1e-6
    variant: Annotated[
        Literal["corrected", "authors"], "Without the flaws of the authors' program, or with them."
    ] = "corrected"

    @property
    def support(self) -> int:
        filtered = 2 * max(self.base_radius, self.detail_radius)
        return max(1 + SALIENCY_RADIUS + filtered, MEAN_RADIUS)

    @property
    def laws(self) -> frozenset[Law]:
        laws = {Law.IDEMPOTENCE, Law.FLIPS, Law.TRANSLATION}
        return frozenset(laws | {Law.PERMUTATION} if self.variant == "corrected" else laws)

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:  # as all strategies
        images = features.double() / 255
        base = mean_filter(images, MEAN_RADIUS, "replicate")
        masks = self._masks(images.detach())
        base_weights = self._weights(images, masks, self.base_radius, self.base_eps)
        detail_weights = self._weights(images, masks, self.detail_radius, self.detail_eps)
        fused = (base_weights * base + detail_weights * (images - base)).sum(dim=0)
        return (255 * fused).to(features.dtype)

    def _masks(self, images: Tensor) -> Tensor:
        """Return 1 where a source is the most salient, as `(k, N, 1, h, w)`."""
        edges = correlate(images, LAPLACIAN, "replicate").abs()
        saliency = gaussian_filter(edges, SALIENCY_RADIUS, SALIENCY_SIGMA, "replicate")
        largest = saliency.amax(dim=0)
        if self.variant == "corrected":
            return normalize((saliency + SILENT >= largest * (1 - TIE)).to(images))
        winners = saliency == largest
        return (winners & (winners.cumsum(dim=0) == 1)).to(images)

    def _weights(self, images: Tensor, masks: Tensor, radius: int, eps: float) -> Tensor:
        """Return weights that sum to one over the sources."""
        weights = guided_filter(images, masks, radius, eps)
        if self.variant == "corrected":
            return normalize(weights.clamp(0, 1))
        weights = round_to_8_bits(255 * weights) / 255 + 1e-12
        return weights / weights.sum(dim=0)
