"""Joint sparse representation with saliency (JSRSD): weights that see the neighbors of a patch.

x_i   = D c / sqrt k + D u_i                    sparse codes of the patch x_i of each source
s_i   = 1 - exp(-1/24 sum_q |u_i - u_i(q)|_2 / (1 + 2 |p - q|))     q: the 24 patches around p
S_i   = 0.4 s_i + 0.6 |u_i|_1                   saliency
w_i   = S_i / max_n S_n                         weights
x     = D c / sqrt k + sum_i w_i D u_i          fused patch; F is the mean of overlapping patches
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionlab_classics.common.joint_sparse import (
    Grid,
    JointSparse,
    shares_of_largest,
    unique_norms,
)

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab_classics.common.sparse import Codes

RADIUS = 2
"""How many patches away the neighbors are."""
LOCAL_SHARE = 0.4
"""The weight of the difference from the neighbors in the saliency."""
NEGLIGIBLE = 1e-14
"""Squared distances, relative to the squared norms, that count as zero."""


@dataclass(frozen=True)
class JSRSD(JointSparse):
    """Merge the joint sparse codes of patches, unique parts by their norms and saliency.

    As `jsr`, with other weights: a unique part also counts by how much it differs from those of the
    24 patches around. Patches less than 2 patches from the border have the weights of `jsr`.

    `variant=authors` has the flaws of `jsr` but the first: the common part is divided by sqrt k.

    Reference: Liu, Qi and Ding, Infrared and visible image fusion method based on saliency
    detection in sparse domain, doi:10.1016/j.infrared.2017.04.018.
    """

    halo = RADIUS

    def unique_weights(self, codes: Codes, grid: Grid) -> Tensor:
        import torch

        norms = unique_norms(codes).unflatten(1, (-1, grid.columns))
        guarded = self.variant == "corrected"
        shares = shares_of_largest(norms, guarded=guarded)
        rows = norms.shape[1]
        if min(rows, grid.columns) <= 2 * RADIUS:
            return shares
        atoms = codes.atoms.unflatten(1, (rows, grid.columns))
        unique = torch.arange(1, 1 + codes.k, device=codes.parts.device)[:, None, None]
        values = codes.values * (codes.parts == unique)
        local = torch.stack(
            [local_saliency(atoms, part.unflatten(1, (rows, grid.columns))) for part in values]
        )
        inner = slice(RADIUS, -RADIUS)
        saliency = LOCAL_SHARE * local + (1 - LOCAL_SHARE) * norms[:, inner, inner]
        result = shares.clone()
        result[:, inner, inner] = shares_of_largest(saliency, guarded=guarded)
        return result


def local_saliency(atoms: Tensor, values: Tensor) -> Tensor:
    """Return how much sparse codes differ from the 24 around them.

    A squared distance is that of the norms minus twice the inner product, so that only the atoms of
    one of both codes are looked at. Distances below 1e-7 of the norms are lost to rounding.

    Args:
        atoms: which atoms each code has, each once, `(s, rows, columns)`.
        values: their coefficients, likewise.

    Returns:
        Only where all neighbors exist: `(rows - 4, columns - 4)`.
    """
    import torch

    rows, columns = (size - 2 * RADIUS for size in atoms.shape[1:])
    dense = values.new_zeros(int(atoms.max()) + 1, *atoms.shape[1:]).scatter_add(0, atoms, values)
    squares = values.square().sum(dim=0)
    total = values.new_zeros(rows, columns)
    for y in range(RADIUS + 1):
        for x in range(-RADIUS, RADIUS + 1):
            if (y, x) <= (0, 0):
                continue
            # the distances from each code to the one y rows below and x columns to the right
            left, right = max(0, -x), max(0, x)
            here = ..., slice(atoms.shape[1] - y), slice(left, atoms.shape[2] - right)
            there = ..., slice(y, None), slice(right, atoms.shape[2] - left)
            products = (values[here] * dense[there].gather(0, atoms[here])).sum(dim=0)
            norms = squares[here] + squares[there]
            distances = norms - 2 * products
            distinct = distances > NEGLIGIBLE * norms
            # the root of zero has no derivative
            distances = torch.where(distinct, torch.where(distinct, distances, 1).sqrt(), 0)
            scaled = distances / (1 + 2 * (y * y + x * x) ** 0.5)
            for top, start in ((RADIUS, RADIUS - left), (RADIUS - y, RADIUS - x - left)):
                total = total + scaled[top : top + rows, start : start + columns]
    return 1 - torch.exp(-total / 24)
