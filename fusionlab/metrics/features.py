"""FMI: what the fused image tells about the features of its sources, window by window.

The feature mutual information of Haghighat and Razian 2014 ("Fast-FMI") compares, for each
source, maps of features of the source and of the fused image in all 3x3 windows, and averages
over windows and sources; `fusionlab.metrics.copulas` says what it computes of two windows. Three
maps are in use, and give three metrics:

    FMI_pixel    the edges that Sobel's operator finds, 0 or 1 for each pixel (not the gray levels)
    FMI_dct      the cosine transform of the whole image
    FMI_w        one level of the discrete Meyer wavelet transform, [A H; V D] side by side

Everybody runs the inventors' own program, fmi.m, the authors of DenseFuse included; it is the
definition followed here. A window is read column after column, so that a mirrored image has
another value. Single windows may lie outside 0..1.

In both transforms, flat areas leave coefficients that are equal but for rounding noise, and a
window of such coefficients is stretched until the noise is a pattern. The programs judge that
pattern; what they print for a constant fused image depends on the machine (FMI_dct: nan or
0.024, FMI_w: 0.014 or 0.139). Here coefficients are rounded to multiples of `GRAIN` gray levels,
far above the noise and far below any content, so that flat windows are flat.

Time is linear in the number of windows; only the transforms, two products of matrices, take
height + width multiplications for each pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pywt
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from fusionlab.metrics.copulas import mean_information
from fusionlab.metrics.edges import STEPS
from fusionlab.metrics.inputs import WHITE, checked

GRAIN = 2.0**-30
"""Coefficients that differ by less are the same: 1e-9 gray levels."""

MEYER_TAPS = 101
"""How many taps of the Meyer filter MATLAB's `dmey` keeps; the 102nd is 0."""

Feature = Callable[[Tensor], Tensor]
"""Makes `(images, H, W)` of gray levels maps of features, of one size but maybe another."""


def fmi_pixel(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Feature mutual information of Sobel edges, in 3x3 windows.

    An edge is where the squared gradient exceeds four times its mean over the image and is a
    local maximum, as in MATLAB's `edge(image, "sobel")`: not below the neighbor before and
    above the one after, along the axis of the larger component of the gradient (along either
    axis if they are equal). The border is replicated.

    Most of the value comes from windows without any edge in both images, which count as 1.

    Args:
        fused: `(N, H, W)`, gray levels in 0..255.
        sources: `(k, N, H, W)` likewise. The value is the mean over the sources.
        convention: `paper` takes the edges that GNU Octave's `edge` finds in images in 0..1,
            where our reference values of the authors' code come from: a pixel has to exceed both
            neighbors along either axis. Rounding noise decides where gradients are equal, up to
            2e-3 of the value.

    Returns:
        `(N,)`, float64; 1 where all images have the same edges. A constant fused image has
        none, and gets the share of windows without edges in the sources.

    Raises:
        FusionlabError: the images do not fit together or are smaller than 3x3.

    Reference: Haghighat and Razian, AICT 2014, pp. 1-3; their program fmi.m, where this is the
    default feature.
    """
    edges = _edges_octave if convention == "paper" else _edges_matlab
    return _fmi("FMI_pixel", fused, sources, convention, edges)


def fmi_dct(
    fused: Tensor,
    sources: Tensor,
    convention: str = "default",
) -> Tensor:
    """Feature mutual information of cosine coefficients, in 3x3 windows.

    The feature is the orthonormal two-dimensional DCT-II of the whole image.

    Args:
        fused: `(N, H, W)`, gray levels in 0..255.
        sources: `(k, N, H, W)` likewise. The value is the mean over the sources.
        convention: `paper` is the same.

    Returns:
        `(N,)`, float64; 1 where the fused image equals all sources, 0 where it is constant and
        no source is.

    Raises:
        FusionlabError: the images do not fit together or are smaller than 3x3.

    The column FMI_dct of Table II is the mean of this over 20 pairs, fused images in 8 bits.

    Reference: Haghighat and Razian, AICT 2014, pp. 1-3.
    """
    return _fmi("FMI_dct", fused, sources, convention, _cosines)


def fmi_w(
    fused: Tensor,
    sources: Tensor,
    convention: str = "default",
) -> Tensor:
    """Feature mutual information of Meyer wavelet coefficients, in 3x3 windows.

    The feature is one level of the discrete Meyer wavelet transform, its four parts put together
    as [A H; V D] and stretched to 0..1. The filter is MATLAB's `dmey` with 102 taps, the border
    is mirrored (half a pixel beyond the image). PyWavelets has a `dmey`, too, with 62 taps: for
    one row of Table II it gives 0.32088 instead of 0.32012.

    The border counts a lot: an image of 360x270 has 460x370 coefficients, more than two in five
    of which come from the mirrored border.

    Args:
        fused: `(N, H, W)`, gray levels in 0..255.
        sources: `(k, N, H, W)` likewise. The value is the mean over the sources.
        convention: `paper` is the same.

    Returns:
        `(N,)`, float64; 1 where the fused image equals all sources. What a constant one gets,
        some 0.01, comes from where the four parts meet.

    Raises:
        FusionlabError: the images do not fit together or are smaller than 3x3.

    The column FMI_w of Table II is the mean of this over 20 pairs, fused images in 8 bits.

    Reference: Haghighat and Razian, AICT 2014, pp. 1-3.
    """
    return _fmi("FMI_w", fused, sources, convention, _wavelets)


def _fmi(name: str, fused: Tensor, sources: Tensor, convention: str, feature: Feature) -> Tensor:
    fused, sources = checked(name, fused, sources, convention)
    values = []
    for images in torch.cat([fused[None], sources]).unbind(dim=1):  # one after another: memory
        features = feature(images)
        values.append(mean_information(features[0], features[1:]))
    return torch.stack(values)


# ---------------------------------------------------------------------------------- edges


def _edges_matlab(images: Tensor) -> Tensor:
    """Return 1 where MATLAB's `edge` finds an edge in `(images, H, W)`, else 0."""
    down, across = _sobel(torch.round(images * STEPS))  # whole numbers: sums are exact
    strength = down.square() + across.square()
    down, across = down.abs(), across.abs()
    up, below, left, right = _neighbors(strength, beyond=-1)
    thin = (across >= down) & (left <= strength) & (strength > right)
    thin |= (down >= across) & (up <= strength) & (strength > below)
    return (thin & (strength > _cutoff(strength))).double()


def _edges_octave(images: Tensor) -> Tensor:
    """Return 1 where GNU Octave's `edge` finds an edge in `(images, H, W)` / 255, else 0."""
    # by a tensor: on some devices a division by a number is a product with its inverse
    down, across = _sobel(images / images.new_tensor(WHITE))
    strength = down.square() + across.square()
    strength = torch.where(strength > _cutoff(strength), strength, 0)
    up, below, left, right = _neighbors(strength, beyond=0)
    vertical = (strength > up) & (strength > below)
    horizontal = (strength > left) & (strength > right)
    return (vertical | horizontal).double()


def _sobel(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return eight times the gradients of `(images, H, W)`, down and across; border replicated.

    The order of the sums is that of GNU Octave's `conv2`. On it depends the last bit, unless the
    images hold whole numbers.
    """
    *_, height, width = images.shape
    padded = pad(images[None], (1, 1, 1, 1), mode="replicate")[0]
    down, across = torch.zeros_like(images), torch.zeros_like(images)
    for column in (0, 1, 2):
        for row in (2, 1, 0):
            seen = padded[:, row : row + height, column : column + width]
            down += (row - 1) * (1, 2, 1)[column] * seen
            across += (column - 1) * (1, 2, 1)[row] * seen
    return down, across


def _cutoff(strength: Tensor) -> Tensor:
    """Return four times the mean of each image."""
    return 4 * strength.mean(dim=(-2, -1), keepdim=True)


def _neighbors(maps: Tensor, beyond: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what lies above, below, to the left and to the right of each pixel."""
    padded = pad(maps, (1, 1, 1, 1), value=beyond)
    inner = slice(1, -1)
    return (
        padded[:, :-2, inner],
        padded[:, 2:, inner],
        padded[:, inner, :-2],
        padded[:, inner, 2:],
    )


# ----------------------------------------------------------------------------- transforms


def _cosines(images: Tensor) -> Tensor:
    """Return the orthonormal DCT-II of `(images, H, W)`."""
    rows, columns = (_matrix(_cosine_matrix(edge), images) for edge in images.shape[-2:])
    return _settled(rows @ images @ columns.T)


def _cosine_matrix(edge: int) -> NDArray[np.float64]:
    matrix: NDArray[np.float64] = scipy.fft.dct(np.eye(edge), norm="ortho", axis=0)
    return matrix


def _wavelets(images: Tensor) -> Tensor:
    """Return the wavelet transform [A H; V D] of `(images, H, W)`, each stretched to 0..1."""
    (low_rows, high_rows), (low_columns, high_columns) = (
        [_matrix(half, images) for half in _wavelet_matrices(edge)] for edge in images.shape[-2:]
    )
    low, high = images @ low_columns.T, images @ high_columns.T
    upper = torch.cat([low_rows @ low, high_rows @ low], dim=-1)  # A H
    lower = torch.cat([low_rows @ high, high_rows @ high], dim=-1)  # V D
    coefficients = _settled(torch.cat([upper, lower], dim=-2))
    darkest = coefficients.amin(dim=(-2, -1), keepdim=True)
    brightest = coefficients.amax(dim=(-2, -1), keepdim=True)
    stretched = (coefficients - darkest) / (brightest - darkest)
    return torch.where(brightest > darkest, stretched, 1)


def _wavelet_matrices(edge: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what filters `edge` samples, low and high, to (edge + 101) // 2 each."""
    low, high = pywt.dwt(np.eye(edge), _meyer_wavelet(), mode="symmetric", axis=0)
    return low, high


@cache
def _meyer_wavelet() -> pywt.Wavelet:
    """Return MATLAB's `dmey`, from the definition of the Meyer wavelet.

    The transfer function of the low-pass filter falls from sqrt 2 to 0 between pi/3 and 2 pi/3,
    as cos(pi/2 v(3 |w| / pi - 1)) with v(x) = x^4 (35 - 84 x + 70 x^2 - 20 x^3). Its impulse
    response, cut to 101 taps and made to sum to sqrt 2 again, is MATLAB's filter to 7e-11.
    """
    frequencies = np.linspace(0, np.pi, 2**10)  # with more, no tap changes by 1e-12
    x = np.clip(3 * frequencies / np.pi - 1, 0, 1)
    transfer = np.cos(np.pi / 2 * x**4 * (35 - 84 * x + 70 * x**2 - 20 * x**3))
    response = np.fft.irfft(transfer)
    reach = MEYER_TAPS // 2
    taps = np.concatenate([response[-reach:], response[: reach + 1], [0]])
    return pywt.Wavelet("Meyer", filter_bank=pywt.orthogonal_filter_bank(taps))


def _matrix(matrix: NDArray[np.float64], like: Tensor) -> Tensor:
    return torch.from_numpy(matrix).to(like)


def _settled(coefficients: Tensor) -> Tensor:
    """Round to multiples of GRAIN, so that no rounding noise is left."""
    return coefficients.div_(GRAIN).round_().mul_(GRAIN)
