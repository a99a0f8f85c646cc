"""Settings of sources: one value for all of them, or one for each in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from fusionlab.errors import FusionlabError

Value = TypeVar("Value")


def one_for_each(values: Sequence[Value], k: int, what: str, option: str, code: str) -> list[Value]:
    """Return one value for each of k sources; a single one applies to all.

    Args:
        values: one, or k.
        k: the number of sources.
        what: one value is, for the error.
        option: the setting, for the error.
        code: of the error.

    Raises:
        FusionlabError: their number is neither 1 nor k.
    """
    if len(values) not in (1, k):
        raise FusionlabError(
            f"expected one {what} for all {k} sources or one for each, got {len(values)}",
            code=code,
            option=option,
        )
    return list(values) * (k if len(values) == 1 else 1)
