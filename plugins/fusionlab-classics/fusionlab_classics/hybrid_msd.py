"""Hybrid scales by Gaussian and bilateral filters: infrared edges in a visible image.

M_l: Gaussian of sigma s = 2, 4, 8, 16
L_l: bilateral filter, s in space and 0.05 / 2^(l-1) in gray levels (0..1)
lambda = 30
The rest is that of `hybrid_scales`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from fusionlab import FusionlabError, Law
from fusionlab_classics.common.bilateral_grid import fast_bilateral
from fusionlab_classics.common.filters import gaussian_filter
from fusionlab_classics.common.hybrid_scales import BASE_RADIUS, HybridScales, Scales

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics

SIGMAS = (2, 4, 8, 16)
RANGE = 0.05
"""Sigma in gray levels (0..1) of the finest bilateral filter; each coarser one has half of it."""

BYTES_PER_PIXEL, MAX_BYTES = 600, 2**31
"""What an image that is not cut takes, and the most that it may take."""


@dataclass(frozen=True)
class HybridMSD(HybridScales):
    """Merge infrared edges and large scales into a visible image by bilateral filters.

    Exactly two sources, infrared first. A chain of Gaussians and one of bilateral filters split
    each into texture and edges at four scales. Where infrared edges are larger, the infrared image
    has more weight, the more so the larger lambda is.

    The bilateral filter is the fast one of Paris and Durand on a grid, whose cells are s pixels
    wide and one sigma of gray levels high. The authors' program has three flaws. The first two
    remain with `variant=authors`:

    * The grid starts at the darkest gray level of the image, so that one dark pixel changes all
      others. In `corrected` it starts at gray level 0.
    * The grid lacks a cell at its end where the last pixel, or the brightest one, is nearest to the
      last but one; the blur loses a part of it. `corrected` has that cell.
    * Where no infrared edge is larger than a visible one at a scale, it divides 0 by 0. Here
      the weights are zero then, in both variants.

    The variants differ by 0.2 to 0.7 gray levels on average, and by much more in single pixels,
    where they choose different sources at the finest scale. All arithmetic is in float64; the
    authors' program interpolates in the grid in single precision, which changed none of the five
    images compared. In `corrected`, tiles gather the maxima of the weights in a first pass; apart
    from these, a pixel depends on no other more than 297 away. `authors` needs the whole image
    at once.

    Raises:
        FusionlabError: `authors` would need more than 2 GiB (code `too-large`).

    Reference: Zhou, Wang, Li and Dong, Perceptual fusion of infrared and visible images through a
    hybrid multi-scale decomposition with Gaussian and bilateral filters, Information Fusion 30,
    15-26, 2016; Paris and Durand, A fast approximation of the bilateral filter using a signal
    processing approach, doi:10.1007/11744085_44.
    """

    lam: Annotated[
        float, Interval(ge=1e-3, le=1e6), "Steepness of the weights: lambda in the paper."
    ] = 30.0
    variant: Annotated[
        Literal["corrected", "authors"], "Without the flaws of the authors' program, or with them."
    ] = "corrected"

    @property
    def support(self) -> int | None:
        if self.variant == "authors":
            return None
        # to the nearest cell, twice to its neighbors, and between two of them: 3.5 cells
        return sum(7 * sigma // 2 for sigma in SIGMAS) + BASE_RADIUS

    @property
    def laws(self) -> frozenset[Law]:
        return frozenset({Law.IDEMPOTENCE})

    def decompose(self, images: Tensor, scene: Scene) -> Scales:
        needed = BYTES_PER_PIXEL * images[0].numel()
        if self.variant == "authors" and needed > MAX_BYTES:
            raise FusionlabError(
                f"variant=authors needs the whole image at once, and {images.shape[-1]}x"
                f"{images.shape[-2]} pixels take {needed / 2**30:.1f} GiB ({needed} bytes); choose "
                "variant=corrected or smaller images",
                code="too-large",
            )
        means, smooth = [images], [images]
        for level, sigma in enumerate(SIGMAS):
            means.append(gaussian_filter(means[-1], floor(3 * sigma), sigma, "symmetric"))
            smooth.append(
                fast_bilateral(
                    smooth[-1],
                    sigma,
                    RANGE / 2**level,
                    start=(scene.top, scene.left),
                    authors=self.variant == "authors",
                )
            )
        return Scales(means, smooth)

    def steepness(self, statistics: Statistics) -> Tensor:
        return statistics["peaks"].new_tensor(self.lam)
