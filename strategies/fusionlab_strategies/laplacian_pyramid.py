"""The Laplacian pyramid: merge details scale by scale, the strongest first, and average the rest.

G_i^0  = phi_i,   G_i^(l+1) = REDUCE(G_i^l)                     Gaussian pyramid, l = 0..L-1
D_i^l  = G_i^l - EXPAND(G_i^(l+1))                              details
D^l    = the D_i^l of largest magnitude at each place           select=max
         the D_i^l of the source that wins around the place     select=consistency
R^L    = (1/k) sum_i G_i^L,   R^l = D^l + EXPAND(R^(l+1))       synthesis,   f = R^0
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import add, sub
from typing import TYPE_CHECKING

from fusionlab import Law
from fusionlab_strategies.pyramids import PyramidStrategy

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class LaplacianPyramid(PyramidStrategy):
    """Merge the Laplacian pyramids of the sources.

    REDUCE filters with (0.05, 0.25, 0.4, 0.25, 0.05) along columns and rows and keeps the even
    pixels; EXPAND puts zeros between pixels and filters with twice that kernel. This is the
    kernel of the reference with a = 0.4, the value at which its equivalent filters look most like a
    Gaussian; a = 0.375 would be the binomial 1 4 6 4 1. At the
    border of the image each level is mirrored without repeating the outermost pixel. The reference
    builds pyramids and does not fuse them; choosing the largest magnitude and averaging the
    coarsest level is the usual way to do so.

    `select=consistency` compares the maximum of the magnitude over 3 x 3 pixels, and keeps the
    source that wins at most of the 3 x 3 pixels around (Li, Manjunath and Mitra,
    doi:10.1006/gmip.1995.1022).

    `variant=authors` with `select=consistency` gives the image that papers compare with, which
    comes from O. Rockinger's toolbox as distributed by Liu, Liu and Wang
    (doi:10.1016/j.inffus.2014.09.004), for two sources. It has the kernel 1 4 6 4 1, extends odd
    sizes by a mirrored row or column, and has these flaws: the corners of the mirrored border are
    0, which darkens the corners of the image, most of all where it is small; and where magnitudes
    tie, the second source is kept.

    Where magnitudes tie, to one part in 10^9, the result is the mean of the tied details: neither
    the order of the sources nor rounding decides between opposite ones. The result may leave the
    range of the sources; by default it is clipped to black and white, as fusion programs do when
    they save 8 bits.

    A level needs 3 pixels in both directions to be reduced; a smaller image gets fewer levels, and
    one of 1 or 2 rows or columns is the mean of the sources. All arithmetic is in float64.

    In tiles the result is exactly that of the whole image: the grid of each level starts at the
    image's first pixel, and a pixel depends on no other more than 4 (2^levels - 1) away.

    Reference: Burt and Adelson, The Laplacian pyramid as a compact image code,
    doi:10.1109/TCOM.1983.1095851.
    """

    @property
    def laws(self) -> frozenset[Law]:
        if self.variant == "authors":
            return frozenset({Law.IDEMPOTENCE, Law.SCALE})
        return frozenset({Law.PERMUTATION, Law.IDEMPOTENCE, Law.SCALE})

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        return self.merge_by(features, scene, sub, add).to(features.dtype)
