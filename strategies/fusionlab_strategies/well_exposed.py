"""Exposure weights: contrast, saturation and good exposure of the sources.

c_i = |Laplacian of the luminance|                              contrast
s_i = standard deviation of R, G and B                          saturation; 1 for gray images
e_i = product over R, G, B of exp(-(v - 1/2)^2 / (2 sigma^2))   good exposure, v in 0..1
w_i = c_i^a s_i^b e_i^g + 1e-12, divided by the sum over i,     f = sum_i w_i phi_i
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from fusionlab import Law, WeightedStrategy, normalize
from fusionlab_strategies.resolution import at_level

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene

SIGMA = 0.2
LUMINANCE = (0.299, 0.587, 0.114)
FLOOR = 1e-12
"""What is added to the weights, so that they sum to one where all are zero."""


@dataclass(frozen=True)
class WellExposed(WeightedStrategy):
    """Weight each source by contrast, saturation and good exposure.

    The weights come from the sources, in color where any is, and not from the features. Gray images
    have no saturation, and leave it out.

    Only the weights are those of the reference, which blends pyramids of the images with them.
    Applied to single pixels they make seams; `multi_scale` blends pyramids of features with them.
    The contrast mirrors the border without repeating the outermost pixel. On a coarser level of a
    backbone, the weights are averaged over the pixels of a feature.

    Reference: Mertens, Kautz and Van Reeth, Exposure fusion, Pacific Graphics 2007, 382-390,
    doi:10.1109/PG.2007.17.
    """

    contrast: Annotated[float, Interval(ge=0, le=10), "Exponent of the contrast."] = 1.0
    saturation: Annotated[float, Interval(ge=0, le=10), "Exponent of the saturation."] = 1.0
    exposure: Annotated[float, Interval(ge=0, le=10), "Exponent of the good exposure."] = 1.0

    @property
    def support(self) -> int:
        """The neighbors that the contrast looks at."""
        return 1

    @property
    def laws(self) -> frozenset[Law]:
        return super().laws | {Law.PERMUTATION, Law.SCALE, Law.TRANSLATION, Law.FLIPS}

    def weights(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the weights `(k, N, 1, h, w)`, from the sources of the scene."""
        import torch

        weights = exposure_weights(scene, self.contrast, self.saturation, self.exposure)
        precise = torch.promote_types(features.dtype, torch.float32)
        return normalize(at_level(weights, features)).to(precise)


def exposure_weights(scene: Scene, contrast: float, saturation: float, exposure: float) -> Tensor:
    """Return the weights of the sources before they are normalized, `(k, N, 1, H, W)` in float64.

    Args:
        scene: the sources, in color where any is.
        contrast: exponent of the contrast.
        saturation: exponent of the saturation.
        exposure: exponent of the good exposure.
    """
    color = scene.color_sources
    images = (scene.sources if color is None else color).double()
    weights = _contrast(images) ** contrast
    if color is not None and saturation:
        spread = images.var(dim=2, keepdim=True, correction=0)
        # without the floor, the gradient of the square root would be infinite at 0
        weights = weights * spread.clamp(min=1e-24).sqrt() ** saturation
    distance = ((images - 0.5) ** 2).sum(dim=2, keepdim=True)
    return weights * (-exposure * distance / (2 * SIGMA**2)).exp() + FLOOR


def _contrast(images: Tensor) -> Tensor:
    """Return the magnitude of the Laplacian of the luminance, `(k, N, 1, H, W)`."""
    import torch

    gray = images
    if images.shape[2] == 3:
        red, green, blue = images.unbind(dim=2)
        gray = (LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue).unsqueeze(2)
    total = torch.zeros_like(gray)
    for axis in (-2, -1):
        size = gray.shape[axis]
        if size == 1:  # mirrored, its neighbors are the pixel itself
            continue
        first, last = gray.narrow(axis, 1, 1), gray.narrow(axis, size - 2, 1)
        total = total + torch.cat([first, gray, last], dim=axis).diff(n=2, dim=axis)
    return total.abs()
