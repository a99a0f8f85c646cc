"""Infrared feature extraction: add what stands out in the infrared image to the visible one.

A infrared, B visible
background = Bezier surfaces through minima of A, on the blocks of a quadtree
add        = max(A - background, 0) + (A - B) H(A) / H(B)         H: entropy
ratio      = min(255 / mean of the largest 0.1 % of B + max(add, 0), 0.8)
f          = min(B + max(ratio add, 0), 255)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from fusionlab import Strategy, histograms
from fusionlab_classics.common.filters import gaussian_filter, resize_bicubic, round_to_8_bits

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene

EDGE, SMALLEST_BLOCK = 512, 32
"""Edge of the square image in which the background is found, and of the smallest blocks."""

FLAT = 51
"""Largest range of gray levels that a block may have without being divided."""

WINDOW_BEFORE, WINDOW_AFTER = 15, 16
"""The window of the minimum, in pixels before and after each pixel."""

SMOOTHING_RADIUS, SMOOTHING_SIGMA = 4, 4.5
"""Half-width and sigma of the Gaussian that smooths the background."""

BRIGHTEST, MAX_RATIO = 0.001, 0.8
"""The part of the pixels that may become white, and the largest part of the features added."""


@dataclass(frozen=True)
class IFEVIP(Strategy):
    """Add the bright features of an infrared image to a visible one.

    Exactly two sources, infrared first. The infrared image is resized to 512x512 and divided into a
    quadtree: blocks whose gray levels differ by more than 51 are divided, down to 32x32. Each
    block is replaced by a cubic Bezier surface whose 16 control values are minima in 32x32
    windows. This background, resized and smoothed, is what the features stand out from. They are
    scaled so that the brightest 0.1 % of the result are white, or by 0.8.

    The authors' program has four flaws, which `variant=authors` keeps:

    * The smoothing takes black pixels beyond the border of the image, so the background darkens
      at the rim and the infrared image stands out there. `corrected` mirrors the background.
    * The resized infrared image, the background and the added features are rounded to 8 bits.
    * Where the visible image is flat, it divides by an entropy of zero and adds nothing.
      `corrected` takes a ratio of 1 then.
    * In images below 500 pixels no pixel counts as brightest, and 0.8 of the features are added.
      `corrected` takes at least one pixel.

    The windows of the minimum reach 15 pixels to one side and 16 to the other, and the control
    values lie at 0, s/2 - 1, 3s/4 - 1 and s of a block of edge s, in both variants: mirrored images
    do not give the result mirrored. Entropies have 256 bins. All arithmetic is in float64. The
    whole image is needed at once: about 1 GiB at 12 megapixels.

    Reference: Zhang, Zhang, Bai and Zhang, Infrared and visual image fusion through infrared
    feature extraction and visual information preservation, doi:10.1016/j.infrared.2017.05.007.
    """

    max_k: ClassVar[int] = 2
    domain = "pixels"
    roles = ("infrared", "visible")

    variant: Annotated[
        Literal["corrected", "authors"], "Without the flaws of the authors' program, or with them."
    ] = "corrected"

    def fuse(self, features: Tensor, scene: Scene) -> Tensor:  # as all strategies
        import torch

        infrared, visible = features.double()
        added = infrared - self._background(infrared)
        entropies = [_entropy(image) for image in (infrared, visible)]
        defined = entropies[1] > 0
        ratio = torch.where(defined, entropies[0] / torch.where(defined, entropies[1], 1), 1)
        added = added.clamp(min=0) + (infrared - visible) * ratio
        added = added * self._gain(visible + added.clamp(min=0))
        if self.variant == "authors":
            added = round_to_8_bits(added) * defined
        return (visible + added.clamp(min=0)).clamp(max=255).to(features.dtype)

    def _background(self, images: Tensor) -> Tensor:
        """Return what the features stand out from, `(N, 1, h, w)`."""
        rounds = self.variant == "authors"
        square = resize_bicubic(images, (EDGE, EDGE), eight_bits=rounds)
        background = resize_bicubic(bezier_background(square), (images.shape[-2], images.shape[-1]))
        border: Literal["zero", "symmetric"] = "zero" if rounds else "symmetric"
        background = gaussian_filter(background, SMOOTHING_RADIUS, SMOOTHING_SIGMA, border)
        return round_to_8_bits(background) if rounds else background

    def _gain(self, images: Tensor) -> Tensor:
        """Return the factor `(N, 1, 1, 1)` that makes the mean of the brightest pixels 255."""
        import torch

        flat = images.flatten(1)
        count = int(BRIGHTEST * flat.shape[1] + 0.5)
        if self.variant == "corrected":
            count = max(count, 1)
        brightest = flat.topk(count).values.sum(dim=1) / max(count, 1)
        positive = brightest > 0
        gain = torch.where(positive, 255 / torch.where(positive, brightest, 1), MAX_RATIO)
        return gain.clamp(max=MAX_RATIO)[:, None, None, None]


def bezier_background(images: Tensor) -> Tensor:
    """Return the background of images `(N, 1, 512, 512)`.

    Blocks of a quadtree, each a Bezier surface through minima. Neighbors share the row or column
    between them, where the smaller block counts.
    """
    import torch
    from torch.nn.functional import pad

    # one row and column more, so that the last blocks have an edge to share, too
    minima = pad(window_minimum(images), (0, 1, 0, 1), mode="replicate")
    background = torch.zeros_like(minima)
    for edge, blocks in quadtree(images.detach()):
        if not blocks.any():
            continue
        controls, weights = _bezier_matrix(edge, minima)
        values = minima.index_select(-2, controls).index_select(-1, controls)
        inside = blocks.repeat_interleave(edge, dim=-2).repeat_interleave(edge, dim=-1)
        inside = pad(inside, (1, 1, 1, 1))
        closed = inside[..., 1:, :] | inside[..., :-1, :]
        closed = closed[..., 1:] | closed[..., :-1]
        background = torch.where(closed, weights @ values @ weights.mT, background)
    return background[..., :-1, :-1]


def window_minimum(images: Tensor) -> Tensor:
    """Return minima over 32x32 windows, from 15 pixels before to 16 after, within the images."""
    import torch
    from torch.nn.functional import pad

    sides = (WINDOW_BEFORE, WINDOW_AFTER)
    minima = pad(images, (*sides, *sides), value=torch.inf)
    for axis in (-2, -1):
        for step in (1, 2, 4, 8, 16):  # each minimum is that of two windows of half the size
            length = minima.shape[axis] - step
            minima = torch.minimum(
                minima.narrow(axis, 0, length), minima.narrow(axis, step, length)
            )
    return minima


def quadtree(images: Tensor) -> list[tuple[int, Tensor]]:
    """Return the blocks of a quadtree by size, the largest first.

    Returns:
        Pairs of the edge of blocks, in pixels, and which of the `(N, 1, n, n)` blocks of that size
        belong to the tree. Every pixel lies in one block.
    """
    import torch
    from torch.nn.functional import max_pool2d

    sizes = []
    edge = SMALLEST_BLOCK
    maxima, minima = max_pool2d(images, edge), -max_pool2d(-images, edge)
    while True:
        sizes.append((edge, maxima - minima > FLAT))
        if edge == EDGE:
            break
        edge *= 2
        maxima, minima = max_pool2d(maxima, 2), -max_pool2d(-minima, 2)
    tree = []
    reached = torch.ones_like(sizes[-1][1])
    for edge, varies in reversed(sizes):
        divided = reached & varies if edge > SMALLEST_BLOCK else torch.zeros_like(reached)
        tree.append((edge, reached & ~divided))
        reached = divided.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)
    return tree


def _bezier_matrix(edge: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the control values of all blocks lie along one axis, and their weights.

    Returns:
        Indices `(4 n,)` of pixels, and Bernstein weights `(513, 4 n)` of these pixels.
    """
    import torch

    count = EDGE // edge
    offsets = torch.tensor([0, edge // 2 - 1, 3 * edge // 4 - 1, edge], device=like.device)
    starts = edge * torch.arange(count, device=like.device)
    pixels = torch.arange(EDGE + 1, device=like.device)
    blocks = (pixels // edge).clamp(max=count - 1)
    t = (pixels - edge * blocks).to(like) / edge
    bernstein = torch.stack(((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3), dim=1)
    weights = torch.zeros(EDGE + 1, 4 * count, dtype=like.dtype, device=like.device)
    weights.scatter_(1, 4 * blocks[:, None] + torch.arange(4, device=like.device), bernstein)
    return (starts[:, None] + offsets).flatten(), weights


def _entropy(images: Tensor) -> Tensor:
    """Return the entropy of the 8-bit gray levels of images, in bits, `(N, 1, 1, 1)`."""
    import torch

    levels = round_to_8_bits(images.detach()).long().flatten(1)
    shares = histograms(levels, 256).to(images) / levels.shape[1]
    return torch.special.entr(shares).sum(dim=1)[:, None, None, None] / log(2)
