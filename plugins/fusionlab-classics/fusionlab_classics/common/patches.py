"""Overlapping patches: take them from images, and put them back.

A patch is a vector of its pixels, column by column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusionlab_classics.common.filters import extend

if TYPE_CHECKING:
    from torch import Tensor


def at_least(images: Tensor, side: int) -> Tensor:
    """Extend images `(k, h, w)` at the bottom and the right, mirrored, to `side` pixels."""
    missing = [max(0, side - size) for size in images.shape[1:]]
    return extend(images, *missing, "symmetric")[:, missing[0] :, missing[1] :]


def patches_of(images: Tensor, side: int, stride: int = 1) -> Tensor:
    """Return the patches of images `(k, h, w)`, column by column, `(k, side^2, p)`."""
    windows = images.unfold(1, side, stride).unfold(2, side, stride)
    return windows.permute(0, 4, 3, 1, 2).flatten(3).flatten(1, 2)


class Overlap:
    """Images `(..., h, w)` made of overlapping patches, which come in rows from top to bottom.

    The mean of all patches at each pixel. If `recursive`, the mean of each patch and what was
    there before, starting with 0: half of a pixel is the last patch, and the first pixels are dark.
    """

    def __init__(self, blank: Tensor, side: int, *, recursive: bool = False) -> None:
        import torch

        self.total = blank
        self.undefined = torch.zeros_like(blank, dtype=torch.bool)
        self.side = side
        self.recursive = recursive

    def add(self, patches: Tensor, top: int, undefined: Tensor | None = None) -> None:
        """Add rows of patches, the first of them at row `top` of the image.

        Args:
            patches: `(side^2, ..., rows, columns)`.
            top: a row.
            undefined: which patches spoil the pixels they cover, `(..., rows, columns)`.
        """
        rows, columns = patches.shape[-2:]
        any_undefined = undefined is not None and bool(undefined.any())
        for index in reversed(range(self.side**2)):
            y, x = divmod(index, self.side)  # the patch further up comes first
            place = ..., slice(top + y, top + y + rows), slice(x, x + columns)
            window = self.total[place]
            window.add_(patches[x * self.side + y])
            if self.recursive:
                window.div_(2)
            if any_undefined:
                self.undefined[place] |= undefined

    def image(self) -> Tensor:
        """Return the images, 0 where they are undefined."""
        import torch

        if self.recursive:
            return self.total.masked_fill(self.undefined, 0)
        counts = []
        for size in self.total.shape[-2:]:
            places = torch.arange(size, device=self.total.device)
            nearest = torch.minimum(places, size - 1 - places) + 1
            counts.append(nearest.clamp(max=min(self.side, size - self.side + 1)))
        return self.total / (counts[0][:, None] * counts[1])
