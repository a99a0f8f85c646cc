"""Multi-level latent low-rank representation (MDLatLRR): details by a learned projection.

V_i    = L P(I_i)                            P: all 16x16 patches, L: learned, 256x256
D_i    = the mean of overlapping V_i         details;  I_i - D_i is the input of the next level
V      = sum_i N_i V_i / sum_n N_n           N_i: the nuclear norm of V_i as a 16x16 matrix
F      = 1/k sum_i (I_i - D_i)_last + sum_levels D
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from fusionlab import FusionlabError, Law, Strategy, normalize
from fusionlab_classics.common.patches import Overlap, patches_of

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene

SIDE = 16
"""Edge of a patch, in pixels."""
STRIP = 8192
"""How many patches are merged at a time, rounded to whole rows."""
PROJECTION = Path(__file__).parent / "weights" / "latlrr-16.safetensors"


@dataclass(frozen=True)
class MDLatLRR(Strategy):
    """Merge details that a learned projection takes out, weighted by their nuclear norms.

    Each level projects the 16x16 patches of its input, 1 pixel apart; the means of overlapping
    patches are the details, and what they leave is the input of the next level. The last
    input is averaged over the sources. Any k >= 2.

    The projection is the matrix L of a latent low-rank representation, learned from 2,000 patches
    of photographs; its card is beside it. It is not the matrix of the reference, so results
    agree with published ones in kind, not in value. L hardly takes a constant patch for a
    detail, and nearly half of any other, so each level halves the contrast of the base.

    `variant=authors` does as the program of the authors does: the sum of the patches is not set
    back between levels, so that with two levels the first counts twice. It cuts
    images of more than 512 pixels in four; that is not imitated.

    The arithmetic is in float64. Nuclear norms come from the eigenvalues of V^T V, and are exact to
    1e-7. In tiles the result is that of the whole image.

    Raises:
        FusionlabError: an edge of the image is shorter than 16 pixels (code `too-small`).

    Reference: Li, Wu and Kittler, MDLatLRR, doi:10.1109/TIP.2020.2975984; the representation: Liu
    and Yan, doi:10.1109/ICCV.2011.6126422.
    """

    domain = "pixels"
    min_size = SIDE

    levels: Annotated[int, Interval(ge=1, le=4), "How often details are taken out."] = 2
    variant: Annotated[
        Literal["corrected", "authors"], "Each level once, or as the authors' program does it."
    ] = "corrected"

    @property
    def support(self) -> int:
        return (SIDE - 1) * self.levels

    @property
    def laws(self) -> frozenset[Law]:
        laws = frozenset({Law.PERMUTATION, Law.SCALE})
        return laws if self._first_level_twice else laws | {Law.IDEMPOTENCE}

    @property
    def _first_level_twice(self) -> bool:
        return self.variant == "authors" and self.levels > 1

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:  # as all strategies
        import torch

        height, width = features.shape[-2:]
        if min(height, width) < SIDE:
            raise FusionlabError(
                f"mdlatlrr needs images of at least {SIDE}x{SIDE} pixels, got {width}x{height}",
                code="too-small",
            )
        images = features.double().flatten(1, 2)
        with torch.autocast(features.device.type, enabled=False):
            planes = [self._fuse_plane(plane) for plane in images.unbind(1)]
        return torch.stack(planes).view(features.shape[1:]).to(features.dtype)

    def _fuse_plane(self, images: Tensor) -> Tensor:
        """Fuse one plane of each source, `(k, h, w)`, to `(h, w)`."""
        projection = read_projection().to(images.device)
        merged = []
        for _ in range(self.levels):
            details, fused = split_level(images, projection)
            images = images - details
            merged.append(fused)
        result = images.mean(dim=0)
        for level, fused in enumerate(merged):
            times = self.levels - level if self.variant == "authors" else 1
            result = result + times * fused
        return result


@lru_cache(maxsize=1)
def read_projection() -> Tensor:
    """Return the matrix L, 256x256 in float64; it projects patches read column by column."""
    from safetensors.torch import load_file

    return load_file(PROJECTION)["projection"].double()


def split_level(images: Tensor, projection: Tensor) -> tuple[Tensor, Tensor]:
    """Return the details of images `(k, h, w)`, and the details merged, `(h, w)`."""
    import torch

    rows, columns = (size - SIDE + 1 for size in images.shape[1:])
    details, merged = Overlap(torch.zeros_like(images), SIDE), Overlap(images[0] * 0, SIDE)
    step = max(1, STRIP // columns)
    for first in range(0, rows, step):
        last = min(first + step, rows)
        vectors = projection @ patches_of(images[:, first : last + SIDE - 1], SIDE)
        weights = normalize(nuclear_norms(vectors))
        fused = (weights[:, None] * vectors).sum(dim=0)
        details.add(vectors.movedim(0, 1).unflatten(2, (-1, columns)), first)
        merged.add(fused.unflatten(1, (-1, columns)), first)
    return details.image(), merged.image()


def nuclear_norms(vectors: Tensor) -> Tensor:
    """Return the nuclear norms of vectors `(k, n^2, p)` as n x n matrices, `(k, p)`."""
    import torch

    matrices = vectors.movedim(1, 2).unflatten(2, (SIDE, SIDE))
    squares = torch.linalg.eigvalsh(matrices @ matrices.mT)
    # the root of zero has no derivative
    positive = squares > torch.finfo(squares.dtype).eps * squares[..., -1:]
    return torch.where(positive, torch.where(positive, squares, 1).sqrt(), 0).sum(dim=-1)
