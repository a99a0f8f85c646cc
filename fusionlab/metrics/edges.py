"""Edges: how many the fused image keeps of its sources (Qabf, Q_G), how many it invents (Nabf).

Sobel's operator gives each pixel of an image a strength g and an angle a. Of the edge in source i
the fused image F keeps

    G_i = min(g_i, g_F) / max(g_i, g_F)         of its strength
    A_i = 1 - |a_i - a_F| / (pi / 2)            of its orientation
    Q_i = S(G_i) S'(A_i)                        of both; S(x) = top / (1 + exp(slope (middle - x)))

    Qabf = sum Q_i g_i / sum g_i                sums over all sources and pixels
    Q_G  = mean of (sum_i Q_i g_i / sum_i g_i)  over all pixels
    Nabf = sum' (1 - Q_i) w_i / sum w_i         sum' over the pixels where g_F > g_i for all i

They also differ in constants and borders, and in how they compare angles.

Where programs differ: whether two gradients are equal, or one is zero, decides between branches,
and on gray levels in 0..1 the rounding of a sum decides that: a copy of a source has a Qabf of
0.425 in MATLAB, 0.422 in GNU Octave and 0.677 on 0..255. Here gradients are exact on every device,
as sums of whole numbers, steps of 1/257 gray level: what files of 8 and of 16 bits hold. Finer
floats are rounded to that. Only `paper` computes in 0..1, in the order of its program.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from fusionlab.metrics.inputs import WHITE, Images, checked

STEPS = 257
"""Into how many steps a gray level is divided: those of 16 bits."""

SOBEL_X = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))
SOBEL_Y = ((1, 2, 1), (0, 0, 0), (-1, -2, -1))

MATLAB_COLUMNS = (0, 1, 2)
"""In which order MATLAB's `conv2` adds up the columns of a kernel, each from top to bottom."""


class _Sigmoid(NamedTuple):
    top: float
    slope: float
    middle: float

    def __call__(self, kept: Tensor) -> Tensor:
        return self.top / (1 + torch.exp(self.slope * (self.middle - kept)))


class _Edges(NamedTuple):
    strength: Tensor
    angle: Tensor


# ------------------------------------------------------------------ Qabf
QABF_STRENGTH = _Sigmoid(0.9994, 15, 0.5)
QABF_ORIENTATION = _Sigmoid(0.9879, 22, 0.8)


def qabf(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Share of the sources' edges that is found again in the fused image (Qabf).

    Qabf = sum Q_i g_i / sum g_i over all sources and pixels. The definition leaves the constants
    open; all programs have those of G. Hong's: 0.9994, 15 and 0.5 for the strength, 0.9879, 22
    and 0.8 for the orientation.

    Angles lie in (-pi/2, pi/2] and are subtracted as they are: two edges a little to both sides
    of pi/2 hardly differ, and yet A_i is -1. For the same reason mirrored images may get another
    value. Beyond the border all images are black, and this frame is an edge that they share: a
    constant fused image of 51x63 pixels gets 0.3.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(k, N, H, W)` likewise, any k; judged together.
        convention: all programs have G_i = g_F where g_i = g_F, by mistake; here it is 1, as
            everywhere else G_i tends to. `vifb` measures g_F in 1/255 gray level there, which does
            no harm. Nor does `tang`, in gray levels, on images of 8 bits; on finer ones equal
            edges weaker than a gray level count as lost. `paper` measures it in units of white,
            and nearly all equal edges count as lost. Which are equal, in 0..1, is decided by the
            order in which MATLAB's `conv2` adds; under Octave the same program differs by up to
            1 %. On the authors' pictures for lambda = 1e2 it gives the 0.44190 (addition) and
            0.47684 (l1-norm) of Table II.

    Returns:
        `(N,)`, float64, in 0..1; at most 0.9748, where all edges are kept; nan where all sources
        are black.

    Raises:
        FusionlabError: the images do not fit together, or are smaller than 3x3.

    Reference: Xydeas and Petrovic 2000, doi:10.1049/el:20000267.
    """
    images = checked("Qabf", fused, sources, convention)
    if convention == "paper":
        return _qabf_in_unit_range(images, MATLAB_COLUMNS)
    of_fused, of_sources = (_edges_by_conv2(_whole(each), MATLAB_COLUMNS) for each in images)
    where_equal = torch.ones_like(of_fused.strength)
    if convention in ("vifb", "tang"):
        unit = STEPS / WHITE if convention == "vifb" else STEPS
        where_equal = of_fused.strength / unit
    return _qabf(of_fused, of_sources, where_equal)


def _qabf_in_unit_range(images: Images, columns: Sequence[int]) -> Tensor:
    """Return what the authors' program computes where `conv2` adds up columns in this order."""
    of_fused, of_sources = (_edges_by_conv2(_in_unit_range(each), columns) for each in images)
    return _qabf(of_fused, of_sources, where_equal=of_fused.strength)


def _qabf(fused: _Edges, sources: _Edges, where_equal: Tensor) -> Tensor:
    equal = sources.strength == fused.strength
    kept = torch.where(equal, where_equal, _similarity(fused, sources))
    aligned = 1 - (sources.angle - fused.angle).abs() / (pi / 2)
    quality = QABF_STRENGTH(kept) * QABF_ORIENTATION(aligned)
    return _total(quality * sources.strength) / _total(sources.strength)


def _edges_by_conv2(images: Tensor, columns: Sequence[int]) -> _Edges:
    x, y = (_conv2(images, kernel, columns) for kernel in (SOBEL_X, SOBEL_Y))
    return _Edges(_norm(x, y), torch.where(x == 0, pi / 2, torch.atan(y / x)))


def _conv2(images: Tensor, kernel: Sequence[Sequence[int]], columns: Sequence[int]) -> Tensor:
    """Convolve with a 3x3 kernel, black beyond the border, in a given order of summation.

    The products are exact, so that only the order matters, and no fused multiply-add does.
    """
    height, width = images.shape[-2:]
    framed = pad(images, (1, 1, 1, 1))
    total = torch.zeros_like(images)
    for column in columns:
        for row in range(3):
            if kernel[row][column]:
                top, left = 2 - row, 2 - column  # convolution turns the kernel round
                moved = framed[..., top : top + height, left : left + width]
                total += kernel[row][column] * moved
    return total


# ------------------------------------------------------------------ Q_G
Q_G_STRENGTH = _Sigmoid(1, 10, 0.5)
Q_G_ORIENTATION = _Sigmoid(1, 20, 0.75)


def q_g(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Share of the sources' edges that is kept, averaged over the pixels (Q_G of Liu et al.).

    Q_G = mean of (sum_i Q_i g_i / sum_i g_i) over all pixels: Qabf with every pixel of the same
    weight, and with other constants: 1, 10 and 0.5 for the strength, 1, 20 and 0.75 for the
    orientation, with A_i = | |a_i - a_F| - pi/2 | / (pi/2), for which opposite angles are one.
    Where no source has an edge, their Q_i weigh the same, and a fused image without an edge there
    has kept everything. Beyond the border all images are black.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(k, N, H, W)` likewise, any k; judged together.
        convention: `liu` puts 1e-5 for every zero that it divides by. The default is what that
            tends to for ever smaller numbers. Where the fused image alone is flat the program has
            G_1 = 0 for the first source, but 1e-5 / g_i for the second; ours has that for both,
            and differs by 6e-7 of the value, for a constant image.

    Returns:
        `(N,)`, float64, in 0..1; at most 0.9867, where all edges are kept.

    Raises:
        FusionlabError: the images do not fit together, or are smaller than 3x3.

    Reference: `metricXydeas` of the toolbox to Liu et al. 2012, doi:10.1109/TPAMI.2011.109.
    """
    images = checked("Q_G", fused, sources, convention)
    least = STEPS * (1e-5 if convention == "liu" else 1e-100)
    of_fused, of_sources = (_edges_above(least, each) for each in images)
    quality = Q_G_STRENGTH(_similarity(of_fused, of_sources)) * Q_G_ORIENTATION(
        _parallelism(of_fused, of_sources)
    )
    weighted = (quality * of_sources.strength).sum(dim=0) / of_sources.strength.sum(dim=0)
    return weighted.mean(dim=(-2, -1))


def _edges_above(least: float, images: Tensor) -> _Edges:
    across, down = _sobel(_whole(images), "constant")
    strength = _norm(across, down)
    return _Edges(
        torch.where(strength == 0, least, strength),
        torch.atan(down / torch.where(across == 0, least, across)),
    )


# ------------------------------------------------------------------ Nabf
NABF_STRENGTH = _Sigmoid(0.9999, 19, 0.5)
NABF_ORIENTATION = _Sigmoid(0.9995, 22, 0.5)

CLEAR = 2.0
"""Gray levels per pixel: edges at least that strong weigh more than all others."""

UNCLEAR_WEIGHT = 0.001


def nabf(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Share of edges that the fused image invents (Nabf), lower is better.

    Nabf = sum' (1 - Q_i) w_i / sum w_i; sum' is over the pixels where the edge of the fused image
    is stronger than that of every source. Here Q_i = sqrt(S(G_i) S'(A_i)), with the constants
    0.9999, 19 and 0.5 for the strength and 0.9995, 22 and 0.5 for the orientation; A_i = | |a_i -
    a_F| - pi/2 | / (pi/2), for which opposite angles are one; G_i = 0 where there is no edge.
    g is Sobel's sum / 8, in gray levels per pixel; an edge weighs w_i = g_i^1.5 if g_i >= 2, else
    0.001. The border is a mirror.

    An edge where no source has one weighs next to nothing: noise in flat regions goes unnoticed.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(k, N, H, W)` likewise, any k; judged together.
        convention: `paper` computes on gray levels in 0..1, where no edge reaches 2 and all weigh
            the same, so that edges invented in flat regions count in full. `tang` hands over its
            images in the wrong order: it judges the first source, with the others and the fused
            image for its sources, which tells little about the fused image.

    Returns:
        `(N,)`, float64, in 0..1; 0 where the fused image is constant.

    Raises:
        FusionlabError: the images do not fit together, or are smaller than 3x3.

    Reference: Shreyamsha Kumar 2013, doi:10.1007/s11760-012-0361-x, who changed the measure of
    Petrovic and Xydeas 2005, doi:10.1109/ICCV.2005.175.
    """
    images = checked("Nabf", fused, sources, convention)
    if convention == "tang":
        first, *others = images.sources
        images = Images(first, torch.stack([*others, images.fused]))
    scaled, unit = (_in_unit_range, 8) if convention == "paper" else (_whole, 8 * STEPS)
    of_fused, of_sources = (_edges_in_mirror(scaled(each)) for each in images)
    quality = _nabf_quality(of_fused, of_sources)
    strength = of_sources.strength
    weight = torch.where(strength >= CLEAR * unit, (strength / unit) ** 1.5, UNCLEAR_WEIGHT)
    invented = (of_fused.strength > strength).all(dim=0)
    return _total(invented * (1 - quality) * weight) / _total(weight)


def _nabf_quality(fused: _Edges, sources: _Edges) -> Tensor:
    any_edge = torch.maximum(fused.strength, sources.strength) > 0
    kept = torch.where(any_edge, _similarity(fused, sources), 0)
    return torch.sqrt(NABF_STRENGTH(kept) * NABF_ORIENTATION(_parallelism(fused, sources)))


def _edges_in_mirror(images: Tensor) -> _Edges:
    across, down = _sobel(images, "reflect")
    strength = _norm(across, down)
    return _Edges(strength, torch.where(strength == 0, 0, torch.atan(across / down)))


# ------------------------------------------------------------------ what they share
def _whole(images: Tensor) -> Tensor:
    """Return the images in steps of 1/257 gray level: whole numbers, whose sums are exact."""
    return torch.round(images * STEPS)


def _in_unit_range(images: Tensor) -> Tensor:
    """Return the images in 0..1: MATLAB's `im2double`.

    They are divided by a tensor, since a GPU multiplies with the inverse of a plain number, which
    rounds otherwise.
    """
    return images / images.new_tensor(WHITE)


def _sobel(images: Tensor, border: Literal["constant", "reflect"]) -> tuple[Tensor, Tensor]:
    """Return the gradients toward the right and downwards, each a sum of sums over one axis."""
    framed = pad(images, (1, 1, 1, 1), mode=border)
    sums = framed[..., :-2, :] + 2 * framed[..., 1:-1, :] + framed[..., 2:, :]
    steps = framed[..., 2:, :] - framed[..., :-2, :]
    return (
        sums[..., 2:] - sums[..., :-2],
        steps[..., :-2] + 2 * steps[..., 1:-1] + steps[..., 2:],
    )


def _norm(x: Tensor, y: Tensor) -> Tensor:
    """Return sqrt(x^2 + y^2), correctly rounded: whether two strengths are equal hangs on it.

    Of torch's roots on a CPU (those of MKL) one in seventy is off by one bit.
    """
    square = x.square() + y.square()
    if square.device.type == "cpu":
        return torch.from_numpy(np.sqrt(square.numpy(force=True)))
    return square.sqrt()


def _similarity(fused: _Edges, sources: _Edges) -> Tensor:
    """Return min / max of the strengths; nan where both are zero."""
    weaker = torch.minimum(fused.strength, sources.strength)
    return weaker / torch.maximum(fused.strength, sources.strength)


def _parallelism(fused: _Edges, sources: _Edges) -> Tensor:
    """Return 1 for parallel edges down to 0 for perpendicular ones."""
    return ((sources.angle - fused.angle).abs() - pi / 2).abs() / (pi / 2)


def _total(values: Tensor) -> Tensor:
    """Sum `(k, N, H, W)` over the sources and pixels."""
    return values.sum(dim=(0, -2, -1))
