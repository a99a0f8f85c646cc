"""Joint sparse representation (JSR): what the sources share, and what is special in each.

x_i = D c / sqrt k + D u_i                   sparse codes of the patch x_i of each source
w_i = |u_i|_1 / max_n |u_n|_1                weights
x   = D c / sqrt k + sum_i w_i D u_i         fused patch; F is the mean of overlapping patches
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionlab import Law
from fusionlab_classics.common.joint_sparse import (
    Grid,
    JointSparse,
    shares_of_largest,
    unique_norms,
)

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab_classics.common.sparse import Codes


@dataclass(frozen=True)
class JSR(JointSparse):
    """Merge the joint sparse codes of patches, unique parts by their norms.

    Every 7x7 patch of all sources at one place is coded together, by at most 16 atoms: a common
    part and one unique part for each source, so any k >= 2. No mean is removed.

    The dictionary is learned from the sources by K-SVD, as in the published program (the reference
    has another method), or read from a file (`dictionary=PATH`, `.npy` or `.npz`): one atom in each
    column, with its pixels column by column, for patches of any size. Learning uses at most
    20,000 patches, 3 pixels apart, in 20 steps (that program: 50), and needs the whole image.
    Results depend on what it starts with: other values of `seed` move the
    entropy of an image by some 0.03 bits. Where there are fewer than 1,024 patches, an
    overcomplete cosine dictionary is used instead. An image smaller
    than a patch is extended by mirroring.

    `variant=authors` does as the program of the published results does, which has these flaws:

    * The common part is not divided by sqrt k: the result is too bright, and much of it saturated.
    * Overlapping patches are not averaged. Each is added to what is there before and the sum is
      halved, so the last patch counts half, and the first rows and columns are dark.
    * Where no source has a unique part, 0/0 makes all pixels of the patch black.
    * Once a common atom is chosen, the same atom fits two sources equally well, and rounding
      decides which; that rounding is imitated, for all but 0.2 % of the patches. `corrected` takes
      the source that has more of the atom.

    Gradients are those of the least-squares fit with the chosen atoms and a constant
    dictionary; where they are asked for, ties are decided as in `corrected`. In tiles the
    result is that of the whole image.

    Reference: Zhang, Fu, Li and Zou, Dictionary learning method for joint sparse
    representation-based image fusion, doi:10.1117/1.OE.52.5.057006.
    """

    @property
    def laws(self) -> frozenset[Law]:
        if self.variant == "authors":
            return frozenset()
        return frozenset({Law.SCALE})

    def unique_weights(self, codes: Codes, grid: Grid) -> Tensor:
        norms = unique_norms(codes)
        shares = shares_of_largest(norms, guarded=self.variant == "corrected")
        return shares.unflatten(1, (-1, grid.columns))

    def _common_weight(self, k: int) -> float:
        return super()._common_weight(k) if self.variant == "corrected" else 1.0
