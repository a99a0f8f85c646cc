"""What training minimizes: pixel loss + lambda x structure loss (Eq. 1), on gray levels 0..255.

Images are `(N, 1, H, W)`. Two losses are offered for each term: the one we decided on, and the
one that the paper prints or the authors' program computes. `docs/training.md` compares them.
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
    """Mean squared error per pixel, both images in gray levels 0..255.

    Eq. 2 prints the Euclidean distance (`euclidean`); the authors' program, which made
    Table II, took the mean square, and so do we: its size, and with it the meaning of lambda,
    does not depend on the size of the image.
    """
    return mse_loss(output, target)


def euclidean(output: Tensor, target: Tensor) -> Tensor:
    """Eq. 2 as printed: the Euclidean distance of two images, averaged over the batch.

    A 256x256 image that is one gray level off everywhere has 256. The gradient has the same
    length however small the error is; where the error is zero, so is the gradient.
    """
    distances: Tensor = torch.linalg.vector_norm((output - target).flatten(1), dim=1)
    return distances.mean()


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """Structural similarity of images in 0..255, averaged over all windows.

    The definition of Wang et al. 2004 (doi:10.1109/TIP.2003.819861): Gaussian window 11x11
    with sigma 1.5, K1 = 0.01, K2 = 0.03, only windows that lie inside the image. Both edges
    must be at least 11 pixels.

    Differs from the authors' program, see `contrast_structure_loss`.
    """
    mean_o, mean_t, variance_o, variance_t, covariance = _moments(output, target)
    luminance = (2 * mean_o * mean_t + C1) / (mean_o**2 + mean_t**2 + C1)
    structure = (2 * covariance + C2) / (variance_o + variance_t + C2)
    return (luminance * structure).mean()


def ssim_loss(output: Tensor, target: Tensor) -> Tensor:
    """1 - SSIM (Eq. 3)."""
    return 1 - ssim(output, target)


def contrast_structure_loss(output: Tensor, target: Tensor) -> Tensor:
    """The "SSIM loss" of the authors' program: SSIM without its luminance term, for range 1.

    `1 - mean((2 s_ot + c2) / (s_o^2 + s_t^2 + c2))` in the same windows, with c2 = 0.03^2 as for
    images in 0..1, though the images are in 0..255: nothing keeps it from blowing up the noise of
    flat areas, and the mean gray level is left to the pixel loss. Computed in float64: in float32
    a variance is off by more than c2.
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
    rows, columns = (_averaging(output, edge) for edge in output.shape[-2:])
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


def _averaging(images: Tensor, edge: int) -> Tensor:
    """Return the matrix `(edge - 10, edge)` that averages along one axis in all windows.

    At the sizes of training a product of matrices takes a third of the time of libraries that
    convolve, though most of what it multiplies is zero (`benchmarks/training.py`).
    """
    window = gaussian(WINDOW, SIGMA, images)
    window = torch.cat([window, window.new_zeros(edge - WINDOW + 1)])
    # each row is the one above, moved on by one: written one after another, rows of one more
    return window.repeat(edge - WINDOW + 1)[: (edge - WINDOW + 1) * edge].view(-1, edge)
