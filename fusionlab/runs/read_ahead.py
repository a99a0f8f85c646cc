"""Start work ahead of its use, and hand the results over in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    items: Iterable[Item],
    submit: Callable[[Item], Future[Result]],
    depth: Callable[[], int] | int,
) -> Iterator[tuple[Item, Future[Result]]]:
    """Yield each item with its future, in order, while later items are already being worked on.

    The futures that were not yielded are canceled when the iterator is closed.

    Args:
        items: what to work on.
        submit: starts the work on one item, in a thread or process pool.
        depth: how many items to start before their turn; a function may change it as it goes.
    """
    current = depth if callable(depth) else lambda: depth
    remaining = iter(items)
    started = deque((item, submit(item)) for item in islice(remaining, current()))
    try:
        while started:
            yield started.popleft()
            more = max(1, current() - len(started))
            started.extend((item, submit(item)) for item in islice(remaining, more))
    finally:
        for _, future in started:
            future.cancel()
