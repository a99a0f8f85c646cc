"""Spatial frequency: weight each source by the differences between its neighboring features.

G_i(x, y)  = 1/2 sum_m sum_q (phi_i^m(x, y) - phi_i^m(q))^2      q: the 4 neighbors of (x, y)
C_i        = mean of G_i over a (2r+1)^2 window                  activity
w_i        = C_i / sum_n C_n,   f = sum_i w_i phi_i              weights, features
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Interval

from fusionlab import ActivityStrategy

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene


@dataclass(frozen=True)
class SpatialFrequency(ActivityStrategy):
    """Weight each source by the spatial frequency of its features.

    Sharp regions have large differences; the strategy was designed for focus stacks. Activities
    are squares, so a source with twice the contrast weighs four times as much.

    Differs from SESF-Fuse (`fusion_channel_sf`) in three ways. That program takes differences
    to one side only, which moves the result by a pixel when the image is mirrored; here each
    squared difference counts half for both of its pixels. It pads with zeros, so a bright border
    is a strong edge; here differences across the border do not count. It chooses the larger
    activity and cleans the decision map by morphology; here the weights are the ratio. The
    default r = 5 is its window.

    Reference: SESF-Fuse, doi:10.1007/s00521-020-05358-9.
    """

    r: Annotated[
        int, Interval(ge=0, le=64), "Half-width of the averaging window, in pixels (0: none)."
    ] = 5
    border: ClassVar[Literal["inside"]] = "inside"  # type: ignore[misc]  # no parameter here
    activity_support: ClassVar[int] = 1

    def activity(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the sum of the squared differences over the channels, `(k, N, 1, h, w)`."""
        import torch
        from torch.nn.functional import pad

        precise = torch.promote_types(features.dtype, torch.float32)
        x = features.to(precise)
        total = torch.zeros_like(x[:, :, :1])
        for axis, before, after in ((-1, (1, 0), (0, 1)), (-2, (0, 0, 1, 0), (0, 0, 0, 1))):
            change = x.diff(dim=axis).square().sum(dim=2, keepdim=True) / 2
            total = total + pad(change, before) + pad(change, after)
        return total
