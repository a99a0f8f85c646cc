"""Norms of features over some of their axes.

Imports torch, so strategies import it inside their methods only.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def norm(features: Tensor, order: float, axes: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return the norm of order 1, 2 or infinity over axes, which are reduced.

    Same as `torch.linalg.vector_norm`, but for 1 and infinity ten times as fast on a CPU.
    """
    if order == 1:
        return features.abs().sum(axes, dtype=dtype)
    if order == inf:
        return features.abs().amax(axes).to(dtype)
    norms: Tensor = torch.linalg.vector_norm(features, order, axes, dtype=dtype)
    return norms
