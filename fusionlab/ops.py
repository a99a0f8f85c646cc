"""Operations that many strategies share: normalized weights and box averages."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Literal

from fusionlab.errors import FusionlabError

if TYPE_CHECKING:
    from torch import Tensor


def normalize(activities: Tensor) -> Tensor:
    """Turn activities `(k, ...)`, not negative, into weights that sum to one over k (Eq. 7).

    Where all activities are zero the weights are 1/k, and the gradients there are zero rather
    than NaN. The authors' programs divide 0 by 0 at such places, others add an epsilon to the
    denominator, and then the weights of weakly active places no longer sum to one. Activities
    that are negative, or no numbers, are not repaired: the weights show them.
    """
    import torch

    total = reduce(torch.add, activities.split(1))  # one by one, as in `WeightedStrategy.fuse`
    active = total != 0
    # the inner `where` keeps the division finite where its result is not used: the gradient of
    # the unused branch would otherwise be 0 x inf = NaN
    ratio = activities / torch.where(active, total, 1)
    return torch.where(active, ratio, 1 / len(activities))


def box_average(
    activity: Tensor, r: int, border: Literal["inside", "reflect"] = "inside"
) -> Tensor:
    """Average maps `(..., h, w)` over (2r+1)^2 pixels: first down the columns, then the rows.

    At the border the window averages the pixels that lie inside the image, or, with
    `border=reflect`, the image mirrored. Ratios between sources are those of zero padding with
    (2r+1)^2 in the denominator, since every source is divided by the same number.

    Raises:
        FusionlabError: `border=reflect` with a window too wide for the image.
    """
    if r == 0:
        return activity
    import torch
    from torch.nn.functional import pad

    height, width = activity.shape[-2:]
    if border == "reflect" and r >= min(height, width):
        raise FusionlabError(
            f"a mirrored window of r = {r} needs an image larger than {r} pixels, got "
            f"{width}x{height}; choose a smaller r or border=inside"
        )
    mode = "reflect" if border == "reflect" else "constant"
    precise = torch.promote_types(activity.dtype, torch.float32)
    maps = activity.reshape(-1, height, width).to(precise)
    for axis, beyond in ((-2, (0, 0, r, r)), (-1, (r, r, 0, 0))):
        sums, counts = (
            _sums(pad(each, beyond, mode=mode), 2 * r + 1, axis)
            for each in (maps, torch.ones_like(maps[:1]))
        )
        maps = sums / counts
    return maps.view_as(activity).to(activity.dtype)


def _sums(maps: Tensor, edge: int, axis: int) -> Tensor:
    """Add up each `edge` neighbors along an axis.

    Sums of so many are made of two sums of half as many: for a window twice as wide it takes one
    more addition. Each sum consists of its own pixels alone, added in the same order everywhere.
    That of a running sum would depend on where it starts, and so on the tile.
    """
    if edge == 1:
        return maps
    half, size = _sums(maps, edge // 2, axis), maps.shape[axis] - edge + 1
    total = half.narrow(axis, 0, size) + half.narrow(axis, edge // 2, size)
    return total + maps.narrow(axis, edge - 1, size) if edge % 2 else total
