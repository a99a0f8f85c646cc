"""Pyramids of images: two ways to halve and double them, and how coefficients are chosen.

`merge_pyramids` takes the pyramids of k images apart, chooses coefficients level by level, averages
the coarsest levels, and puts the result together again. `PyramidStrategy` is what the Laplacian and
the ratio pyramid share; they differ in what a coefficient is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from fusionlab import FusionlabError, Strategy

if TYPE_CHECKING:
    from torch import Tensor

    from fusionlab import Scene

CENTER = 0.4
"""a, the weight of the center in the kernel (1/4 - a/2, 1/4, a, 1/4, 1/4 - a/2)."""

TIE = 1e-9
"""Magnitudes whose ratio is this close to 1 are tied: a thousand times the rounding of float64 in
details of more than about 0.1 gray levels."""


@dataclass(frozen=True)
class PyramidFilters:
    """How a level becomes the next coarser one, and back."""

    reduce: Callable[[Tensor], Tensor]
    """Halves maps `(..., h, w)` that `prepare` returned."""
    expand: Callable[[Tensor, Sequence[int]], Tensor]
    """Doubles maps to the size (h, w) of the finer level."""
    prepare: Callable[[Tensor], Tensor]
    """Extends a level before it is halved; it is cut to its size again in the end."""


def merge_pyramids(
    features: Tensor,
    scene: Scene,
    levels: int,
    filters: PyramidFilters,
    split: Callable[[Tensor, Tensor], Tensor],
    select: Callable[[Tensor], Tensor],
    join: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Merge the pyramids of images `(k, N, C, h, w)` into an image `(N, C, h, w)`, in float64.

    Args:
        features: the images, or a tile of each.
        scene: where the tile lies; all levels are sampled as those of the whole image.
        levels: how often to halve the images; fewer where they are too small.
        filters: how to halve and double.
        split: (level, coarser level doubled) -> coefficients.
        select: coefficients `(k, N, C, h, w)` -> those of the result.
        join: (coarser level doubled, coefficients) -> level; undoes `split`.
    """
    from torch.nn.functional import pad

    height, width = features.shape[-2:]
    levels = possible_levels(levels, scene.height or height, scene.width or width)
    # start a tile at a pixel that all levels of the whole image have; what is put there lies
    # within the support
    above, left = scene.top % 2**levels, scene.left % 2**levels
    level = features.double()
    if above or left:
        level = pad(level, (left, 0, above, 0))
    chosen, sizes = [], []
    for _ in range(levels):
        sizes.append(level.shape[-2:])
        level = filters.prepare(level)
        coarser = filters.reduce(level)
        chosen.append(select(split(level, filters.expand(coarser, level.shape[-2:]))))
        level = coarser
    fused: Tensor = reduce(lambda total, image: total + image, level) / len(level)
    for coefficients, (rows, columns) in zip(reversed(chosen), reversed(sizes), strict=True):
        fused = join(filters.expand(fused, coefficients.shape[-2:]), coefficients)
        fused = fused[..., :rows, :columns]
    return fused[..., above:, left:]


def possible_levels(wanted: int, height: int, width: int) -> int:
    """Return how often an image can be halved: while both edges have at least 3 pixels."""
    edge = min(height, width)
    for level in range(wanted):
        if edge < 3:
            return level
        edge = -(-edge // 2)
    return wanted


# ------------------------------------------------- which coefficients


def largest(coefficients: Tensor, activity: Tensor | None = None) -> Tensor:
    """Return the coefficients `(N, C, h, w)` whose activity is largest, of `(k, N, C, h, w)`.

    The activity is the magnitude, if no other is given. Where activities tie, to one part in 10^9,
    the result is the mean of the tied coefficients: neither the order of the sources nor rounding
    decides between opposite ones.
    """
    activity = coefficients.detach().abs() if activity is None else activity
    winners = (activity >= activity.amax(dim=0) * (1 - TIE)).to(coefficients)
    return (coefficients * winners).sum(dim=0) / winners.sum(dim=0)


def consistent(coefficients: Tensor, activity: Tensor | None = None) -> Tensor:
    """Return the coefficients of the source that wins at most of the 3 x 3 pixels around.

    At each pixel, the source with the largest maximum of the activity over 3 x 3 pixels gets a
    vote, which tied sources share. The source with most votes among the 3 x 3 pixels around is
    kept; for two sources this is the majority of Li, Manjunath and Mitra. Where votes tie, the
    result is the mean. At the border, windows see the pixels inside the image.

    Reference: Li, Manjunath and Mitra, Multisensor image fusion using the wavelet transform,
    doi:10.1006/gmip.1995.1022.
    """
    from torch.nn.functional import avg_pool2d, max_pool2d

    activity = coefficients.detach().abs() if activity is None else activity
    planes = activity.flatten(0, 2)[:, None]
    maxima = max_pool2d(planes, 3, stride=1, padding=1).view_as(activity)
    winners = (maxima >= maxima.amax(dim=0) * (1 - TIE)).to(activity)
    winners = winners / winners.sum(dim=0)
    votes = 9 * avg_pool2d(winners.flatten(0, 2)[:, None], 3, stride=1, padding=1)
    return largest(coefficients, votes.view_as(activity))


# ------------------------------------------------- the pyramid of Burt and Adelson


def reduce_level(maps: Tensor, axes: tuple[int, int] = (-1, -2)) -> Tensor:
    """Halve maps `(..., h, w)` to `(..., ceil(h/2), ceil(w/2))`, with h and w at least 3.

    Args:
        maps: the maps.
        axes: the dimensions that are halved, one after the other.
    """
    if _is_traced():
        from fusionlab_strategies.traced_pyramids import halved

        return reduce(lambda level, axis: halved(level, axis, CENTER), axes, maps)
    for axis in axes:
        even, odd = _every_second(maps, 0, axis), _every_second(maps, 1, axis)
        length, size = even.shape[axis], maps.shape[axis]
        half = CENTER * even
        _add(half, odd, 0.25, axis, 0)  # the pixel behind each on the fine grid
        _add(half, odd.narrow(axis, 0, length - 1), 0.25, axis, 1)  # the pixel before
        _add(half, odd.narrow(axis, 0, 1), 0.25, axis, 0)  # mirrored
        if size % 2:
            _add(half, odd.narrow(axis, length - 2, 1), 0.25, axis, length - 1)
        _add_neighbors(half, even, 0.25 - CENTER / 2, axis, last_on_grid=size % 2 == 1)
        maps = half
    return maps


def expand_level(maps: Tensor, size: Sequence[int], axes: tuple[int, int] = (-2, -1)) -> Tensor:
    """Double maps `(..., ceil(h/2), ceil(w/2))` to `size` (h, w), with h and w at least 3.

    Args:
        maps: the maps.
        size: the new sizes of the dimensions `axes`.
        axes: the dimensions that are doubled, one after the other.
    """
    if _is_traced():
        from fusionlab_strategies.traced_pyramids import doubled

        for axis, length in zip(axes, size, strict=True):
            maps = doubled(maps, length, axis, CENTER)
        return maps
    for axis, length in zip(axes, size, strict=True):
        shape = list(maps.shape)
        shape[axis] = length
        double = maps.new_empty(shape)
        even = _every_second(double, 0, axis)
        even.copy_(2 * CENTER * maps)
        _add_neighbors(even, maps, 0.5 - CENTER, axis, last_on_grid=length % 2 == 1)
        odd = _every_second(double, 1, axis)
        odd.copy_(0.5 * maps.narrow(axis, 0, odd.shape[axis]))
        _add(odd, maps.narrow(axis, 1, maps.shape[axis] - 1), 0.5, axis, 0)
        if length % 2 == 0:  # beyond the last pixel of this grid lies the pixel itself, mirrored
            _add(odd, maps.narrow(axis, odd.shape[axis] - 1, 1), 0.5, axis, odd.shape[axis] - 1)
        maps = double
    return maps


def _is_traced() -> bool:
    """Return whether a graph is made, for all sizes, of what is computed."""
    import torch

    return torch.compiler.is_compiling()


def _every_second(maps: Tensor, start: int, axis: int) -> Tensor:
    """Return every second row or column, as a view."""
    every_second: Tensor = maps.movedim(axis, 0)[start::2].movedim(0, axis)
    return every_second


def _add(total: Tensor, maps: Tensor, weight: float, axis: int, start: int) -> None:
    """Add weighted maps in place, from a row or column on."""
    total.narrow(axis, start, maps.shape[axis]).add_(maps, alpha=weight)


def _add_neighbors(
    total: Tensor, maps: Tensor, weight: float, axis: int, *, last_on_grid: bool
) -> None:
    """Add weight (x_(j-1) + x_(j+1)) of maps of at least 2 pixels, with the border mirrored.

    The maps are every second pixel of a finer grid, which is mirrored at its last pixel: that is
    the last of the maps, or the one behind it.
    """
    last = maps.shape[axis] - 1
    _add(total, maps.narrow(axis, 0, last), weight, axis, 1)
    _add(total, maps.narrow(axis, 1, last), weight, axis, 0)
    _add(total, maps.narrow(axis, 1, 1), weight, axis, 0)
    _add(total, maps.narrow(axis, last - 1 if last_on_grid else last, 1), weight, axis, last)


def _extended(maps: Tensor, before: tuple[int, ...], after: tuple[int, ...], axis: int) -> Tensor:
    """Put copies of some rows or columns before the first and after the last."""
    import torch

    parts = [maps.narrow(axis, index, 1) for index in before]
    parts += [maps, *(maps.narrow(axis, index, 1) for index in after)]
    return torch.cat(parts, dim=axis)


BURT = PyramidFilters(reduce_level, expand_level, lambda level: level)
"""The pyramid of Burt and Adelson: a = 0.4, borders mirrored, the last pixel not repeated."""


# ------------------------------------------------- the pyramid of the toolbox


def _to_even(maps: Tensor) -> Tensor:
    """Mirror one row or column behind the last where their number is odd."""
    for axis in (-2, -1):
        size = maps.shape[axis]
        if size % 2:
            maps = _extended(maps, (), (size - 2,), axis)
    return maps


def _surrounded(maps: Tensor, width: int) -> Tensor:
    """Mirror some pixels beyond the border, and leave zeros in the corners."""
    from torch.nn.functional import pad

    before = tuple(range(width, 0, -1))
    height, columns = maps.shape[-2:]
    rows_after = tuple(height - 2 - n for n in range(width))
    columns_after = tuple(columns - 2 - n for n in range(width))
    inner = _extended(maps, before, rows_after, -2)
    side = pad(_extended(maps, before, columns_after, -1), (0, 0, width, width))
    side[..., :, width:-width] = inner
    return side


def _correlated(maps: Tensor, divisor: float, stride: int) -> Tensor:
    """Filter by 1 4 6 4 1 / divisor in both directions, with the corners of the toolbox."""
    from torch.nn.functional import conv2d

    kernel = maps.new_tensor([1.0, 4, 6, 4, 1]) / divisor
    planes = _surrounded(maps, 2)
    planes = planes.reshape(-1, 1, *planes.shape[-2:])
    planes = conv2d(planes, kernel[None, None, None, :], stride=(1, stride))
    planes = conv2d(planes, kernel[None, None, :, None], stride=(stride, 1))
    return planes.view(*maps.shape[:-2], *planes.shape[-2:])


def _toolbox_reduce(maps: Tensor) -> Tensor:
    return _correlated(maps, 16, 2)


def _toolbox_expand(maps: Tensor, size: Sequence[int]) -> Tensor:
    with_zeros = maps.new_zeros(*maps.shape[:-2], *size)
    with_zeros[..., ::2, ::2] = maps
    return _correlated(with_zeros, 8, 1)


def toolbox_choice(coefficients: Tensor) -> Tensor:
    """Return the coefficients of two sources as `consistent`, with the borders of the toolbox.

    The magnitudes are mirrored by one pixel, but the corners of this extension, and what lies
    beyond it, are 0. The first source is kept where it is larger at more than 4 of the 9 pixels.
    """
    from torch.nn.functional import avg_pool2d, max_pool2d

    if len(coefficients) != 2:
        raise FusionlabError(
            f"variant=authors is defined for 2 sources, got {len(coefficients)}; choose "
            "variant=corrected",
            code="number-of-sources",
            option="variant",
        )
    magnitudes = _surrounded(coefficients.detach().abs(), 1)
    planes = magnitudes.flatten(0, 2)[:, None]
    maxima = max_pool2d(planes, 3, stride=1, padding=1).view_as(magnitudes)
    wins = (maxima[0] > maxima[1]).to(coefficients)
    votes = 9 * avg_pool2d(wins.flatten(0, 1)[:, None], 3, stride=1).view(coefficients.shape[1:])
    chosen: Tensor = coefficients[0].where(votes > 4.5, coefficients[1])
    return chosen


TOOLBOX = PyramidFilters(_toolbox_reduce, _toolbox_expand, _to_even)
"""The pyramid of the toolbox that papers compare with: the binomial kernel, odd sizes extended by a
mirrored row or column, borders mirrored but for the corners, which are 0."""


# ------------------------------------------------- what strategies on pyramids share


@dataclass(frozen=True)
class PyramidStrategy(Strategy):
    """A strategy that merges pyramids; a subclass says what a coefficient is."""

    domain = "pixels"

    levels: Annotated[
        int, Interval(ge=1, le=8), "How often the image is halved (fewer where it is too small)."
    ] = 4
    select: Annotated[
        Literal["max", "consistency"],
        "Which coefficient is kept: the largest, or that of the source that wins around the pixel.",
    ] = "max"
    variant: Annotated[
        Literal["corrected", "authors"], "Whether to reproduce the program that is compared with."
    ] = "corrected"

    @property
    def support(self) -> int:
        """Both ways through all levels, and the windows of the votes at the coarsest details."""
        halvings: int = 2**self.levels
        windows = halvings if self.select == "consistency" else 0
        return 4 * (halvings - 1) + windows

    def merge_by(
        self,
        features: Tensor,
        scene: Scene,
        split: Callable[[Tensor, Tensor], Tensor],
        join: Callable[[Tensor, Tensor], Tensor],
        activity: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Merge the pyramids of images `(k, N, C, h, w)` into `(N, C, h, w)`, in float64.

        Args:
            features: the images, or a tile of each.
            scene: where the tile lies.
            split: as for `merge_pyramids`.
            join: as for `merge_pyramids`.
            activity: coefficients -> what is compared; None, and for the authors: magnitudes.
        """
        by_vote = self.select == "consistency"
        if self.variant == "authors":
            choice = toolbox_choice if by_vote else largest
            return merge_pyramids(features, scene, self.levels, TOOLBOX, split, choice, join)
        rule = consistent if by_vote else largest

        def choose(coefficients: Tensor) -> Tensor:
            return rule(coefficients, activity(coefficients.detach()) if activity else None)

        return merge_pyramids(features, scene, self.levels, BURT, split, choose, join)
