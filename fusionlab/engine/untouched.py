"""Notice who writes in place to tensors that are not its own.

torch counts the writes to each tensor, and its views share the count. Reading it costs nothing, so
every call of a strategy and of a backbone is watched. Writes past torch, through numpy or `.data`,
are not counted; the laws of `fusionlab.testing` compare values instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor

from fusionlab.errors import PluginError


def writes(tensors: Iterable[Tensor | None]) -> list[int]:
    """Return how often each tensor has been written to; tensors of inference mode do not count."""
    return [
        tensor._version  # noqa: SLF001  # the only way to ask
        for tensor in tensors
        if tensor is not None and not tensor.is_inference()
    ]


@contextmanager
def untouched(who: Callable[[], str], what: str, *tensors: Tensor | None) -> Iterator[None]:
    """Refuse writes to tensors in the block.

    Args:
        who: returns the name of the strategy, backbone or metric that is called.
        what: what the tensors are, for the message.
        tensors: what it must not change.

    Raises:
        PluginError: it has written to one of them (code `written-in-place`).
    """
    before = writes(tensors)
    yield
    if writes(tensors) != before:
        raise PluginError(
            f"{who()} has changed {what} in place, which others use, too; it must write to a copy",
            code="written-in-place",
        )
