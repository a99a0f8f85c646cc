"""Metrics of color: how colorful the fused image is, and whether it keeps the hues of its sources.

These two take images in color, `(N, 3, H, W)`: red, green and blue in gray levels 0..255. A gray
image has three equal channels. Chroma and its merging are those of `fusionlab.imaging.color`, in
gray levels:

    Y  = 0.299 R + 0.587 G + 0.114 B
    Cb = (B - Y) / 1.772,   Cr = (R - Y) / 1.402
    C  = sum_i |C_i| C_i / sum_i |C_i|      merged over the sources i, Cb and Cr each

The chroma of a gray image is 0, so gray sources change nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fusionlab.metrics.inputs import checked
from fusionlab.metrics.sources_part import once_per_sources

COLORED = 10.0
"""The chroma, in gray levels, above which a pixel of the sources is colored; pure red has 134.6.

The hue of a smaller chroma is mostly noise.
"""

HUELESS = 1.0
"""The chroma, in gray levels, up to which a pixel of the fused image has no hue.

Rounding R, G and B to whole levels changes Cb and Cr by up to 0.5 each, so that a gray pixel may
have a chroma of 0.71.
"""


def saturation(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the mean over the pixels of the standard deviation of red, green and blue.

    S = mean sqrt(((R - m)^2 + (G - m)^2 + (B - m)^2) / 3) with m = (R + G + B) / 3: the saturation
    measure of Mertens et al., in gray levels instead of 0..1.

    Args:
        fused: `(N, 3, H, W)` in 0..255.
        sources: `(k, N, 3, H, W)` in 0..255; not used.
        convention: there is only the default.

    Returns:
        `(N,)`, float64, in 0..120.21; 0 for gray images.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Mertens, Kautz and Van Reeth 2009, doi:10.1111/j.1467-8659.2008.01171.x.
    """
    red, green, blue = checked("saturation", fused, sources, convention).fused.unbind(dim=1)
    # the variance of three numbers by their differences, which is exactly 0 for equal ones
    squares = (red - green).square() + (green - blue).square() + (blue - red).square()
    return (squares.sqrt() / 3).mean(dim=(1, 2))


def hue_error(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the share of the colored pixels whose hue turns by more than 90 degrees.

    A pixel is colored if the merged chroma of its sources has a magnitude sqrt(Cb^2 + Cr^2) above
    10 gray levels. Its hue is the angle of (Cb, Cr). In the fused image, a pixel with a chroma of
    at most 1 gray level has no hue, and does not count as an error: a gray image has the value 0.
    Read the metric together with `saturation`, which says how much color is left.

    Args:
        fused: `(N, 3, H, W)` in 0..255.
        sources: `(k, N, 3, H, W)` in 0..255, any k; the hue of several color sources is that of
            their merged chroma.
        convention: there is only the default.

    Returns:
        `(N,)`, float64, in 0..1; nan where no pixel of the sources is colored.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: chroma of ITU-T T.871 (JFIF), merged by Eq. 4 of Prabhakar et al., ICCV 2017,
    doi:10.1109/ICCV.2017.505. The share and its two thresholds are defined here.
    """
    images = checked("hue_error", fused, sources, convention)
    expected, result = _expected(images.sources), _chroma(images.fused)
    colored = expected.norm(dim=1) > COLORED
    turned = (expected * result).sum(dim=1) < 0  # an angle of more than 90 degrees
    errors = colored & turned & (result.norm(dim=1) > HUELESS)
    share: Tensor = errors.sum(dim=(1, 2)).double() / colored.sum(dim=(1, 2))
    return share


@once_per_sources
def _expected(sources: Tensor) -> Tensor:
    return _merged(_chroma(sources))


def _chroma(images: Tensor) -> Tensor:
    """Return Cb and Cr `(..., 2, H, W)` of images `(..., 3, H, W)`, in gray levels."""
    red, green, blue = images.unbind(dim=-3)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack([(blue - luma) / 1.772, (red - luma) / 1.402], dim=-3)


def _merged(chroma: Tensor) -> Tensor:
    """Merge the chroma `(k, N, 2, H, W)` of the sources: `(N, 2, H, W)`."""
    magnitude = chroma.abs()
    total = magnitude.sum(dim=0)
    merged: Tensor = (magnitude * chroma).sum(dim=0) / torch.where(total > 0, total, 1)
    return merged
