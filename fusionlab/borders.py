"""Which sides of a tile are borders of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Borders(NamedTuple):
    """Which sides of a tile are borders of the image; beyond the others the image continues."""

    top: bool = True
    left: bool = True
    bottom: bool = True
    right: bool = True

    def trimmed(self, maps: Tensor, halo: int) -> Tensor:
        """Crop a halo from maps `(..., h, w)`, on the sides that are not borders."""
        height, width = maps.shape[-2:]
        return maps[
            ...,
            0 if self.top else halo : height if self.bottom else height - halo,
            0 if self.left else halo : width if self.right else width - halo,
        ]

    def size(self, maps: Tensor, halo: int) -> tuple[int, int]:
        """Return the height and width that `trimmed` leaves."""
        height, width = maps.shape[-2:]
        top, left, bottom, right = (0 if border else halo for border in self)
        return height - top - bottom, width - left - right


WHOLE = Borders()
"""A tile that is the whole image."""
