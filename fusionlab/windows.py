"""The window average (Eq. 6 of DenseFuse) that many rules share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fusionlab.errors import FusionlabError

if TYPE_CHECKING:
    from torch import Tensor


def window_average(
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
    from torch.nn.functional import avg_pool2d, pad

    maps = activity.reshape(-1, *activity.shape[-2:])
    inside = r
    if border == "reflect":
        height, width = maps.shape[-2:]
        if r >= min(height, width):
            raise FusionlabError(
                f"a mirrored window of r = {r} needs an image larger than {r} pixels, got "
                f"{width}x{height}; choose a smaller r or border=inside"
            )
        maps, inside = pad(maps, (r, r, r, r), mode="reflect"), 0
    for kernel, padding in (((2 * r + 1, 1), (inside, 0)), ((1, 2 * r + 1), (0, inside))):
        maps = avg_pool2d(maps, kernel, 1, padding, count_include_pad=False)
    return maps.view_as(activity)
