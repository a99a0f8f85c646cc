"""The Laplacian pyramid: merge details scale by scale, the strongest first, and average the rest.

G_i^0  = phi_i,   G_i^(l+1) = REDUCE(G_i^l)                     Gaussian pyramid, l = 0..L-1
D_i^l  = G_i^l - EXPAND(G_i^(l+1))                              details
D^l    = the D_i^l of largest magnitude at each place           select=max
R^L    = (1/k) sum_i G_i^L,   R^l = D^l + EXPAND(R^(l+1))       synthesis,   f = R^0
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from fusionlab import Law, Strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from fusionlab import Scene

CENTER = 0.4
"""a, the weight of the center in the kernel (1/4 - a/2, 1/4, a, 1/4, 1/4 - a/2)."""


TIE = 1e-9
"""Magnitudes whose ratio is this close to 1 are tied: a thousand times the rounding of float64 in
details of more than about 0.1 gray levels."""


@dataclass(frozen=True)
class LaplacianPyramid(Strategy):
    """Merge the Laplacian pyramids of the sources.

    REDUCE filters with (0.05, 0.25, 0.4, 0.25, 0.05) along columns and rows and keeps the even
    pixels; EXPAND puts zeros between pixels and filters with twice that kernel. This is the
    kernel of the reference with a = 0.4, the value at which its equivalent filters look most like a
    Gaussian; a = 0.375 would be the binomial 1 4 6 4 1. At the
    border of the image each level is mirrored without repeating the outermost pixel. The reference
    builds pyramids and does not fuse them; choosing the largest magnitude and averaging the
    coarsest level is the usual way to do so.

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

    domain = "pixels"

    levels: Annotated[
        int, Interval(ge=1, le=8), "How often the image is halved (fewer where it is too small)."
    ] = 4
    select: Annotated[
        Literal["max"], "Which detail is kept at each place: the one of largest magnitude."
    ] = "max"

    @property
    def support(self) -> int:
        halvings: int = 2**self.levels
        return 4 * (halvings - 1)

    @property
    def laws(self) -> frozenset[Law]:
        return frozenset({Law.PERMUTATION, Law.IDEMPOTENCE, Law.SCALE})

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        import torch
        from torch.nn.functional import pad

        height, width = features.shape[-2:]
        levels = _possible_levels(self.levels, scene.height or height, scene.width or width)
        # start a tile at a pixel that all levels of the whole image have; what is put there lies
        # within the support
        above, left = scene.top % 2**levels, scene.left % 2**levels
        gaussian = (
            pad(features.double(), (left, 0, above, 0)) if above or left else features.double()
        )
        details = []
        for _ in range(levels):
            coarser = reduce_level(gaussian)
            details.append(self._selected(gaussian - expand_level(coarser, gaussian.shape[-2:])))
            gaussian = coarser
        fused: Tensor = reduce(torch.add, gaussian) / len(gaussian)
        for detail in reversed(details):
            fused = expand_level(fused, detail.shape[-2:]) + detail
        return fused[..., above:, left:].to(features.dtype)

    def _selected(self, details: Tensor) -> Tensor:
        """Merge the details `(k, N, C, h, w)` of one level into `(N, C, h, w)`."""
        magnitudes = details.detach().abs()
        winners = (magnitudes >= magnitudes.amax(dim=0) * (1 - TIE)).to(details)
        return (details * winners).sum(dim=0) / winners.sum(dim=0)


def _possible_levels(wanted: int, height: int, width: int) -> int:
    """Return how often an image can be halved: while both edges have at least 3 pixels."""
    edge = min(height, width)
    for level in range(wanted):
        if edge < 3:
            return level
        edge = -(-edge // 2)
    return wanted


def reduce_level(maps: Tensor) -> Tensor:
    """Halve maps `(..., h, w)` to `(..., ceil(h/2), ceil(w/2))`, with h and w at least 3."""
    for axis in (-1, -2):
        size = maps.shape[axis]
        padded = _extended(maps, (2, 1), (size - 2, size - 3), axis)
        length = -(-size // 2)
        far1, near1, middle, near2, far2 = (
            padded.narrow(axis, first, 2 * length - 1).movedim(axis, 0)[::2].movedim(0, axis)
            for first in range(5)
        )
        maps = CENTER * middle + 0.25 * (near1 + near2) + (0.25 - CENTER / 2) * (far1 + far2)
    return maps


def expand_level(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Double maps `(..., ceil(h/2), ceil(w/2))` to `size` (h, w), with h and w at least 3."""
    import torch

    for axis, length in zip((-2, -1), size, strict=True):
        count = maps.shape[axis]
        # on the finer grid the border is mirrored at its last pixel, which lies on this grid if odd
        beyond = count - 2 if length % 2 else count - 1
        before, here, after = (
            _extended(maps, (1,), (beyond,), axis).narrow(axis, first, count) for first in range(3)
        )
        even = 2 * CENTER * here + (0.5 - CENTER) * (before + after)
        odd = 0.5 * (here + after)
        both = torch.stack((even, odd), dim=maps.ndim + axis + 1)
        maps = both.flatten(maps.ndim + axis, maps.ndim + axis + 1).narrow(axis, 0, length)
    return maps


def _extended(maps: Tensor, before: tuple[int, ...], after: tuple[int, ...], axis: int) -> Tensor:
    """Put copies of some rows or columns before the first and after the last."""
    import torch

    parts = [maps.narrow(axis, index, 1) for index in before]
    parts += [maps, *(maps.narrow(axis, index, 1) for index in after)]
    return torch.cat(parts, dim=axis)
