"""Edges: how well the fused image preserves those of its sources (Qabf, Q_G) or adds some (Nabf).

The Sobel operator gives each pixel of an image a strength g and an angle a. The fused image F
preserves of the edge in source i

    G_i = min(g_i, g_F) / max(g_i, g_F)         of its strength
    A_i = 1 - |a_i - a_F| / (pi / 2)            of its orientation
    Q_i = S(G_i) S'(A_i)                        of both; S(x) = top / (1 + exp(slope (middle - x)))

    Qabf = sum Q_i g_i / sum g_i                sums over all sources and pixels
    Q_G  = mean of (sum_i Q_i g_i / sum_i g_i)  over all pixels
    Nabf = sum' (1 - Q_i) w_i / sum w_i         sum' over the pixels where g_F > g_i for all i

They also differ in constants, borders, and in how they compare angles.

Where programs differ: they branch on whether two gradients are equal or one is zero, and on gray
levels in 0..1 the rounding of a sum decides that: a copy of a source has a Qabf of 0.425 in
MATLAB, 0.422 in GNU Octave and 0.677 on 0..255. Here gradients are exact on every device: sums of
integers in units of 1/257 gray level, the resolution of 8- and 16-bit files. Finer floats are
rounded to that. Only `paper` computes in 0..1, in the summation order of its program.
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
from fusionlab.metrics.sources_part import once_per_sources

STEPS = 257
"""Steps per gray level: the resolution of 16-bit files."""

SOBEL_X = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))
SOBEL_Y = ((1, 2, 1), (0, 0, 0), (-1, -2, -1))

MATLAB_COLUMNS = (0, 1, 2)
"""Order in which MATLAB's `conv2` adds the columns of a kernel, each from top to bottom."""


class _Sigmoid(NamedTuple):
    top: float
    slope: float
    middle: float

    def __call__(self, preservation: Tensor) -> Tensor:
        return self.top / (1 + torch.exp(self.slope * (self.middle - preservation)))


class _Edges(NamedTuple):
    strength: Tensor
    angle: Tensor


# ------------------------------------------------------------------ Qabf
QABF_STRENGTH = _Sigmoid(0.9994, 15, 0.5)
QABF_ORIENTATION = _Sigmoid(0.9879, 22, 0.8)


def qabf(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the fraction of the sources' edges that the fused image preserves (Qabf).

    Qabf = sum Q_i g_i / sum g_i over all sources and pixels. The definition leaves the constants
    open; all programs use those of G. Hong: 0.9994, 15 and 0.5 for the strength, 0.9879, 22 and 0.8
    for the orientation.

    Angles lie in (-pi/2, pi/2] and are subtracted without wrapping: for two edges just below and
    just above pi/2, which hardly differ, A_i is -1. For the same reason a mirrored scene may get a
    different value. Pixels beyond the border are black, and this frame is an edge that all images
    share: a constant fused image of 51x63 pixels gets 0.3.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(k, N, H, W)` in 0..255, any k; pooled in the same sums.
        convention: all programs mistakenly use G_i = g_F where g_i = g_F; the default uses 1, the
            limit of G_i. `vifb` measures g_F in 1/255 gray level there, which has almost no effect.
            `tang` measures it in gray levels: no effect on 8-bit images, but on finer ones equal
            edges weaker than a gray level count as lost. `paper` measures it in units of white,
            and nearly all equal edges count as lost. Which ones are equal in 0..1 depends on the
            summation order of MATLAB's `conv2`; under Octave the same program differs by up to
            1 %. On the authors' images for lambda = 1e2 it gives the 0.44190 (addition) and
            0.47684 (l1-norm) of Table II.

    Returns:
        `(N,)`, float64, in 0..1; at most 0.9748, if all edges are preserved; nan if all sources are
        black.

    Raises:
        FusionlabError: the images do not fit together, or are smaller than 3x3.

    Reference: Xydeas and Petrovic 2000, doi:10.1049/el:20000267.
    """
    images = checked("Qabf", fused, sources, convention)
    if convention == "paper":
        return _qabf_in_unit_range(images, MATLAB_COLUMNS)
    fused_edges = _edges_by_conv2(_integer_steps(images.fused), MATLAB_COLUMNS)
    source_edges = _source_edges(images.sources)
    if_equal = torch.ones_like(fused_edges.strength)
    if convention in ("vifb", "tang"):
        unit = STEPS / WHITE if convention == "vifb" else STEPS
        if_equal = fused_edges.strength / unit
    return _qabf(fused_edges, source_edges, if_equal)


def _qabf_in_unit_range(images: Images, columns: Sequence[int]) -> Tensor:
    """Return Qabf of the authors' program for a `conv2` that adds the columns in this order."""
    fused_edges = _edges_by_conv2(_in_unit_range(images.fused), columns)
    source_edges = _source_edges_in_unit_range(images.sources, tuple(columns))
    return _qabf(fused_edges, source_edges, if_equal=fused_edges.strength)


@once_per_sources
def _source_edges(sources: Tensor) -> _Edges:
    return _edges_by_conv2(_integer_steps(sources), MATLAB_COLUMNS)


@once_per_sources
def _source_edges_in_unit_range(sources: Tensor, columns: tuple[int, ...]) -> _Edges:
    return _edges_by_conv2(_in_unit_range(sources), columns)


def edge_preservation(fused: Tensor, sources: Tensor, index: int) -> tuple[Tensor, Tensor]:
    """Return the preserved fraction Q_i of each edge and its strength g_i, as in `qabf`.

    Args:
        fused: `(N, H, W)` in 0..255, float64.
        sources: `(k, N, H, W)` in 0..255, float64.
        index: i, which of the sources.

    Returns:
        Q and g, `(N, H, W)` each; g in 1/257 gray level.
    """
    fused_edges = _edges_by_conv2(_integer_steps(fused), MATLAB_COLUMNS)
    source_edges = _Edges(*(edges[index] for edges in _source_edges(sources)))
    if_equal = torch.ones_like(fused_edges.strength)
    return _qabf_quality(fused_edges, source_edges, if_equal), source_edges.strength


def _qabf(fused: _Edges, sources: _Edges, if_equal: Tensor) -> Tensor:
    quality = _qabf_quality(fused, sources, if_equal)
    return _total(quality * sources.strength) / _total(sources.strength)


def _qabf_quality(fused: _Edges, sources: _Edges, if_equal: Tensor) -> Tensor:
    equal = sources.strength == fused.strength
    similarity = torch.where(equal, if_equal, _similarity(fused, sources))
    alignment = 1 - (sources.angle - fused.angle).abs() / (pi / 2)
    return QABF_STRENGTH(similarity) * QABF_ORIENTATION(alignment)


def _edges_by_conv2(images: Tensor, columns: Sequence[int]) -> _Edges:
    x, y = (_conv2(images, kernel, columns) for kernel in (SOBEL_X, SOBEL_Y))
    return _Edges(_norm(x, y), torch.where(x == 0, pi / 2, torch.atan(y / x)))


def _conv2(images: Tensor, kernel: Sequence[Sequence[int]], columns: Sequence[int]) -> Tensor:
    """Convolve with a 3x3 kernel and zero padding, in a given order of summation.

    The products are exact, so that only the order matters; fused multiply-adds do not.
    """
    height, width = images.shape[-2:]
    padded = pad(images, (1, 1, 1, 1))
    total = torch.zeros_like(images)
    for column in columns:
        for row in range(3):
            if kernel[row][column]:
                top, left = 2 - row, 2 - column  # a convolution flips the kernel
                shifted = padded[..., top : top + height, left : left + width]
                total += kernel[row][column] * shifted
    return total


# ------------------------------------------------------------------ Q_G
Q_G_STRENGTH = _Sigmoid(1, 10, 0.5)
Q_G_ORIENTATION = _Sigmoid(1, 20, 0.75)


def q_g(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Average the preserved fraction of the sources' edges over the pixels (Q_G of Liu et al.).

    Q_G = mean of (sum_i Q_i g_i / sum_i g_i) over all pixels. Unlike in Qabf every pixel has the
    same weight, and the constants are 1, 10 and 0.5 for the strength, 1, 20 and 0.75 for the
    orientation, with A_i = | |a_i - a_F| - pi/2 | / (pi/2), which treats opposite angles as equal.
    Where no source has an edge, their Q_i have equal weights, and a fused image without an edge
    there preserves everything. Pixels beyond the border are black.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(k, N, H, W)` in 0..255, any k; weighted together at each pixel.
        convention: `liu` replaces every zero divisor by 1e-5; the default is the limit for smaller
            and smaller replacements. Where only the fused image is flat, the program has G_1 = 0
            for the first source but 1e-5 / g_i for the second; ours has the latter for both, a
            relative difference of 6e-7 for a constant image.

    Returns:
        `(N,)`, float64, in 0..1; at most 0.9867, if all edges are preserved.

    Raises:
        FusionlabError: the images do not fit together, or are smaller than 3x3.

    Reference: `metricXydeas` of the toolbox to Liu et al. 2012, doi:10.1109/TPAMI.2011.109.
    """
    images = checked("Q_G", fused, sources, convention)
    epsilon = STEPS * (1e-5 if convention == "liu" else 1e-100)
    fused_edges = _edges_without_zeros(images.fused, epsilon)
    source_edges = _source_edges_without_zeros(images.sources, epsilon)
    quality = Q_G_STRENGTH(_similarity(fused_edges, source_edges)) * Q_G_ORIENTATION(
        _parallelism(fused_edges, source_edges)
    )
    weighted = (quality * source_edges.strength).sum(dim=0) / source_edges.strength.sum(dim=0)
    return weighted.mean(dim=(-2, -1))


@once_per_sources
def _source_edges_without_zeros(sources: Tensor, epsilon: float) -> _Edges:
    return _edges_without_zeros(sources, epsilon)


def _edges_without_zeros(images: Tensor, epsilon: float) -> _Edges:
    """Return the edges with `epsilon` in place of every zero that is divided by."""
    across, down = _sobel(_integer_steps(images), "constant")
    strength = _norm(across, down)
    return _Edges(
        torch.where(strength == 0, epsilon, strength),
        torch.atan(down / torch.where(across == 0, epsilon, across)),
    )


# ------------------------------------------------------------------ Nabf
NABF_STRENGTH = _Sigmoid(0.9999, 19, 0.5)
NABF_ORIENTATION = _Sigmoid(0.9995, 22, 0.5)

STRONG_EDGE = 2.0
"""Gray levels per pixel: edges at least this strong are weighted by their strength."""

WEAK_EDGE_WEIGHT = 0.001


def nabf(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the fraction of edges that the fused image adds (Nabf); lower is better.

    Nabf = sum' (1 - Q_i) w_i / sum w_i; sum' is over the pixels where the edge of the fused image
    is stronger than that of every source. Here Q_i = sqrt(S(G_i) S'(A_i)), with the constants
    0.9999, 19 and 0.5 for the strength and 0.9995, 22 and 0.5 for the orientation; A_i = | |a_i -
    a_F| - pi/2 | / (pi/2), which treats opposite angles as equal; G_i = 0 where there is no edge.
    g is the Sobel sum / 8, in gray levels per pixel; the weight is w_i = g_i^1.5 if g_i >= 2, else
    0.001. The border is reflected.

    An edge where no source has one has almost no weight: noise in flat regions is ignored.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(k, N, H, W)` in 0..255, any k; pooled in the same sums.
        convention: `paper` computes on gray levels in 0..1, where no edge reaches 2 and all have
            the same weight, so that edges added in flat regions count fully. `tang` passes its
            images in the wrong order: it scores the first source as if it were fused from the
            other sources and the fused image, which says little about the fused image.

    Returns:
        `(N,)`, float64, in 0..1; 0 if the fused image is constant.

    Raises:
        FusionlabError: the images do not fit together, or are smaller than 3x3.

    Reference: Shreyamsha Kumar 2013, doi:10.1007/s11760-012-0361-x, who changed the measure of
    Petrovic and Xydeas 2005, doi:10.1109/ICCV.2005.175.
    """
    images = checked("Nabf", fused, sources, convention)
    if convention == "tang":
        first, *others = images.sources
        images = Images(first, torch.stack([*others, images.fused]))
    unit_range = convention == "paper"
    unit = 8 if unit_range else 8 * STEPS
    fused_edges = _edges_reflected(images.fused, unit_range)
    source_edges = _source_edges_reflected(images.sources, unit_range)
    quality = _nabf_quality(fused_edges, source_edges)
    strength = source_edges.strength
    strong = strength >= STRONG_EDGE * unit
    weight = torch.where(strong, (strength / unit) ** 1.5, WEAK_EDGE_WEIGHT)
    added = (fused_edges.strength > strength).all(dim=0)
    return _total(added * (1 - quality) * weight) / _total(weight)


def _nabf_quality(fused: _Edges, sources: _Edges) -> Tensor:
    any_edge = torch.maximum(fused.strength, sources.strength) > 0
    similarity = torch.where(any_edge, _similarity(fused, sources), 0)
    return torch.sqrt(NABF_STRENGTH(similarity) * NABF_ORIENTATION(_parallelism(fused, sources)))


@once_per_sources
def _source_edges_reflected(sources: Tensor, unit_range: bool) -> _Edges:
    return _edges_reflected(sources, unit_range)


def _edges_reflected(images: Tensor, unit_range: bool) -> _Edges:
    scaled = _in_unit_range(images) if unit_range else _integer_steps(images)
    across, down = _sobel(scaled, "reflect")
    strength = _norm(across, down)
    return _Edges(strength, torch.where(strength == 0, 0, torch.atan(across / down)))


# ------------------------------------------------------------------ shared helpers
def _integer_steps(images: Tensor) -> Tensor:
    """Return the images in steps of 1/257 gray level: integers, whose sums are exact."""
    return torch.round(images * STEPS)


def _in_unit_range(images: Tensor) -> Tensor:
    """Return the images in 0..1, as MATLAB's `im2double` does.

    The divisor is a tensor: a GPU would multiply by the inverse of a Python number, which rounds
    differently.
    """
    return images / images.new_tensor(WHITE)


def _sobel(images: Tensor, border: Literal["constant", "reflect"]) -> tuple[Tensor, Tensor]:
    """Return the gradients to the right and downwards, computed one axis after the other."""
    padded = pad(images, (1, 1, 1, 1), mode=border)
    sums = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    differences = padded[..., 2:, :] - padded[..., :-2, :]
    return (
        sums[..., 2:] - sums[..., :-2],
        differences[..., :-2] + 2 * differences[..., 1:-1] + differences[..., 2:],
    )


def _norm(x: Tensor, y: Tensor) -> Tensor:
    """Return sqrt(x^2 + y^2), correctly rounded: strengths are compared for equality.

    On CPU one in seventy of torch's square roots (those of MKL) is off by one bit.
    """
    square = x.square() + y.square()
    if square.device.type == "cpu":
        return torch.from_numpy(np.sqrt(square.numpy(force=True)))
    return square.sqrt()


def _similarity(fused: _Edges, sources: _Edges) -> Tensor:
    """Return the smaller strength divided by the larger; nan where both are zero."""
    weaker = torch.minimum(fused.strength, sources.strength)
    return weaker / torch.maximum(fused.strength, sources.strength)


def _parallelism(fused: _Edges, sources: _Edges) -> Tensor:
    """Return 1 for parallel edges down to 0 for perpendicular ones."""
    return ((sources.angle - fused.angle).abs() - pi / 2).abs() / (pi / 2)


def _total(values: Tensor) -> Tensor:
    """Sum `(k, N, H, W)` over the sources and pixels."""
    return values.sum(dim=(0, -2, -1))
