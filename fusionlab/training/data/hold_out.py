"""Hold out images for validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from fusionlab.errors import FusionlabError

STEP = 10
"""Every tenth image is held out,"""
MAX_HELD_OUT = 1000
"""but no more than the 1000 of the paper."""

T = TypeVar("T")


def hold_out(items: Sequence[T], first: int = 0) -> tuple[list[T], list[T]]:
    """Split items into those to train on and those to validate on.

    Every tenth item is held out, and of more than 10,000 only 1000, evenly spaced; at least one.

    Args:
        items: the images, in a fixed order.
        first: index of the first item to hold out; the last item where there are fewer.

    Raises:
        FusionlabError: there is only one item (code `too-few-images`).
    """
    if len(items) < 2:
        raise FusionlabError(
            "one image is not enough: training needs at least one image, and validation another",
            code="too-few-images",
        )
    step = max(STEP, -(-len(items) // MAX_HELD_OUT))
    held_out = set(range(first, len(items), step)) or {len(items) - 1}
    return (
        [item for index, item in enumerate(items) if index not in held_out],
        [items[index] for index in sorted(held_out)],
    )
