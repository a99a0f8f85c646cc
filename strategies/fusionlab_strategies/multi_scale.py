"""Multi-scale blending: merge the Laplacian pyramids of the features with smoothed weights.

G_i^0 = phi_i,  G_i^(l+1) = REDUCE(G_i^l)                       Gaussian pyramid, l = 0..L-1
D_i^l = G_i^l - EXPAND(G_i^(l+1))                               details
A_i^l = mean over (2r+1)^2 pixels of sum_m |D_i^(l,m)|          activity of the details
V_i^l, B_i^L                                                    Gaussian pyramids of two weights
D^l = sum_i u_i D_i^l,   u_i ~ (V_i^l + 0.001) (A_i^l)^p,  sum_i u_i = 1
R^L = sum_i B_i^L G_i^L,   R^l = D^l + EXPAND(R^(l+1)),    f = R^0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from fusionlab import Law, normalize
from fusionlab_strategies.base_and_detail import RULES, BaseAndDetail, detail_weights
from fusionlab_strategies.pyramids import expand_level, possible_levels, reduce_level

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class MultiScale(BaseAndDetail):
    """Blend the features scale by scale, with the weights of any strategy.

    Details are weighted at each scale by their own activity and by the weights `detail`; what is
    left at the coarsest scale, by the weights `base`. Both name a strategy that weights the
    sources, also one of another package, as in the name of a method, but with `;` for `,` and `:`
    for `=`: `detail=saliency;side:bright`. Weights are smoothed like the features, so there are no
    seams. With `power=0` and one name for both, it is the blending of Burt and Adelson; with a
    large power and `mean`, the choice of the strongest detail, without the jumps of a choice
    between sources that are nearly tied. All channels of a pixel have the same weights.

    Differs from a Laplacian pyramid of the pixels in that the activity sums up all channels, whose
    filters see edges of all directions, and that the frozen decoder makes the image. On
    `identity` it merges pixels.

    Settings for tasks, with the figures behind them, are those of `fusionlab tasks`.

    The result may leave the range of the sources a little, like that of every pyramid. A level
    needs 3 pixels in both directions to be reduced; a smaller image gets fewer levels. In tiles the
    result is that of the whole image, to rounding: the grid of each level starts at the image's
    first pixel.

    Raises:
        FusionlabError: `base` or `detail` is unknown, or does not weight the sources (code
            `not-weights`).

    Reference: Burt and Adelson, A multiresolution spline with application to image mosaics,
    doi:10.1145/245.247; for the activity, Burt and Kolczynski, Enhanced image capture through
    fusion, doi:10.1109/ICCV.1993.378222, who choose or average by a match measure instead. The
    combination in feature space is this project's.
    """

    levels: Annotated[
        int, Interval(ge=1, le=8), "How often the features are halved (fewer if they are small)."
    ] = 4
    r: Annotated[
        int,
        Interval(ge=0, le=16),
        "Half-width of the window that averages activities, in pixels.",
    ] = 2
    power: Annotated[
        float, Interval(ge=0, le=16), "Exponent of the activity (0: only the weights decide)."
    ] = 8.0
    base: Annotated[str, RULES, "Strategy whose weights merge the coarsest level."] = "mean"
    detail: Annotated[str, RULES, "Strategy whose weights favor the details of a source."] = "mean"

    @property
    def support(self) -> int | None:
        """Both ways through all levels, the window at the coarsest details, and the weights."""
        supports = self.supports()
        if supports is None:
            return None
        halvings: int = 2**self.levels
        return 4 * (halvings - 1) + max(self.r * halvings // 2, *supports)

    @property
    def laws(self) -> frozenset[Law]:
        """Those that the weights share with weights by activity; a detail may exceed its range."""
        return frozenset({Law.IDEMPOTENCE}) | (self.shared_laws() & {Law.PERMUTATION, Law.SCALE})

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        import torch
        from torch.nn.functional import pad

        height, width = features.shape[-2:]
        step = scene.stride
        whole = ((scene.height or height * step) // step, (scene.width or width * step) // step)
        levels = possible_levels(self.levels, *whole)
        # start a tile at a pixel that all levels of the whole image have; what is put there lies
        # within the support
        above, left = (scene.top // step) % 2**levels, (scene.left // step) % 2**levels
        precise = torch.promote_types(features.dtype, torch.float32)
        maps = [features, self.named_weights("base", features, scene)]
        if self.detail != self.base:
            maps.append(self.named_weights("detail", features, scene))
        # channels last: all arithmetic along the rows and columns takes a pixel at a time
        maps = [
            pad(values.to(precise), (left, 0, above, 0)).movedim(2, -1).contiguous()
            for values in maps
        ]
        details = []
        for _ in range(levels):
            level, favor = maps[0], maps[-1]
            maps = [reduce_level(values, (-2, -3)) for values in maps]
            detail = level - expand_level(maps[0], level.shape[2:4], (-3, -2))
            weights = detail_weights(detail, favor, r=self.r, power=self.power, channels=-1)
            details.append(_weighted_sum(weights, detail))
        fused = _weighted_sum(normalize(maps[1]), maps[0])
        for merged in reversed(details):
            fused = expand_level(fused, merged.shape[1:3], (-3, -2)) + merged
        return fused[:, above:, left:].movedim(-1, 1).to(features.dtype)


def _weighted_sum(weights: Tensor, maps: Tensor) -> Tensor:
    """Return sum_i w_i x_i, `(N, h, w, C)`."""
    import torch

    pairs = zip(weights, maps, strict=True)
    weight, values = next(pairs)
    total: Tensor = weight * values
    for weight, values in pairs:
        total = torch.addcmul(total, weight, values)
    return total
