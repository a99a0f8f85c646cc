"""Multi-resolution singular value decomposition (MSVD): merge 2x2 blocks, each image in its basis.

X_i = U_i S_i V_i^T     X_i: the 2x2 blocks of source i as vectors of 4, one a column
T_i = U_i^T X_i         row 1: approximation, rows 2 to 4: details
T   : row 1 the mean of the T_i, rows 2 to 4 that of largest magnitude
F   = (1/k sum_i U_i) T
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from fusionlab import Law, Strategy
from fusionlab_classics.common.filters import resize_bicubic

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics

TIE = 1e-9
"""Magnitudes whose ratio is this close to 1 are tied, as in `laplacian_pyramid`."""
NEGLIGIBLE = 1e-12
"""An eigenvalue of X X^T this small next to the largest is rounding, and its vector is arbitrary: a
detail of less than 3e-4 gray levels in an image of full brightness."""


@dataclass(frozen=True)
class MSVD(Strategy):
    """Merge 2x2 blocks in the singular vectors of each image, the strongest detail first.

    One level, as in the reference. Any k >= 2: the approximation is the mean over the sources, a
    detail the one of largest magnitude. The program of the authors stretches its result to 0..255,
    as `range_policy=minmax` does. The mean of the bases is not orthogonal in general: with two
    sources, details can be 30 % weaker than in the source they come from. That is part of the
    method.

    `variant=corrected` differs from the program in three ways:

    * The sign of a singular vector is arbitrary, but the mean of two vectors depends on it: they
      may cancel. Here the matching vectors of two sources have a positive product; those of
      more sources, a positive product with the direction closest to all of them. A source
      does not count in the mean of a vector that is arbitrary in it, as all are in a black image.
    * Where magnitudes tie, to one part in 10^9, the result is the mean of the tied details. The
      program takes the first source.
    * An image of odd size is extended by its last row or column, and the result is cut to the size
      of the image. The program enlarges the image by bicubic interpolation and saves the larger
      result.

    `variant=authors` does as the program does, with two exceptions. The first component of each
    vector is negative; the signs that the program gets depend on its linear algebra
    library and differ from pair to pair in published results. The result of an image of odd size is
    resized to the size of the image.

    All arithmetic is in float64. Gradients include those of the vectors, except between vectors of
    equal strength, where there is no derivative. In tiles the result is that of the whole image,
    since the vectors follow from sums over all blocks; `variant=authors` needs the whole image.

    Reference: Naidu, Image fusion technique using multi-resolution singular value decomposition,
    doi:10.14429/dsj.61.705.
    """

    domain = "pixels"
    saves = "minmax"

    variant: Annotated[
        Literal["corrected", "authors"], "With aligned vectors, or as the authors' program does it."
    ] = "corrected"

    @property
    def support(self) -> int | None:
        return 1 if self.variant == "corrected" else None

    @property
    def laws(self) -> frozenset[Law]:
        if self.variant == "authors":
            return frozenset({Law.SCALE})
        return frozenset({Law.PERMUTATION, Law.IDEMPOTENCE, Law.SCALE})

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:
        """Return X X^T of each source, `(k, N, C, 4, 4)`."""
        import torch

        blocks = to_blocks(self._even(features, scene))
        # a block that lies in several tiles counts in that of its first pixel
        valid = torch.zeros_like(features[:1, :1, :1])
        scene.valid_region(valid).fill_(1)
        counted = to_blocks(self._even(valid, scene))[..., :1, :].round()
        return {"gram": (blocks * counted) @ blocks.mT}

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        gram = self.image_statistics(features, scene)["gram"].to(features.device)
        bases, strengths = singular_vectors(gram)
        even = self._even(features, scene)
        if self.variant == "authors":
            bases = first_component_negative(bases)
            fused = from_blocks(merge(to_blocks(even), bases, first_wins=True), even.shape[-2:])
            fused = resize_bicubic(fused, (features.shape[-2], features.shape[-1]))
        else:
            bases = align(bases, strengths)
            fused = from_blocks(merge(to_blocks(even), bases), even.shape[-2:])
            fused = fused[..., scene.top % 2 :, scene.left % 2 :]
        return fused[..., : features.shape[-2], : features.shape[-1]].to(features.dtype)

    def _even(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the features in float64, extended to whole blocks of the image."""
        height, width = features.shape[-2:]
        if self.variant == "authors":
            return resize_bicubic(features.double(), (height + height % 2, width + width % 2))
        above, left = scene.top % 2, scene.left % 2
        return extend_edges(
            features.double(), above, (above + height) % 2, left, (left + width) % 2
        )


def extend_edges(maps: Tensor, above: int, below: int, left: int, right: int) -> Tensor:
    """Repeat the outermost rows and columns of maps `(..., h, w)`."""
    import torch

    height, width = maps.shape[-2:]
    rows = torch.arange(-above, height + below, device=maps.device).clamp(0, height - 1)
    columns = torch.arange(-left, width + right, device=maps.device).clamp(0, width - 1)
    return maps[..., rows, :][..., columns]


def to_blocks(maps: Tensor) -> Tensor:
    """Return the 2x2 blocks of maps `(..., h, w)` as `(..., 4, hw/4)`, each column by column."""
    import torch

    parts = [maps[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
    return torch.stack(parts, dim=-3).flatten(-2)


def from_blocks(blocks: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return maps of even `size` (h, w) from their blocks; the inverse of `to_blocks`."""
    height, width = size
    grid = blocks.unflatten(-2, (2, 2)).unflatten(-1, (height // 2, width // 2))
    # (column, row, y, x) to (y, row, x, column)
    return grid.movedim((-4, -3, -2, -1), (-1, -3, -4, -2)).flatten(-4, -3).flatten(-2)


def singular_vectors(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Return the left singular vectors of X as columns, the strongest first, and their strengths.

    Args:
        gram: X X^T, `(..., 4, 4)`.

    Returns:
        Vectors `(..., 4, 4)`, and the squares of the singular values `(..., 4)`. Their values are
        those of `torch.linalg.eigh`, their gradients those of first-order perturbation: zero
        between vectors of equal strength, where the derivative does not exist.
    """
    import torch

    strengths, vectors = (part.flip(-1) for part in torch.linalg.eigh(gram.detach()))
    change = vectors.mT @ (gram - gram.detach()) @ vectors  # zero, but for its gradient
    gaps = strengths[..., None, :] - strengths[..., None]
    distinct = gaps.abs() > NEGLIGIBLE * strengths[..., :1, None].abs()
    rotation = change * torch.where(distinct, 1 / torch.where(distinct, gaps, 1), 0)
    return vectors + vectors @ rotation, strengths


def align(bases: Tensor, strengths: Tensor) -> Tensor:
    """Turn the vectors of all sources in the same direction, and drop those that are arbitrary.

    Args:
        bases: `(k, ..., 4, 4)`, vectors as columns.
        strengths: `(k, ..., 4)`.

    Returns:
        The bases with signs, such that each matching vector has a positive product with the
        direction that all of them are closest to. A vector that is arbitrary in its source is
        replaced by the mean of the others.
    """
    import torch

    matter = (strengths > NEGLIGIBLE * strengths[..., :1])[..., None, :].to(bases)
    matter = torch.where(matter.sum(dim=0) > 0, matter, 1)
    vectors = (bases.detach() * matter).movedim(-1, -2)
    spread = (vectors[..., None] * vectors[..., None, :]).sum(dim=0)
    direction = torch.linalg.eigh(spread)[1][..., -1]
    products = (vectors * direction).sum(dim=-1)
    bases = bases * torch.where(products < 0, -1, 1)[..., None, :].to(bases)
    mean = (bases * matter).sum(dim=0) / matter.sum(dim=0)
    return torch.where(matter > 0, bases, mean)


def first_component_negative(bases: Tensor) -> Tensor:
    """Turn each vector so that its first component is not positive."""
    import torch

    return bases * torch.where(bases.detach()[..., :1, :] > 0, -1, 1).to(bases)


def merge(blocks: Tensor, bases: Tensor, *, first_wins: bool = False) -> Tensor:
    """Merge blocks `(k, ..., 4, n)` in the bases `(k, ..., 4, 4)` of their sources.

    Args:
        blocks: the blocks of each source as columns.
        bases: the vectors of each source as columns.
        first_wins: whether the first of tied details is kept, instead of their mean.
    """
    import torch

    details = bases.mT @ blocks
    magnitudes = details.detach().abs()
    if first_wins:
        chosen = details.gather(0, magnitudes.argmax(dim=0, keepdim=True))[0]
    else:
        winners = (magnitudes >= magnitudes.amax(dim=0) * (1 - TIE)).to(details)
        chosen = (details * winners).sum(dim=0) / winners.sum(dim=0)
    merged = torch.cat([details.mean(dim=0)[..., :1, :], chosen[..., 1:, :]], dim=-2)
    return bases.mean(dim=0) @ merged
