"""Contrast: how much the fused image varies, overall or from pixel to pixel.

All but the last depend on the fused image only. They reward noise as much as detail, so they are
meaningful only for methods that add no noise.

    SD   = standard deviation of the gray levels
    SF   = sqrt(mean square of the steps to the right + the same downwards)
    AG   = mean of sqrt((Fx^2 + Fy^2) / 2), central differences
    EI   = mean magnitude of the Sobel gradient
    Q_SF = (SF of the fused image - SF of the sources) / SF of the sources

Programs differ in the number that a sum over pixels or differences is divided by, and at the
border.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from fusionlab.metrics.inputs import checked
from fusionlab.metrics.sources_part import once_per_sources

DIAGONAL = 0.5**0.5
"""Weight of a squared difference along a diagonal: the inverse of the distance."""


def standard_deviation(
    fused: Tensor,
    sources: Tensor,
    convention: str = "default",
) -> Tensor:
    """Compute the standard deviation of the fused image (SD), in gray levels.

    SD = sqrt(1/(H W) sum_xy (F - mean F)^2): that of the population.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(k, N, H, W)` in 0..255, any k; ignored.
        convention: `vifb` (where it is called variance) and `tang` compute the same.

    Returns:
        `(N,)`, float64, gray levels, in 0..127.5.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Ma, Ma and Li 2019, doi:10.1016/j.inffus.2018.02.004. (Most papers cite one on
    fiber-optic sensors, doi:10.1088/0957-0233/8/4/002, which does not define it.)
    """
    images = checked("SD", fused, sources, convention)
    return images.fused.flatten(1).std(dim=1, correction=0)


def spatial_frequency(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the spatial frequency of the fused image (SF), in gray levels.

    SF = sqrt(RF^2 + CF^2), where RF^2 is the sum of the squared differences between horizontal
    neighbors and CF^2 that between vertical neighbors, each divided by the number of pixels H W
    (slightly more than the number of differences).

    Args:
        fused: `(N, H, W)` in 0..255, at least 2x2.
        sources: `(k, N, H, W)` in 0..255, any k; ignored.
        convention: `vifb` computes the same. `tang`: each sum is divided by its number of
            differences, H (W - 1) and (H - 1) W, which gives slightly larger values.

    Returns:
        `(N,)`, float64, gray levels, from 0 to 255 sqrt(2).

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Eskicioglu and Fisher 1995, doi:10.1109/26.477498.
    """
    images = checked("SF", fused, sources, convention).fused
    steps = images.diff(dim=-1), images.diff(dim=-2)
    if convention == "tang":
        right, down = (step.square().mean(dim=(-2, -1)) for step in steps)
        return (right + down).sqrt()
    return _frequency([(1, step) for step in steps], images[0].numel())


def average_gradient(fused: Tensor, sources: Tensor, convention: str = "default") -> Tensor:
    """Compute the average gradient of the fused image (AG), in gray levels per pixel.

    AG = 1/(H W) sum_xy sqrt((Fx^2 + Fy^2) / 2) with central differences, Fx = (F(x+1) - F(x-1))/2,
    and one-sided differences at the border.

    Args:
        fused: `(N, H, W)` in 0..255, at least 2x2.
        sources: `(k, N, H, W)` in 0..255, any k; ignored.
        convention: `vifb` and `tang`: the sum over H W pixels is divided by (H - 1)(W - 1).

    Returns:
        `(N,)`, float64, gray levels per pixel, in 0..255.

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Cui et al. 2015, doi:10.1016/j.optcom.2014.12.032, who print forward differences
    and divide by (H - 1)(W - 1). The programs behind published tables use central differences,
    and so do we.
    """
    images = checked("AG", fused, sources, convention).fused
    down, right = torch.gradient(images, dim=(-2, -1))
    value = ((down.square() + right.square()) / 2).sqrt().mean(dim=(-2, -1))
    if convention in ("vifb", "tang"):
        height, width = images.shape[1:]
        value = value * (height * width / ((height - 1) * (width - 1)))
    return value


def edge_intensity(
    fused: Tensor,
    sources: Tensor,
    convention: str = "default",
) -> Tensor:
    """Compute the edge intensity of the fused image (EI), in gray levels.

    EI = mean over all pixels of sqrt(Sx^2 + Sy^2), with the Sobel filters [1 2 1]^T [-1 0 1] and
    its transpose, not normalized: a ramp of one level per pixel has 8. Border pixels are repeated.

    Args:
        fused: `(N, H, W)` in 0..255.
        sources: `(k, N, H, W)` in 0..255, any k; ignored.
        convention: `vifb` computes the same.

    Returns:
        `(N,)`, float64, at least 0.

    Raises:
        FusionlabError: the images do not fit together.

    Reference: Rajalingam and Priya 2018, International Journal of Engineering Science Invention
    2 (special issue), 52-60.
    """
    images = checked("EI", fused, sources, convention).fused
    wide = pad(images[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    columns = wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]
    rows = wide[..., :-2] + 2 * wide[..., 1:-1] + wide[..., 2:]
    right, down = columns[..., 2:] - columns[..., :-2], rows[:, 2:] - rows[:, :-2]
    return torch.hypot(right, down).mean(dim=(-2, -1))


def spatial_frequency_error(
    fused: Tensor,
    sources: Tensor,
    convention: str = "default",
) -> Tensor:
    """Compute the ratio of spatial frequency error (Q_SF); 0 is ideal.

    Q_SF = (SF_F - SF_R) / SF_R. The spatial frequency SF_F of the fused image includes the
    differences along both diagonals:

        SF^2 = 1/(H W) [sum right^2 + sum down^2 + (sum diagonal^2 + sum antidiagonal^2) / sqrt 2]

    SF_R uses the largest difference of any source at each position. A negative value means that
    detail of the sources is lost, a positive one that the fused image has noise or edges that no
    source has. A constant fused image has -1. Infinite or nan if all sources are constant.

    Args:
        fused: `(N, H, W)` in 0..255, at least 2x2.
        sources: `(k, N, H, W)` in 0..255, any k.
        convention: `liu` computes the same.

    Returns:
        `(N,)`, float64, at least -1.

    Raises:
        FusionlabError: the images do not fit together, or are too small.

    Reference: Zheng et al. 2007, doi:10.1016/j.inffus.2005.04.003.
    """
    images = checked("Q_SF", fused, sources, convention)
    of_fused = _frequency(_differences(images.fused), images.fused[0].numel())
    of_sources = _largest_frequency(images.sources)
    return (of_fused - of_sources) / of_sources


@once_per_sources
def _largest_frequency(sources: Tensor) -> Tensor:
    """Return SF_R, `(N,)`."""
    largest = ((weight, step.abs().amax(dim=0)) for weight, step in _differences(sources))
    return _frequency(largest, sources[0, 0].numel())


def _differences(images: Tensor) -> Iterator[tuple[float, Tensor]]:
    """Yield a weight and the differences: to the right, down and along both diagonals."""
    yield 1, images.diff(dim=-1)
    yield 1, images.diff(dim=-2)
    yield DIAGONAL, images[..., 1:, 1:] - images[..., :-1, :-1]
    yield DIAGONAL, images[..., 1:, :-1] - images[..., :-1, 1:]


def _frequency(steps: Iterable[tuple[float, Tensor]], pixels: int) -> Tensor:
    """Return the root of the weighted sum of squared differences per pixel, `(N,)`."""
    sums = [weight * step.square().sum(dim=(-2, -1)) for weight, step in steps]
    return (torch.stack(sums).sum(dim=0) / pixels).sqrt()
