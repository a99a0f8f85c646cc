"""Workers: compute tiles at the same time, each of them on one thread.

The result of a tile does not depend on how many workers there are, and no tile waits for
another, so that a busy machine costs only what it takes away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from fusionlab.torch_defaults import one_thread_each

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 2
"""So many tiles per worker are computed or wait for those before them."""


@dataclass(frozen=True)
class Workers:
    """Computes things in their order, several at the same time.

    Args:
        count: how many at the same time.
        pool: threads that compute; None: the caller does.
    """

    count: int = 1
    pool: ThreadPoolExecutor | None = None

    def map(self, function: Callable[[T], R], things: Iterable[T]) -> Iterator[R]:
        """Yield `function(thing)` for each thing, in order.

        At most `AHEAD` results per worker are waiting. If one raises, so does this, after the
        results before it; whoever stops iterating waits for what is being computed.
        """
        if self.pool is None:
            yield from map(function, things)
            return
        waiting: deque[Future[R]] = deque()
        try:
            for thing in things:
                waiting.append(self.pool.submit(_on_one_thread, function, thing))
                if len(waiting) >= AHEAD * self.count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


ALONE = Workers()
"""No workers: the caller computes one thing after the other."""


@contextmanager
def workers(*, in_parallel: bool) -> Iterator[Workers]:
    """Start as many workers as torch may use threads, for the length of the block.

    Args:
        in_parallel: whether there may be several. Otherwise the caller computes, and operations
            use the threads of torch: on a GPU, and where gradients flow.
    """
    if not in_parallel:
        yield ALONE
        return
    with ExitStack() as stack:
        count = stack.enter_context(one_thread_each())
        if count == 1:
            yield ALONE
            return
        pool = ThreadPoolExecutor(count, "tile")  # starts threads as they are needed
        stack.callback(pool.shutdown, cancel_futures=True)
        yield Workers(count, pool)


def _on_one_thread(function: Callable[[T], R], thing: T) -> R:
    with one_thread_each(), torch.no_grad():
        return function(thing)
