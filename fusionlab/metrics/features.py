"""FMI: mutual information between features of the fused image and of its sources.

The feature mutual information of Haghighat and Razian 2014 ("Fast-FMI") compares feature maps of
each source and of the fused image in all 3x3 windows, and averages over windows and sources;
`fusionlab.metrics.copulas` defines the value for two windows. Three feature maps are in use and
give three metrics:

    FMI_pixel    the edges found by the Sobel operator, 0 or 1 for each pixel (not the gray levels)
    FMI_dct      the cosine transform of the whole image
    FMI_w        one level of the discrete Meyer wavelet transform, [A H; V D] side by side

All published values, those of DenseFuse included, come from the authors' own program fmi.m, which
is the definition followed here. A window is read in column-major order, so that a mirrored image
has a different value. Single windows may have values outside 0..1.

In both transforms, flat areas leave coefficients that are equal except for rounding noise, and
normalizing a window of such coefficients turns the noise into a pattern. The programs score that
pattern: their value for a constant fused image depends on the machine (FMI_dct: nan or 0.024,
FMI_w: 0.014 or 0.139). Here coefficients are rounded to multiples of `RESOLUTION` gray levels, far
above the noise and far below any content, so that flat windows are flat.

Time is linear in the number of windows; only the transforms, two matrix products, take
height + width multiplications per pixel.
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
from fusionlab.metrics.sources_part import once_per_sources

RESOLUTION = 2.0**-30
"""Transform coefficients are rounded to multiples of this, 1e-9 gray levels."""

MEYER_TAPS = 101
"""Number of taps of the Meyer filter in MATLAB's `dmey`; the 102nd is 0."""

Feature = Callable[[Tensor], Tensor]
"""A function from gray levels `(images, H, W)` to feature maps, possibly of another size."""


def fmi_pixel(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the feature mutual information of Sobel edges in 3x3 windows (FMI_pixel).

    A pixel is an edge if its squared gradient exceeds four times the mean over the image and is a
    local maximum, as in MATLAB's `edge(image, "sobel")`: not below the preceding neighbor and above
    the following one, along the axis of the larger component of the gradient (along either axis if
    they are equal). The border is replicated.

    Most of the value comes from windows without edges in both images, which count as 1.

    Args:
        fused: `(N, H, W)`, gray levels in 0..255.
        sources: `(k, N, H, W)` in 0..255. The value is the mean over the sources.
        convention: `paper` uses the edges that GNU Octave's `edge` finds in images in 0..1 (our
            reference values of the authors' code were computed with Octave): a pixel has to exceed
            both neighbors along either axis. Where gradients are equal, rounding noise decides, up
            to 2e-3 of the value.

    Returns:
        `(N,)`, float64; 1 if all images have the same edges. A constant fused image has none, and
        gets the fraction of windows without edges in the sources.

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
    """Compute the feature mutual information of cosine coefficients in 3x3 windows (FMI_dct).

    The feature is the orthonormal two-dimensional DCT-II of the whole image.

    Args:
        fused: `(N, H, W)`, gray levels in 0..255.
        sources: `(k, N, H, W)` in 0..255. The value is the mean over the sources.
        convention: `paper` is the same.

    Returns:
        `(N,)`, float64; 1 if the fused image equals all sources, 0 if it is constant and no source
        is.

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
    """Compute the feature mutual information of Meyer wavelet coefficients in 3x3 windows (FMI_w).

    The feature is one level of the discrete Meyer wavelet transform: its four bands arranged as
    [A H; V D] and min-max normalized to 0..1. The filter is MATLAB's `dmey` with 102 taps, the
    border is mirrored (half-sample symmetric). The `dmey` of PyWavelets has 62 taps: for one row of
    Table II it gives 0.32088 instead of 0.32012.

    The border has much influence: an image of 360x270 has 460x370 coefficients, and more than 40 %
    of these come from the mirrored border.

    Args:
        fused: `(N, H, W)`, gray levels in 0..255.
        sources: `(k, N, H, W)` in 0..255. The value is the mean over the sources.
        convention: `paper` is the same.

    Returns:
        `(N,)`, float64; 1 if the fused image equals all sources. A constant fused image gets about
        0.01, from windows across the seams of the four bands.

    Raises:
        FusionlabError: the images do not fit together or are smaller than 3x3.

    The column FMI_w of Table II is the mean of this over 20 pairs, fused images in 8 bits.

    Reference: Haghighat and Razian, AICT 2014, pp. 1-3.
    """
    return _fmi("FMI_w", fused, sources, convention, _wavelets)


def _fmi(name: str, fused: Tensor, sources: Tensor, convention: str, feature: Feature) -> Tensor:
    fused, sources = checked(name, fused, sources, convention)
    values = []
    for scene, image in enumerate(fused):  # one after another: memory
        (of_fused,) = feature(image[None])
        values.append(mean_information(of_fused, _source_features(sources, scene, feature)))
    return torch.stack(values)


@once_per_sources
def _source_features(sources: Tensor, scene: int, feature: Feature) -> Tensor:
    return feature(sources[:, scene])


# ---------------------------------------------------------------------------------- edges


def _edges_matlab(images: Tensor) -> Tensor:
    """Return 1 where MATLAB's `edge` finds an edge in `(images, H, W)`, else 0."""
    down, across = _sobel(torch.round(images * STEPS))  # integers: sums are exact
    strength = down.square() + across.square()
    down, across = down.abs(), across.abs()
    up, below, left, right = _neighbors(strength, beyond=-1)
    thin = (across >= down) & (left <= strength) & (strength > right)
    thin |= (down >= across) & (up <= strength) & (strength > below)
    return (thin & (strength > _cutoff(strength))).double()


def _edges_octave(images: Tensor) -> Tensor:
    """Return 1 where GNU Octave's `edge` finds an edge in `(images, H, W)` / 255, else 0."""
    # A tensor as the divisor: some devices multiply by the inverse of a Python number.
    down, across = _sobel(images / images.new_tensor(WHITE))
    strength = down.square() + across.square()
    strength = torch.where(strength > _cutoff(strength), strength, 0)
    up, below, left, right = _neighbors(strength, beyond=0)
    vertical = (strength > up) & (strength > below)
    horizontal = (strength > left) & (strength > right)
    return (vertical | horizontal).double()


def _sobel(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return eight times the gradients of `(images, H, W)`, down and across; border replicated.

    The summation order is that of GNU Octave's `conv2`; the last bit depends on it, unless the
    images hold integers.
    """
    *_, height, width = images.shape
    padded = pad(images[None], (1, 1, 1, 1), mode="replicate")[0]
    down, across = torch.zeros_like(images), torch.zeros_like(images)
    for column in (0, 1, 2):
        for row in (2, 1, 0):
            shifted = padded[:, row : row + height, column : column + width]
            down += (row - 1) * (1, 2, 1)[column] * shifted
            across += (column - 1) * (1, 2, 1)[row] * shifted
    return down, across


def _cutoff(strength: Tensor) -> Tensor:
    """Return the edge threshold, four times the mean of each image."""
    return 4 * strength.mean(dim=(-2, -1), keepdim=True)


def _neighbors(maps: Tensor, beyond: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the neighbors above, below, left and right of each pixel."""
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
    return _rounded(rows @ images @ columns.T)


def _cosine_matrix(edge: int) -> NDArray[np.float64]:
    matrix: NDArray[np.float64] = scipy.fft.dct(np.eye(edge), norm="ortho", axis=0)
    return matrix


def _wavelets(images: Tensor) -> Tensor:
    """Return the wavelet transform [A H; V D] of `(images, H, W)`, each normalized to 0..1."""
    (low_rows, high_rows), (low_columns, high_columns) = (
        [_matrix(half, images) for half in _wavelet_matrices(edge)] for edge in images.shape[-2:]
    )
    low, high = images @ low_columns.T, images @ high_columns.T
    upper = torch.cat([low_rows @ low, high_rows @ low], dim=-1)  # A H
    lower = torch.cat([low_rows @ high, high_rows @ high], dim=-1)  # V D
    coefficients = _rounded(torch.cat([upper, lower], dim=-2))
    minimum = coefficients.amin(dim=(-2, -1), keepdim=True)
    maximum = coefficients.amax(dim=(-2, -1), keepdim=True)
    return torch.where(maximum > minimum, (coefficients - minimum) / (maximum - minimum), 1)


def _wavelet_matrices(edge: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return matrices that filter `edge` samples to (edge + 101) // 2 low and high ones."""
    low, high = pywt.dwt(np.eye(edge), _meyer_wavelet(), mode="symmetric", axis=0)
    return low, high


@cache
def _meyer_wavelet() -> pywt.Wavelet:
    """Construct MATLAB's `dmey` from the definition of the Meyer wavelet.

    The transfer function of the low-pass filter falls from sqrt 2 to 0 between pi/3 and 2 pi/3,
    as cos(pi/2 v(3 |w| / pi - 1)) with v(x) = x^4 (35 - 84 x + 70 x^2 - 20 x^3). Its impulse
    response, truncated to 101 taps and normalized to sum to sqrt 2, is MATLAB's filter to 7e-11.
    """
    frequencies = np.linspace(0, np.pi, 2**10)  # with more, no tap changes by 1e-12
    x = np.clip(3 * frequencies / np.pi - 1, 0, 1)
    transfer = np.cos(np.pi / 2 * x**4 * (35 - 84 * x + 70 * x**2 - 20 * x**3))
    response = np.fft.irfft(transfer)
    half = MEYER_TAPS // 2
    taps = np.concatenate([response[-half:], response[: half + 1], [0]])
    return pywt.Wavelet("Meyer", filter_bank=pywt.orthogonal_filter_bank(taps))


def _matrix(matrix: NDArray[np.float64], like: Tensor) -> Tensor:
    return torch.from_numpy(matrix).to(like)


def _rounded(coefficients: Tensor) -> Tensor:
    """Round to multiples of RESOLUTION, in place, to remove rounding noise."""
    return coefficients.div_(RESOLUTION).round_().mul_(RESOLUTION)
