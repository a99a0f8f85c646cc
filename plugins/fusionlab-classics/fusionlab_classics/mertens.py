"""Exposure fusion: blend pyramids with weights of contrast, saturation and good exposure.

c_i = |Laplacian of the luminance|                              contrast
s_i = standard deviation of R, G and B                          saturation; 1 for gray images
e_i = product over R, G, B of exp(-(v - 1/2)^2 / (2 sigma^2))   good exposure, v in 0..1
w_i = c_i^a s_i^b e_i^g + 1e-12,   normalized over the sources
L(f)^l = sum_i G(w_i)^l L(I_i)^l                                Gaussian and Laplacian pyramids
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from fusionlab import Law, Strategy, normalize
from fusionlab_classics.common.filters import correlate_separable
from fusionlab_strategies.well_exposed import exposure_weights

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene

BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


@dataclass(frozen=True)
class Mertens(Strategy):
    """Blend exposures of one scene, without the detour of a high-dynamic-range image.

    Weights come from the sources in color, also where color is fused channel by channel: all
    channels share them. Gray images have no saturation, and leave it out. Any number of sources;
    also a good baseline for focus stacks.

    The pyramids filter with 1 4 6 4 1 / 16 and mirror the border without repeating the outermost
    pixel. With `levels=None`, the default, the image is halved floor(log2 min(h, w)) times and
    needs to be fused as a whole; a number of levels limits how far a pixel looks and allows tiles.
    The result may leave the range of the sources a little; `range_policy=clip` cuts that off.
    OpenCV's `createMergeMertens` gives the same to the rounding of single precision, if its
    `exposure_weight`, 0 by default, is 1 as in the reference, with three exceptions: its luminance
    takes blue for red; where an edge of a level is odd, it repeats the last pixel instead of
    mirroring; and in flat regions its contrast is rounding, ours 0, so that the sources weigh the
    same there.

    Reference: Mertens, Kautz and Van Reeth, Exposure fusion, Pacific Graphics 2007, 382-390,
    doi:10.1109/PG.2007.17.
    """

    domain = "pixels"

    contrast: Annotated[float, Interval(ge=0, le=10), "Exponent of the contrast."] = 1.0
    saturation: Annotated[float, Interval(ge=0, le=10), "Exponent of the saturation."] = 1.0
    exposure: Annotated[float, Interval(ge=0, le=10), "Exponent of the good exposure."] = 1.0
    levels: Annotated[
        int | None, Interval(ge=1, le=8), "How often the image is halved (none: as far as it goes)."
    ] = None

    @property
    def support(self) -> int | None:
        if self.levels is None:
            return None
        halvings: int = 2**self.levels
        return 4 * (halvings - 1) + 1  # the pixel is that of the Laplacian

    @property
    def laws(self) -> frozenset[Law]:
        return frozenset({Law.PERMUTATION, Law.IDEMPOTENCE})

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        import torch
        from torch.nn.functional import pad

        height, width = features.shape[-2:]
        deepest = min(scene.height or height, scene.width or width).bit_length() - 1
        levels = deepest if self.levels is None else min(self.levels, deepest)
        # start a tile at a pixel that all levels of the whole image have
        above, left = scene.top % 2**levels, scene.left % 2**levels
        precise = torch.promote_types(features.dtype, torch.float32)
        exponents = (self.contrast, self.saturation, self.exposure)
        all_weights = normalize(exposure_weights(scene, *exponents))
        fused: list[Tensor] = []
        for image, weight in zip(features.to(precise), all_weights, strict=True):
            weights = weight.to(precise)
            if above or left:
                image, weights = (pad(maps, (left, 0, above, 0)) for maps in (image, weights))  # noqa: PLW2901
            blended = []
            for _ in range(levels):
                coarser = _halved(image)
                blended.append(weights * (image - _doubled(coarser, image.shape[-2:])))
                image, weights = coarser, _halved(weights)  # noqa: PLW2901
            blended.append(weights * image)
            fused = (
                [total + part for total, part in zip(fused, blended, strict=True)]
                if fused
                else blended
            )
        result = fused[-1]
        for detail in reversed(fused[:-1]):
            result = _doubled(result, detail.shape[-2:]) + detail
        return result[..., above:, left:].to(features.dtype)


def _halved(maps: Tensor) -> Tensor:
    return correlate_separable(maps, BINOMIAL, "mirror")[..., ::2, ::2]


def _doubled(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    with_zeros = maps.new_zeros(*maps.shape[:-2], *size)
    with_zeros[..., ::2, ::2] = 4 * maps
    return correlate_separable(with_zeros, BINOMIAL, "mirror")
