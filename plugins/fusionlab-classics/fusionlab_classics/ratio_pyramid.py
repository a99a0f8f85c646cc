"""The ratio of low-pass pyramid: merge contrasts scale by scale, and average the rest.

G_i^0  = I_i,   G_i^(l+1) = REDUCE(G_i^l)                       Gaussian pyramid, l = 0..L-1
R_i^l  = G_i^l / EXPAND(G_i^(l+1))                              ratios; R - 1 is the contrast
R^l    = the R_i^l of the source with the largest contrast      by `select`
F^L    = (1/k) sum_i G_i^L,   F^l = R^l EXPAND(F^(l+1))         synthesis,   f = F^0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionlab import Law
from fusionlab_strategies.pyramids import PyramidStrategy

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene

OFFSET = 1.0
"""Gray levels that are added to the images, so that black has a ratio."""
TOOLBOX_OFFSET = 1e-6
"""What the toolbox adds to the denominator instead."""


@dataclass(frozen=True)
class RatioPyramid(PyramidStrategy):
    """Merge the ratio of low-pass pyramids of the sources: what has most contrast is kept.

    The pyramid is that of `laplacian_pyramid`: REDUCE filters with (0.05, 0.25, 0.4, 0.25, 0.05)
    and keeps the even pixels. A ratio is how much brighter a pixel is than its surround, and
    contrast is perceived as ratios. The contrast of two ratios is compared on both sides of 1, as
    |R - 1|, so dark details count like bright ones. The images are raised by one gray level, and
    the result lowered, so that black pixels do not divide by zero; values below 0 count as 0.
    `select` and ties are as for `laplacian_pyramid`. Any number of sources; all arithmetic is in
    float64; tiles give exactly the result of the whole image.

    Products of ratios may exceed the range of the sources; `range_policy=clip` cuts that off.

    `variant=authors` with `select=consistency` gives the image that papers compare with, from
    O. Rockinger's toolbox as distributed by Liu, Liu and Wang (doi:10.1016/j.inffus.2014.09.004),
    for two sources. Its flaws: it keeps the larger ratio instead of the larger contrast, which
    prefers bright details; it adds 1e-6 only to the denominator, so that a black surround gives
    ratios of millions; the corners of the mirrored border are 0, which shows in the corners of the
    image; odd sizes are extended.

    Reference: Toet, Image fusion by a ratio of low-pass pyramid,
    doi:10.1016/0167-8655(89)90003-2.
    """

    @property
    def laws(self) -> frozenset[Law]:
        if self.variant == "authors":
            return frozenset()
        return frozenset({Law.PERMUTATION, Law.IDEMPOTENCE})

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        if self.variant == "authors":
            fused = self.merge_by(
                features,
                scene,
                lambda level, surround: level / (surround + TOOLBOX_OFFSET),
                lambda surround, ratio: (surround + TOOLBOX_OFFSET) * ratio,
            )
            return fused.to(features.dtype)
        fused = self.merge_by(
            features.double().clamp(min=0) + OFFSET,
            scene,
            lambda level, surround: level / surround,
            lambda surround, ratio: surround * ratio,
            lambda ratios: (ratios - 1).abs(),
        )
        return (fused - OFFSET).to(features.dtype)
