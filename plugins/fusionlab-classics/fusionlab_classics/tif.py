"""Two-scale fusion: average the bases and weight the details by visual saliency.

B_i = 35x35 mean of I_i,   D_i = I_i - B_i                base and detail
S_i = (B_i - 3x3 median of I_i)^2                         saliency
w_i = S_i / sum_n S_n                                     1/k where all are zero
f   = (1/k) sum_i B_i + sum_i w_i D_i
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from fusionlab import Law, Strategy, box_average, normalize
from fusionlab_classics.filters import extend, mean_filter

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class TIF(Strategy):
    """Average wide means and weight what they leave by the saliency of each source.

    Any number of sources k >= 2, in any order: the authors define two, and their formulas are
    sums over the sources. The saliency is the squared difference between a wide mean and a small
    median. Where no source is salient, each detail weighs 1/k.

    The authors' program has three flaws, which `variant=authors` keeps:

    * The mean takes pixels beyond the border from the opposite side of the image. `corrected`
      averages the pixels of the window that lie inside the image.
    * The median takes zeros beyond the border, which makes corners dark and salient. `corrected`
      repeats the outermost pixel.
    * Where no source is salient, it divides 0 by 0, and the pixel is black.

    All arithmetic is in float64. `corrected` depends on no pixel more than `radius` away, and tiles
    give the result of the whole image. `authors` needs the whole image at once.

    Reference: Bavirisetti and Dhuli, Two-scale image fusion of visible and infrared images using
    saliency detection, doi:10.1016/j.infrared.2016.01.009.
    """

    domain = "pixels"

    radius: Annotated[
        int, Interval(ge=1, le=64), "Half-width of the window of the mean, in pixels."
    ] = 17
    variant: Annotated[
        Literal["corrected", "authors"], "Without the flaws of the authors' program, or with them."
    ] = "corrected"

    @property
    def support(self) -> int | None:
        return self.radius if self.variant == "corrected" else None

    @property
    def laws(self) -> frozenset[Law]:
        if self.variant == "authors":
            return frozenset({Law.PERMUTATION, Law.FLIPS})
        return frozenset({Law.PERMUTATION, Law.FLIPS, Law.IDEMPOTENCE, Law.SCALE})

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:  # as all strategies
        images = features.double()
        if self.variant == "corrected":
            base = box_average(images, self.radius)
            saliency = (base - median_3x3(extend(images, 1, 1, "replicate"))).square()
            weights = normalize(saliency)
            return self._merged(images, base, weights).to(features.dtype)
        base = mean_filter(images, self.radius, "wrap")
        saliency = (base - median_3x3(extend(images, 1, 1, "zero"))).square()
        fused = self._merged(images, base, normalize(saliency))
        return (fused * (saliency.sum(dim=0) != 0)).to(features.dtype)

    @staticmethod
    def _merged(images: Tensor, base: Tensor, weights: Tensor) -> Tensor:
        return base.mean(dim=0) + (weights * (images - base)).sum(dim=0)


def median_3x3(extended: Tensor) -> Tensor:
    """Return medians of 3x3 pixels of maps `(..., h + 2, w + 2)`, as `(..., h, w)`.

    Each column of three is sorted once. The median of all nine is that of the largest minimum, the
    median of the medians, and the smallest maximum.
    """
    import torch

    height, width = (size - 2 for size in extended.shape[-2:])
    columns = _sorted3(*(extended.narrow(-2, row, height) for row in range(3)))
    minima, medians, maxima = ([c.narrow(-1, x, width) for x in range(3)] for c in columns)
    largest_minimum = torch.maximum(torch.maximum(minima[0], minima[1]), minima[2])
    smallest_maximum = torch.minimum(torch.minimum(maxima[0], maxima[1]), maxima[2])
    return _sorted3(largest_minimum, _sorted3(*medians)[1], smallest_maximum)[1]


def _sorted3(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sort three maps pixel by pixel."""
    import torch

    low, high = torch.minimum(a, b), torch.maximum(a, b)
    middle = torch.minimum(high, c)
    return torch.minimum(low, middle), torch.maximum(low, middle), torch.maximum(high, c)
