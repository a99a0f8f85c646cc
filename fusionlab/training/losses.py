"""What training minimises: pixel loss + lambda x SSIM loss (Eq. 1), on grey levels 0..255."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, mse_loss

DATA_RANGE = 255.0
WINDOW = 11
SIGMA = 1.5


def pixel_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error per pixel, both images in grey levels 0..255.

    Eq. 2 prints the Euclidean distance; the authors' program, which made Table II, took the
    mean square, and so do we: its size, and with it the meaning of lambda, does not depend on
    the size of the image.
    """
    return mse_loss(output, target)


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """Structural similarity of images `(N, 1, H, W)` in 0..255, averaged over all windows.

    The definition of Wang et al. 2004 (doi:10.1109/TIP.2003.819861): Gaussian window 11x11
    with sigma 1.5, K1 = 0.01, K2 = 0.03, only windows that lie inside the image. Both edges
    must be at least 11 pixels.

    Differs from the authors' program, which left out the luminance term and took the data
    range as 1 on 0..255 data.
    """
    taps = torch.arange(WINDOW, device=output.device, dtype=output.dtype) - WINDOW // 2
    window = torch.exp(-(taps**2) / (2 * SIGMA**2))
    window = window / window.sum()

    def average(images: Tensor) -> Tensor:
        return conv2d(conv2d(images, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))

    moments = torch.cat([output, target, output**2, target**2, output * target])
    mean_o, mean_t, square_o, square_t, product = average(moments).chunk(5)
    variance_o, variance_t = square_o - mean_o**2, square_t - mean_t**2
    covariance = product - mean_o * mean_t
    c1, c2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2
    luminance = (2 * mean_o * mean_t + c1) / (mean_o**2 + mean_t**2 + c1)
    structure = (2 * covariance + c2) / (variance_o + variance_t + c2)
    return (luminance * structure).mean()


def ssim_loss(output: Tensor, target: Tensor) -> Tensor:
    """1 - SSIM (Eq. 3)."""
    return 1 - ssim(output, target)
