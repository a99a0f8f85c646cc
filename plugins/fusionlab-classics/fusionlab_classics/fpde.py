"""Fourth-order diffusion: average what it smooths, weight what it takes out.

B_i = I_i after 15 steps of u -= 0.9 (gx gx (c uxx) + gy gy (c uyy))
      uxx = gx gx u,  uyy = gy gy u,  c = 1 / (1 + (uxx^2 + uyy^2) / 4^2)
      gx, gy: central differences, one-sided at the border
D_i = I_i - B_i                                               detail
p   = first principal component of the D_i, summing to one    see `principal_components`
f   = (1/k) sum_i B_i + sum_i p_i D_i
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from fusionlab import Law
from fusionlab_classics.common.filters import round_to_8_bits
from fusionlab_classics.common.principal_components import PrincipalDetails

if TYPE_CHECKING:
    from torch import Tensor

RATE = 0.9
"""Step size of the diffusion; stable below 1, since the symbol of gx^4 + gy^4 is at most 2."""


@dataclass(frozen=True)
class FPDE(PrincipalDetails):
    """Average smoothed sources and weight the details by their first principal component.

    The smoothing is a nonlinear diffusion of fourth order, which leaves ramps alone and flattens
    what is curved. Any number of sources k >= 2, in any order: the authors define two, but a
    principal component and a mean exist for any k. The weights are the same at every pixel.

    The authors' program has three flaws, which `variant=authors` keeps:

    * The base is rounded to 8 bits, so the detail holds its rounding error.
    * The mean of the bases is computed with 8 bits: each half is rounded before they are added, so
      that two odd values give one level too many. (With more sources, each base over k.)
    * The component is divided by its sum, which is close to zero where details are negatively
      correlated: the weights are then negative, or huge. `corrected` takes magnitudes, which is the
      same where all correlations are positive. Where the components cancel to rounding, or there
      is no detail at all, both variants weight each source by 1/k.

    All arithmetic is in float64. Apart from the weights, whose covariances tiles add up in a first
    pass, a pixel depends on no other more than 4 `steps` away.

    Reference: Bavirisetti, Xiao and Liu, Multi-sensor image fusion based on fourth order partial
    differential equations, doi:10.23919/ICIF.2017.8009719.
    """

    steps: Annotated[int, Interval(ge=1, le=100), "Steps of the diffusion."] = 15
    curvature: Annotated[
        float,
        Interval(ge=1e-3, le=1e6),
        "Second difference, in gray levels, that a step smooths half as much.",
    ] = 4.0

    @property
    def support(self) -> int:
        return 4 * self.steps

    @property
    def laws(self) -> frozenset[Law]:
        laws = {Law.PERMUTATION, Law.FLIPS}
        return frozenset(laws | {Law.IDEMPOTENCE} if self.variant == "corrected" else laws)

    def mean_base(self, bases: Tensor) -> Tensor:
        if self.variant == "authors":
            return round_to_8_bits(bases / len(bases)).sum(dim=0).clamp(max=255)
        return super().mean_base(bases)

    def bases(self, images: Tensor) -> Tensor:
        for _ in range(self.steps):
            across, down = _second_difference(images, -1), _second_difference(images, -2)
            speed = 1 / (1 + (across.square() + down.square()) / self.curvature**2)
            change = _second_difference(speed * across, -1) + _second_difference(speed * down, -2)
            images = images - RATE * change
        return images if self.variant == "corrected" else round_to_8_bits(images)


def _second_difference(maps: Tensor, axis: int) -> Tensor:
    return _difference(_difference(maps, axis), axis)


def _difference(maps: Tensor, axis: int) -> Tensor:
    """Return central differences along an axis, one-sided ones at its ends, 0 on a single pixel."""
    import torch

    size = maps.shape[axis]
    if size == 1:
        return torch.zeros_like(maps)
    forward = maps.narrow(axis, 1, size - 1) - maps.narrow(axis, 0, size - 1)
    first, last = forward.narrow(axis, 0, 1), forward.narrow(axis, size - 2, 1)
    inner = (maps.narrow(axis, 2, size - 2) - maps.narrow(axis, 0, size - 2)) / 2
    return torch.cat((first, inner, last), dim=axis)
