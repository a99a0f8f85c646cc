"""The saliency of an image for the human eye, as HMSD_GF measures it.

E  = sqrt(sum |F M|^2) / (m n)              F: Fourier transform of a block of m x n pixels
M  = 2.6 (0.0192 + 0.114 r) exp(-(0.114 r)^1.1)     contrast sensitivity (Mannos and Sakrison)
PS = sum w E / sum w                        w: sum of the squared gradients in the block
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene
    from fusionlab.strategy import Statistics

BLOCK = 40
"""Edge of the blocks; those at the right and at the bottom have what is left."""

CYCLES = 32
"""Cycles per degree of one cycle per pixel."""


def saliency_sums(features: Tensor, scene: Scene) -> Statistics:
    """Return the sums of w E and of w, `(N, 2, 1, 1)` each, over the blocks of both sources.

    The blocks tile the image without its outermost pixels, where gradients are not defined. A
    block belongs to the tile that has its first pixel, and must lie within the tile and its halo.

    Args:
        features: infrared and visible image, `(2, N, 1, h, w)` in gray levels.
        scene: where they lie in the whole image.
    """
    import torch

    images = features.double().squeeze(2).transpose(0, 1)
    height, width = images.shape[-2:]
    gradients = _squared_gradients(images)
    box = scene.valid_box or (0, 0, height, width)
    rows = _spans(scene.top, box[0], box[2], scene.height or height)
    columns = _spans(scene.left, box[1], box[3], scene.width or width)
    weighted = torch.zeros_like(images[..., :1, :1])
    total = torch.zeros_like(weighted)
    for (top, down, m), (left, across, n) in product(rows, columns):
        place = (..., slice(top, top + down * m), slice(left, left + across * n))
        shape = (*images.shape[:2], down, m, across, n)
        blocks = images[place].reshape(shape).transpose(3, 4)
        spectra = torch.fft.rfft2(blocks).abs().square() * _sensitivity(m, n, images)
        energies = _root(spectra.sum(dim=(-2, -1))) / (m * n)
        # gradients lack the first row and column
        place = (..., slice(top - 1, top - 1 + down * m), slice(left - 1, left - 1 + across * n))
        weights = gradients[place].reshape(shape).sum(dim=(3, 5))
        weighted = weighted + (weights * energies).sum(dim=(-2, -1), keepdim=True)
        total = total + weights.sum(dim=(-2, -1), keepdim=True)
    return {"weighted": weighted, "total": total}


def saliency_ratio(statistics: Statistics) -> Tensor:
    """Return PS of infrared over PS of visible, `(N, 1, 1, 1)`: 1 if both are flat.

    At most 2^20, also where only the visible image is flat.
    """
    import torch

    weighted, total = statistics["weighted"], statistics["total"]
    saliencies = weighted / torch.where(total > 0, total, 1)
    infrared, visible = saliencies[:, :1], saliencies[:, 1:]
    flat = (infrared == 0) & (visible == 0)
    largest = torch.maximum(infrared, visible)
    ratio = infrared / torch.where(flat, 1, torch.maximum(visible, largest * 2.0**-20))
    return torch.where(flat, 1.0, ratio)


def _spans(offset: int, first: int, last: int, size: int) -> list[tuple[int, int, int]]:
    """Return the blocks along one axis that start within first..last of a tile.

    Returns:
        Where a run of blocks starts, in the tile, how many there are, and their edge.
    """
    starts = range(1, size - 1, BLOCK)
    mine = [start for start in starts if first <= start - offset < last]
    full = [start for start in mine if start + BLOCK <= size - 1]
    spans = [(full[0] - offset, len(full), BLOCK)] if full else []
    if len(full) < len(mine):
        spans.append((mine[-1] - offset, 1, size - 1 - mine[-1]))
    return spans


def _squared_gradients(images: Tensor) -> Tensor:
    """Return the squared magnitude of Sobel's gradient, without the outermost pixels."""
    height, width = images.shape[-2:]
    if min(height, width) < 3:
        return images[..., :0, :0]
    total = None
    for axis, across in ((-1, -2), (-2, -1)):
        length, other = images.shape[axis] - 2, images.shape[across] - 2
        difference = images.narrow(axis, 2, length) - images.narrow(axis, 0, length)
        smooth = difference.narrow(across, 0, other) + difference.narrow(across, 2, other)
        square = (smooth + 2 * difference.narrow(across, 1, other)).square()
        total = square if total is None else total + square
    assert total is not None
    return total


def _sensitivity(m: int, n: int, like: Tensor) -> Tensor:
    """Return M^2 for the halved spectrum of m x n pixels; frequencies that it leaves out count."""
    import torch

    down = torch.fft.fftfreq(m, dtype=like.dtype, device=like.device)[:, None]
    across = torch.fft.rfftfreq(n, dtype=like.dtype, device=like.device)
    r = CYCLES * torch.hypot(down, across)
    sensitivity = 2.6 * (0.0192 + 0.114 * r) * torch.exp(-((0.114 * r) ** 1.1))
    twice = torch.full_like(across, 2.0)
    twice[0] = 1
    if n % 2 == 0:
        twice[-1] = 1
    return twice * sensitivity.square()


def _root(squares: Tensor) -> Tensor:
    """Return the square root, with gradient 0 at 0."""
    import torch

    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1).sqrt(), 0)
