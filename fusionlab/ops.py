"""Operations that many strategies share: weights, box averages, guided filters, histograms."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Literal

from fusionlab.errors import FusionlabError
from fusionlab.namespaces import Array, ArrayT, as_dtype, dtype_name, is_tensor

if TYPE_CHECKING:
    from torch import Tensor


def normalize(activities: Tensor) -> Tensor:
    """Normalize activities to weights that sum to one over k sources (Eq. 7).

    Where all activities are zero, the weights are 1/k and the gradients are zero instead of NaN.
    The authors' programs divide 0 by 0 at such pixels. Other programs add an epsilon to the
    denominator, so that the weights of weakly active pixels no longer sum to one.

    Args:
        activities: `(k, ...)`, not negative. Negative values and NaN are passed through.

    Returns:
        The weights, of the shape of the activities.
    """
    import torch

    total = reduce(
        torch.add, activities.split(1)
    )  # source by source, as in `WeightedStrategy.fuse`
    active = total != 0
    # the inner `where` keeps the division finite where its result is not used: the gradient of
    # the unused branch would otherwise be 0 x inf = NaN
    ratio = activities / torch.where(active, total, 1)
    return torch.where(active, ratio, 1 / len(activities))


def box_average(
    activity: ArrayT, r: int, border: Literal["inside", "reflect"] = "inside"
) -> ArrayT:
    """Average maps over windows of (2r+1) x (2r+1) pixels, along the columns, then the rows.

    At the border, `inside` averages the pixels of the window that lie inside the image, and
    `reflect` averages the mirrored image. With `inside`, ratios between sources are the same as
    with zero padding and the denominator (2r+1)^2, because each source is divided by the same
    number.

    Args:
        activity: maps `(..., h, w)`, a tensor or an array; half precision is averaged in float32.
        r: half-width of the window; 0 returns the maps themselves.
        border: `inside` or `reflect`.

    Returns:
        The averages, of the shape and dtype of the maps.

    Raises:
        FusionlabError: `reflect` with a window too wide for the image (code `too-small`).
    """
    if r == 0:
        return activity
    given: Array = activity
    height, width = given.shape[-2:]
    if border == "reflect" and r >= min(height, width):
        raise FusionlabError(
            f"a mirrored window of r = {r} needs an image larger than {r} pixels, got "
            f"{width}x{height}; choose a smaller r or border=inside",
            code="too-small",
        )
    mode: Literal["reflect", "constant"] = "reflect" if border == "reflect" else "constant"
    dtype = dtype_name(given)
    precise = "float64" if dtype == "float64" else "float32"
    maps = as_dtype(given.reshape(-1, height, width), precise)
    for axis in (-2, -1):
        sums = _sums(_padded(maps, r, axis, mode), 2 * r + 1, axis)
        if border == "inside":
            counts = _pixels_inside(sums, r, axis)
            maps = sums / (counts[:, None] if axis == -2 else counts)
        else:
            maps = sums / (2 * r + 1)
    averages: ArrayT = as_dtype(maps.reshape(given.shape), dtype)
    return averages


def histograms(numbers: Tensor, length: int) -> Tensor:
    """Count how often each of 0 .. length - 1 occurs in each row of numbers.

    `torch.bincount` asks for the largest number how long its result must be: a GPU makes it wait
    for the answer, and a graph that is exported cannot hold it.

    Args:
        numbers: `(rows, n)`, int64 in 0 .. length - 1; others are not allowed.
        length: of the histograms.

    Returns:
        The counts `(rows, length)`, int64. They are exact on every device.
    """
    import torch

    rows = numbers.shape[0]  # `len` would make a constant of it in a graph
    first = length * torch.arange(rows, device=numbers.device)
    places = (numbers + first[:, None]).flatten()  # all rows in one pass
    counts = places.new_zeros(rows * length).scatter_add_(0, places, torch.ones_like(places))
    return counts.view(rows, length)


def guided_filter(
    guide: Tensor, maps: Tensor, radius: int, eps: float, mean_maps: Tensor | None = None
) -> Tensor:
    """Smooth maps, but not across the edges of a guide.

    In each window a map is approximated by a linear function of the guide. A pixel of the result is
    the mean of what the windows that contain it predict (Eq. 5, 6 and 8 of the reference). Windows
    have (2 radius + 1)^2 pixels; at the border, those that lie inside the image. A pixel depends on
    no other more than 2 radius away.

    Args:
        guide: broadcastable to the maps.
        maps: `(..., h, w)`, in single or double precision.
        radius: half-width of the window, in pixels.
        eps: variance of the guide, in its units squared, below which maps are smoothed.
        mean_maps: the averages of the maps over the windows, if they are known already.

    Returns:
        The smoothed maps, of their shape. They may leave the range of the maps a little.

    Reference: He, Sun and Tang, Guided image filtering, doi:10.1109/TPAMI.2012.213.
    """
    mean_guide = box_average(guide, radius)
    if mean_maps is None:
        mean_maps = box_average(maps, radius)
    covariance = box_average(guide * maps, radius) - mean_guide * mean_maps
    variance = box_average(guide * guide, radius) - mean_guide * mean_guide
    slope = covariance / (variance.clamp(min=0) + eps)  # below 0 by rounding only
    offset = mean_maps - slope * mean_guide
    return box_average(slope, radius) * guide + box_average(offset, radius)


def _padded(maps: Array, r: int, axis: int, mode: Literal["constant", "reflect"]) -> Array:
    """Return maps `(n, h, w)` with r more pixels at both ends of an axis, -2 or -1."""
    if is_tensor(maps):
        from torch.nn.functional import pad

        return pad(maps, (0, 0, r, r) if axis == -2 else (r, r, 0, 0), mode=mode)
    import numpy as np

    return np.pad(maps, [(0, 0), *([(r, r), (0, 0)] if axis == -2 else [(0, 0), (r, r)])], mode)


def _pixels_inside(maps: Array, r: int, axis: int) -> Array:
    """Return how many pixels of a window lie inside, which depends on the place along an axis."""
    size = maps.shape[axis]
    if is_tensor(maps):
        import torch

        before = torch.arange(size, dtype=maps.dtype, device=maps.device).clamp(max=r)
        return before + before.flip(0) + 1
    import numpy as np

    places = np.minimum(np.arange(size, dtype=maps.dtype), r)
    return places + places[::-1] + 1


def _narrow(maps: Array, axis: int, start: int, size: int) -> Array:
    """Return a part of an axis, -2 or -1."""
    if is_tensor(maps):
        return maps.narrow(axis, start, size)
    return maps[..., start : start + size, :] if axis == -2 else maps[..., start : start + size]


def _sums(maps: Array, edge: int, axis: int) -> Array:
    """Return the sums of all windows of `edge` pixels along an axis.

    Each sum is the sum of two windows of half the size, so a window of twice the size takes one
    more addition. Every sum adds its pixels in the same order. The rounding of a running sum would
    depend on where it starts, and therefore on the tile.
    """
    if edge == 1:
        return maps
    half, size = _sums(maps, edge // 2, axis), maps.shape[axis] - edge + 1
    total = _narrow(half, axis, 0, size) + _narrow(half, axis, edge // 2, size)
    return total + _narrow(maps, axis, edge - 1, size) if edge % 2 else total
