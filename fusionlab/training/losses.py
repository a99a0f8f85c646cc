"""The loss of autoencoders: pixel loss + lambda x structure loss (Eq. 1), on gray levels 0..255.

Images are `(N, 1, H, W)`. There are two losses for each term: the default, and the one that the
paper prints or the authors' program computes. `docs/training.md` compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from fusionlab.metrics.moments import C1, C2, SIGMA, WINDOW
from fusionlab.metrics.windows import gaussian
from fusionlab.training.settings import PixelLoss, StructureLoss

DATA_RANGE = 255.0

Loss = Callable[[Tensor, Tensor], Tensor]


def mean_square(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error per pixel, both images in gray levels 0..255.

    Eq. 2 prints the Euclidean distance (`euclidean`). The authors' program, which produced Table
    II, uses the mean square, and so do we: its magnitude, and with it the meaning of lambda, does
    not depend on the size of the image.
    """
    return mse_loss(output, target)


def euclidean(output: Tensor, target: Tensor) -> Tensor:
    """Return Eq. 2 as printed: the Euclidean distance of two images, averaged over the batch.

    It is 256 for a 256x256 image that is one gray level off everywhere. The gradient has the same
    length however small the error is, and is zero where the error is zero.
    """
    distances: Tensor = torch.linalg.vector_norm((output - target).flatten(1), dim=1)
    return distances.mean()


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """Return the structural similarity of images in 0..255, averaged over all windows.

    As defined by Wang et al. 2004 (doi:10.1109/TIP.2003.819861): Gaussian window 11x11 with sigma
    1.5, K1 = 0.01, K2 = 0.03, only windows that lie inside the image. Both edges must be at least
    11 pixels. The authors' program differs, see `contrast_structure_loss`.
    """
    mean_o, mean_t, variance_o, variance_t, covariance = _moments(output, target)
    luminance = (2 * mean_o * mean_t + C1) / (mean_o**2 + mean_t**2 + C1)
    structure = (2 * covariance + C2) / (variance_o + variance_t + C2)
    return (luminance * structure).mean()


def ssim_loss(output: Tensor, target: Tensor) -> Tensor:
    """Return 1 - SSIM (Eq. 3)."""
    return 1 - ssim(output, target)


def contrast_structure_loss(output: Tensor, target: Tensor) -> Tensor:
    """Return the "SSIM loss" of the authors' program: SSIM without luminance, for a range of 1.

    It is `1 - mean((2 s_ot + c2) / (s_o^2 + s_t^2 + c2))` over the same windows, with c2 = 0.03^2
    as for images in 0..1, although the images are in 0..255: it amplifies the noise of flat areas,
    and leaves the mean gray level to the pixel loss. It is computed in float64, because in float32
    the error of a variance exceeds c2.
    """
    _, _, variance_o, variance_t, covariance = _moments(output.double(), target.double())
    c2 = 0.03**2
    return (1 - ((2 * covariance + c2) / (variance_o + variance_t + c2)).mean()).to(output.dtype)


PIXEL_LOSSES: Mapping[PixelLoss, Loss] = {"mse": mean_square, "euclidean": euclidean}
STRUCTURE_LOSSES: Mapping[StructureLoss, Loss] = {
    "ssim": ssim_loss,
    "contrast-structure": contrast_structure_loss,
}


def _moments(output: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    """Return both means, both variances and the covariance of every window."""
    rows, columns = (_averaging_matrix(output, edge) for edge in output.shape[-2:])
    moments = torch.cat([output, target, output**2, target**2, output * target])
    averages = rows @ moments @ columns.T  # (5 N, 1, H - 10, W - 10)
    mean_o, mean_t, square_o, square_t, product = averages.chunk(5)
    return (
        mean_o,
        mean_t,
        square_o - mean_o**2,
        square_t - mean_t**2,
        product - mean_o * mean_t,
    )


def _averaging_matrix(images: Tensor, edge: int) -> Tensor:
    """Return the matrix `(edge - 10, edge)` of the weighted means of all windows along one axis.

    At the sizes of training images a matrix product takes a third of the time of libraries that
    convolve, although most factors are zero (`benchmarks/training.py`).
    """
    window = gaussian(WINDOW, SIGMA, images)
    window = torch.cat([window, window.new_zeros(edge - WINDOW + 1)])
    # each row is the previous one shifted by one: rows of edge + 1 numbers, written consecutively
    return window.repeat(edge - WINDOW + 1)[: (edge - WINDOW + 1) * edge].view(-1, edge)
