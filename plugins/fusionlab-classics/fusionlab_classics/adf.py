"""Anisotropic diffusion: average what it smooths, weight what it takes out.

B_i = I_i after 10 steps of u += 0.15 sum_q a_q g(d_q) d_q,   d_q = u(q) - u
      q: the 8 neighbors, a_q = 1 (4 direct ones) or 1/2 (4 diagonal ones),  g(d) = exp(-(d/30)^2)
D_i = I_i - B_i                                               detail
p   = first principal component of the D_i, summing to one    see `principal_components`
f   = (1/k) sum_i B_i + sum_i p_i D_i
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from fusionlab import Law
from fusionlab_classics.common.filters import extend
from fusionlab_classics.common.principal_components import PrincipalDetails

if TYPE_CHECKING:
    from torch import Tensor

RATE = 0.15
"""Step size of the diffusion; stable below 1/6, since the a_q sum to 6."""

NEIGHBORS = ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.5), (1, -1, 0.5))
"""Rows down, columns right and a_q of half of the neighbors; the others are opposite to these."""


@dataclass(frozen=True)
class ADF(PrincipalDetails):
    """Average diffused sources and weight the details by their first principal component.

    Any number of sources k >= 2, in any order: the authors define two, but a principal component
    and a mean exist for any k. The weights are the same at every pixel.

    The authors' program has two flaws, which `variant=authors` keeps:

    * In the diffusion, pixels beyond the border are black, so the rim of the base darkens in every
      step. In `corrected` nothing flows across the border, and the base keeps its mean.
    * The component is divided by its sum, which is close to zero where details are negatively
      correlated: the weights are then negative, or huge. `corrected` takes magnitudes, which is the
      same where all correlations are positive. Where the components cancel to rounding, or there
      is no detail at all, both variants weight each source by 1/k.

    All arithmetic is in float64. Apart from the weights, whose covariances tiles add up in a first
    pass, a pixel depends on no other more than `steps` away.

    Reference: Bavirisetti and Dhuli, Fusion of infrared and visible sensor images based on
    anisotropic diffusion and Karhunen-Loeve transform, doi:10.1109/JSEN.2015.2478655; Perona and
    Malik, Scale-space and edge detection using anisotropic diffusion, doi:10.1109/34.56205.
    """

    steps: Annotated[int, Interval(ge=1, le=100), "Steps of the diffusion."] = 10
    kappa: Annotated[
        float,
        Interval(ge=1e-3, le=1e6),
        "Difference, in gray levels, that a step smooths 1/e as much.",
    ] = 30.0

    @property
    def support(self) -> int:
        return self.steps

    @property
    def laws(self) -> frozenset[Law]:
        laws = {Law.PERMUTATION, Law.IDEMPOTENCE, Law.FLIPS}
        return frozenset(laws | {Law.TRANSLATION} if self.variant == "corrected" else laws)

    def bases(self, images: Tensor) -> Tensor:
        for _ in range(self.steps):
            if self.variant == "corrected":
                images = images + RATE * self._inflow(images)
            else:
                surrounded = extend(images, 1, 1, "zero")
                images = images + RATE * self._inflow(surrounded)[..., 1:-1, 1:-1]
        return images

    def _inflow(self, images: Tensor) -> Tensor:
        """Return what flows into each pixel: what flows out of its neighbors within the maps."""
        import torch

        height, width = images.shape[-2:]
        total = torch.zeros_like(images)
        for down, right, weight in NEIGHBORS:
            here = (slice(height - down), slice(max(0, -right), width - max(0, right)))
            there = (slice(down, None), slice(max(0, right), width - max(0, -right)))
            difference = images[..., *there] - images[..., *here]
            flow = weight * torch.exp(-(difference / self.kappa).square()) * difference
            total[..., *here] += flow
            total[..., *there] -= flow
        return total
