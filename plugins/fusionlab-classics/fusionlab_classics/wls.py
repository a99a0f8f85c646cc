"""Visual saliency and weighted least squares: saliency for bases, a choice for details.

G_i^1 = I_i,   G_i^l = G_i^(l-1) without what is smaller than 2^(l-1) pixels          l = 2..4
G_i^5 = G_i^4 smoothed by a Gaussian,   L_i^l = G_i^l - G_i^(l+1)                      l = 1..4
B   = sum_i (1/2 + (v_i - v_j)/2) G_i^5,   j != i                        v_i: saliency in 0..1
D^1 = the L_i^1 of the largest magnitude
M^l = c^l L_2^l + (1 - c^l) L_1^l,   c^l = [|L_1^l| < |L_2^l|], smoothed               l = 2..4
D^l = (M^l + lam a^l L_1^l) / (1 + lam a^l),   a^l = 1 / (|mean of L_2^l| + 1e-6)
f   = B + sum_l D^l
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from fusionlab import Law, Strategy, box_average, guided_filter
from fusionlab_classics.common.filters import (
    gaussian_filter,
    mean_filter,
    round_to_8_bits,
)

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics

SCALES = (2, 4, 8)
"""Standard deviations of the rolling guidance filter, in pixels."""

ROLLS = 4
"""How often the rolling guidance filter is applied."""


@dataclass(frozen=True)
class WLS(Strategy):
    """Average bases by visual saliency, and keep the details of weighted least squares.

    The rolling guidance filter of scale s starts with the image smoothed by a Gaussian, cut off at
    3s, and filters the image four times with a guided filter of half-width s, whose guide is the
    result so far. The saliency of a gray level is its mean difference from all pixels of its image,
    min-max normalized. `a` averages 7x7 pixels; `c` and the base are smoothed by a Gaussian of
    standard deviation 2, cut off at 6. Calculated in 0..1.

    The sources have roles: infrared first, visible second. The formula is not symmetric either: its
    L_1 is the visible source in the authors' program, and the infrared one as VIFB calls it
    (`order`). The system of equations of the paper is diagonal, so it is solved in closed form.

    The authors' program has one flaw, which `variant=authors` keeps: if a source is constant, its
    saliency is 0/0, and the result becomes black. `variant=corrected` takes saliency 0 there.
    Images of fewer than 17 rows or columns, which the program refuses, are fused with the parts
    of the windows that lie inside.

    All arithmetic is in float64. Tiles give the result of the whole image: gray levels are counted
    in a first pass, and a pixel depends on no other more than 166 away.

    Reference: Ma, Zhou, Wang and Zong, Infrared and visible image fusion based on visual saliency
    map and weighted least square optimization, doi:10.1016/j.infrared.2017.02.005.
    """

    domain = "pixels"
    min_k = max_k = 2
    roles = ("infrared", "visible")

    order: Annotated[
        Literal["visible_first", "infrared_first"],
        "Which source is L_1: as in the authors' program, or as in VIFB.",
    ] = "visible_first"
    lam: Annotated[
        float, Interval(ge=0, le=1e3), "Weight of keeping L_1 where L_2 has little detail."
    ] = 0.01
    sigma_r: Annotated[
        float,
        Interval(ge=1e-3, le=10),
        "What the guided filter takes for an edge: a standard deviation of gray levels in 0..1.",
    ] = 0.05
    variant: Annotated[
        Literal["corrected", "authors"],
        "What a constant source gives: saliency 0, or a black image.",
    ] = "corrected"

    @property
    def support(self) -> int:
        """The rolling guidance filters, the Gaussian of the base, and that of `c`."""
        return sum(3 * scale + ROLLS * 2 * scale for scale in SCALES) + 6 + 6

    @property
    def laws(self) -> frozenset[Law]:
        laws = {Law.FLIPS, Law.TRANSLATION}
        if self.variant == "corrected":
            laws |= {Law.IDEMPOTENCE}
        return frozenset(laws)

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:
        """Return how many pixels of each plane have each gray level, `(k, N, C, 256)`."""
        import torch

        levels = _levels(scene.valid_region(features)).flatten(-2)
        counts = torch.zeros(*levels.shape[:-1], 256, dtype=torch.int64, device=levels.device)
        return {"counts": counts.scatter_add_(-1, levels, torch.ones_like(levels))}

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        import torch

        counts = self.image_statistics(features, scene)["counts"].double()
        saliency, constant = _saliency(_levels(features), counts)
        images = features.double() / 255
        if self.order == "visible_first":
            images, saliency = images.flip(0), saliency.flip(0)
        fused = self._merged(images, saliency)
        if self.variant == "authors":
            fused = torch.where(constant.any(dim=0)[..., None, None], 0, fused)
        return (255 * fused).to(features.dtype)

    def _merged(self, images: Tensor, saliency: Tensor) -> Tensor:
        """Merge images `(2, N, C, h, w)` in 0..1."""
        import torch

        details: Tensor | None = None
        for scale in SCALES:
            smoother = self._rolling_guidance(images, scale)
            first, second = images - smoother
            if details is None:
                details = torch.where(first.abs() < second.abs(), second, first)
            else:
                details = details + self._detail(first, second)
            images = smoother
        bases = gaussian_filter(images, 6, 2, "replicate")
        details = details + self._detail(*(images - bases))
        weight = (saliency[0] - saliency[1]) / 2
        fused: Tensor = (0.5 + weight) * bases[0] + (0.5 - weight) * bases[1] + details
        return fused

    def _rolling_guidance(self, images: Tensor, scale: int) -> Tensor:
        means = box_average(images, scale)
        result = gaussian_filter(images, 3 * scale, scale, "replicate")
        for _ in range(ROLLS):
            result = guided_filter(result, images, scale, self.sigma_r**2, means)
        return result

    def _detail(self, first: Tensor, second: Tensor) -> Tensor:
        chosen = gaussian_filter((first.abs() < second.abs()).to(first), 6, 2, "symmetric")
        mixed = chosen * second + (1 - chosen) * first
        pull = self.lam / (mean_filter(second, 3, "replicate").abs() + 1e-6)
        return (mixed + pull * first) / (1 + pull)


def _levels(features: Tensor) -> Tensor:
    """Round gray levels to integers 0..255."""
    return round_to_8_bits(features.detach().double()).long()


def _saliency(levels: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the saliency of each pixel in 0..1, and which planes are constant.

    Args:
        levels: gray levels `(k, N, C, h, w)` of a tile.
        counts: `(k, N, C, 256)`, how many pixels of the whole image have each gray level.
    """
    import torch

    grays = torch.arange(256, dtype=counts.dtype, device=counts.device)
    of_level = counts @ (grays[:, None] - grays).abs()
    occurs = counts > 0
    lowest = of_level.where(occurs, torch.inf).amin(dim=-1, keepdim=True)
    highest = of_level.where(occurs, -torch.inf).amax(dim=-1, keepdim=True)
    constant = highest == lowest
    normalized = (of_level - lowest) / (highest - lowest).where(~constant, 1)
    saliency = normalized.gather(-1, levels.flatten(-2)).view(levels.shape)
    return saliency, constant[..., 0]
