"""The cross bilateral filter: weight each source by the detail that the filter takes out of it.

C_i(p) = sum_q g(p-q) r_i(p,q) I_i(q) / sum_q g(p-q) r_i(p,q)     cross bilateral filter, 11x11
r_i(p,q) = exp(-sum_{j != i} (I_j(p)-I_j(q))^2 / (2 sigma_r^2))    range term, of the other sources
g(p-q)   = exp(-|p-q|^2 / (2 sigma_s^2))
D_i = I_i - C_i                                                   detail
w_i = strengths of the details in 5x5 windows                     see `CBF`
f   = sum_i w_i I_i / sum_n w_n
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from fusionlab import Law, WeightedStrategy
from fusionlab_classics.common.filters import extend

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene

RADIUS = 5
"""Half-width of the window of the cross bilateral filter."""

WINDOW = 2
"""Half-width of the window in which the strength of a detail is measured."""

TINY = 1e-18
"""Squared gray levels added to every weight: far above the rounding of details, which is about
1e-13 gray levels, and far below details that 16 bits can show."""

AUTHORS_TINY = 2.0**-52
"""What the authors' program replaces weights of exactly zero by."""


@dataclass(frozen=True)
class CBF(WeightedStrategy):
    """Weight each source by the detail that a cross bilateral filter takes out of it.

    The filter smooths a source, but not across edges of the other one: its range term takes the
    gray levels of the other source. The strength of a detail D at a pixel is measured in the 5x5
    window around it: the variances of the five columns, plus those of the five rows (divided by
    n - 1 = 4). The paper writes this as eigenvalues of two covariance matrices, whose sum is the
    trace. Images are mirrored at the border without repeating the outermost pixel.

    Two sources in the paper. With more, the range term takes the Euclidean distance between the
    gray levels of all other sources, as for a guide of several channels.

    The authors' program has one flaw, which `variant=authors` keeps: where no source has detail,
    the weights are rounding noise, and 2^-52 where they are exactly zero, so that no detail weighs
    more than a faint one. `variant=corrected` adds 1e-18 squared gray levels to all weights: the
    result there is the mean of the sources. The rest of the image is the same.

    All arithmetic is in float64. A pixel depends on no other more than 7 away, so tiles give the
    result of the whole image.

    Reference: Shreyamsha Kumar, Image fusion based on pixel significance using cross bilateral
    filter, doi:10.1007/s11760-013-0556-9.
    """

    domain = "pixels"

    sigma_s: Annotated[
        float, Interval(ge=0.5, le=100), "Standard deviation of the spatial term, in pixels."
    ] = 1.8
    sigma_r: Annotated[
        float, Interval(ge=0.1, le=1e4), "Standard deviation of the range term, in gray levels."
    ] = 25.0
    variant: Annotated[
        Literal["corrected", "authors"],
        "What weighs the sources where none has detail: all alike, or rounding noise.",
    ] = "corrected"

    @property
    def support(self) -> int:
        """The half-widths of both windows."""
        return RADIUS + WINDOW

    @property
    def laws(self) -> frozenset[Law]:
        laws = super().laws | {Law.PERMUTATION, Law.DOMINANCE}
        if self.variant == "corrected":
            laws |= {Law.TRANSLATION, Law.FLIPS}
        return laws

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, C, h, w)` in float64, from each channel by itself."""
        import torch

        images = features.double()
        details = images - cross_bilateral(images, self.sigma_s, self.sigma_r)
        strengths = _strengths(details)
        if self.variant == "corrected":
            strengths = strengths + TINY
        else:
            strengths = torch.where(strengths == 0, AUTHORS_TINY, strengths)
        return strengths / strengths.sum(dim=0)


def cross_bilateral(images: Tensor, sigma_s: float, sigma_r: float) -> Tensor:
    """Smooth each of k images `(k, ..., h, w)` along the edges of all others."""
    import torch

    height, width = images.shape[-2:]
    extended = extend(images, RADIUS, RADIUS, "mirror")
    guides = extended / (sqrt(2) * sigma_r)
    sums, totals = images.clone(), torch.ones_like(images)
    for down in range(RADIUS + 1):
        for right in range(-RADIUS if down else 1, RADIUS + 1):
            # p and p + (down, right) share one range term: compute it for all p at which either of
            # the two is a pixel of the image
            before, after = max(right, 0), max(-right, 0)
            size = height + down, width + before + after
            here = _crop(guides, RADIUS - down, RADIUS - before, size)
            there = _crop(guides, RADIUS, RADIUS - after, size)
            squares = (there - here).square()
            terms = (squares - squares.sum(dim=0)).exp_()
            spatial = exp(-(down**2 + right**2) / (2 * sigma_s**2))
            for sign, top, left in ((1, down, before), (-1, 0, after)):
                term = _crop(terms, top, left, (height, width))
                neighbors = _crop(
                    extended, RADIUS + sign * down, RADIUS + sign * right, (height, width)
                )
                sums.addcmul_(term, neighbors, value=spatial)
                totals.add_(term, alpha=spatial)
    return sums / totals


def _crop(maps: Tensor, top: int, left: int, size: tuple[int, int]) -> Tensor:
    return maps.narrow(-2, top, size[0]).narrow(-1, left, size[1])


def _strengths(details: Tensor) -> Tensor:
    """Add up the variances of the columns and of the rows of the window around each pixel."""
    extended = extend(details, WINDOW, WINDOW, "mirror")
    return _variances(extended, -2) + _variances(extended, -1)


def _variances(extended: Tensor, axis: int) -> Tensor:
    """Add up, across an axis, the variances of five pixels along it; both axes become shorter."""
    import torch

    edge = 2 * WINDOW + 1
    across = -3 - axis
    length, count = extended.shape[axis] - 2 * WINDOW, extended.shape[across] - 2 * WINDOW
    pixels = [extended.narrow(axis, first, length) for first in range(edge)]
    mean = sum(pixels[1:], pixels[0]) / edge
    variances = torch.zeros_like(mean)
    for pixel in pixels:
        variances = variances + (pixel - mean).square()
    total = torch.zeros_like(variances.narrow(across, 0, count))
    for first in range(edge):
        total = total + variances.narrow(across, first, count)
    return total / (edge - 1)
