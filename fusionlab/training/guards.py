"""What surrounds the training loop: deferred signals, and memory errors in a sentence."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from fusionlab.errors import FusionlabError, Terminated
from fusionlab.plugins.failures import is_out_of_memory


class StopSignals:
    """Note Ctrl-C and SIGTERM instead of stopping in the middle of an update of the weights.

    SIGTERM is what schedulers and `torchrun` send. Signals reach the main thread only; in other
    threads nothing has to be deferred. The third signal ends the process at once.
    """

    def __init__(self) -> None:
        self.requested = False
        self._count = 0
        self._number = signal.SIGINT
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Replace the handlers of both signals."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the handlers."""
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def exception(self) -> KeyboardInterrupt:
        """Return what the first signal would have raised; Ctrl-C if there was none."""
        if self._number == signal.SIGINT:
            return KeyboardInterrupt()
        return Terminated(self._number)

    def _note(self, number: int, _: object) -> None:
        self._count += 1
        if not self.requested:
            self.requested, self._number = True, signal.Signals(number)
        elif self._count > 2:  # a long validation, for example
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


@contextmanager
def reporting_memory_errors(work: str) -> Iterator[None]:
    """Turn a lack of memory into a `FusionlabError` (code `out-of-memory`) that names the work."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise FusionlabError(
            f"there is not enough memory for {work}; choose a smaller batch or smaller crops",
            code="out-of-memory",
            option="batch",
        ) from error
