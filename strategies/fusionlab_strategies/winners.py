"""Choose the largest of k maps in every pixel, where nearly equal ones are tied."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def shared_winners(activity: Tensor) -> Tensor:
    """Return 1 / t where a source is one of the t largest, else 0.

    Args:
        activity: `(k, ...)`, not negative, in single or double precision.
    """
    import torch

    # what float32 cannot distinguish is a tie in every dtype
    threshold = activity.amax(dim=0) * (1 - 64 * torch.finfo(torch.float32).eps)
    wins = (activity >= threshold).to(activity.dtype)
    return wins / wins.sum(dim=0)
