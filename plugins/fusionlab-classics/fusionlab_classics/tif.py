"""Two-scale fusion: average the bases and weight the details by visual saliency.

B_i = 35x35 mean of I_i,   D_i = I_i - B_i                base and detail
S_i = (B_i - 3x3 median of I_i)^2                         saliency
w_i = S_i / sum_n S_n                                     1/k where all are zero
f   = (1/k) sum_i B_i + sum_i w_i D_i
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from fusionlab import Law, Strategy, box_average
from fusionlab_classics.common.filters import extend, mean_filter

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
        import torch

        bases = saliencies = weighted = torch.zeros_like(features[0], dtype=torch.float64)
        for source in features:  # one by one: `authors` holds the whole image several times
            image = source.double()
            base, median = self._smoothed(image)
            saliency = (base - median).square()
            bases, saliencies = bases + base, saliencies + saliency
            weighted = weighted + saliency * (image - base)
        mean, salient = bases / len(features), saliencies > 0
        details = weighted / torch.where(salient, saliencies, 1)
        if self.variant == "corrected":
            fused = mean + torch.where(salient, details, features.double().mean(dim=0) - mean)
        else:
            fused = (mean + details) * salient
        return fused.to(features.dtype)

    def _smoothed(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the wide mean and the small median of an image."""
        if self.variant == "corrected":
            return box_average(image, self.radius), median_3x3(extend(image, 1, 1, "replicate"))
        return mean_filter(image, self.radius, "wrap"), median_3x3(extend(image, 1, 1, "zero"))


def median_3x3(extended: Tensor) -> Tensor:
    """Return medians of 3x3 pixels of maps `(..., h + 2, w + 2)`, as `(..., h, w)`.

    Each column of three is sorted once. The median of all nine is that of the largest minimum, the
    median of the medians, and the smallest maximum.
    """
    import torch

    height, width = (size - 2 for size in extended.shape[-2:])
    low, middle, high = _sorted3(*(extended.narrow(-2, row, height) for row in range(3)))
    low = reduce(torch.maximum, _three_columns(low, width))
    middle = _median3(*_three_columns(middle, width))
    high = reduce(torch.minimum, _three_columns(high, width))
    return _median3(low, middle, high)


def _three_columns(maps: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    left, center, right = (maps.narrow(-1, column, width) for column in range(3))
    return left, center, right


def _sorted3(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sort three maps pixel by pixel."""
    import torch

    low, high = torch.minimum(a, b), torch.maximum(a, b)
    middle = torch.minimum(high, c)
    return torch.minimum(low, middle), torch.maximum(low, middle), torch.maximum(high, c)


def _median3(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    import torch

    low, high = torch.minimum(a, b), torch.maximum(a, b)
    return torch.maximum(low, torch.minimum(high, c))
