"""Discrete wavelet transform: merge details by a vote of the neighbors, and average the rest.

A_i^0 = I_i,   (A_i^(l+1), H_i^(l+1), V_i^(l+1), D_i^(l+1)) = DWT(A_i^l)        l = 0..L-1
H^l   = the H_i^l of the source that wins around the place; V^l, D^l likewise
A^L   = (1/k) sum_i A_i^L,   A^l = inverse DWT(A^(l+1), H^(l+1), V^(l+1), D^(l+1)),   f = A^0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from fusionlab import FusionlabError, Law, Strategy
from fusionlab_classics.common.filters import extend
from fusionlab_strategies.pyramids import consistent

if TYPE_CHECKING:
    import pywt
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class DWT(Strategy):
    """Merge the wavelet coefficients of the sources.

    In each subband, every source gets the largest magnitude in 3 x 3 coefficients as its activity;
    the source with the largest activity gets a vote, and the one with most votes in 3 x 3
    coefficients is kept (the consistency verification of the reference). Ties give the mean. The
    approximations are averaged; the reference also merges them by activity. Any number of sources.

    The transform is the separable, decimated one of PyWavelets with its mode `symmetric`: at the
    border the image is mirrored with its outermost pixel repeated. An image that is too small for
    `levels` gets fewer, see `pywt.dwt_max_level`. All arithmetic is in float64; tiles give the
    result of the whole image.

    Reference: Li, Manjunath and Mitra, Multisensor image fusion using the wavelet transform,
    doi:10.1006/gmip.1995.1022.

    Raises:
        FusionlabError: there is no wavelet of this name (code `no-wavelet`).
    """

    domain = "pixels"

    wavelet: Annotated[
        str,
        ("haar", "db2", "sym4", "coif1", "bior4.4"),
        "A discrete wavelet of PyWavelets: haar, db2, sym4, coif1, bior4.4, ...",
    ] = "db2"
    levels: Annotated[
        int, Interval(ge=1, le=8), "How often the image is halved (fewer where it is too small)."
    ] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        import pywt

        if self.wavelet not in pywt.wavelist(kind="discrete"):
            raise FusionlabError(
                f"PyWavelets has no discrete wavelet {self.wavelet!r}; choose haar, db2, sym4, "
                "coif1, bior4.4, or another one of pywt.wavelist(kind='discrete')",
                code="no-wavelet",
                option="wavelet",
            )

    @property
    def support(self) -> int:
        halvings: int = 2**self.levels
        both_ways = 2 * (self._filters.dec_len - 1) * (halvings - 1)
        return both_ways + 2 * halvings  # and two coefficients of the coarsest level

    @property
    def laws(self) -> frozenset[Law]:
        return frozenset({Law.PERMUTATION, Law.IDEMPOTENCE, Law.SCALE})

    @property
    def _filters(self) -> pywt.Wavelet:
        import pywt

        return pywt.Wavelet(self.wavelet)

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:
        import pywt
        from torch.nn.functional import pad

        wavelet = self._filters
        height, width = features.shape[-2:]
        edge = min(scene.height or height, scene.width or width)
        levels = min(self.levels, pywt.dwt_max_level(edge, wavelet.dec_len))
        # start a tile where the coefficients of all levels of the whole image start; what is put
        # there lies within the support
        above, left = scene.top % 2**levels, scene.left % 2**levels
        images = features.double()
        if above or left:
            images = pad(images, (left, 0, above, 0))
        chosen, sizes = [], []
        for _ in range(levels):
            sizes.append(images.shape[-2:])
            images, *details = analyzed(images, wavelet)
            chosen.append([consistent(band) for band in details])
        fused = images.mean(dim=0)
        for details, (rows, columns) in zip(reversed(chosen), reversed(sizes), strict=True):
            fused = synthesized([fused, *details], wavelet)[..., :rows, :columns]
        return fused[..., above:, left:].to(features.dtype)


def analyzed(maps: Tensor, wavelet: pywt.Wavelet) -> list[Tensor]:
    """Transform maps `(..., h, w)` once: approximation, horizontal, vertical, diagonal details.

    Each has `pywt.dwt_coeff_len` rows and columns.
    """
    return [
        band for rows in _halves(maps, wavelet, axis=-2) for band in _halves(rows, wavelet, axis=-1)
    ]


def synthesized(bands: list[Tensor], wavelet: pywt.Wavelet) -> Tensor:
    """Undo `analyzed`; there may be one row or column more than before."""
    low = _joined(bands[0], bands[1], wavelet, axis=-1)
    high = _joined(bands[2], bands[3], wavelet, axis=-1)
    return _joined(low, high, wavelet, axis=-2)


def _halves(maps: Tensor, wavelet: pywt.Wavelet, axis: int) -> list[Tensor]:
    """Filter maps along an axis by the low-pass and the high-pass filter; keep every second."""
    from torch.nn.functional import conv2d

    length, size = wavelet.dec_len, maps.shape[axis]
    width = length - 1
    padded = extend(maps, *((width, 0) if axis == -2 else (0, width)), "symmetric")
    padded = padded.narrow(axis, 1, size + 2 * width - 1)
    planes = padded.reshape(-1, 1, *padded.shape[-2:])
    halves = []
    for taps in (wavelet.dec_lo, wavelet.dec_hi):
        kernel = maps.new_tensor(taps[::-1])
        weight = kernel.view(1, 1, -1, 1) if axis == -2 else kernel.view(1, 1, 1, -1)
        half = conv2d(planes, weight, stride=(2, 1) if axis == -2 else (1, 2))
        half = half.view(*maps.shape[:-2], *half.shape[-2:])
        halves.append(half.narrow(axis, 0, (size + length - 1) // 2))
    return halves


def _joined(low: Tensor, high: Tensor, wavelet: pywt.Wavelet, axis: int) -> Tensor:
    """Undo `_halves`."""
    import torch
    from torch.nn.functional import conv_transpose2d

    length, size = wavelet.rec_len, low.shape[axis]
    both = torch.stack((low, high), dim=-3).reshape(-1, 2, *low.shape[-2:])
    kernels = low.new_tensor([wavelet.rec_lo, wavelet.rec_hi])
    weight = kernels.view(2, 1, -1, 1) if axis == -2 else kernels.view(2, 1, 1, -1)
    joined = conv_transpose2d(both, weight, stride=(2, 1) if axis == -2 else (1, 2))
    joined = joined.view(*low.shape[:-2], *joined.shape[-2:])
    return joined.narrow(axis, length - 2, 2 * size - length + 2)
