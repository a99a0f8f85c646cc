"""Recognize the task of sources by simple measures on their thumbnails.

Four measures, all independent of the order of the sources, for any k >= 2:

* **coarse difference**: the mean absolute difference of the luminance after averaging over cells
  of 1/32 of the longest edge, of the two most different sources; and the **correlation** of these
  averages, of the two least similar sources; cells that are black in all sources do not count;
* **brightness**: the difference of the mean luminance of the brightest and the darkest source;
* **agreement** of the edges: `sum g_i . g_j / sum |g_i| |g_j|` over the gradients of two sources:
  1 if no edge turns over. Of each source the partner with the best agreement counts, and of all
  sources the worst: neighbors in a long series of exposures share edges that its ends do not;
* **black frame**: the share of pixels, of the whole and of the border, that are black in all
  sources.

The conditions of a task have two thresholds each, between which the score goes from 0 to 1; the
condition that is met least decides. The order focus, medical, exposure, infrared settles what meets
the conditions of two tasks; infrared is what remains.

The thresholds lie between the smallest and largest values of the sets below. VIFB and RoadScene are
infrared and visible pairs, Lytro (its odd numbers) and 30 generated pairs have two depths of focus,
6 brackets of k = 4 to 6 and 20 generated triples are exposures:

                        coarse difference  correlation     brightness      agreement
    VIFB, RoadScene     0.105 .. 0.441     -0.83 .. 0.76   0.04 .. 0.44    -0.85 .. 0.68
    focus pairs         0.003 .. 0.035      0.97 .. 1.00   0.00 .. 0.012    0.92 .. 1.00
    exposures           0.347 .. 0.838      0.30 .. 0.96   0.32 .. 0.84     0.97 .. 1.00

No medical set was looked at for the thresholds of the black frame: they say what a scan on black
film looks like. In the sets above at most 21 % of the frame and 37 % of the border are black.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

COARSE, FINE = 32, 64
"""The longest edge at which sources are compared, and at which their gradients are taken."""

BLACK = 0.06
"""A pixel is black if no channel of it is brighter."""

BORDER = 16
"""The border is one part in this many of each edge, on each side."""


def focus(thumbnails: Tensor, gray: Sequence[bool]) -> float:  # noqa: ARG001
    """Return a high score if the sources differ in details only."""
    coarse = _reduced(_luminance(thumbnails), COARSE).flatten(1)
    seen = (coarse >= BLACK).any(dim=0)
    coarse = coarse[:, seen] if seen.any() else coarse
    return min(
        _falls(_largest_difference(coarse), 0.04, 0.10),
        _falls(_brightness_range(coarse), 0.03, 0.06),
        _rises(_correlation(coarse), 0.85, 0.95),
    )


def medical(thumbnails: Tensor, gray: Sequence[bool]) -> float:
    """Return a high score if a gray source, and all others, show an object on black."""
    black = (thumbnails.amax(dim=(0, 1)) < BLACK).float()
    rows, columns = (edge // BORDER + 1 for edge in black.shape)
    border = torch.ones_like(black)
    border[rows:-rows, columns:-columns] = 0
    return min(
        float(any(gray)),
        _rises(float(black.mean()), 0.2, 0.4),
        _rises(float((black * border).sum() / border.sum()), 0.6, 0.9),
        1 - focus(thumbnails, gray),
    )


def exposure(thumbnails: Tensor, gray: Sequence[bool]) -> float:
    """Return a high score if the sources differ in brightness, but agree on every edge."""
    luminance = _luminance(thumbnails)
    return min(
        _rises(_agreement(_reduced(luminance, FINE)), 0.7, 0.9),
        _rises(_brightness_range(luminance.flatten(1)), 0.03, 0.06),
        1 - focus(thumbnails, gray),
        1 - medical(thumbnails, gray),
    )


def infrared(thumbnails: Tensor, gray: Sequence[bool]) -> float:
    """Return what the other tasks leave of 1: high if the sources look like none of them."""
    return max(0.0, 1 - sum(task(thumbnails, gray) for task in (focus, medical, exposure)))


def _rises(value: float, low: float, high: float) -> float:
    """Return 0 up to `low`, 1 from `high` on, and a line between them."""
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _falls(value: float, low: float, high: float) -> float:
    """Return 1 up to `low`, 0 from `high` on, and a line between them."""
    return 1 - _rises(value, low, high)


def _luminance(images: Tensor) -> Tensor:
    """Return the luminance `(k, h, w)` of images `(k, 3, h, w)`, BT.601."""
    red, green, blue = images.unbind(dim=1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _reduced(images: Tensor, edge: int) -> Tensor:
    """Average images `(k, h, w)` over cells, so that their longest edge is at most `edge`."""
    shrink = min(1.0, edge / max(images.shape[1:]))
    height, width = (max(1, round(length * shrink)) for length in images.shape[1:])
    return adaptive_avg_pool2d(images, (height, width))


def _largest_difference(values: Tensor) -> float:
    """Return the mean absolute difference of the two most different rows of `(k, n)`."""
    return float((values[:, None] - values[None]).abs().mean(dim=2).max())


def _brightness_range(values: Tensor) -> float:
    """Return the difference of the largest and the smallest mean of the rows of `(k, n)`."""
    means = values.mean(dim=1)
    return float(means.max() - means.min())


def _correlation(values: Tensor) -> float:
    """Return the smallest correlation of two rows of `(k, n)`; 1 if none has any contrast."""
    centered = values.double() - values.double().mean(dim=1, keepdim=True)
    products = centered @ centered.T
    norms = products.diagonal().sqrt()
    return float(_ratio(products, norms[:, None] * norms[None]).min())


def _agreement(images: Tensor) -> float:
    """Return how well the edges of images `(k, h, w)` agree, -1..1; see the head of this file."""
    vertical = images[:, 2:, 1:-1] - images[:, :-2, 1:-1]
    horizontal = images[:, 1:-1, 2:] - images[:, 1:-1, :-2]
    gradients = torch.stack([vertical, horizontal], dim=-1).flatten(1, 2).double()  # (k, n, 2)
    lengths = gradients.norm(dim=2)
    agreement = _ratio(
        torch.einsum("inc,jnc->ij", gradients, gradients), lengths @ lengths.T
    ).fill_diagonal_(-1)
    return float(agreement.max(dim=1).values.min())


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return the ratio in -1..1; 1 where both are 0: nothing disagrees."""
    defined = denominator > 1e-12
    ratio = numerator / torch.where(defined, denominator, 1)
    return torch.where(defined, ratio, 1).clamp(-1, 1)
