"""What HMSD_GF and Hybrid_MSD share: two chains of smoothed images, and how their bands are merged.

M_l = M_(l-1) smoothed,   L_l = L_(l-1) smoothed along its edges,   M_0 = L_0 = I,   l = 1..4
D_l = M_(l-1) - L_l   texture,   E_l = L_l - M_l   edges,   s = 2^l pixels wide
l = 4, 3, 2, A infrared, B visible:
    P = max(|E_l,A| - |E_l,B|, 0), divided by its maximum,   C = atan(lambda P) / atan(lambda)
    C' (E + D)_l,A + (1 - C') (E + D)_l,B                    C': C smoothed a little
base:  C'' M_4,A + (1 - C'') M_4,B                           C'': C of l = 4, smoothed a lot
l = 1: E_1 and D_1 each of the source where it is larger
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from fusionlab import Strategy
from fusionlab_classics.common.filters import gaussian, gaussian_filter

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics

LEVELS = 4

BASE_RADIUS, BASE_SIGMA = 192, 64.0
"""Half-width and sigma of the Gaussian that smooths the weights of the base."""

BAND_RADIUS, BAND_SIGMA = 3, 1.0
"""Half-width and sigma of the Gaussian that smooths the weights of a band."""

SILENT = 2.0**-16
"""Smallest maximum that edges are divided by, one gray level of 16 bits: without it, the rounding
of flat images would decide the weights."""


class Scales(NamedTuple):
    """Two chains of images `(2, N, 1, h, w)`, infrared first, from the source to l = 4."""

    means: list[Tensor]
    smooth: list[Tensor]

    def edges(self, level: int) -> Tensor:
        """Return E_l."""
        return self.smooth[level] - self.means[level]

    def texture(self, level: int) -> Tensor:
        """Return D_l."""
        return self.means[level - 1] - self.smooth[level]

    def excess(self, level: int) -> Tensor:
        """Return by how much infrared edges are larger than visible ones, `(N, 1, h, w)`."""
        infrared, visible = self.edges(level).abs()
        return (infrared - visible).clamp(min=0)


@dataclass(frozen=True)
class HybridScales(Strategy):
    """Base class of the two methods: a subclass says how it smooths, and how steep the weights are.

    The maxima that the weights are divided by are those of the whole image; tiles gather them in a
    first pass.
    """

    max_k: ClassVar[int] = 2
    domain = "pixels"
    roles = ("infrared", "visible")

    smooths_finest: ClassVar[bool] = False
    """Whether the choice between the finest edges is smoothed."""

    @property
    def gain(self) -> float:
        """What the sum is multiplied by: gray levels are divided by 255 first."""
        return 255.0

    @abstractmethod
    def decompose(self, images: Tensor, scene: Scene) -> Scales:
        """Smooth images `(2, N, 1, h, w)` with gray levels in 0..1."""

    @abstractmethod
    def steepness(self, statistics: Statistics) -> Tensor:
        """Return lambda, broadcastable to `(N, 1, h, w)`."""

    def statistics(self, features: Tensor, scene: Scene) -> Statistics:
        """Return the maximum of the excess of infrared edges, `(N, 3, 1, 1)` for l = 2, 3, 4."""
        return self._statistics(self.decompose(features.double() / 255, scene), scene)

    def _statistics(self, scales: Scales, scene: Scene) -> Statistics:
        import torch

        peaks = [
            scene.valid_region(scales.excess(level)).amax(dim=(-2, -1), keepdim=True)
            for level in range(2, LEVELS + 1)
        ]
        return {"peaks": torch.cat(peaks, dim=1)}

    def merge(self, one: Statistics, other: Statistics) -> Statistics:
        import torch

        merged = {name: one[name] + other[name] for name in one if name != "peaks"}
        return {"peaks": torch.maximum(one["peaks"], other["peaks"]), **merged}

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        import torch

        scales = self.decompose(features.double() / 255, scene)
        statistics = scene.statistics or self._whole_statistics(scales, features, scene)
        steepness, peaks = self.steepness(statistics), statistics["peaks"]
        fused = torch.zeros_like(scales.means[0][0])
        for level in range(LEVELS, 1, -1):
            peak = peaks[:, level - 2 : level - 1].clamp(min=SILENT)
            weight = torch.atan(steepness * scales.excess(level) / peak) / torch.atan(steepness)
            if level == LEVELS:
                fused = fused + _mix(smoothed_widely(weight), scales.means[LEVELS])
            weight = gaussian_filter(weight, BAND_RADIUS, BAND_SIGMA, "symmetric")
            fused = fused + _mix(weight, scales.means[level - 1] - scales.means[level])
        for band, smooth in ((scales.edges(1), self.smooths_finest), (scales.texture(1), False)):
            choice = (band[1].abs() < band[0].abs()).to(band)
            if smooth:
                choice = gaussian_filter(choice, BAND_RADIUS, BAND_SIGMA, "symmetric")
            fused = fused + _mix(choice, band)
        return (self.gain * fused).to(features.dtype)

    def _whole_statistics(self, scales: Scales, features: Tensor, scene: Scene) -> Statistics:
        """Return the statistics of an image that is not cut, without decomposing it again."""
        del features  # for subclasses
        return self._statistics(scales, scene)


def _mix(weight: Tensor, images: Tensor) -> Tensor:
    infrared, visible = images
    return weight * infrared + (1 - weight) * visible


def smoothed_widely(maps: Tensor) -> Tensor:
    """Smooth maps by the Gaussian of the base, with symmetric borders.

    Its 385 taps are two products of matrices, which hold the mirrored weights.
    """
    for axis in (-1, -2):
        matrix = _gaussian_matrix(maps, maps.shape[axis])
        maps = maps @ matrix.mT if axis == -1 else matrix @ maps
    return maps


def _gaussian_matrix(like: Tensor, size: int) -> Tensor:
    import torch

    taps = torch.arange(-BASE_RADIUS, BASE_RADIUS + 1, device=like.device)
    places = torch.arange(size, device=like.device)[:, None] + taps
    places = places.remainder(2 * size)
    places = torch.minimum(places, 2 * size - 1 - places)
    weights = torch.tensor(gaussian(BASE_RADIUS, BASE_SIGMA), dtype=like.dtype, device=like.device)
    matrix = torch.zeros(size, size, dtype=like.dtype, device=like.device)
    return matrix.scatter_add(1, places, weights.expand(size, -1))
