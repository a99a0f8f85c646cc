"""The discrete cosine harmonic wavelet transform: weight each coefficient by its significance.

X_i = DCT of source i                              cut into blocks: three levels, as of wavelets
b_i = inverse DCT of a block                       3 details per level, and the approximation
s_i = significance of each coefficient             see `DCHWT`
b   = sum_i s_i b_i / sum_n s_n
f   = inverse DCT of the DCTs of all b, put back into their blocks
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from fusionlab import FusionlabError, Law, Strategy, normalize
from fusionlab_classics.common.cosine_transform import dct, idct
from fusionlab_classics.common.filters import mean_filter, resize_bicubic, round_to_8_bits

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene

LEVELS = 3

DIVISOR = 2**LEVELS
"""The edges of the image are divided by this at the coarsest level."""

TINY = 1e-12
"""Added to significances, relative to the largest gray level of the sources: far above the rounding
of coefficients, and far below what 16 bits can show."""


@dataclass(frozen=True)
class DCHWT(Strategy):
    """Weight each coefficient of a harmonic wavelet transform by its significance.

    The coefficients of level 1, the finest, are the inverse DCTs of the three quarters of the DCT
    with high frequencies: along rows, along columns, along both. The remaining quarter is
    divided in the same way for level 2, and for level 3. Its last remainder, 1/8 of the frequencies
    in both directions, is the approximation. The significance of a coefficient is

    * at level 1: the mean of the squares in the 3x3 coefficients around it, mirrored at the border,
    * at levels 2 and 3: its magnitude, and those of all coefficients of finer levels that have the
      same place and direction,
    * of the approximation: the sum of the three significances of level 3 at that place.

    Two sources in the paper; the weights have the same meaning for any number.

    The authors' program has these flaws, which `variant=authors` keeps:

    * Where an edge of the image is not a multiple of 8, the transform drops frequencies: the result
      is smaller, and brighter by sqrt(pq / p'q') for edges p and q reduced to p' and q'. It is
      rounded to 8 bits and resized to the size of the sources. `variant=corrected` mirrors the
      image to a multiple of 8 and crops the result.
    * Where no source has a significant coefficient, it divides 0 by 0, and the image becomes black.
      `variant=corrected` adds to each significance 1e-12 of the largest gray level (at level 1, the
      square of that): there the sources weigh the same.

    All arithmetic is in float64. Every coefficient depends on the whole image, which is therefore
    never cut into tiles.

    Reference: Shreyamsha Kumar, Multifocus and multispectral image fusion based on pixel
    significance using discrete cosine harmonic wavelet transform, doi:10.1007/s11760-012-0361-x.

    Raises:
        FusionlabError: `variant=authors` with an image of fewer than 8 rows or columns.
    """

    domain = "pixels"

    variant: Annotated[
        Literal["corrected", "authors"],
        "Whether to keep the size and the brightness of any image, or the flaws of the program.",
    ] = "corrected"

    @property
    def laws(self) -> frozenset[Law]:
        laws = {Law.PERMUTATION}
        if self.variant == "corrected":
            laws |= {Law.IDEMPOTENCE, Law.SCALE, Law.DOMINANCE}
        return frozenset(laws)

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        fused = self._corrected if self.variant == "corrected" else self._authors
        return fused(features.double()).to(features.dtype)

    def _corrected(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        # per plane, over all of its sources
        floor = TINY * images.detach().abs().amax(dim=(0, -2, -1), keepdim=True)
        spectra = dct(_mirrored(images))
        return idct(_merge(spectra, floor)[0])[..., :height, :width]

    def _authors(self, images: Tensor) -> Tensor:
        import torch

        height, width = images.shape[-2:]
        if min(height, width) < DIVISOR:
            raise FusionlabError(
                f"the authors' variant of dchwt needs at least {DIVISOR} rows and columns, got "
                f"{width}x{height}; use the corrected one",
                code="too-small",
                option="variant",
            )
        size = height // DIVISOR * DIVISOR, width // DIVISOR * DIVISOR
        spectra = dct(images)[..., : size[0], : size[1]]
        spectrum, undefined = _merge(spectra, torch.zeros_like(images[:1, ..., :1, :1]))
        fused = torch.where(undefined, 0, idct(spectrum))
        if size == (height, width):
            return fused
        return resize_bicubic(round_to_8_bits(fused), (height, width), eight_bits=True)


def _mirrored(images: Tensor) -> Tensor:
    """Extend images below and to the right to multiples of 8, as a DCT continues them."""
    import torch

    for axis in (-2, -1):
        size = images.shape[axis]
        places = torch.arange(-(-size // DIVISOR) * DIVISOR, device=images.device) % (2 * size)
        places = torch.minimum(places, 2 * size - 1 - places)
        if len(places) > size:
            images = images.index_select(axis, places)
    return images


def _merge(spectra: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
    """Merge the DCTs `(k, N, C, h, w)` of the sources into that of the result.

    Args:
        spectra: with edges divisible by 8.
        floor: `(1, N, C, 1, 1)`, what is added to significances.

    Returns:
        The DCT of the result `(N, C, h, w)`, and whether all significances are zero at any
        place, `(N, C, 1, 1)`.
    """
    import torch

    rows, columns = (edge // DIVISOR for edge in spectra.shape[-2:])
    undefined = torch.zeros_like(floor[0], dtype=torch.bool)
    significance = torch.zeros_like(spectra[..., :rows, :columns])
    blocks: list[dict[tuple[int, int], Tensor]] = [{} for _ in range(LEVELS)]  # finest first

    def merged(bands: Tensor, significances: Tensor) -> Tensor:
        nonlocal undefined
        undefined = undefined | (significances.sum(dim=0) == 0).any(-1).any(-1)[..., None, None]
        fused: Tensor = (normalize(significances) * bands).sum(dim=0)
        return dct(fused)

    for down, right in ((0, 1), (1, 0), (1, 1)):
        finer: Tensor | None = None  # sums of the magnitudes of finer levels
        for level in range(LEVELS):
            size = rows * 2 ** (LEVELS - 1 - level), columns * 2 ** (LEVELS - 1 - level)
            top, left = down * size[0], right * size[1]
            bands = idct(spectra[..., top : top + size[0], left : left + size[1]])
            total = bands.abs() if finer is None else bands.abs() + _quartered(finer)
            if finer is None:
                squares = mean_filter(bands.square(), 1, "mirror")
                blocks[level][down, right] = merged(bands, squares + floor.square())
            else:
                blocks[level][down, right] = merged(bands, total + floor)
            finer = total
        assert finer is not None
        significance = significance + finer
    spectrum = merged(idct(spectra[..., :rows, :columns]), significance + floor)
    for details in reversed(blocks):
        upper = torch.cat([spectrum, details[0, 1]], dim=-1)
        lower = torch.cat([details[1, 0], details[1, 1]], dim=-1)
        spectrum = torch.cat([upper, lower], dim=-2)
    return spectrum, undefined


def _quartered(maps: Tensor) -> Tensor:
    """Add up blocks of 2x2 pixels."""
    columns = maps[..., ::2] + maps[..., 1::2]
    return columns[..., ::2, :] + columns[..., 1::2, :]
